"""Counts: their likelihoods against scipy, and models of them from nothing to tens of thousands."""

from math import log
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.batch import Batch
from reparam.data import from_arrays
from reparam.distributions import NegativeBinomial, Poisson, base_distribution, mean_or_mode
from reparam.errors import OptionError, SupportError
from reparam.evaluation import evaluate
from reparam.evaluation.likelihood.decoder import is_discrete
from reparam.models.label_inference import label_log_prob
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import quick_fit, require_gradient

COUNTS = [0, 1, 2, 17, 400, 10_000, 1_000_000]
MEANS = [1e-6, 1e-2, 0.7, 30.0, 9_999.0, 1e6]
SPEC = DataSpec((6,), "counts", name="cells")


@pytest.mark.parametrize("mean", MEANS)
def test_the_poisson_is_that_of_scipy(mean: float) -> None:
    p = Poisson(torch.tensor(log(mean), dtype=torch.float64))
    found = p.log_prob(torch.tensor(COUNTS)).numpy()
    np.testing.assert_allclose(found, stats.poisson.logpmf(COUNTS, mean), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("theta", [1e-3, 0.5, 20.0, 1e5])
def test_the_negative_binomial_is_that_of_scipy(mean: float, theta: float) -> None:
    log_mean, log_theta = (torch.tensor(log(v), dtype=torch.float64) for v in (mean, theta))
    found = NegativeBinomial(log_mean, log_theta).log_prob(torch.tensor(COUNTS)).numpy()
    exact = stats.nbinom.logpmf(COUNTS, theta, theta / (theta + mean))
    # scipy takes 1 - p, which loses the digits that θ is larger than μ by.
    rtol = 1e-7 + 1e-16 * theta / mean
    np.testing.assert_allclose(found, exact, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("mean", MEANS)
def test_float32_loses_no_nat_where_large_terms_cancel(mean: float) -> None:
    log_mean = torch.tensor(mean).log()
    exact_mean = float(log_mean.double().exp())
    x = torch.tensor([float(c) for c in COUNTS])
    found = Poisson(log_mean).log_prob(x)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(
        found.numpy(), stats.poisson.logpmf(COUNTS, exact_mean), rtol=1e-6, atol=1e-4
    )
    found = NegativeBinomial(log_mean, torch.tensor(0.0)).log_prob(x)
    exact = stats.nbinom.logpmf(COUNTS, 1.0, 1 / (1 + exact_mean))
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-5, atol=1e-4)


def test_gradients_are_those_of_finite_differences() -> None:
    raw = torch.tensor([-14.0, -3.0, 0.2, 6.0, 13.0], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor([-2.0, 0.0, 1.0, 3.0, 9.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.0, 1.0, 4.0, 300.0, 1e5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: Poisson(r).log_prob(x), raw, rtol=1e-4)
    assert torch.autograd.gradcheck(
        lambda r, t: NegativeBinomial(r, t).log_prob(x), (raw, theta), rtol=1e-4
    )


def test_masses_add_up_to_one() -> None:
    x = torch.arange(20_000.0).double()
    for p in (
        Poisson(torch.tensor(3.0).double()),
        NegativeBinomial(torch.tensor(3.0).double(), torch.tensor(-0.7).double()),
    ):
        assert float(p.log_prob(x).exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_many_inverse_dispersions_make_a_poisson() -> None:
    x, log_mean = torch.arange(30.0).double(), torch.tensor(1.5).double()
    wide = NegativeBinomial(log_mean, torch.tensor(20.0).double()).log_prob(x)
    torch.testing.assert_close(wide, Poisson(log_mean).log_prob(x), rtol=0, atol=1e-5)


def test_draws_have_the_mean_and_the_variance_that_are_told() -> None:
    torch.manual_seed(0)
    mean, theta = torch.tensor([0.3, 20.0, 5000.0]), torch.tensor([2.0, 0.5, 30.0])
    for p in (Poisson(mean.log()), NegativeBinomial(mean.log(), theta.log())):
        draws = p.sample((40_000,)).double()
        torch.testing.assert_close(p.mean, mean)
        torch.testing.assert_close(draws.mean(0).float(), mean, rtol=0.06, atol=0)
        torch.testing.assert_close(draws.var(0).float(), p.variance, rtol=0.1, atol=0)
        assert bool((draws == draws.round()).all())


@pytest.mark.parametrize("family", [rp.families.Poisson, rp.families.NegativeBinomial])
def test_a_family_of_counts_has_masses_and_a_mean_to_start_at(family: type) -> None:
    made = family((3,)).attach((8,))
    p = made(torch.zeros(5, 8))
    assert is_discrete(p)
    assert p.log_prob(torch.ones(5, 3)).shape == (5,)
    mean = torch.tensor([0.02, 7.0, 1e7])
    made.start_at(mean)
    torch.testing.assert_close(mean_or_mode(made(torch.zeros(8))).detach(), mean, rtol=1e-3, atol=0)
    made.start_at(torch.zeros(3))
    assert bool((made(torch.zeros(8)).mean < 0.01).all())


def test_no_raw_parameter_overflows_or_is_stuck() -> None:
    raw = torch.tensor([-1e30, -1e3, -20.0, 20.0, 1e3, 1e30], requires_grad=True)
    x = torch.tensor([5.0, 5.0, 5.0, 1e4, 1e4, 1e4])
    for family in (rp.families.Poisson(6), rp.families.NegativeBinomial(6)):
        log_prob = base_distribution(family.distribution(raw[None])).log_prob(x)
        (gradient,) = torch.autograd.grad(log_prob.sum(), raw)
        assert bool(log_prob.isfinite().all())
        assert bool(gradient.isfinite().all())
        # Means that are too small are told to grow, and those that are too large to shrink.
        assert gradient.sign().tolist() == [1, 1, 1, -1, -1, -1]


def test_where_the_dispersion_comes_from_is_an_option() -> None:
    shared = rp.families.NegativeBinomial(4)
    assert [tuple(p.shape) for p in shared.parameters()] == [(4,)]
    learned = rp.families.NegativeBinomial(4, dispersion="learned").attach((8,))
    features = torch.randn(5, 8, requires_grad=True)
    learned(features).log_prob(torch.full((5, 4), 3.0)).sum().backward()
    assert learned.raw_shape == (2, 4)
    assert "log_inverse_dispersion" not in dict(learned.named_parameters())
    with pytest.raises(OptionError, match="unknown dispersion 'genes'"):
        rp.families.NegativeBinomial(4, dispersion="genes")  # type: ignore[arg-type]


def cells(n: int = 256) -> Tensor:
    """Return two kinds of cells, whose genes have counts from 0 to tens of thousands."""
    rng = np.random.default_rng(0)
    rates = np.array([[0.1, 3.0, 40.0, 900.0, 2e4, 5.0], [2.0, 0.2, 900.0, 40.0, 9e3, 5.0]])
    return torch.from_numpy(rng.poisson(rates[rng.integers(2, size=n)])).float()


@pytest.mark.parametrize("likelihood", [None, "poisson"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_counts_of_tens_of_thousands_train_with_the_defaults(
    likelihood: str | None, precision: str
) -> None:
    data = from_arrays(cells(), support="counts", validation=0)
    recipe = rp.variants.vae(data.spec, likelihood=likelihood)
    run = quick_fit(recipe, data, epochs=3, batch_size=32, precision=precision)
    found = evaluate(recipe.model, Batch(cells(32)), data.spec, n_samples=20)
    assert found.log_likelihood is not None
    assert found.elbo is not None
    assert found.elbo <= found.log_likelihood + 1 < 1
    assert found.bits_per_dim is not None
    assert bool((run.sample(8) >= 0).all())


@pytest.mark.parametrize(
    "name", ["vae", "iwae", "vamp-vae", "ladder-vae", "hierarchical-vae", "full-covariance-vae"]
)
def test_counts_go_with_other_variants(name: str) -> None:
    recipe = rp.variants.build(name, SPEC)
    model, batch = recipe.model.double(), Batch(cells(16).double(), step=0, progress=0.0)
    require_gradient(lambda: recipe.objective(model, batch).loss, model)


def test_an_encoder_of_counts_sees_their_logarithms() -> None:
    recipe = build("vae", SPEC, latent_dim=2, start_at_mean=True)
    model, x = recipe.model, cells(4)
    encoded = model.encoder((1 + x).log())
    torch.testing.assert_close(model.posterior(x).mean, encoded.mean)
    bits = rp.variants.vae(DataSpec((6,), "binary"), latent_dim=2).model
    torch.testing.assert_close(bits.as_input(x), x)


def test_starting_at_the_mean_brings_the_first_loss_near_the_last() -> None:
    x = cells()
    plain = rp.variants.vae(SPEC, likelihood="poisson")
    started = build("vae", SPEC, likelihood="poisson", start_at_mean=True)
    for milestone in started.milestones:
        milestone.action(started.model, Batch(x))
    losses = [
        r.objective(r.model, Batch(x, step=0, progress=0.0)).loss.item() for r in (plain, started)
    ]
    assert losses[1] < 0.3 * losses[0]


def test_likelihoods_of_counts_are_refused_for_other_data() -> None:
    for name in ("poisson", "negative-binomial"):
        with pytest.raises(SupportError, match="is for count data, but 'data' is real-valued"):
            rp.variants.vae(DataSpec((3,), "real"), likelihood=name)


@pytest.mark.parametrize("log_theta", [-5.0, 0.0, 4.9, 5.1, 12.0, 30.0, 40.0, 80.0])
def test_the_negative_binomial_for_any_dispersion(log_theta: float) -> None:
    with mpmath.workdps(120):
        for x in (0, 1, 20, 10**6):
            for log_mean in (-10.0, 1.0, 13.8):
                m, t = mpmath.exp(log_mean), mpmath.exp(log_theta)
                ways = mpmath.loggamma(x + t) - mpmath.loggamma(t) - mpmath.loggamma(x + 1)
                exact = float(ways + t * mpmath.log(t / (t + m)) + x * mpmath.log(m / (t + m)))
                p = NegativeBinomial(*torch.tensor([log_mean, log_theta], dtype=torch.float64))
                found = float(p.log_prob(torch.tensor(x, dtype=torch.float64)))
                assert found == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_a_classifier_of_counts_is_asked_about_what_it_was_trained_on() -> None:
    spec = DataSpec((3,), "counts", n_classes=2)
    model = rp.variants.ss_vae(spec, latent_dim=2, hidden=[4]).model
    x = torch.tensor([[0.0, 7.0, 4000.0]])
    assert torch.equal(label_log_prob(model, x), model.encoder.label(x.log1p()).logits)


def test_noise_below_zero_is_no_count_and_no_nan() -> None:
    counts = torch.poisson(torch.full((40, 3), 2.0))
    data = from_arrays(counts, support="counts")
    run = quick_fit(rp.variants.dae(data.spec, latent_dim=2, hidden=[4]), data)
    # NaN equals nothing.
    family = run.latent_model.decoder.family
    expected = run.latent_model.encoder(family.standardize(counts.log1p())).mean
    torch.testing.assert_close(run.encode(counts), expected.detach())


@pytest.mark.parametrize("batch", ["text", "one-hot"])
def test_counts_are_conditioned_on_their_batch(batch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = ["first", "second"] * 200
    is_second = torch.tensor([0.0, 1.0]).repeat(200)
    # The second batch has thirty times the counts of one gene.
    x = torch.poisson(
        torch.tensor([5.0, 2.0, 1.0]) * torch.tensor([1.0, 1.0, 30.0]) ** is_second[:, None]
    )
    one_hot = torch.stack([1 - is_second, is_second], 1)
    covariates = {"batch": names} if batch == "text" else one_hot
    given = {"x": x, "covariates": covariates}
    data = from_arrays(**given, support="counts")  # type: ignore[arg-type]
    run = rp.fit(
        rp.variants.vae(data.spec, latent_dim=2, hidden=[16]),
        given if batch == "text" else given | {"x": x.long()},
        steps=200,
        lr=0.02,
        early_stopping=0,
        out=tmp_path / "run",
        progress=False,
    )
    again = rp.load(tmp_path / "run")
    for k, name in enumerate(("first", "second")):
        chosen = {"batch": name} if batch == "text" else one_hot[k]
        drawn = again.sample(2000, covariates=chosen, seed=0).mean(0)
        torch.testing.assert_close(drawn, x[k::2].mean(0), rtol=0.15, atol=0)
    same = again.evaluate(given, split="train", n_samples=5)
    assert same.elbo == run.evaluate(given, split="train", n_samples=5).elbo


def observed_rows() -> tuple[Tensor, Tensor]:
    """Return rows of counts, one of zeros, and raw parameters (3, 4, 5) of a zinb."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.poisson(3.0, size=(4, 5))).double()
    x[0] = 0
    x[1, 2] = 4000
    return x, torch.from_numpy(rng.normal(size=(4, 2, 5)))


def zinb_of_scipy(x: float, mean: float, theta: float, logit: float) -> float:
    """Return the mass of a zero-inflated negative binomial with this mean, by scipy."""
    share = 1 / (1 + np.exp(-logit))
    inner = mean / (1 - share)
    of_rest = np.log1p(-share) + stats.nbinom.logpmf(x, theta, theta / (theta + inner))
    return float(np.logaddexp(np.log(share), of_rest) if x == 0 else of_rest)


def test_zero_inflation_is_a_mixture_by_scipy() -> None:
    x, raw = observed_rows()
    family = rp.families.NegativeBinomial(5, zero_inflated=True).double()
    theta = torch.tensor([0.3, 1.0, 2.0, 7.0, 40.0]).double()
    family.log_inverse_dispersion.data = theta.log()
    found = family.distribution(raw).log_prob(x).detach()
    for row, of_row, value in zip(x, raw, found, strict=True):
        # The logit of an additional zero is -4 where the raw parameter is 0.
        exact = sum(
            zinb_of_scipy(*each)
            for each in zip(
                row.tolist(),
                of_row[0].exp().tolist(),
                theta.tolist(),
                (of_row[1] - 4).tolist(),
                strict=True,
            )
        )
        assert float(value) == pytest.approx(exact, rel=1e-6)


def test_draws_of_a_zinb_have_its_mean_and_its_zeros() -> None:
    torch.manual_seed(0)
    family = rp.families.NegativeBinomial(2, dispersion="learned", zero_inflated=True)
    raw = torch.tensor([[2.0, 3.0], [1.0, 4.0], [4.0, 3.0]])  # log μ, log θ, logit + 4
    p = family.distribution(raw)
    draws = p.sample((40_000,))
    torch.testing.assert_close(p.mean, raw[0].exp())
    torch.testing.assert_close(draws.mean(0), raw[0].exp(), rtol=0.03, atol=0)
    zeros = p.log_prob(torch.zeros(2)).exp()
    both = (draws == 0).all(1).float().mean()
    torch.testing.assert_close(both, zeros, rtol=0.1, atol=0.003)


@pytest.mark.parametrize("name", ["poisson", "negative-binomial", "zinb"])
def test_given_the_total_means_are_its_shares(name: str) -> None:
    x, raw = observed_rows()
    family = rp.families.likelihood(DataSpec((5,), "counts"), f"{name}-given-total").double()
    raw = raw[:, : family.raw_shape[0]]
    found = family.distribution(raw).log_prob(x).detach()
    for row, of_row, value in zip(x, raw, found, strict=True):
        share = np.exp(of_row[0].numpy()) / np.exp(of_row[0].numpy()).sum()
        mean = np.maximum(row.sum().item(), 1e-6) * share
        if name == "poisson":
            exact = stats.poisson.logpmf(row.numpy(), mean).sum()
        else:
            logits = of_row[1].numpy() - 4 if name == "zinb" else np.full(5, -700.0)
            pairs = zip(row.tolist(), mean, logits, strict=True)
            exact = sum(zinb_of_scipy(v, m, 1.0, g) for v, m, g in pairs)
        assert float(value) == pytest.approx(float(exact), rel=1e-6, abs=1e-5)


def test_draws_given_the_total_have_the_totals_of_the_training_data() -> None:
    torch.manual_seed(0)
    family = rp.families.Poisson(3, library_size="observed")
    family.start_totals(torch.tensor([[10.0, 0.0, 0.0], [0.0, 0.0, 1000.0]]).repeat(500, 1))
    p = family.distribution(torch.zeros(200, 1, 3))
    totals = p.sample((20,)).sum(-1).flatten()
    near = (totals < 40) | (totals > 800)
    assert near.float().mean() > 0.98
    assert (totals < 40).float().mean() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(p.mean.sum(-1), torch.full((200,), 505.0), rtol=0.01, atol=0)
    larger = p.expand(torch.Size([2, 200]))
    x = torch.ones(200, 3)
    torch.testing.assert_close(larger.log_prob(x), p.log_prob(x).expand(2, -1))


def test_the_total_of_a_single_entry_is_refused() -> None:
    with pytest.raises(OptionError, match=r"library_size='observed': an event of shape \(1,\)"):
        rp.families.Poisson(1, library_size="observed")
    with pytest.raises(OptionError, match="unknown library_size 'learned'"):
        rp.families.Poisson(3, library_size="learned")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["poisson-given-total", "zinb", "zinb-given-total"])
def test_likelihoods_of_counts_train_and_are_loaded_again(name: str, tmp_path: Path) -> None:
    data = from_arrays(cells(), support="counts", validation=0)
    run = quick_fit(
        rp.variants.vae(data.spec, likelihood=name), data, epochs=2, out=tmp_path / "run"
    )
    found = run.evaluate(cells(32), n_samples=5)
    is_given = name.endswith("given-total")
    assert found.is_likelihood is not is_given
    assert (found.bits_per_dim is None) is is_given
    if is_given:
        assert "counts given their total" in str(found.note)
    again = rp.load(tmp_path / "run")
    torch.testing.assert_close(again.sample(8, seed=0), run.sample(8, seed=0))
    lowest, highest = cells().sum(1).aminmax()
    if is_given:
        totals = again.latent_model.decoder.family.totals
        assert totals.aminmax() == (lowest, highest)
    assert again.encode(cells(4)).shape == (4, 20)
