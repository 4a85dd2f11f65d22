"""Bounds and importance sampling on a linear-Gaussian model, where log p(x) is known.

p(z) = N(0, I) and p(x | z) = N(Wz + b, σ² I), so p(x) = N(b, W Wᵀ + σ² I), and the posterior is
N(S Wᵀ(x - b)/σ², S) with S = (I + Wᵀ W/σ²)⁻¹.
"""

from collections.abc import Callable
from math import inf, log

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, Normal

from reparam.batch import Batch
from reparam.divergence import CLOSED_FORM, MONTE_CARLO
from reparam.errors import OptionError, ShapeError
from reparam.families import FullCovarianceGaussian, Gaussian
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives import ELBO, IWAE, MaximumLikelihood, Terms
from reparam.priors import StandardNormal
from tests.support import SHIFTED, Function, LinearGaussian, normal, require_gradient

LINEAR = LinearGaussian(SHIFTED.weight.double(), SHIFTED.sigma, SHIFTED.bias.double())
LATENT, DIM, SIGMA = 2, 3, LINEAR.sigma
W, B = LINEAR.weight.numpy(), LINEAR.bias.numpy()
GAIN = LINEAR.covariance @ LINEAR.weight.T / SIGMA**2
"""The matrix from x - b to the mean of the posterior."""


@pytest.fixture
def model() -> LatentModel:
    """Return a model in float64 whose posterior is wider than the true one, and off its mean."""
    made = LatentModel(
        encoder=Conditional(MLP(DIM), Gaussian(LATENT)),
        decoder=Conditional(MLP(LATENT), Gaussian(DIM, scale=SIGMA)),
        prior=StandardNormal(LATENT),
    ).double()
    made.requires_grad_(False)
    decoder, encoder = linear_of(made.decoder), linear_of(made.encoder)
    decoder.weight.copy_(LINEAR.weight)
    decoder.bias.copy_(LINEAR.bias)
    encoder.weight.zero_()[:LATENT] = 0.7 * GAIN
    encoder.bias.copy_(torch.tensor([0.1, -0.1, -1.0, -0.8]))
    return made


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, DIM, dtype=torch.float64)


def linear_of(part: nn.Module) -> nn.Linear:
    """Return the only linear layer of a part, its head."""
    (linear,) = (m for m in part.modules() if isinstance(m, nn.Linear))
    return linear


def set_to_true_posterior(model: LatentModel) -> LatentModel:
    """Return the model with a full-covariance encoder that is the exact posterior."""
    factor = torch.linalg.cholesky(LINEAR.covariance)
    encoder = Conditional(MLP(DIM), FullCovarianceGaussian(LATENT)).double().requires_grad_(False)
    linear = linear_of(encoder)
    linear.weight.zero_()[:LATENT] = GAIN
    below = factor[tuple(torch.tril_indices(LATENT, LATENT, -1))]
    linear.bias.copy_(torch.cat([-GAIN @ LINEAR.bias, 2 * factor.diagonal().log(), below]))
    return LatentModel(encoder, model.decoder, model.prior)


def repeated(x: Tensor, times: int) -> Batch:
    """Return a batch in which every example stands ``times`` times, one after the other."""
    return Batch(x.repeat_interleave(times, dim=0))


