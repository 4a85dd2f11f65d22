"""The types of a run's configuration, of a data spec, and of the numbers on the command line."""

import dataclasses
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import yaml

import reparam as rp
from reparam.cli.doctor import read_array
from reparam.cli.main import verb_of, verbs
from reparam.cli.parse import option_types, parse
from reparam.cli.train_options import options_class
from reparam.errors import DataError, OptionError, RunError
from reparam.runs.config import up_to_date
from reparam.spec import DataSpec
from reparam.utils.arguments import as_declared
from reparam.variants import get, names
from tests.support import QUICK, quick_fit, reparam

Edit = Callable[[str, Any], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on grey digits, whose options are those of the denoising autoencoder."""
    run = tmp_path_factory.mktemp("trained") / "run"
    reparam("train dae", QUICK, "--out", run)
    return run


@pytest.fixture
def edited(trained: Path, tmp_path: Path) -> Edit:
    """Return a copy of the run with another value at a path of keys, such as recorded.n_train."""
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)

    def edit(key: str, value: Any) -> Path:
        config = yaml.safe_load((trained / "config.yaml").read_text())
        *parents, last = key.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        assert last in place
        place[last] = value
        (copy / "config.yaml").write_text(yaml.safe_dump(config))
        return copy

    return edit


WRONG = [
    ("variant", 4, "variant=4: must be text"),
    ("variant", [], "variant=[]: must be text"),
    ("latent_dim", "two", "must be a whole number"),
    ("latent_dim", 2.5, "must be a whole number"),
    ("latent_dim", True, "must be a whole number"),
    ("latent_dim", 10**25, "must be below 2^63"),
    ("latent_dim", None, "must be a whole number"),
    ("hidden", {"first": 4}, "must be a whole number or a list of whole numbers"),
    ("hidden", [[4]], "must be a whole number or a list of whole numbers"),
    ("likelihood", {}, "must be text"),
    ("activation", 3, "must be text"),
    ("level", "loud", "must be a number"),
    ("seed", "x", "must be a whole number"),
    ("seed", -2, "seed=-2: must be 0 or more"),
    ("lr", [], "must be a number"),
    ("lr", float("nan"), "lr=nan"),
    ("optimizer", 7, "must be one of adam, muon"),
    ("epochs", 0, "epochs=0: must be at least 1"),
    ("precision", 16, "must be one of auto, float32, bfloat16"),
    ("devices", "all", "must be a whole number"),
    ("data", 3, "must be text"),
    ("binarize", True, "must be one of static"),
    ("recorded.spec", 3, "must be keys and values with 'shape'"),
    ("recorded.spec", {}, "with 'shape'"),
    ("recorded.spec.shape", 64, "shape=64: must be a list of whole numbers"),
    ("recorded.spec.shape", ["a", 8, 8], "shape=['a', 8, 8]: must be a whole number or a list"),
    ("recorded.spec.shape", [1, 0, 8], "must be at least 1"),
    ("recorded.spec.shape", [2**40, 2**40], "more entries than a tensor can hold"),
    ("recorded.spec.support", [], "unknown support"),
    ("recorded.spec.levels", "many", "levels='many': must be a whole number"),
    ("recorded.spec.n_classes", {"a": 1}, "n_classes={'a': 1}: must be a whole number"),
    ("recorded.spec.dequantized_from", 0, "dequantized_from=0: must be at least 1"),
    ("recorded.spec.condition", 2, "unknown condition"),
    ("recorded.spec.name", 5, "name=5: must be text"),
    ("recorded.data", "digits", "must be keys and values with 'name'"),
    ("recorded.data.name", [], "recorded.data.name=[]"),
    ("recorded.data.validation", "some", "recorded.data.validation='some'"),
    ("recorded.class_names", "0123456789", "recorded.class_names='0123456789'"),
    ("recorded.n_train", "all", "recorded.n_train='all'"),
    ("recorded.objective", None, "recorded.objective=None"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_value_of_another_type_is_one_sentence(
    edited: Edit, key: str, value: Any, said: str
) -> None:
    with pytest.raises(RunError) as caught:
        rp.load(edited(key, value))
    assert said in str(caught.value)
    assert str(Path("run") / "config.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("latent_dim", "2"), ("recorded.spec.levels", "x")])
def test_every_verb_says_so(
    edited: Edit, trained: Path, key: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(edited(key, value))
    monkeypatch.chdir(Path(run).parent)
    verbs = ("evaluate", "sample", "encode", "reconstruct", "denoise", "interpolate", "plot")
    for words in (
        *([verb, run] for verb in (*verbs, "doctor")),
        ["compare", run, str(trained)],
        ["train", "--resume", run],
    ):
        said = reparam(*words, code=1).err
        assert said.startswith("reparam: ")
        assert said.count("\n") == 1
        assert key.rpartition(".")[2] in said


def test_what_has_one_meaning_is_accepted(edited: Edit) -> None:
    assert rp.load(edited("latent_dim", 2.0)).config["latent_dim"] == 2
    assert rp.load(edited("lr", "5e-3")).config["lr"] == 0.005
    assert rp.load(edited("lr", 1)).config["lr"] == 1


def test_a_key_of_another_version_stays(edited: Edit, trained: Path) -> None:
    run = edited("latent_dim", 2)
    with (run / "config.yaml").open("a") as stream:
        stream.write("invented: [later]\n")
    assert rp.load(run).config["invented"] == ["later"]
    text = (trained / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("checkpoint_every: 5.0\n", ""))
    assert rp.load(run).config["checkpoint_every"] == 5.0


def test_runs_without_a_stored_likelihood_have_the_default_of_then(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 64), dtype=np.uint8)
    made = quick_fit(
        lambda spec: rp.variants.vae(spec, hidden=[4], likelihood="continuous-bernoulli"),
        x,
        out=tmp_path / "run",
    )
    file = tmp_path / "run" / "config.yaml"
    text = file.read_text()
    assert "likelihood: continuous-bernoulli" in text
    file.write_text(text.replace("likelihood: continuous-bernoulli", "likelihood: null"))
    loaded = rp.load(tmp_path / "run")
    assert loaded.config["likelihood"] == "continuous-bernoulli"
    assert loaded.evaluate(x, n_samples=5).elbo == made.evaluate(x, n_samples=5).elbo
    assert quick_fit(rp.variants.vae, x).config["likelihood"] == "discretized-logistic"


def test_a_run_composed_by_hand_is_read_with_its_model(tmp_path: Path) -> None:
    import torch

    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)).round()

    def model() -> rp.LatentModel:
        return rp.LatentModel(
            rp.Conditional(rp.nn.MLP(3, 4), rp.families.Gaussian(2)),
            rp.Conditional(rp.nn.MLP(2, 4), rp.families.Bernoulli((3,))),
            rp.priors.StandardNormal(2),
        )

    quick_fit(model(), x, out=tmp_path / "run", pictures_every=0)
    assert rp.load(tmp_path / "run", model=model()).config["variant"] is None


class TestTypes:
    @pytest.mark.parametrize("name", names())
    def test_every_default_has_its_type(self, name: str) -> None:
        cls = options_class(get(name))
        types = option_types(cls)
        for group in get_type_hints(cls).values():
            for field in dataclasses.fields(group):
                value = list(field.default) if isinstance(field.default, tuple) else field.default
                found = as_declared(field.name, value, types[field.name], parse=True)
                assert (list(found) if isinstance(found, tuple) else found) == value

    @pytest.mark.parametrize("verb", verbs())
    def test_every_whole_number_of_a_verb_has_64_bits(self, verb: str) -> None:
        if verb == "train":
            options = options_class(get("vamp-vae"))
        else:
            options = verb_of(verb).Options
        hints = option_types(options)
        whole = [name for name, kind in hints.items() if int in (kind, *get_args(kind))]
        first = ["a", "b"] if verb == "compare" else ["a"] if "folder" in hints else []
        first = ["a"] if verb == "doctor" else first
        for name in whole:
            said = rf"{name}=1{'0' * 40}: must be below 2\^63"
            with pytest.raises(OptionError, match=said):
                parse(options, verb, [*first, f"--{name.replace('_', '-')}", str(10**40)])

    def test_a_number_of_thousands_of_digits(self) -> None:
        assert "too many digits" in reparam("sample run -n", "7" * 6000, code=2).err

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"shape": "8"}, "shape='8': must be a whole number"),
            ({"shape": (2.5,)}, "shape=2.5: must be a whole number"),
            ({"levels": 1.5}, "levels=1.5"),
            ({"n_classes": True}, "n_classes=True"),
            ({"name": None}, "name=None: must be text"),
        ],
    )
    def test_a_data_spec_has_types(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(OptionError, match=said):
            DataSpec(**{"shape": (3,), "support": "real", **changes})

    def test_numbers_of_a_data_spec_may_be_numpys(self) -> None:
        spec = DataSpec((np.int64(3), 4.0), "unit", levels=np.int32(17))  # type: ignore[arg-type]
        assert (spec.shape, spec.levels) == ((3, 4), 17)
        assert yaml.safe_load(yaml.safe_dump(spec.to_dict())) == spec.to_dict()

    @pytest.mark.parametrize("missing", ["shape", "support"])
    def test_a_data_spec_is_whole(self, missing: str) -> None:
        values = {"shape": [3], "support": "real"}
        del values[missing]
        with pytest.raises(OptionError, match=f"has no {missing}"):
            DataSpec.from_dict(values)


class TestArrays:
    """Arrays that ``doctor`` is given as files."""

    def save(self, path: Path, shape: tuple[int, ...], content: bytes = b"") -> Path:
        with path.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(content)
        return path

    @pytest.mark.parametrize("shape", [(), (0, 3), (5, 0)])
    def test_without_an_entry(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        np.save(tmp_path / "a.npy", np.zeros(shape))
        with pytest.raises(DataError, match="give at least one example"):
            read_array(tmp_path / "a.npy")

    @pytest.mark.parametrize("shape", [(2**45, 3), (2**62, 2**62), (4, 4)])
    def test_larger_than_its_file(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        path = self.save(tmp_path / "a.npy", shape, b"\0" * 20)
        with pytest.raises(DataError, match="it is cut short or damaged"):
            read_array(path)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.write(path, "x.npy")
        with pytest.raises(DataError, match="it is cut short or damaged"):
            read_array(tmp_path / "a.npz")

    @pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY\x01\0\xff\xffx", b"a,b\n1,2\n"])
    @pytest.mark.parametrize("name", ["a.npy", "a.npz"])
    def test_of_something_else(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_array(tmp_path / name)

    def test_of_objects(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
        with pytest.raises(DataError, match="Python objects"):
            read_array(tmp_path / "a.npy")

    def test_whole_ones_are_read(self, tmp_path: Path) -> None:
        x = np.arange(6.0).reshape(3, 2)
        np.save(tmp_path / "a.npy", x)
        assert (read_array(tmp_path / "a.npy") == x).all()
        np.savez_compressed(tmp_path / "a.npz", other=x[:1], x=x)
        assert (read_array(tmp_path / "a.npz") == x).all()
        np.savez(tmp_path / "b.npz", first=x, second=x[:1])
        assert (read_array(tmp_path / "b.npz") == x).all()


class TestFeatures:
    """Functions of the user's own that ``evaluate --features`` is given."""

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("raise ZeroDivisionError", "ZeroDivisionError"),
            ("return None", "it returns a NoneType for two examples"),
            ("return x", "it returns a Tensor of shape (2, 1, 8, 8)"),
            ("return x.flatten(1)[0]", "it returns a Tensor of shape (64,)"),
            ("raise SystemExit", "SystemExit"),
        ],
    )
    def test_that_give_none(
        self,
        trained: Path,
        tmp_path: Path,
        body: str,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        (tmp_path / "own_features.py").write_text(f"def f(x):\n    {body}\n")
        words = ("evaluate", trained, "--sample-quality 20 --features own_features:f")
        try:
            assert said in reparam(*words, code=2).err
        finally:
            del sys.modules["own_features"]

    def test_of_a_module_that_fails(
        self, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "broken_features.py").write_text("1 / 0\n")
        words = ("evaluate", trained, "--sample-quality 20 --features broken_features:f")
        assert "division by zero" in reparam(*words, code=2).err


TABLE = {"shape": [3], "support": "real"}
"""The spec of a table."""


@pytest.mark.parametrize(
    ("stored", "known"),
    [
        # Before tables had networks of their own, and a likelihood.
        ({}, {"skip": False, "dropout": 0.0, "likelihood": "gaussian"}),
        ({"likelihood": "gaussian-shared"}, {"skip": False, "likelihood": "gaussian-shared"}),
        # Before the rules on length were stored as what they decided.
        ({"chooses_length": True, "length": {"steps": 7}}, {"early_stopping": "held-out"}),
        ({"chooses_length": False, "length": {"steps": 7}}, {"steps": 7, "early_stopping": 0}),
        ({"epochs": 3}, {"steps": None, "early_stopping": 0}),
    ],
)
def test_an_older_configuration_gets_what_its_run_had(
    stored: dict[str, Any], known: dict[str, Any]
) -> None:
    recorded = {k: stored[k] for k in ("chooses_length", "length") if k in stored}
    options = {k: v for k, v in stored.items() if k not in recorded}
    config = {"variant": "vae", "likelihood": None, **options}
    found = up_to_date({**config, "recorded": {"spec": TABLE, **recorded}})
    assert found | known == found


def test_older_convolutions_had_no_linear_layer_beside_them() -> None:
    found = up_to_date({"variant": "conv-vae", "channels": [32, 64], "likelihood": "gaussian"})
    assert found["skip"] is False
    assert "dropout" not in found
