"""Exports: checked before they are written, in the units of the data, and free of this machine."""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.distributions import MixedRow
from reparam.errors import MissingPackageError, OptionError, RunError, SupportError
from reparam.export import export, files, programs
from reparam.models.latent import LatentModel
from reparam.priors import Diffusion
from reparam.spec import DataSpec
from tests.export.test_variants import VARIANTS, outputs_of, small_run
from tests.support import ROOT, contents, quick_fit, reparam

RNG = np.random.default_rng(0)


def called(file: Path, **inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs of a file of torch.export."""
    found: dict[str, Tensor] = torch.export.load(file).module()(**inputs)
    return found


def described(run: rp.Run, folder: Path, graph: str = "decoder") -> tuple[Path, dict[str, Any]]:
    """Export for torch, and return the file of a graph and its description."""
    made = run.export(folder, to="torch")
    return made.files[graph], json.loads(made.files["description"].read_text())["graphs"][graph]


@pytest.fixture(scope="module")
def table() -> rp.Run:
    """A run on a table of numbers, classes and missing values."""
    rows = pd.DataFrame(
        {
            "height": RNG.normal(5000, 1000, 400),
            "rooms": pd.Categorical(RNG.integers(1, 9, 400), ordered=True),
            "sex": np.where(RNG.random(400) < 0.5, "F", "M"),
            "place": RNG.choice(["a", "b", "c"], 400),
        }
    )
    rows.loc[::7, "height"] = np.nan
    return quick_fit(rp.variants.vae, rows, latent_dim=2, epochs=3)


# Every variant


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_file_of_torch(name: str, tmp_path: Path) -> None:
    run = small_run(name)
    made = export(run, tmp_path, to="torch")
    assert made.difference < 1e-5
    weights = sum(p.numel() for p in run.model.parameters())
    for graph in made.differences:
        program = torch.export.load(made.files[graph])
        assert sum(value.numel() for value in program.state_dict.values()) <= weights


def test_what_only_training_needs_is_left_out(tmp_path: Path) -> None:
    made = export(small_run("factor-vae"), tmp_path, to="torch")
    for graph in made.differences:
        state = torch.export.load(made.files[graph]).state_dict
        assert not [name for name in state if "critic" in name or "discriminator" in name]
        other = {"encoder": "model.decoder.network", "decoder": "model.encoder"}.get(graph, "-")
        assert not [name for name in state if name.startswith(other)]


def test_an_input_without_an_effect_is_left_out(tmp_path: Path) -> None:
    run = small_run("class-prior-vae")
    made = json.loads(export(run, tmp_path, to="torch").files["description"].read_text())
    taken = {name: [i["name"] for i in g["inputs"]] for name, g in made["graphs"].items()}
    assert taken["decoder"] == ["z"]
    assert made["graphs"]["decoder"]["computes"] == "p(x | z)"
    assert taken["sampler"] == ["c", "normal"]


# The units of the data


@torch.no_grad()
def test_parameters_of_a_table_are_in_its_units(table: rp.Run, tmp_path: Path) -> None:
    file, about = described(table, tmp_path)
    z = torch.randn(6, 2)
    found = {name: value.double().numpy() for name, value in called(file, z=z).items()}
    quantities, classes = about["distributions"][0], about["distributions"][1]
    assert quantities["columns"] == ["height"]
    fixed = {name: np.asarray(value) for name, value in quantities["constants"].items()}
    assert "width" not in fixed  # continuous numbers have no cells
    x = np.linspace(3000, 7000, 6)
    origin = table.spec.schema.column("height").origin if table.spec.schema else 0.0
    log_weights = np.log(_softmax(found["quantities_logits"][:, 0]))
    loc, scale = found["quantities_loc"][:, 0], found["quantities_scale"][:, 0]
    normal = np.exp(log_weights + stats.norm.logpdf(x[:, None] - origin, loc, scale)).sum(-1)
    share = 1 / (1 + np.exp(-fixed["outlier_logits"][0]))
    outlier = stats.logistic.pdf(x - origin, fixed["outlier_loc"][0], fixed["outlier_scale"][0])
    rows = torch.full((6, 4), torch.nan)
    rows[:, 0] = torch.from_numpy(x - origin)
    p = table.latent_model.likelihood(z)
    assert isinstance(p, MixedRow)
    expected = p.log_prob_of_columns(rows)[:, 0].numpy()
    assert np.allclose(np.log((1 - share) * normal + share * outlier), expected, atol=1e-3)
    assert classes["columns"] == ["sex"]
    logits = found["classes_2_logits"][:, 0]
    rows = torch.tensor([[torch.nan, torch.nan, 1.0, torch.nan]]).expand(6, -1)
    assert np.allclose(
        np.log(_softmax(logits)[:, 1]), p.log_prob_of_columns(rows)[:, 2].numpy(), atol=1e-4
    )


@torch.no_grad()
def test_atoms_have_the_probability_of_the_model(tmp_path: Path) -> None:
    """Two atoms of one column, and one of another, beside a smooth column."""
    hours = np.where(RNG.random(1000) < 0.6, RNG.choice([20, 40], 1000), RNG.integers(1, 99, 1000))
    gain = np.where(RNG.random(1000) < 0.5, 0, RNG.integers(1, 5000, 1000))
    rows = pd.DataFrame({"age": RNG.normal(40, 9, 1000).round(), "hours": hours, "gain": gain})
    rows["sex"] = RNG.choice(["F", "M"], 1000)
    run = quick_fit(rp.variants.vae, rows, latent_dim=2, epochs=3)
    assert run.spec.schema is not None
    assert [column.atoms for column in run.spec.schema.features] == [
        *((), (20.0, 40.0), (0.0,), ())
    ]
    file, about = described(run, tmp_path)
    quantities = about["distributions"][0]
    assert quantities["distribution"] == "Heaped"
    fixed = quantities["constants"]
    assert (fixed["atom_places"], fixed["atoms"]) == ([1, 2], [[20.0, 40.0], [0.0, 0.0]])
    z = torch.randn(6, 2)
    shares = _softmax(called(file, z=z)["quantities_atom_logits"].double().numpy())
    assert shares[:, 1, 2].max() == 0  # the second column has one atom
    p = run.latent_model.likelihood(z)
    assert isinstance(p, MixedRow)
    draws = p.sample(torch.Size([4000]))
    for place, (column, k, value) in enumerate(((0, 1, 20.0), (0, 2, 40.0), (1, 1, 0.0))):
        found = (draws[..., 1 + column] == value).double().mean(0).numpy()
        # Other values that are equal by chance are a few in a hundred.
        assert np.allclose(found, shares[:, column, k], atol=0.06), place


@torch.no_grad()
def test_dates_have_the_logits_of_their_cycles(tmp_path: Path) -> None:
    """The weekdays of draws are those of the logits, and the encoder reads them in its graph."""
    days = pd.bdate_range("2021-01-04", periods=400)
    rows = pd.DataFrame({"day": days, "pay": RNG.normal(size=400).round(2)})
    run = quick_fit(rp.variants.vae, rows, latent_dim=2, epochs=3)
    file, about = described(run, tmp_path)
    quantities = about["distributions"][0]
    assert quantities["distribution"] == "Cyclic"
    assert quantities["constants"]["date_places"] == [0]
    assert run.spec.schema is not None
    assert run.spec.schema.features[0].cycles == ("week",)
    z = torch.randn(3, 2)
    shares = _softmax(called(file, z=z)["quantities_cycle_logits"].double().numpy())
    p = run.latent_model.likelihood(z)
    draws = run.to_table(p.sample(torch.Size([3000])).flatten(0, 1)).to_pandas()
    weekday = draws["day"].dt.day_of_week.to_numpy().reshape(3000, 3)
    found = np.stack([(weekday == day).mean(0) for day in range(7)], -1)
    assert np.allclose(found, shares, atol=0.04)


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


@torch.no_grad()
@pytest.mark.slow
def test_a_table_with_missing_values_in_onnx(table: rp.Run, tmp_path: Path) -> None:
    made = table.export(tmp_path)
    x = table.examples(split="train", limit=20).x
    assert bool(x.isnan().any())
    codes = outputs_of(made.files["encoder"], x=x)["mean"]
    assert np.allclose(codes, table.latent_model.encode(x).numpy(), atol=1e-4)
    mean = outputs_of(made.files["decoder"], z=torch.from_numpy(codes))["mean"]
    expected = table.latent_model.decode(torch.from_numpy(codes)).numpy()
    assert np.allclose(mean, expected, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["negative-binomial", "negative-binomial-given-total"])
def test_counts_have_the_masses_of_the_model(likelihood: str, tmp_path: Path) -> None:
    counts = RNG.poisson([3.0, 10.0, 40.0], (200, 3))
    recipe = rp.variants.build("vae", DataSpec((3,), "counts"), latent_dim=2, likelihood=likelihood)
    run = quick_fit(recipe, counts, early_stopping=0)
    file, about = described(run, tmp_path)
    z, x = torch.randn(5, 2), torch.from_numpy(counts[:5]).float()
    found = {name: value.double().numpy() for name, value in called(file, z=z).items()}
    mean, theta = np.exp(found["log_mean"]), np.exp(found["log_inverse_dispersion"])
    if "given-total" in likelihood:
        mean = mean * counts[:5].sum(1, keepdims=True)
        totals = about["distributions"][0]["constants"]["totals"]
        assert min(totals) == counts.sum(1).min()
    expected = run.latent_model.likelihood(z).log_prob(x)
    log_p = stats.nbinom.logpmf(counts[:5], theta, theta / (theta + mean)).sum(-1)
    assert np.allclose(log_p, expected.numpy(), atol=1e-3)


# Priors that were fitted, and networks of images


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch", "onnx"])
@pytest.mark.parametrize("kind", ["flow", "mixture", "vamp", "diffusion"])
def test_a_fitted_prior_is_drawn_from(kind: Any, to: Any, tmp_path: Path) -> None:
    digits = rp.data.load("digits")
    run = quick_fit(lambda spec: rp.variants.ae(spec, latent_dim=2, hidden=(8,)), digits)
    n_components = 3 if kind in ("mixture", "vamp") else None
    if kind == "vamp":  # an autoencoder has no posteriors to be components
        run = quick_fit(lambda spec: rp.variants.vae(spec, latent_dim=2, hidden=(8,)), digits)
    new = run.with_prior(kind, steps=3, n_components=n_components)
    for part in new.model.modules():
        if isinstance(part, Diffusion):
            part.n_steps = 2  # a graph has each of them
    made = new.export(tmp_path, to=to)
    noise = {"normal": torch.randn(2000, 2)}
    if kind in ("mixture", "vamp"):
        noise["uniform"] = torch.rand(2000, 1)
    if to == "torch":
        z = called(made.files["sampler"], **noise)["z"]
    else:
        z = torch.from_numpy(outputs_of(made.files["sampler"], **noise)["z"])
    drawn = new.latent_model.draw_prior(2000)
    spread = drawn.std(0)
    assert ((z.mean(0) - drawn.mean(0)).abs() < 0.2 * spread).all()
    assert torch.allclose(z.std(0), spread, rtol=0.2)
    about = json.loads(made.files["description"].read_text())
    assert about["fitted_prior"] == kind


def test_a_condition_is_described(tmp_path: Path) -> None:
    made = export(small_run("cvae"), tmp_path, to="torch")
    about = json.loads(made.files["description"].read_text())
    assert about["condition"] == {"one_hot_label_of": 3, "covariates": []}
    assert about["graphs"]["encoder"]["computes"] == "q(z | x, c)"


# Refusals


def test_a_file_that_differs_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = programs.torch_program

    def shifted(graph: Any) -> programs.Program:
        program = made(graph)
        return programs.Program(
            program.graph,
            program.content,
            lambda inputs: {name: value + 0.01 for name, value in program.run(inputs).items()},
        )

    monkeypatch.setattr(files, "torch_program", shifted)
    with pytest.raises(
        RunError, match=r"of the exported encoder differs from the model by 1\.0e-02"
    ):
        export(small_run("vae"), tmp_path / "model", to="torch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("found", "expected", "unit", "difference"),
    [
        ([[0.0], [1e-3]], [[0.0], [0.0]], 1.0, 1e-3),  # small values: absolute
        ([[0.0], [1001.0]], [[0.0], [1000.0]], 1.0, 1e-3),  # large ones: relative to the largest
        ([[1e-6]], [[2e-6]], 1e-6, 0.5),  # in units of the data
        ([[np.inf]], [[np.inf]], 1.0, 0.0),
        ([[np.nan]], [[np.nan]], 1.0, np.inf),
        ([[0.0]], [[-np.inf]], 1.0, np.inf),
        ([[0.0, 0.0]], [[0.0]], 1.0, np.inf),
    ],
)
def test_differences_are_relative_to_the_scale_of_an_entry(
    found: Any, expected: Any, unit: float, difference: float
) -> None:
    result = files._largest(np.array(found), np.array(expected), np.array(unit))
    assert result == pytest.approx(difference)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingPackageError, match=rf"needs {package}: pip install 'reparam\[export\]'"
    ):
        export(small_run("vae"), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_other_formats_and_places_are_refused(tmp_path: Path) -> None:
    run = small_run("vae")
    with pytest.raises(OptionError, match="unknown format 'onxx': did you mean 'onnx'"):
        export(run, tmp_path, to="onxx")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        export(run, tmp_path / "file", to="torch")


def test_an_earlier_export_is_replaced_only_where_one_says_so(tmp_path: Path) -> None:
    first, second = small_run("vae"), small_run("factor-vae")
    first.export(tmp_path, to="torch")
    before = contents(tmp_path)
    with pytest.raises(
        RunError, match=r"holds another export \(it has model.json\).*overwrite=True"
    ):
        second.export(tmp_path, to="torch")
    assert contents(tmp_path) == before
    second.export(tmp_path, to="torch", overwrite=True)
    assert json.loads((tmp_path / "model.json").read_text())["variant"] == "factor-vae"


def test_the_command_replaces_nothing_that_it_is_not_told_to(tmp_path: Path) -> None:
    digits = rp.data.load("digits")
    folder = tmp_path / "run"
    quick_fit(rp.variants.build("vae", digits.spec, latent_dim=2, hidden=(8,)), digits, out=folder)
    line = f"export {folder} --to torch"
    place = tmp_path / "model"
    place.mkdir()
    (place / "decoder.pt2").write_text("mine")
    assert (
        "another folder, or replace it by --overwrite"
        in reparam(f"{line} --out {place}", code=1).err
    )
    assert contents(place) == {"decoder.pt2": b"mine"}
    reparam(f"{line} --out {place} --overwrite")
    assert len(contents(place)["decoder.pt2"]) > 100
    for _ in range(2):  # its own place in the folder of the run is written again
        reparam(line)
    # The checksum of the weights of a run has the name of the description.
    before = contents(folder)
    said = reparam(f"{line} --out {folder} --overwrite", code=1)
    assert "describes no export, but maybe a run" in said.err
    assert contents(folder) == before


def test_a_model_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    run = small_run("vae")

    class Depends(torch.nn.Module):
        def forward(self, z: Tensor, c: Tensor | None = None) -> Any:
            return decoder(z if float(z.sum()) > 0 else -z)

    decoder = run.latent_model.decoder
    model = LatentModel(run.latent_model.encoder, Depends(), run.latent_model.prior)
    with pytest.raises(SupportError, match="decoder of this model cannot be exported, because"):
        export(rp.Run(model, run.spec, {}), tmp_path / "model", to="torch")
    assert list(tmp_path.iterdir()) == []


# The files themselves


@pytest.mark.parametrize("to", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_files_are_the_same_again_and_have_no_places(to: Any, tmp_path: Path) -> None:
    run = small_run("vae")
    for folder in ("one", "two"):
        export(run, tmp_path / folder, to=to)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    for content in one.values():
        for place in (str(ROOT), str(Path.home()), "site-packages", ".py"):
            assert place.encode() not in content
    if to == "onnx":
        model = onnx.load_model(BytesIO(one["encoder.onnx"]))
        onnx.checker.check_model(model, full_check=True)
        assert {each.domain: each.version for each in model.opset_import} == {"": 18}
        assert model.producer_name == "reparam"
        (held,) = [each.value for each in model.metadata_props if each.key == "reparam"]
        about = json.loads(one["model.json"])
        assert json.loads(held)["computes"] == about["graphs"]["encoder"]["computes"]
        shape = model.graph.input[0].type.tensor_type.shape
        assert shape.dim[0].dim_param == "batch"


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    run = small_run("vae")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.model.train()
    checks = torch.distributions.Distribution._validate_args
    export(run, tmp_path, to="torch")
    assert run.model.training
    assert torch.distributions.Distribution._validate_args == checks
    assert all(torch.equal(value, before[key]) for key, value in run.model.state_dict().items())


def test_the_command_writes_into_the_folder_of_the_run(tmp_path: Path) -> None:
    quick_fit(
        rp.variants.build("vae", rp.data.load("digits").spec, latent_dim=2, hidden=(8,)),
        rp.data.load("digits"),
        out=tmp_path / "run",
    )
    said = reparam("export", tmp_path / "run", "--to torch")
    written = {path.name for path in (tmp_path / "run" / "export" / "torch").iterdir()}
    assert written == {"encoder.pt2", "decoder.pt2", "sampler.pt2", "model.json"}
    assert "largest difference from the model" in said.out