def mean_and_error(values: Tensor, n_examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means of the repetitions of each example, and the standard errors of the means."""
    draws = values.reshape(n_examples, -1).numpy()
    return draws.mean(1), draws.std(1, ddof=1) / draws.shape[1] ** 0.5


def exact_elbo(model: LatentModel, x: Tensor) -> np.ndarray:
    """Return the ELBO of the model's posterior, a Gaussian."""
    q = model.posterior(x)
    return LINEAR.elbo(x, q.mean.numpy(), q.variance.diag_embed().numpy(), q.entropy().numpy())


@pytest.mark.parametrize("kl_method", [CLOSED_FORM, MONTE_CARLO])
@pytest.mark.parametrize("n_samples", [1, 5])
def test_elbo_is_exact_in_mean(
    model: LatentModel, x: Tensor, kl_method: str, n_samples: int
) -> None:
    terms = ELBO(kl_method=kl_method, n_samples=n_samples)(model, repeated(x, 8000))
    assert terms.kl_method == kl_method
    mean, error = mean_and_error(terms.elbo, len(x))
    assert (np.abs(mean - exact_elbo(model, x)) < 4 * error).all()


def test_more_draws_make_the_elbo_less_noisy(model: LatentModel, x: Tensor) -> None:
    _, one = mean_and_error(ELBO()(model, repeated(x, 4000)).elbo, len(x))
    _, many = mean_and_error(ELBO(n_samples=16)(model, repeated(x, 4000)).elbo, len(x))
    np.testing.assert_allclose(many / one, 0.25, rtol=0.15)


def test_bounds_are_in_order(model: LatentModel, x: Tensor) -> None:
    batch = repeated(x, 4000)
    lower, lower_error = exact_elbo(model, x), np.zeros(len(x))
    for k in (2, 8, 64):
        mean, error = mean_and_error(IWAE(k)(model, batch).bound, len(x))
        assert (mean > lower + 2 * np.hypot(error, lower_error)).all()
        lower, lower_error = mean, error
    exact = LINEAR.log_likelihood(x)
    assert (lower < exact + 4 * lower_error).all()
    assert (exact - lower < 0.2 * (exact - exact_elbo(model, x))).all()


def test_iwae_of_one_draw_is_the_elbo_in_mean(model: LatentModel, x: Tensor) -> None:
    terms = IWAE(1)(model, repeated(x, 8000))
    mean, error = mean_and_error(terms.bound, len(x))
    assert (np.abs(mean - exact_elbo(model, x)) < 4 * error).all()
    torch.testing.assert_close(terms.bound, terms.elbo)


def test_iwae_is_the_log_mean_of_its_weights(model: LatentModel, x: Tensor) -> None:
    terms = IWAE(6)(model, Batch(x))
    assert terms.log_weight is not None
    assert terms.log_weight.shape == (6, len(x))
    expected = np.log(np.exp(terms.log_weight.numpy()).mean(0))
    np.testing.assert_allclose(terms.bound.numpy(), expected)


@pytest.mark.parametrize("kl_method", [CLOSED_FORM, MONTE_CARLO])
def test_elbo_at_the_true_posterior_is_the_log_likelihood(
    model: LatentModel, x: Tensor, kl_method: str
) -> None:
    terms = ELBO(kl_method=kl_method)(set_to_true_posterior(model), repeated(x, 4000))
    exact = LINEAR.log_likelihood(x)
    if kl_method == MONTE_CARLO:
        # Without a closed form every single draw is exact: the weights are all equal.
        found = terms.elbo.reshape(len(x), -1).numpy()
        assert np.abs(found - exact[:, None]).max() < 1e-9
    else:
        mean, error = mean_and_error(terms.elbo, len(x))
        assert (np.abs(mean - exact) < 4 * error).all()


@pytest.mark.parametrize("k", [1, 7])
def test_every_weight_at_the_true_posterior_is_the_likelihood(
    model: LatentModel, x: Tensor, k: int
) -> None:
    best = set_to_true_posterior(model)
    exact = LINEAR.log_likelihood(x)
    terms = IWAE(k)(best, Batch(x))
    assert terms.log_weight is not None
    assert np.abs(terms.log_weight.numpy() - exact).max() < 1e-9
    assert np.abs(terms.bound.numpy() - exact).max() < 1e-9
    assert np.abs(best.log_likelihood(x, n_samples=k).numpy() - exact).max() < 1e-9


def test_importance_sampling_rises_to_the_log_likelihood(model: LatentModel, x: Tensor) -> None:
    exact = LINEAR.log_likelihood(x)
    many = repeated(x, 2000).x
    gaps = []
    for n_samples in (1, 10, 100):
        mean, error = mean_and_error(model.log_likelihood(many, n_samples=n_samples), len(x))
        assert (mean < exact + 4 * error).all()
        gaps.append(exact - mean)
    assert (gaps[0] > gaps[1]).all()
    assert (gaps[1] > gaps[2]).all()
    estimate = model.log_likelihood(x, n_samples=100_000)
    np.testing.assert_allclose(estimate.numpy(), exact, atol=0.05)


def test_log_likelihood_of_one_draw_is_the_elbo_in_mean(model: LatentModel, x: Tensor) -> None:
    values = model.log_likelihood(repeated(x, 8000).x, n_samples=1)
    mean, error = mean_and_error(values, len(x))
    assert (np.abs(mean - exact_elbo(model, x)) < 4 * error).all()


class Counted(nn.Module):
    """An encoder that counts the draws made from its posterior, per example."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.draws: list[int] = []

    def forward(self, x: Tensor) -> Distribution:
        q = self.encoder(x)
        original = q.rsample

        def rsample(sample_shape: torch.Size) -> Tensor:
            self.draws.append(sample_shape.numel())
            return original(sample_shape)

        q.rsample = rsample
        return q


@pytest.mark.parametrize(
    ("n_samples", "chunk", "draws"),
    [(1, None, [1]), (50, None, [50]), (50, 20, [20, 20, 10]), (3, 8, [3]), (4, 0, [1, 1, 1, 1])],
)
def test_draws_exactly_as_many_as_asked(
    model: LatentModel, x: Tensor, n_samples: int, chunk: int | None, draws: list[int]
) -> None:
    model.encoder = Counted(model.encoder)
    model.log_likelihood(x, n_samples=n_samples, chunk=chunk)
    assert model.encoder.draws == draws


@pytest.mark.parametrize("n_samples", [1, 4])
def test_objectives_draw_as_many_as_asked(model: LatentModel, x: Tensor, n_samples: int) -> None:
    model.encoder = Counted(model.encoder)
    ELBO(n_samples=n_samples)(model, Batch(x))
    IWAE(n_samples)(model, Batch(x))
    assert model.encoder.draws == [n_samples, n_samples]


def test_chunks_give_the_same_distribution(model: LatentModel, x: Tensor) -> None:
    many = repeated(x[:1], 3000).x
    whole = model.log_likelihood(many, n_samples=30)
    chunked = model.log_likelihood(many, n_samples=30, chunk=7)
    assert stats.ks_2samp(whole.numpy(), chunked.numpy()).pvalue > 1e-3


def test_no_samples_are_refused(model: LatentModel, x: Tensor) -> None:
    with pytest.raises(OptionError, match="n_samples=0"):
        model.log_likelihood(x, n_samples=0)


def kl_by_hand(model: LatentModel, x: Tensor) -> np.ndarray:
    """Return the KL of each dimension to N(0, 1)."""
    q = model.posterior(x)
    mean, variance = q.mean.numpy(), q.variance.numpy()
    return 0.5 * (mean**2 + variance - 1 - np.log(variance))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_kl_and_leaves_the_elbo(model: LatentModel, x: Tensor, beta: float) -> None:
    terms = ELBO(beta=beta)(model, Batch(x))
    divergence = kl_by_hand(model, x).sum(1)
    reconstruction = terms.reconstruction.numpy()
    np.testing.assert_allclose(terms.total_kl, divergence)
    np.testing.assert_allclose(terms.bound, reconstruction - beta * divergence)
    np.testing.assert_allclose(terms.elbo, reconstruction - divergence)
    assert float(terms.loss) == pytest.approx(-float(terms.bound.mean()))


@pytest.mark.parametrize(("step", "beta"), [(0, 0.0), (5, 1.0), (10, 2.0), (99, 2.0), (None, 2.0)])
def test_beta_follows_its_schedule(
    model: LatentModel, x: Tensor, step: int | None, beta: float
) -> None:
    terms = ELBO(beta=lambda at: 2.0 * min(at / 10, 1.0))(model, Batch(x, step=step))
    divergence = kl_by_hand(model, x).sum(1)
    np.testing.assert_allclose(terms.reconstruction - terms.bound, beta * divergence, atol=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [lambda at: at / 10, lambda at: at % 10, lambda at: int(at), lambda at: at - at],
    ids=["infinite", "periodic", "whole", "nan"],
)
def test_schedule_without_a_value_at_the_end_is_refused(
    model: LatentModel, x: Tensor, schedule: Callable[[float], float]
) -> None:
    ELBO(beta=schedule)(model, Batch(x, step=3))  # within training it is one
    with pytest.raises(OptionError, match="must have a value at step infinity"):
        ELBO(beta=schedule)(model, Batch(x))


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("free_bits", [0.0, 0.05, 0.3, 100.0])
def test_free_bits_are_paid_above_the_floor(
    model: LatentModel, x: Tensor, free_bits: float, beta: float
) -> None:
    terms = ELBO(beta=beta, free_bits=free_bits)(model, Batch(x))
    paid = np.maximum(kl_by_hand(model, x).mean(0), free_bits).sum()
    expected = float(terms.reconstruction.mean()) - beta * paid
    assert -float(terms.loss) == pytest.approx(expected)


def test_free_bits_without_dimensions_count_the_whole_kl(model: LatentModel, x: Tensor) -> None:
    terms = ELBO(free_bits=50.0)(set_to_true_posterior(model), Batch(x))
    assert -float(terms.loss) == pytest.approx(float(terms.reconstruction.mean()) - 50)


def test_free_bits_stop_the_gradient_below_the_floor(model: LatentModel, x: Tensor) -> None:
    model.encoder.requires_grad_()
    terms = ELBO(free_bits=100.0)(model, Batch(x))
    cost = terms.loss + terms.reconstruction.mean()
    gradients = torch.autograd.grad(cost, list(model.encoder.parameters()))
    assert all(float(g.abs().max()) < 1e-12 for g in gradients)


def test_scalars_are_the_means_of_the_batch(model: LatentModel, x: Tensor) -> None:
    terms = ELBO(beta=3.0, free_bits=0.3)(model, Batch(x))
    scalars = terms.scalars()
    assert set(scalars) == {"loss", "reconstruction", "elbo", "kl", "penalty/free_bits"}
    assert float(scalars["kl"]) == pytest.approx(kl_by_hand(model, x).sum(1).mean())
    assert float(scalars["elbo"]) == pytest.approx(float(scalars["reconstruction"] - scalars["kl"]))


def test_groups_of_latents_add_up() -> None:
    parts = {"z1": torch.tensor([1.0, 2.0]), "z2": torch.tensor([3.0, 5.0])}
    terms = Terms(bound=torch.zeros(2), reconstruction=torch.tensor([-1.0, -2.0]), kl=parts)
    assert terms.total_kl.tolist() == [4, 7]
    assert terms.elbo.tolist() == [-5, -9]
    assert float(terms.scalars()["kl/z2"]) == 4


def test_surrogate_is_the_loss() -> None:
    terms = Terms(torch.ones(2), torch.ones(2), surrogate=torch.tensor(5.0))
    assert float(terms.loss) == 5


class GaussianEncoder(nn.Module):
    """A user's own module that returns a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, LATENT)

    def forward(self, x: Tensor) -> Distribution:
        return MultivariateNormal(self.linear(x), torch.eye(LATENT, dtype=x.dtype))


class LaplaceLikeDecoder(nn.Module):
    """A user's own decoder without a family."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENT, DIM)

    def forward(self, z: Tensor) -> Distribution:
        return normal(self.linear(z), 0.5)


class LearnedPrior(nn.Module):
    """A user's own prior."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(LATENT))

    def forward(self) -> Distribution:
        return normal(self.loc, 1.0)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(n_samples=3), IWAE(4)])
