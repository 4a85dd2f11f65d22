"""What comes back is plain tensors, and the caller's modes change nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.utils.checkpoint import checkpoint

import reparam as rp
from reparam import evaluation
from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.evaluation.likelihood.annealed import Annealing, annealed_importance
from reparam.isolation import default_modes, isolated, make_trainable
from tests.support import Function, normal, quick_fit, same

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
LABELS = (X[:, 0] > 0).long().numpy()
Z = torch.zeros(3, 2)
SHADES = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def recipe_for(spec: rp.DataSpec) -> rp.variants.Recipe:
    return rp.variants.vae(spec, latent_dim=2, hidden=[4])


def fitted(model: Any = recipe_for, data: Any = X, **options: Any) -> rp.Run:
    return quick_fit(model, data, epochs=2, batch_size=10, **options)


@pytest.fixture(scope="module")
def trained() -> rp.Run:
    return fitted()


class Constant(nn.Module):
    """A decoder that says the same for every z: its mean is a parameter, expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.ones(4))

    def forward(self, z: Tensor) -> torch.distributions.Distribution:
        """Return p(x | z)."""
        loc = self.loc.expand(*z.shape[:-1], 4)
        return torch.distributions.Independent(torch.distributions.Normal(loc, 1.0), 1)


@pytest.fixture(scope="module")
def constant(trained: rp.Run) -> rp.Run:
    model = deepcopy(trained.latent_model)
    return fitted(rp.LatentModel(model.encoder, Constant(), model.prior))


RESULTS: dict[str, Callable[[rp.Run], Tensor]] = {
    "encode": lambda run: run.encode(X),
    "reconstruct": lambda run: run.reconstruct(X),
    "decode": lambda run: run.decode(Z),
    "sample": lambda run: run.sample(3),
    "draws": lambda run: run.sample(3, mean=False),
    "elbo": lambda run: _per_example(run, "elbo"),
    "log_likelihood": lambda run: _per_example(run, "log_likelihood"),
    "annealed": lambda run: _annealed(run),
}


def _per_example(run: rp.Run, name: str) -> Tensor:
    values = run.evaluate(X, n_samples=3)[name].per_example
    assert values is not None
    return values


def _annealed(run: rp.Run) -> Tensor:
    how = Annealing(n_chains=2, n_temperatures=2)
    return annealed_importance(run.latent_model, X[:3], annealing=how).log_weight


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "none": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
}


