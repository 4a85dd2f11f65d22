"""Evaluation against models whose likelihood is known in closed form."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import exp, log, pi

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from reparam import evaluation, families, priors, variants
from reparam.batch import Batch
from reparam.distributions import QuantizedCategorical
from reparam.errors import DataError, OptionError, ShapeError
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.metrics.bound import few_draws
from reparam.models.conditional import Conditional
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.spec import DataSpec
from tests.support import BINARY, Constant, Function, LinearGaussian, binary, normal

REAL = DataSpec((4,), "real")
DRAW = torch.Generator().manual_seed(0)
LINEAR = LinearGaussian(
    torch.randn(4, 2, generator=DRAW), sigma=0.7, bias=torch.randn(4, generator=DRAW)
)
X = torch.randn(50, 4, generator=DRAW) * 1.5
EXACT = torch.as_tensor(LINEAR.log_likelihood(X))


def shifted(shift: float) -> LatentModel:
    """Return the linear model, with a posterior whose mean is off by a shift."""
    return LINEAR.model(
        lambda x: MultivariateNormal(LINEAR.posterior(x).mean + shift, LINEAR.covariance)
    )


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bernoulli_vae(latent_dim: int = 3, seed: int = 0) -> LatentModel:
    with seeded(seed):
        model = variants.vae(BINARY, latent_dim=latent_dim, hidden=(16,)).model
    assert isinstance(model, LatentModel)
    return model


def binary_batch(n: int = 30, seed: int = 0) -> Batch:
    return Batch(binary(n, seed=seed))


def test_exact_posterior_gives_the_exact_likelihood() -> None:
    exact, model = EXACT, LINEAR.model()
    result = evaluation.evaluate(model, Batch(X), REAL, n_samples=7)
    # Every importance weight is p(x) itself, so that not even seven draws leave noise.
    assert result.log_likelihood == pytest.approx(float(exact.mean()), abs=1e-4)
    stderr = float(exact.std() / 50**0.5)
    assert result.log_likelihood_stderr == pytest.approx(stderr, rel=1e-4)
    assert result.effective_sample_size == pytest.approx(1.0, abs=1e-4)
    assert result.is_likelihood
    # The KL has a closed form, so that the ELBO keeps the noise of the reconstruction.
    result = evaluation.evaluate(model, Batch(X), REAL, n_samples=20000)
    assert result.elbo == pytest.approx(float(exact.mean()), abs=0.02)
    assert result.kl_method == "closed form"
    assert result.elbo == pytest.approx(result.reconstruction - result.kl, abs=1e-9)
    assert result.bits_per_dim is None
    assert result.code_bits is None
    assert "logarithm of a density: it may be positive" in result.note


def test_reconstruction_and_kl_of_the_linear_model() -> None:
    w, s, covariance = LINEAR.weight, LINEAR.sigma, LINEAR.covariance
    mean = LINEAR.posterior(X).mean + 0.3
    error = (X - LINEAR.likelihood(mean).mean).square().sum(-1)
    spread = torch.trace(w @ covariance @ w.T)
    reconstruction = -0.5 * ((error + spread) / s**2 + 4 * log(2 * pi * s**2))
    kl = 0.5 * (torch.trace(covariance) + mean.square().sum(-1) - 2 - torch.logdet(covariance))
    result = evaluation.evaluate(shifted(0.3), Batch(X), REAL, n_samples=20000)
    assert result.reconstruction == pytest.approx(float(reconstruction.mean()), abs=0.03)
    assert result.distortion == pytest.approx(-result.reconstruction)
    assert result.kl == pytest.approx(float(kl.mean()), rel=1e-4)
    assert result.kl_stderr == pytest.approx(float(kl.std() / 50**0.5), rel=1e-3)
    assert result.rate_bits == pytest.approx(float(kl.mean()) / log(2), rel=1e-4)
    assert result.rate_bits_stderr == pytest.approx(result.kl_stderr / log(2))
    assert result.distortion_stderr == result.reconstruction_stderr
    # Each example's share of draws that count has an error over examples too.
    assert 0 < result.effective_sample_size_stderr < 0.1
    assert result.mse == pytest.approx(float(error.mean() / 4), rel=1e-4)


def test_kl_of_each_dimension_with_its_standard_error() -> None:
    model, batch = bernoulli_vae(), binary_batch(40)
    q = model.posterior(batch.x)
    mean, variance = q.mean.detach().numpy(), q.variance.detach().numpy()
    values = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    result = evaluation.evaluate(model, batch, BINARY, n_samples=2)
    assert result.kl_per_dimension == pytest.approx(values.mean(0).tolist(), rel=1e-4)
    stderr = values.std(0, ddof=1) / 40**0.5
    assert result.kl_per_dimension_stderr == pytest.approx(stderr.tolist(), rel=1e-4)
    one = evaluation.evaluate(model, binary_batch(1), BINARY, n_samples=2)
    assert one.kl_per_dimension_stderr is None


def test_importance_sampling_rises_towards_the_exact_value_from_below() -> None:
    model, exact = shifted(0.3), EXACT
    estimates = []
    for n_samples in (1, 5, 50, 500):
        # Many repetitions of every example, so that the bound can be seen through the noise.
        batch = Batch(X.repeat(20, 1))
        result = evaluation.evaluate(model, batch, REAL, n_samples=n_samples)
        estimates.append(result.log_likelihood)
        with seeded(1):
            parts = importance_sample(model, batch.x, None, n_samples)
        difference = parts.log_likelihood - exact.repeat(20)
        stderr = difference.std() / len(difference) ** 0.5
        assert difference.mean() <= 4 * stderr
    assert estimates == sorted(estimates)
    assert estimates[-1] == pytest.approx(float(exact.mean()), abs=0.05)


def test_one_draw_is_the_elbo_in_mean() -> None:
    x = X.repeat(100, 1)
    with seeded(0):
        one = importance_sample(shifted(0.4), x, None, 1)
    elbo = one.reconstruction - one.kl
    # The same z on both sides, where the KL's own noise is what differs.
    difference = one.log_likelihood - elbo
    assert abs(difference.mean()) <= 4 * difference.std() / len(difference) ** 0.5


def test_monte_carlo_kl_where_no_closed_form_is_known() -> None:
    class Plain(Distribution):
        """A normal distribution that no closed form is registered for."""

        def __init__(self, inner: Distribution) -> None:
            self.inner = inner
            super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

        def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
            return self.inner.sample(sample_shape)

        def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
            return self.inner.rsample(sample_shape)

        def log_prob(self, value: Tensor) -> Tensor:
            return self.inner.log_prob(value)

        @property
        def mean(self) -> Tensor:
            return self.inner.mean

    model = LINEAR.model()
    closed = evaluation.evaluate(model, Batch(X), REAL, n_samples=2000)
    function = model.encoder.function
    model.encoder.function = lambda x: Plain(function(x))
    sampled = evaluation.evaluate(model, Batch(X), REAL, n_samples=2000)
    assert sampled.kl_method == "Monte Carlo"
    assert sampled.kl_per_dimension is None
    assert sampled.kl == pytest.approx(closed.kl, abs=0.02)
    # With the sampled KL the exact posterior leaves no noise in the bound at all.
    assert sampled.elbo == pytest.approx(float(EXACT.mean()), abs=1e-3)


def test_draws_exactly_the_number_of_samples_whatever_the_memory() -> None:
    class Counting(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.drawn = 0

        def forward(self, x: Tensor) -> Distribution:
            q = self.inner(x)
            sample, rsample = q.sample, q.rsample

            def counted(draw: Callable[[torch.Size], Tensor]) -> Callable[[torch.Size], Tensor]:
                def count(shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
                    self.drawn += shape.numel() * len(x)
                    return draw(shape)

                return count

            q.sample, q.rsample = counted(sample), counted(rsample)
            return q

    model = bernoulli_vae()
    model.encoder = Counting(model.encoder)
    results = []
    for memory, n_threads in ((512, 1), (1, 1), (1, 2)):
        model.encoder.drawn = 0
        with threads(n_threads):
            result = evaluation.evaluate(
                model, binary_batch(), BINARY, n_samples=777, max_memory_mb=memory
            )
            assert torch.get_num_threads() == n_threads
        assert model.encoder.drawn == 777 * 30
        results.append(result)
    for other in results[1:]:
        for name in ("elbo", "log_likelihood", "reconstruction", "kl", "effective_sample_size"):
            assert getattr(other, name) == pytest.approx(getattr(results[0], name), abs=1e-4)


def test_every_piece_lands_in_its_place() -> None:
    figures = []
    for max_floats in (2**27, 200, 1):
        with seeded(3):
            figures.append(importance_sample(shifted(0.2), X, None, 11, max_floats=max_floats))
    for other in figures[1:]:
        torch.testing.assert_close(other.log_likelihood, figures[0].log_likelihood)
        torch.testing.assert_close(other.reconstruction, figures[0].reconstruction)


def test_a_condition_stays_with_its_example() -> None:
    # p(x | z, c) = N(x; c, 2²), whatever z: log p(x | c) is known, and q = p makes it exact.
    model = LatentModel(
        Function(lambda x, c: normal(c, 1.0)),
        Function(lambda z, c: normal(0 * z + c, 2.0)),
        Function(lambda c: normal(c, 1.0)),
    )
    c = torch.arange(40.0)[:, None]
    x = c + torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    exact = Normal(c, 2.0).log_prob(x).mean()
    spec = DataSpec((1,), "real")
    result = evaluation.evaluate(model, Batch(x, c=c), spec, n_samples=3)
    assert result.log_likelihood == pytest.approx(float(exact), abs=1e-5)
    assert result.kl == pytest.approx(0.0, abs=1e-6)


def coins(probability: float, code: float = 0.0) -> LatentModel:
    """p(x | z) = p(x): 16 coins, whatever z, and q(z | x) = N(code, 1)."""
    return LatentModel(
        Constant(normal(torch.full((2,), code), 1.0), event_dim=3),
        Constant(Independent(Bernoulli(torch.full((1, 4, 4), probability)), 3)),
        priors.StandardNormal(2),
    )


def test_bits_per_dim_of_a_fair_coin() -> None:
    coin = coins(0.5)
    result = evaluation.evaluate(coin, binary_batch(), BINARY, n_samples=5)
    assert result.bits_per_dim == pytest.approx(1.0, abs=1e-6)
    assert result.code_bits == pytest.approx(16.0, abs=1e-5)
    assert result.raw_bits == 16
    assert result.log_likelihood == pytest.approx(-16 * log(2), abs=1e-4)
    assert result.kl_per_dimension == pytest.approx((0.0, 0.0), abs=1e-6)
    # Nothing in it depends on z: that is posterior collapse, and it is said.
    assert result.active_units == 0
    assert "all 2 latent dimensions are unused (posterior collapse)" in result.warnings[0]


def test_codes_far_from_the_prior_are_no_collapse() -> None:
    far = coins(0.5, code=9.0)
    result = evaluation.evaluate(far, binary_batch(), BINARY, n_samples=5)
    assert result.kl == pytest.approx(81.0)
    assert any("they lie where the prior does not" in warning for warning in result.warnings)


def unused_latent(likelihood: Distribution) -> LatentModel:
    """p(x | z) = p(x), a known likelihood, and q(z | x) = p(z) = N(0, 1)."""
    encoder = Constant(normal(torch.zeros(1), 1.0))
    return LatentModel(encoder, Constant(likelihood), priors.StandardNormal(1))


def test_the_standard_error_of_bits_is_that_over_examples() -> None:
    """A coin that shows 1 in four of five tosses takes log₂ 5/4 bits for a 1, log₂ 5 for a 0."""
    coin = coins(0.8)
    batch = binary_batch()
    result = evaluation.evaluate(coin, batch, BINARY, n_samples=5)
    bits = np.where(batch.x.flatten(1) == 1, np.log2(5 / 4), np.log2(5)).mean(1)
    assert result.bits_per_dim == pytest.approx(bits.mean(), abs=1e-6)
    assert result.bits_per_dim_stderr == pytest.approx(
        bits.std(ddof=1) / len(bits) ** 0.5, abs=1e-6
    )
    assert result.code_bits_stderr == pytest.approx(
        16 * bits.std(ddof=1) / len(bits) ** 0.5, abs=1e-5
    )


def test_bits_per_dim_of_grey_levels_and_of_dequantized_ones() -> None:
    levels = torch.randint(0, 16, (20, 6), generator=torch.Generator().manual_seed(0)).float()
    quantized = unused_latent(Independent(QuantizedCategorical(torch.zeros(6, 16)), 1))
    spec = DataSpec((6,), "unit", levels=16)
    result = evaluation.evaluate(quantized, Batch(levels / 15), spec, n_samples=2)
    # Sixteen equally probable levels are four bits, whichever way they are written.
    assert result.bits_per_dim == pytest.approx(4.0, abs=1e-5)
    assert result.raw_bits == 24
    wide = unused_latent(normal(torch.full((6,), 0.5), 1e3))
    spec = DataSpec((6,), "unit", dequantized_from=16)
    result = evaluation.evaluate(wide, Batch((levels + 0.5) / 16), spec, n_samples=2)
    density = -log(1e3) - 0.5 * log(2 * pi)
    assert result.bits_per_dim == pytest.approx(4.0 - density / log(2), abs=1e-4)
    assert result.code_bits == pytest.approx(6 * result.bits_per_dim, abs=1e-4)
    spec = DataSpec((6,), "unit", levels=16)
    assert evaluation.evaluate(wide, Batch(levels / 15), spec, n_samples=2).bits_per_dim is None


def test_cross_entropy_is_labelled_as_no_likelihood() -> None:
    spec = DataSpec((1, 4, 4), "unit", levels=256)
    with seeded():
        x = torch.rand(10, 1, 4, 4)
        model = variants.vae(spec, latent_dim=2, hidden=(8,), likelihood="cross-entropy").model
    result = evaluation.evaluate(model, Batch(x), spec, n_samples=5)
    values = result.to_dict()
    assert values["is_likelihood"] is False
    assert values["bits_per_dim"] is None
    assert values["code_bits"] is None
    assert "bounds no likelihood" in values["note"]
    assert "bounds no likelihood" in " ".join(str(result).split())
    assert "lower bound" not in str(result)


def test_active_units_of_a_hand_made_encoder() -> None:
    sign = torch.tensor([1.0, -1.0]).repeat(50)
    # Variances 0.0025, 0.04 and 0; the unbiased estimate is larger by 100 / 99.
    means = torch.stack([0.05 * sign, 0.2 * sign, torch.zeros(100)], dim=1)
    assert evaluation.active_units(means) == 1
    assert evaluation.active_units(means, threshold=0.002) == 2
    with pytest.raises(ShapeError, match="two or more"):
        evaluation.active_units(means[:1])
    identity = Function(lambda value: normal(value, 1.0))
    model = LatentModel(identity, identity, priors.StandardNormal(3))
    spec = DataSpec((3,), "real")
    torch.testing.assert_close(evaluation.encode_means(model, Batch(means), chunk=7), means)
    result = evaluation.evaluate(model, Batch(means), spec, n_samples=4)
    assert result.active_units == 1
    assert any("2 of 3 latent dimensions are unused" in one for one in result.warnings)


def test_few_effective_draws_are_said() -> None:
    result = evaluation.evaluate(shifted(8.0), Batch(X), REAL, n_samples=100)
    assert result.effective_sample_size < 0.02
    assert any("take more samples" in warning for warning in result.warnings)
    one = evaluation.evaluate(shifted(8.0), Batch(X), REAL, n_samples=1)
    assert one.effective_sample_size == 1
    assert any("ELBO again" in warning for warning in one.warnings)


def test_the_bias_of_few_draws_is_that_of_lognormal_weights() -> None:
    # log w ~ N(0, 1/2): E w and E w² are known, and the bias of log (1/L) sum w is simulated.
    effective, n_samples = exp(-0.5), 8
    draw = torch.Generator().manual_seed(0)
    log_w = torch.randn(100_000, n_samples, generator=draw, dtype=torch.float64) * 0.5**0.5
    bias = 0.25 - float((log_w.logsumexp(1) - log(n_samples)).mean())
    (said,) = few_draws(effective, n_samples)
    assert float(said.split("by ")[1].split()[0]) == pytest.approx(bias, rel=0.2)
    assert few_draws(effective, 20) == ()


def test_a_tuned_proposal_is_named_where_there_is_one() -> None:
    model = bernoulli_vae()
    options = {"spec": BINARY, "n_samples": 2, "annealed_temperatures": 2}
    (said,) = evaluation.evaluate(model, binary_batch(), **options).warnings
    assert "proposal='tuned'" in said
    told: list[str] = []
    tuned = evaluation.evaluate(
        model, binary_batch(), proposal="tuned", say=told.append, annealed=3, **options
    )
    assert not any("proposal='tuned'" in warning for warning in tuned.warnings)
    assert [line.split()[0] for line in told] == ["tuning", "annealing"]
    # A full Gaussian cannot be tuned.
    (said,) = evaluation.evaluate(shifted(2.0), Batch(X), REAL, n_samples=9).warnings
    assert "proposal=" not in said


def test_a_share_is_said_as_so_many_draws() -> None:
    facts = {"split": "test", "n_examples": 360, "is_likelihood": True, "n_samples": 500}
    found = evaluation.Evaluation.from_dict(
        {**facts, "effective_sample_size": 0.05, "n_generated": 360}
    )
    assert "share of draws that count, 25 of 500" in str(found)
    assert "all 360 examples of the split were compared" in str(found)
    fewer = evaluation.Evaluation.from_dict(
        {**facts, "effective_sample_size": 0.017, "n_generated": 200}
    )
    assert "8.5 of 500" in str(fewer)
    assert "were compared" not in str(fewer)


def test_leaves_no_trace() -> None:
    model = bernoulli_vae().half()
    model.decoder.eval()
    model.encoder.train()
    model.register_buffer("kept", torch.ones(3, dtype=torch.float16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    identities = [id(parameter) for parameter in model.parameters()]
    state = torch.get_rng_state()
    evaluation.evaluate(model, binary_batch(), BINARY, n_samples=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.encoder.training
    assert not model.decoder.training
    assert identities == [id(parameter) for parameter in model.parameters()]
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float16
        assert torch.equal(value, before[name])
    loss = model.float()(binary_batch().x).rsample().sum()
    loss.backward()


def test_a_failure_leaves_no_trace_either() -> None:
    model = bernoulli_vae().train()
    state = torch.get_rng_state()
    threads_before = torch.get_num_threads()
    with pytest.raises(ShapeError):
        evaluation.evaluate(model, Batch(torch.zeros(3, 5)), BINARY)
    assert model.training
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads_before
    assert torch.equal(torch.get_rng_state(), state)


def test_same_seed_same_figures() -> None:
    model, batch = bernoulli_vae(), binary_batch()
    first = evaluation.evaluate(model, batch, BINARY, n_samples=9, seed=4)
    with seeded(2):
        assert evaluation.evaluate(model, batch, BINARY, n_samples=9, seed=4) == first
    assert evaluation.evaluate(model, batch, BINARY, n_samples=9, seed=5) != first


def test_keys_and_json() -> None:
    told: list[tuple[int, int]] = []
    result = evaluation.evaluate(
        bernoulli_vae(),
        binary_batch(300),
        BINARY,
        n_samples=4,
        split="validation",
        progress=lambda done, total: told.append((done, total)),
    )
    values = result.to_dict()
    for name in ("elbo", "log_likelihood", "reconstruction", "kl", "mse"):
        assert isinstance(values[name], float)
        assert isinstance(values[f"{name}_stderr"], float)
    assert values["split"] == "validation"
    assert values["n_examples"] == 300
    assert values["n_samples"] == 4
    assert sum(values["kl_per_dimension"]) == pytest.approx(values["kl"], abs=1e-6)
    assert len(values["kl_per_dimension_stderr"]) == 3
    assert values["note"] is None
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert told[-1] == (300, 300)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    text = str(result)
    assert "lower bound of log p(x)" in text
    assert all(len(line) < 120 for line in text.splitlines())


def test_what_is_not_finite_is_null_and_said() -> None:
    far = float("inf")
    model = unused_latent(Independent(Normal(torch.full((1,), far), 1.0, validate_args=False), 1))
    spec = DataSpec((1,), "real")
    result = evaluation.evaluate(model, Batch(torch.zeros(3, 1)), spec, n_samples=2)
    assert result.elbo is None
    assert json.dumps(result.to_dict(), allow_nan=False)
    assert "elbo is infinite or not a number" in result.warnings[0]


def test_one_example_has_no_standard_error() -> None:
    result = evaluation.evaluate(bernoulli_vae(), binary_batch(1), BINARY, n_samples=50)
    assert result.elbo is not None
    assert result.elbo_stderr is None
    assert result.active_units is None
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"n_samples": 0}, "n_samples=0"), ({"max_memory_mb": 0}, "max_memory_mb=0")],
)
def test_senseless_options_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        evaluation.evaluate(bernoulli_vae(), binary_batch(), BINARY, **options)


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(OptionError, match="a Linear has no posterior"):
        evaluation.evaluate(nn.Linear(2, 2), binary_batch(), BINARY)
    with pytest.raises(DataError, match="no examples"):
        evaluation.evaluate(bernoulli_vae(), Batch(torch.zeros(0, 1, 4, 4)), BINARY)
    with pytest.raises(DataError, match="labels"):
        evaluation.accuracy(DirectedModel({}), binary_batch())


def labelled() -> tuple[DataSpec, Batch]:
    batch = binary_batch(40)
    return DataSpec((1, 4, 4), "binary", n_classes=2), Batch(batch.x, y=batch.x[:, 0, 0, 0].long())


def test_classifier_accuracy_and_log_likelihood() -> None:
    spec, batch = labelled()
    with seeded():
        model = variants.classifier(spec, hidden=(4,)).model
    assert isinstance(model, DirectedModel)
    probs = model.distribution("y", {"x": batch.x}).probs.detach().double()
    right = (probs.argmax(-1) == batch.y).double()
    result = evaluation.evaluate(model, batch, spec)
    assert result.accuracy == pytest.approx(float(right.mean()))
    assert result.accuracy_stderr == pytest.approx(float(right.std() / 40**0.5))
    assert evaluation.accuracy(model, batch, chunk=7).value == result.accuracy
    expected = probs[torch.arange(40), batch.y].log().mean()
    assert result.log_likelihood == pytest.approx(float(expected), abs=1e-5)
    # It says nothing of x, so that there are no bits to count, and draws no latent.
    assert result.bits_per_dim is None
    assert result.elbo is None
    assert result.n_samples is None
    assert "labels predicted correctly" in str(result)
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_directed_model_sums_the_label_out_and_classifies_by_bayes_rule() -> None:
    spec, batch = labelled()
    with seeded():
        model = variants.directed(spec, n_parts=2, hidden=(4,)).model
    assert isinstance(model, DirectedModel)
    joint = []
    for label in range(2):
        values = model.values(Batch(batch.x, y=torch.full((40,), label)))
        joint.append(model.log_prob(values).detach().double())
    scores = torch.stack(joint, dim=1)
    result = evaluation.evaluate(model, batch, spec)
    bits = -scores.exp().sum(1).log().mean() / (16 * log(2))
    assert result.bits_per_dim == pytest.approx(float(bits), abs=1e-5)
    right = (scores.argmax(1) == batch.y).double().mean()
    assert result.accuracy == pytest.approx(float(right))
    expected = scores[torch.arange(40), batch.y].mean()
    assert result.log_likelihood == pytest.approx(float(expected), abs=1e-5)


def test_accuracy_of_a_model_without_classes_is_refused() -> None:
    _, batch = labelled()
    model = DirectedModel({})
    with pytest.raises(OptionError, match="predicts no classes"):
        evaluation.accuracy(model, batch)


def test_aggregate_kl_of_equal_posteriors_is_their_kl() -> None:
    q = normal(torch.tensor([0.5, -1.0]), torch.tensor([0.5, 2.0]))
    p = normal(torch.zeros(2), 1.0)
    exact = float(kl_divergence(q, p))
    result = evaluation.aggregate_kl(q.expand((37,)), p, 5000)
    assert abs(result.value - exact) <= 4 * result.stderr
    assert result.n == 5000
    assert 0 < result.stderr < 0.1


def test_aggregate_kl_of_two_far_posteriors_by_a_grid() -> None:
    q = normal(torch.tensor([[-2.0], [1.0]]), 0.5)
    p = normal(torch.zeros(1), 1.0)
    z = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    density = 0.5 * (Normal(-2.0, 0.5).log_prob(z).exp() + Normal(1.0, 0.5).log_prob(z).exp())
    log_density = density.clamp(min=1e-300).log()
    exact = torch.trapezoid(density * (log_density - Normal(0.0, 1.0).log_prob(z)), z)
    result = evaluation.aggregate_kl(q, p, 4001, max_memory_mb=1)
    assert abs(result.value - float(exact)) <= 4 * result.stderr
    again = evaluation.aggregate_kl(q, p, 4001, max_memory_mb=256)
    assert again.value == pytest.approx(result.value, abs=1e-6)


def test_aggregate_kl_leaves_the_random_state_alone_and_refuses_nonsense() -> None:
    unit = normal(torch.zeros(2), 1.0)
    state = torch.get_rng_state()
    evaluation.aggregate_kl(unit.expand((5,)), unit, 3)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(OptionError, match="n_samples=1: must be at least 2"):
        evaluation.aggregate_kl(unit.expand((5,)), unit, 1)
    with pytest.raises(ShapeError, match=r"batch \(N,\)"):
        evaluation.aggregate_kl(unit, unit)


def test_aggregate_kl_of_full_covariance_posteriors() -> None:
    family = families.FullCovarianceGaussian(3)
    with seeded(0):
        q = Conditional(MLP(4, 8), family)(torch.randn(10, 4))
    result = evaluation.aggregate_kl(q, priors.StandardNormal(3)(), 50)
    assert abs(result.value) < 5


def test_principal_components_of_a_known_plane() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(500, 2, generator=draw) * torch.tensor([3.0, 1.0])
    directions = torch.linalg.qr(torch.randn(6, 2, generator=draw)).Q
    found = evaluation.principal_components(scores @ directions.T, 2)
    covariance = torch.cov(scores.T)
    values = torch.linalg.eigvalsh(covariance).flip(0)
    torch.testing.assert_close(
        found.explained_variance_ratio, values / values.sum(), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(torch.cov(found.scores.T), torch.diag(values), atol=1e-4, rtol=1e-4)
    with pytest.raises(OptionError, match="k=7"):
        evaluation.principal_components(scores @ directions.T, 7)