def test_any_module_that_returns_a_distribution_is_accepted(objective: ELBO | IWAE) -> None:
    model = LatentModel(GaussianEncoder(), LaplaceLikeDecoder(), LearnedPrior()).double()
    x = torch.randn(5, DIM, dtype=torch.float64)
    require_gradient(lambda: objective(model, Batch(x)).loss, model)
    assert model.log_likelihood(x, n_samples=3).shape == (5,)
    assert model.sample(7).shape == (7, DIM)
    assert model.reconstruct(x).shape == (5, DIM)


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (lambda x: Normal(x[:, :LATENT], 1.0), r"\(5, 2\)"),  # entries that are not wrapped
        (lambda x: normal(torch.zeros(LATENT), 1.0), r"\(\)"),
        (lambda x: normal(torch.zeros(1, LATENT), 1.0), r"\(1,\)"),
    ],
)
def test_posterior_that_is_not_one_of_each_example_is_refused(
    make: Callable[..., Distribution], batch: str
) -> None:
    model = LatentModel(Function(make), LaplaceLikeDecoder(), LearnedPrior())
    said = rf"with batch shape {batch} for 5 examples: its batch shape must be \(5,\); wrap"
    calls: list[Callable[[Tensor], object]] = [
        model.posterior,
        model.encode,
        lambda x: model.draw(x, n_samples=2),
        lambda x: ELBO()(model, Batch(x)),
        lambda x: IWAE(2)(model, Batch(x)),
    ]
    for call in calls:
        with pytest.raises(ShapeError, match=said):
            call(torch.randn(5, DIM))