def modes() -> tuple[object, ...]:
    """Return the modes of torch that a caller may have switched on."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_device(),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )


def require_ordinary(run: rp.Run, values: Tensor) -> None:
    """Require a plain tensor with a memory of its own."""
    assert not values.is_inference()
    assert not values.requires_grad
    assert values.is_leaf
    assert values.is_contiguous()
    assert values.device.type == "cpu"
    own = values.untyped_storage().data_ptr()
    assert own not in {p.untyped_storage().data_ptr() for p in run.model.parameters()}
    assert own != X.untyped_storage().data_ptr()
    weights = nn.utils.parameters_to_vector(run.model.parameters()).clone()
    values += 1.0
    values[0] = 0.0
    assert torch.equal(nn.utils.parameters_to_vector(run.model.parameters()), weights)
    values.requires_grad_(True).double().square().sum().backward()
    assert values.grad is not None


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_an_ordinary_tensor(trained: rp.Run, name: str, mode: str) -> None:
    expected = RESULTS[name](trained)
    with MODES[mode]():
        before = modes()
        found = RESULTS[name](trained)
        assert modes() == before
    assert torch.equal(found, expected)
    require_ordinary(trained, found)


@pytest.mark.parametrize("name", ["reconstruct", "decode", "sample"])
def test_a_mean_that_is_a_parameter_is_copied(constant: rp.Run, name: str) -> None:
    require_ordinary(constant, RESULTS[name](constant))


def test_a_classifier_learns_from_codes(trained: rp.Run) -> None:
    classifier = nn.Linear(2, 1)
    classifier(trained.encode(X)).sum().backward()
    torch.testing.assert_close(classifier.weight.grad[0], trained.encode(X).sum(0))
    code = trained.encode(X)[:1].requires_grad_(True)
    decode = trained.latent_model.decode
    decode(code).sum().backward()
    step = 1e-2 * torch.eye(2)
    with torch.no_grad():
        slopes = (decode(code + step) - decode(code - step)).sum(1) / 2e-2
    torch.testing.assert_close(code.grad[0], slopes, rtol=0.05, atol=1e-3)


# What is given.


def _read(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.clone()


GIVEN: dict[str, Callable[[Tensor], Tensor]] = {
    "with a gradient": lambda x: x.clone().requires_grad_(True),
    "with a history": lambda x: x.clone().requires_grad_(True) * 1.0,
    "transposed": lambda x: x.T.contiguous().T,
    "strided": lambda x: x.repeat_interleave(2, 0)[::2],
    "double": lambda x: x.double(),
    "made for inference": _read,
}


@pytest.mark.parametrize("kind", GIVEN)
def test_tensors_of_any_kind_are_taken_and_stay_as_they_are(trained: rp.Run, kind: str) -> None:
    given = GIVEN[kind](X)
    before = given.detach().clone()
    run = fitted(data=given)
    assert torch.equal(run.encode(given), fitted().encode(X))
    for name in ("encode", "reconstruct"):
        found = getattr(trained, name)(given)
        assert torch.equal(found, getattr(trained, name)(X))
        require_ordinary(trained, found)
    figures = trained.evaluate(given, n_samples=2)
    assert figures.elbo == trained.evaluate(X, n_samples=2).elbo
    assert torch.equal(given, before)


@pytest.mark.parametrize("kind", [kind for kind in GIVEN if kind != "double"])
def test_batches_and_codes_of_any_kind_are_taken(trained: rp.Run, kind: str) -> None:
    batch, codes = Batch(GIVEN[kind](X)), GIVEN[kind](trained.encode(X))
    for found, expected in (
        (trained.encode(batch), trained.encode(X)),
        (trained.reconstruct(batch), trained.reconstruct(X)),
        (trained.decode(codes), trained.reconstruct(X)),
    ):
        torch.testing.assert_close(found, expected)
        require_ordinary(trained, found)
    options: dict[str, Any] = {"n_samples": 2, "annealed": 2, "annealed_temperatures": 2}
    figures, expected_figures = (trained.evaluate(x, **options) for x in (batch, X))
    for name in ("elbo", "annealed_log_likelihood"):
        assert getattr(figures, name) == pytest.approx(getattr(expected_figures, name), rel=1e-4)
    for given in (batch.x, codes):
        assert not given.is_leaf or given.grad is None


def test_one_row_expanded(trained: rp.Run) -> None:
    rows = X[:1].expand(5, 4)
    require_ordinary(trained, trained.encode(rows))
    require_ordinary(trained, trained.decode(torch.zeros(1, 2).expand(5, 2)))
    assert same(fitted(data=rows), fitted(data=rows.clone()))


def test_data_made_in_inference_mode_are_trained_on_and_evaluated() -> None:
    plain = rp.data.from_arrays(X[:30], test=X[30:], validation=5)
    with torch.inference_mode():
        data = rp.data.from_arrays(X[:30], test=X[30:], validation=5)
    one, other = fitted(data=data), fitted(data=plain)
    assert [row["loss"] for row in one.rows] == [row["loss"] for row in other.rows]
    options: dict[str, Any] = {"n_samples": 2, "annealed": 2, "annealed_temperatures": 2}
    found = one.evaluate(**options).to_dict()
    assert found["annealed_log_likelihood"] == other.evaluate(**options).annealed_log_likelihood


def test_data_and_figures_do_not_depend_on_modes(trained: rp.Run) -> None:
    def figures() -> list[object]:
        data = rp.data.from_arrays(X.numpy(), LABELS, validation=10)
        findings = rp.diagnostics.examine(trained, data, n_examples=10).findings
        seen = [(found.name, found.severity, found.evidence) for found in findings]
        measured = trained.evaluate(data, split="validation", n_samples=2)
        return [data.examples(limit=3).x.tolist(), seen, str(measured)]

    expected = figures()
    with torch.inference_mode(), torch.device("meta"):
        assert figures() == expected


# Training.


def weights(run: rp.Run) -> Tensor:
    return nn.utils.parameters_to_vector(run.model.parameters()).detach()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mode", MODES)
def test_fit_trains_whatever_the_callers_modes(trained: rp.Run, mode: str) -> None:
    with MODES[mode]():
        before = modes()
        run = fitted()
        assert modes() == before
    assert torch.equal(weights(run), weights(trained))
    assert not any(parameter.is_inference() for parameter in run.model.parameters())
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_the_modes_of_the_caller_are_back_after_an_error() -> None:
    with torch.inference_mode():
        before = modes()
        with pytest.raises(OptionError):
            quick_fit(recipe_for, X, epochs=-1)
        assert modes() == before


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("vae", {"hidden": [4]}),
        ("vq-vae", {"channels": [4, 4]}),
        ("factor-vae", {"hidden": [4]}),
        ("dreg", {"hidden": [4]}),
        ("conv-vae", {"channels": [4, 4]}),
    ],
)
def test_a_model_made_in_inference_mode_is_trained(variant: str, options: dict[str, Any]) -> None:
    spec = rp.DataSpec((1, 8, 8), "unit")
    x = SHADES

    def built() -> rp.variants.Recipe:
        torch.manual_seed(1)
        return rp.variants.build(variant, spec, **options)

    plain = fitted(built(), x)
    with torch.inference_mode():
        recipe = built()
        run = fitted(recipe, x)
    assert torch.equal(weights(run), weights(plain))
    assert run.encode(x).isfinite().all()


def test_tied_parameters_stay_tied() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        model[1].weight = model[0].weight
    make_trainable(model)
    assert model[0].weight is model[1].weight
    assert len(list(model.parameters())) == 3
    model(torch.ones(2)).sum().backward()


def test_a_model_without_values_is_refused() -> None:
    with torch.device("meta"):
        recipe = recipe_for(rp.DataSpec((4,), "real"))
    with pytest.raises(OptionError, match="on the device 'meta' and has no values"):
        fitted(recipe)


@pytest.fixture
def deterministic() -> Any:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("variant", ["vae", "conv-vae", "vamp-vae", "gumbel-vae"])
def test_deterministic_algorithms_suffice(variant: str) -> None:
    run = fitted(lambda spec: rp.variants.build(variant, spec), SHADES)
    assert run.evaluate(SHADES, n_samples=2).n_examples == len(SHADES)
    assert torch.are_deterministic_algorithms_enabled()


def test_a_run_is_read_in_inference_mode(tmp_path: Any) -> None:
    digits = rp.data.load("digits")
    recipe = rp.variants.vae(digits.spec, latent_dim=2, hidden=[4])
    quick_fit(recipe, digits, out=tmp_path / "run")
    with torch.inference_mode():
        run = rp.load(tmp_path / "run")
    plain = rp.load(tmp_path / "run")
    again, expected = (quick_fit(one.model, digits) for one in (run, plain))
    assert same(again, expected)


def test_default_modes_leave_nothing_behind() -> None:
    with torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
        before = modes()
        with default_modes():
            assert torch.zeros(1).device.type == "cpu"
            product = torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)
            assert (product.dtype, product.requires_grad) == (torch.float32, True)
        assert modes() == before
    model = nn.Linear(2, 2)
    with torch.inference_mode(), isolated(model):
        assert not model(torch.ones(2)).is_inference()
        assert not torch.is_grad_enabled()


CODES = torch.randn(60, 4, generator=torch.Generator().manual_seed(2))
CLASSES = (CODES[:, 0] > 0).long()
MEASURES: dict[str, Callable[[Tensor], Any]] = {
    "components": lambda z: evaluation.principal_components(z, 2).scores,
    "linear probe": lambda z: evaluation.linear_probe(z, CLASSES, z, CLASSES).value,
    "neighbors": lambda z: evaluation.knn_accuracy(z, CLASSES, z, CLASSES).value,
    "active units": evaluation.active_units,
    "fid": lambda z: evaluation.fid(z, 2 * CODES).value,
    "kid": lambda z: evaluation.kid(z, 2 * CODES).value,
}


@pytest.mark.parametrize("name", MEASURES)
def test_codes_with_a_history_are_measured(name: str) -> None:
    measure = MEASURES[name]
    torch.testing.assert_close(measure(CODES.clone().requires_grad_(True) * 1.0), measure(CODES))


@pytest.mark.parametrize("enabled", [False, True])
def test_a_callers_autocast_keeps_no_weights_of_the_first_step(enabled: bool) -> None:
    how: dict[str, Any] = {"precision": "bfloat16", "seed": 3}
    expected = weights(fitted(**how))
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        assert torch.equal(weights(fitted(**how)), expected)


class Recomputed(nn.Module):
    """A network with dropout whose activations are computed again in the backward pass."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(X[0].numel(), 8), nn.Dropout(0.5), nn.Tanh())
        self.again = again
        self.out_shape = (8,)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.again and self.training:
            return checkpoint(self.layers, x, use_reentrant=False)
        return self.layers(x)


