"""Models in float64 and in half precision: trained, measured and used, or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import OptionError
from reparam.variants import build, get, names
from tests.support import fit_until, quick_fit, require_exact_resume

SMALL = {
    "latent_dim": 4,
    "latent_dims": [4, 2],
    "hidden": [8],
    "above": [8],
    "channels": [4, 4],
    "maps": [2, 2],
    "critic": [8, 8],
    "label_hidden": [8],
    "feature_dim": 6,
    "n_components": 3,
    "n_codes": 4,
    "code_dim": 2,
    "n_variables": 2,
    "n_classes": 2,
    "n_clusters": 2,
    "flow_width": 8,
    "width": 8,
    "n_parts": 2,
}
"""Options that make every variant cheap."""


def small_options(name: str) -> dict[str, object]:
    options = {key: value for key, value in SMALL.items() if key in get(name).options}
    if name == "conv-ladder-vae":
        options |= {"channels": 4, "out_channels": 4}
    return options


def small_data(name: str) -> rp.data.Dataset:
    generator = torch.Generator().manual_seed(0)
    if name == "text-vae":
        x = torch.randint(5, (40, 8), generator=generator)
        return rp.data.from_arrays(x[:24], support="tokens", validation=8, test=x[24:])
    x = torch.rand(40, 1, 8, 8, generator=generator).round()
    y = torch.arange(40) % 3
    return rp.data.from_arrays(x[:24], y[:24], validation=8, test=(x[24:], y[24:]))


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weight_types(module: torch.nn.Module) -> set[torch.dtype]:
    return {p.dtype for p in module.parameters() if p.is_floating_point()}


def use(run: rp.Run) -> None:
    """Ask a run for everything that it can give."""
    run.evaluate(n_samples=2, device="cpu", probe=True)
    if not isinstance(run.model, rp.LatentModel):
        return
    codes = run.encode()
    assert run.decode(codes, run.examples().c).isfinite().all()
    assert run.reconstruct().isfinite().all()
    if not isinstance(run.model.prior, rp.priors.NoPrior):
        assert run.sample(4).isfinite().all()


@pytest.mark.parametrize("name", ["vae", "conv-vae", "vq-vae", "cvae", "directed", "text-vae"])
def test_models_in_float64(name: str, tmp_path: Path) -> None:
    data = small_data(name)
    recipe = build(name, data.spec, **small_options(name))
    recipe.model.double()
    run = quick_fit(recipe, data, out=tmp_path / "run", batch_size=8)
    assert run.config["precision"] == "float64"
    assert weight_types(run.model) == {torch.float64}
    use(run)
    loaded = rp.load(tmp_path / "run")
    for path, value in run.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[path], value), path


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("name", names())
def test_every_variant_where_float64_is_the_default(name: str) -> None:
    data = small_data(name)
    run = quick_fit(lambda spec: build(name, spec, **small_options(name)), data, batch_size=8)
    assert weight_types(run.model) == {torch.float64}
    use(run)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    "parts",
    [
        {"prior": "vamp", "n_components": 3},
        {"prior": "mixture", "n_components": 3},
        {"posterior": "coupling", "prior": "flow"},
        {"posterior": "von-mises-fisher", "prior": "sphere"},
        {"posterior": "gumbel", "prior": "uniform-codes"},
        {"objective": "dreg", "start_at_mean": True},
    ],
    ids=lambda parts: "-".join(str(v) for v in parts.values()),
)
def test_parts_where_float64_is_the_default(parts: dict[str, Any]) -> None:
    data = small_data("vae")
    run = quick_fit(build("vae", data.spec, **small_options("vae"), **parts), data, batch_size=8)
    assert weight_types(run.model) == {torch.float64}
    use(run)


def blank_run(**changes: object) -> tuple[rp.variants.Recipe, rp.data.Dataset]:
    data = small_data("vae")
    torch.manual_seed(0)
    return build("vae", data.spec, **(small_options("vae") | changes)), data


def test_figures_are_those_of_float32() -> None:
    recipe, data = blank_run()
    batch = data.examples("test")
    how = {"n_samples": 50, "annealed": 8, "annealed_temperatures": 10, "sample_quality": 0}
    narrow = rp.evaluation.evaluate(recipe.model, batch, data.spec, **how)
    recipe.model.double()
    wide = rp.evaluation.evaluate(recipe.model, batch, data.spec, **how)
    # The draws are others, so that the figures agree within their errors, and the exact ones fully.
    assert wide.kl == pytest.approx(narrow.kl, rel=1e-5)
    assert wide.log_likelihood == pytest.approx(narrow.log_likelihood, abs=0.5)
    assert wide.annealed_log_likelihood == pytest.approx(narrow.annealed_log_likelihood, abs=0.5)
    assert wide.data_sha256 == narrow.data_sha256


def test_a_run_in_float64_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def train(out: Path | None, stop: int | None) -> dict[str, Tensor]:
        recipe, data = blank_run()
        recipe.model.double()
        return fit_until(stop, recipe, data, out, epochs=2, batch_size=8)

    # An epoch has two steps.
    require_exact_resume(train, tmp_path, [2, 3])


def test_float64_can_be_asked_for() -> None:
    recipe, data = blank_run()
    assert weight_types(quick_fit(recipe, data, precision="float64", batch_size=8).model) == {
        torch.float64
    }


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_less_than_the_weights_are_is_refused(precision: str) -> None:
    recipe, data = blank_run()
    recipe.model.double()
    with pytest.raises(OptionError, match=f"precision='{precision}': the weights are float64"):
        quick_fit(recipe, data, precision=precision, batch_size=8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_and_not_trained(dtype: torch.dtype) -> None:
    recipe, data = blank_run()
    full = rp.evaluation.evaluate(recipe.model, data.examples("test"), data.spec, n_samples=5)
    recipe.model.to(dtype)
    half = rp.evaluation.evaluate(recipe.model, data.examples("test"), data.spec, n_samples=5)
    assert half.elbo == pytest.approx(full.elbo, rel=0.01)
    with pytest.raises(OptionError, match=r"weights of type torch\.b?float16: .*model\.float\(\)"):
        quick_fit(recipe, data, batch_size=8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_data_of_any_float_are_what_they_say(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0, 1.0, 0.5], [0.25, 0.75, 1.0]])
    given = x.to(dtype)
    found = rp.data.from_arrays(given if dtype == torch.bfloat16 else given.numpy())
    assert found.support == "real"
    assert torch.equal(found.images, x)


def test_a_model_takes_floats_of_any_type() -> None:
    recipe, data = blank_run()
    x = data.examples("test").x
    expected = recipe.model.encode(x)
    for dtype in (torch.float64, torch.float16):
        assert torch.equal(recipe.model.encode(x.to(dtype)), expected)
        assert recipe.model.decode(expected.to(dtype)).dtype == torch.float32