@pytest.mark.parametrize("n", [1, 3])  # one of them would broadcast
def test_prior_over_another_space_is_refused(n: int) -> None:
    prior = Function(lambda: normal(torch.zeros(n), 1.0))
    model = LatentModel(GaussianEncoder(), LaplaceLikeDecoder(), prior)
    for objective in (ELBO(), ELBO(kl_method=MONTE_CARLO), IWAE(2)):
        with pytest.raises(ShapeError, match=rf"events of shape \(2,\) and a prior over \({n},\)"):
            objective(model, Batch(torch.randn(5, DIM)))


def test_draws_of_the_model_have_its_marginal(model: LatentModel) -> None:
    draws = model.sample(20_000, mean=False).numpy()
    factor = np.linalg.cholesky(W @ W.T + SIGMA**2 * np.eye(DIM))
    white = np.linalg.solve(factor, (draws - B).T)
    assert np.abs(white.mean(1)).max() < 4 / len(draws) ** 0.5
    assert np.abs(white @ white.T / len(draws) - np.eye(DIM)).max() < 4 * (2 / len(draws)) ** 0.5


def test_temperature_scales_the_latent(model: LatentModel) -> None:
    images = model.sample(20_000, mean=True, temperature=0.5).numpy() - B
    z = 2 * images @ np.linalg.pinv(W).T
    assert np.abs(z.T @ z / len(z) - np.eye(LATENT)).max() < 4 * (2 / len(z)) ** 0.5


