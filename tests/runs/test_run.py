"""``fit``, ``load`` and the ``Run`` of both: what a run remembers and does."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import CheckpointError, DataError, OptionError, ReparamError, RunError
from reparam.runs.fit import as_recipe
from reparam.runs.folder import RunFolder, next_free
from reparam.training.metrics import read_rows
from tests.support import Bomb, quick_fit


def train(out: Path | None, **changes: Any) -> rp.Run:
    data = rp.data.load("digits", binarize="threshold")
    torch.manual_seed(0)
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[8])
    options = {"epochs": 1, "batch_size": 512, "pictures_every": 0, "progress": False}
    return rp.fit(recipe, data, out=out, **options | changes)


def by_hand(dim: int = 6) -> rp.LatentModel:
    return rp.LatentModel(
        encoder=rp.Conditional(rp.nn.MLP(dim, 8), rp.families.Gaussian(2)),
        decoder=rp.Conditional(rp.nn.MLP(2, 8), rp.families.Bernoulli(dim)),
        prior=rp.priors.StandardNormal(2),
    )


def bits(n: int = 40, dim: int = 6) -> Tensor:
    return torch.rand(n, dim, generator=torch.Generator().manual_seed(0)).round()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> rp.Run:
    return train(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def folder(tmp_path: Path, trained: rp.Run) -> Path:
    """A copy of a run, to be damaged."""
    assert trained.folder is not None
    path = tmp_path / "copy"
    for source in trained.folder.path.rglob("*"):
        if source.is_file():
            target = path / source.relative_to(trained.folder.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return path


class TestLoad:
    def test_brings_back_weights_and_rows(self, trained: rp.Run) -> None:
        assert trained.folder is not None
        loaded = rp.load(trained.folder.path)
        assert loaded.spec == trained.spec
        assert loaded.rows == trained.rows
        expected = trained.model.state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in loaded.model.state_dict().items())
        assert not loaded.model.training
        assert torch.equal(loaded.encode(), trained.encode())
        assert torch.equal(loaded.sample(5, seed=3), trained.sample(5, seed=3))

    def test_leaves_the_random_numbers_alone(self, trained: rp.Run) -> None:
        assert trained.folder is not None
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        rp.load(trained.folder.path).sample(2)
        assert torch.equal(torch.rand(3), expected)

    def test_of_a_model_by_hand_needs_the_model(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        run = quick_fit(by_hand(), bits(), out=out)
        with pytest.raises(RunError, match=r"composed by hand: give it, as in reparam\.load"):
            rp.load(out)
        loaded = rp.load(out, model=by_hand())
        assert torch.equal(loaded.sample(4), run.sample(4))
        with pytest.raises(CheckpointError, match="another model") as caught:
            rp.load(out, model=by_hand(dim=7))
        assert "\n" not in str(caught.value)

    def test_of_data_in_memory_needs_the_data(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        run = quick_fit(by_hand(), bits(), out=out)
        assert run.encode(split="train").shape == (40, 2)
        loaded = rp.load(out, model=by_hand())
        with pytest.raises(RunError, match=r"in memory: give them, or the name of .* as data="):
            loaded.evaluate()
        assert loaded.encode(bits()).shape == (40, 2)
        assert loaded.evaluate(bits(), n_samples=3).n_examples == 40

    def test_of_no_run(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "missing"):
            with pytest.raises(RunError, match="holds no run"):
                rp.load(path)

    def test_before_the_first_checkpoint(self, folder: Path) -> None:
        for path in [*folder.glob("model.*"), *folder.glob("checkpoints/*")]:
            path.unlink()
        with pytest.raises(
            RunError, match=r"has no weights yet: go on with fit\(\.\.\., out=.*, resume=True\)"
        ):
            rp.load(folder)

    def test_of_an_unfinished_run_takes_the_checkpoint(self, folder: Path, trained: rp.Run) -> None:
        for path in folder.glob("model.*"):
            path.unlink()
        assert torch.equal(rp.load(folder).sample(3), trained.sample(3))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no 'recorded'"),
            ("[1, 2]", "no 'recorded'"),
            ("recorded: 3", "no 'recorded'"),
            ("recorded: {format: 1}", "no 'spec'"),
            ("recorded: {format: 9}", "upgrade reparam"),
            ("recorded: {", "cannot be read"),
            ("a: \x00", "cannot be read"),
        ],
    )
    def test_of_a_damaged_configuration(self, folder: Path, text: str, said: str) -> None:
        (folder / "config.yaml").write_text(text)
        with pytest.raises(ReparamError, match=said) as caught:
            rp.load(folder)
        assert "\n" not in str(caught.value)


class TestNothingIsExecuted:
    def test_a_pickle_in_the_place_of_weights(self, folder: Path, tmp_path: Path) -> None:
        content = pickle.dumps(Bomb(tmp_path / "executed"))
        for path in [folder / "model.safetensors", *folder.glob("checkpoints/*.safetensors")]:
            path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            rp.load(folder)
        for path in folder.glob("checkpoints/*"):
            path.unlink()
        with pytest.raises(RunError):
            rp.load(folder)
        assert not (tmp_path / "executed").exists()
        pickle.loads(content)  # noqa: S301 - it would have been seen
        assert (tmp_path / "executed").exists()

    def test_a_tag_in_the_configuration(self, folder: Path, tmp_path: Path) -> None:
        place = tmp_path / "executed"
        text = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(
            f"{text}x: !!python/object/apply:os.mkdir ['{place}']\n"
        )
        with pytest.raises(RunError, match="cannot be read") as caught:
            rp.load(folder)
        assert "\n" not in str(caught.value)
        assert not place.exists()


class TestRun:
    def test_evaluate_writes_beside_the_weights(self, trained: rp.Run) -> None:
        assert trained.folder is not None
        trained.folder.evaluation_file.unlink(missing_ok=True)
        x = trained.examples().x
        given = trained.evaluate(x.numpy(), n_samples=3)
        assert given.split == "data given"
        assert not trained.folder.evaluation_file.exists()
        for data in (None, rp.data.load("digits", binarize="threshold")):
            result = trained.evaluate(data, n_samples=3, seed=5)
            assert result.split == "test"
            stored = json.loads(trained.folder.evaluation_file.read_text())
            assert stored == {**stored, **result.to_dict()}
            assert (stored["data"], stored["binarize"], stored["seed"]) == (
                "digits",
                "threshold",
                5,
            )
        # Pixels that are given are those of the split: all but the name is the same, and what
        # training examples are asked for.
        result = trained.evaluate(n_samples=3, train=False)
        named = {"split": "test", "data": "digits", "binarize": "threshold"}
        assert given.with_facts(**named) == result

    def test_reconstruct_is_decode_of_encode(self, trained: rp.Run) -> None:
        made = trained.reconstruct(split="test")
        assert made.shape == (360, 1, 8, 8)
        assert torch.allclose(made, trained.decode(trained.encode(split="test")))
        assert made.min() >= 0
        assert made.max() <= 1

    def test_takes_plain_arrays(self, trained: rp.Run) -> None:
        x = trained.examples(split="test", limit=7).x
        assert torch.equal(trained.encode(x.numpy()), trained.encode()[:7])
        assert torch.equal(trained.encode(rp.Batch(x)), trained.encode()[:7])

    def test_other_data_keep_the_way_of_binarizing(self, trained: rp.Run) -> None:
        assert trained.folder is not None
        loaded = rp.load(trained.folder.path)
        found = loaded.dataset("digits")
        assert found.support == "binary"
        assert torch.equal(found.examples("test").x, trained.examples().x)

    def test_data_of_another_kind_are_refused(self, tmp_path: Path) -> None:
        recipe = rp.variants.vae(rp.DataSpec((1, 8, 8), "unit"), latent_dim=2, hidden=[4])
        x = torch.rand(20, 1, 8, 8)
        run = quick_fit(recipe, x)
        run.config["recorded"]["data"] = {"name": "mine", "binarize": "dynamic"}
        with pytest.raises(OptionError, match="'digits' is binary data of shape"):
            run.dataset("digits")

    def test_classifier_neither_encodes_nor_samples(self) -> None:
        data = rp.data.load("digits")
        recipe = rp.variants.classifier(data.spec, hidden=[4])
        run = quick_fit(recipe, data, batch_size=2000)
        with pytest.raises(OptionError, match="'classifier' has no latent variables"):
            run.encode()
        with pytest.raises(OptionError, match="'classifier' does not generate examples"):
            run.sample(3)

    @pytest.mark.parametrize("n", [0, -1])
    def test_sample_needs_a_number(self, trained: rp.Run, n: int) -> None:
        with pytest.raises(OptionError, match=f"n_samples={n}"):
            trained.sample(n)

    def test_resumed_finished_run_keeps_its_data(self, tmp_path: Path) -> None:
        for resume in (False, True):
            run = quick_fit(by_hand(), bits(), out=tmp_path / "run", resume=resume)
        assert run.encode(split="train").shape == (40, 2)
        # Without a validation split there is no validation row.
        assert [(row["split"], row["step"]) for row in run.rows] == [("train", 1)]

    def test_tied_weights_are_saved(self, tmp_path: Path) -> None:
        model = by_hand()
        model.twin = model.encoder
        run = quick_fit(model, bits(), out=tmp_path / "run")
        other = by_hand()
        other.twin = other.encoder
        assert torch.equal(rp.load(tmp_path / "run", model=other).sample(3), run.sample(3))


class TestRandomState:
    def test_is_the_callers_own_after_fit(self) -> None:
        model = by_hand()
        torch.manual_seed(5)
        before, expected = torch.rand(3), torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), before)
        quick_fit(model, bits(), epochs=2)
        assert torch.equal(torch.rand(3), expected)

    def test_is_the_callers_own_after_a_failure(self) -> None:
        def objective(model: rp.LatentModel, batch: rp.Batch) -> rp.objectives.Terms:
            raise ZeroDivisionError

        model = by_hand()
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        with pytest.raises(ZeroDivisionError):
            quick_fit(model, bits(), objective=objective)
        assert torch.equal(torch.rand(3), expected)


class TestSplit:
    def test_that_does_not_exist_names_those_that_do(self, trained: rp.Run) -> None:
        said = r"no split 'tets', only train, validation, test: name one of them as split="
        for method in (trained.examples, trained.evaluate, trained.encode, trained.reconstruct):
            with pytest.raises(OptionError, match=said):
                method(split="tets")


class TestRecipe:
    def test_is_what_a_variant_makes_of_the_data(self) -> None:
        x = bits()
        options = {"epochs": 1, "batch_size": 40, "progress": False}
        torch.manual_seed(0)
        run = rp.fit(rp.variants.vae, x, **options)
        torch.manual_seed(0)
        expected = rp.fit(rp.variants.vae(rp.data.from_arrays(x).spec), x, **options)
        found = run.model.state_dict()
        assert all(torch.equal(v, found[k]) for k, v in expected.model.state_dict().items())
        made = rp.fit(lambda spec: rp.variants.vae(spec, latent_dim=3, hidden=[4]), x, **options)
        assert made.encode(split="train").shape == (40, 3)

    def test_keeps_or_replaces_the_objective(self) -> None:
        model = by_hand()
        assert as_recipe(model).objective == rp.objectives.ELBO()
        iwae = rp.objectives.IWAE(3)
        assert as_recipe(model, iwae).objective == iwae
        assert as_recipe(as_recipe(model), iwae).objective == iwae


class TestData:
    @pytest.mark.parametrize(
        ("x", "said"),
        [
            (np.array([[0.0, np.nan]]), "no column to learn from"),
            (np.array([[0.0, np.inf]]), "NaN or infinite"),
            (np.zeros((0, 4)), "at least one example"),
            ([["a"]], "cannot be used"),
            (np.array([["a"]]), "real numbers are needed"),
        ],
    )
    def test_that_are_bad_are_refused(self, tmp_path: Path, x: Any, said: str) -> None:
        with pytest.raises(ReparamError, match=said):
            rp.fit(by_hand(2), x, out=tmp_path / "run", progress=False)
        assert list(tmp_path.iterdir()) == []

    def test_labels_of_another_length_are_refused(self) -> None:
        with pytest.raises(DataError, match="one label per example is needed"):
            rp.fit(by_hand(), (bits(), torch.zeros(39)), progress=False)

    def test_outside_the_support_are_refused(self) -> None:
        with pytest.raises(DataError, match="divide x by 255"):
            rp.data.from_arrays(bits() * 255, support="unit")


class TestFolder:
    def test_next_free_passes_over_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "a-1").mkdir()
        (tmp_path / "a-2").write_text("")
        assert next_free(tmp_path, "a") == tmp_path / "a-3"

    def test_rows_end_at_a_broken_line(self, tmp_path: Path) -> None:
        path = tmp_path / "rows"
        assert read_rows(path) == []
        row = {"split": "train", "epoch": 0, "step": 1}
        path.write_text(f'{json.dumps(row)}\n{{"sp')
        assert read_rows(path, pytest.fail) == [row]

    def test_lock_is_for_one_and_leaves_nothing(self, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path / "run")
        with folder.locked():
            with pytest.raises(RunError, match="another process"), folder.locked():
                pass
            assert folder.lock_file.exists()
        with folder.locked():
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_run_is_never_overwritten(self, folder: Path) -> None:
        before = (folder / "model.safetensors").read_bytes()
        with pytest.raises(RunError, match="holds another run"):
            train(folder)
        assert (folder / "model.safetensors").read_bytes() == before
        assert [path.name for path in folder.parent.iterdir()] == ["copy"]