def test_activation_checkpointing_changes_no_weight() -> None:
    def trained_with(again: bool) -> Tensor:
        torch.manual_seed(0)
        model = rp.LatentModel(
            rp.Conditional(Recomputed(again), rp.families.Gaussian(2)),
            rp.Conditional(rp.nn.MLP(2, 4), rp.families.Gaussian(tuple(X.shape[1:]))),
            rp.priors.StandardNormal(2),
        )
        return weights(fitted(model, precision="float32"))

    assert torch.equal(trained_with(True), trained_with(False))


class Teacher(nn.Module):
    """A decoder that asks another run, as in distillation."""

    def __init__(self, run: rp.Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, z: Tensor) -> Distribution:
        mean = self.run.decode(z.flatten(0, -2)).reshape(*z.shape[:-1], *X.shape[1:])
        return Independent(Normal(mean, 1.0), X.dim() - 1)


def test_a_decoder_may_ask_another_run(trained: rp.Run) -> None:
    encoder = rp.Conditional(rp.nn.MLP(X[0].numel(), 4), rp.families.Gaussian(2))
    model = rp.LatentModel(encoder, Teacher(trained), rp.priors.StandardNormal(2))
    n = torch.get_num_threads()
    torch.set_num_threads(2)  # whose threads work for the one that holds the lock
    try:
        result = evaluation.evaluate(model, Batch(X), trained.spec, n_samples=2)
    finally:
        torch.set_num_threads(n)
    mean = trained.latent_model.decode
    plain = rp.LatentModel(encoder, Function(lambda z: normal(mean(z), 1.0)), model.prior)
    expected = evaluation.evaluate(plain, Batch(X), trained.spec, n_samples=2)
    assert result.elbo == pytest.approx(expected.elbo, rel=1e-5)