def test_temperature_zero_gives_the_most_typical_example(model: LatentModel) -> None:
    np.testing.assert_allclose(
        model.sample(3, mean=True, temperature=0.0), np.tile(B, (3, 1)), atol=1e-12
    )


def test_reconstruction_is_the_decoded_mean(model: LatentModel, x: Tensor) -> None:
    expected = model.posterior(x).mean.numpy() @ W.T + B
    np.testing.assert_allclose(model.encode(x), model.posterior(x).mean)
    np.testing.assert_allclose(model.reconstruct(x), expected)
    np.testing.assert_allclose(model.decode(model.encode(x)), expected)


def test_double_reaches_every_part(model: LatentModel, x: Tensor) -> None:
    assert model.sample(2).dtype == torch.float64
    assert ELBO()(model, Batch(x)).loss.dtype == torch.float64
    assert model.prior_distribution().sample().dtype == torch.float64


def test_conditions_reach_every_part() -> None:
    model = LatentModel(
        Conditional(MLP(DIM, 8, context=4), Gaussian(LATENT)),
        Conditional(MLP(LATENT, 8, context=4), Gaussian(DIM)),
        StandardNormal(LATENT),
    )
    x, c = torch.randn(5, DIM), torch.randn(5, 4)
    for objective in (ELBO(n_samples=2), IWAE(3)):
        assert objective(model, Batch(x, c=c)).bound.shape == (5,)
    assert model.log_likelihood(x, c, n_samples=4, chunk=3).shape == (5,)
    assert model.reconstruct(x, c).shape == (5, DIM)
    samples = model.sample(5, c, mean=True, temperature=0.0)
    torch.testing.assert_close(samples, model.decode(torch.zeros(5, LATENT), c))
    assert len(samples.unique(dim=0)) == 5
    drawn = model.sample(2, c[:1].expand(2, -1), mean=True)
    assert not torch.equal(drawn[0], drawn[1])


def test_flat_examples_are_taken_for_images() -> None:
    model = LatentModel(
        Conditional(MLP(4, 8), Gaussian(LATENT)),
        Conditional(MLP(LATENT, 8), Gaussian((1, 2, 2))),
        StandardNormal(LATENT),
    )
    images = torch.randn(5, 1, 2, 2)
    assert torch.equal(model.as_event(images.flatten(1)), images)
    bounds = []
    for x in (images, images.flatten(1)):
        torch.manual_seed(0)
        bounds.append(ELBO()(model, Batch(x)).bound)
    torch.testing.assert_close(*bounds)


@pytest.mark.parametrize("shape", [(5, DIM + 1), (0, DIM - 1), (2, 2, DIM)])
def test_examples_of_another_size_are_refused(model: LatentModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"x must have the shape \(B, 3\)"):
        model.posterior(torch.zeros(shape))


@pytest.mark.parametrize(
    "options",
    [
        {"beta": -1.0},
        {"beta": inf},
        {"beta": float("nan")},
        {"free_bits": -0.1},
        {"free_bits": float("nan")},
        {"free_bits": inf},
        {"n_samples": 0},
        {"kl_method": "exact"},
    ],
    ids=str,
)
def test_impossible_options_of_the_elbo_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(OptionError, match=f"{name}="):
        ELBO(**options)


def test_iwae_of_no_draw_is_refused() -> None:
    with pytest.raises(OptionError, match="n_importance=0"):
        IWAE(0)


@pytest.mark.parametrize("latent_dim", [0, -3])
def test_prior_without_dimensions_is_refused(latent_dim: int) -> None:
    with pytest.raises(OptionError, match=f"latent_dim={latent_dim}"):
        StandardNormal(latent_dim)


def test_standard_normal_prior_is_scipys() -> None:
    z = torch.randn(5, 3)
    expected = stats.norm.logpdf(z.numpy()).sum(1)
    np.testing.assert_allclose(StandardNormal(3)().log_prob(z), expected, rtol=1e-5)
    assert StandardNormal(3)(torch.zeros(5, 2)).log_prob(z).shape == (5,)
    assert StandardNormal(3).state_dict() == {}


def test_maximum_likelihood_reports_no_kl() -> None:
    class Fixed(nn.Module):
        def values(self, batch: Batch) -> dict[str, Tensor]:
            return {"x": batch.x}

        def log_prob(self, values: dict[str, Tensor]) -> Tensor:
            return -values["x"].sum(-1)

    terms = MaximumLikelihood()(Fixed(), Batch(torch.ones(2, 3)))
    assert float(terms.loss) == 3
    assert terms.total_kl.tolist() == [0, 0]
    assert "kl" not in terms.scalars()


def test_importance_weights_do_not_overflow(model: LatentModel) -> None:
    # Each weight underflows exp, even in float64: the log of the mean needs log-sum-exp.
    far = torch.full((1, DIM), 100.0, dtype=torch.float64)
    found = model.log_likelihood(far, n_samples=5)
    assert float(found) < log(5e-324)
    assert torch.isfinite(found).all()
