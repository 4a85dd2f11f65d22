"""Values missing because of what they are: integrals on a grid, and a censored Gaussian."""

from math import log, nan

import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit
from scipy.stats import norm
from torch import Tensor

import reparam as rp
from reparam.batch import Batch
from reparam.errors import OptionError, SupportError
from reparam.estimators import VAEImputer
from reparam.evaluation.conditionals import impute
from reparam.models.latent import LatentModel
from reparam.models.missingness import SelfMasking, masked_places, missingness_of
from reparam.objectives import IWAE, NotMIWAE
from reparam.schema import Column, Schema
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import scrambled

SCHEMA = Schema((Column("a", "real"), Column("b", "real", has_missing=True)))
ROW = torch.tensor([[0.4, nan]], dtype=torch.float64)
Z = torch.linspace(-6, 6, 301, dtype=torch.float64)
B = torch.linspace(-12, 12, 1201, dtype=torch.float64)


def small(masks: str = "any") -> LatentModel:
    """Return a model of a and b with one latent dimension, and weights that are draws."""
    torch.manual_seed(0)
    spec = DataSpec((2,), "mixed", name="two columns", schema=SCHEMA)
    model = build("not-miwae", spec, latent_dim=1, hidden=(4,), masks=masks).model
    scrambled(model, 0.5)
    masking = missingness_of(model)
    assert masking is not None
    masking.offset.data.fill_(-0.3)
    masking.slope.data.fill_(1.7)
    return model.eval()


def integrals(model: LatentModel) -> tuple[Tensor, Tensor]:
    """Return log p(a, b missing), and E[b | a, b missing], by sums over grids of z and b."""
    rows = torch.stack([torch.full_like(B, 0.4), B], -1)
    p = model.likelihood(Z[:, None, None].expand(-1, len(B), 1))
    of_columns = p.log_prob_of_columns(rows.expand(len(Z), -1, -1))
    masking = missingness_of(model)
    assert masking is not None
    of_mask = torch.nn.functional.logsigmoid(masking.offset + masking.slope * B)
    prior = -0.5 * Z.square() - 0.5 * log(2 * np.pi)
    cell = log(float(Z[1] - Z[0])) + log(float(B[1] - B[0]))
    joint = prior[:, None] + of_columns.sum(-1) + of_mask + cell
    total = joint.logsumexp((0, 1))
    return total, ((joint - total).exp() * B).sum()


def test_the_bound_is_the_likelihood_of_values_and_mask_for_many_draws() -> None:
    model = small()
    torch.manual_seed(1)
    with torch.no_grad():
        expected, _ = integrals(model)
        bounds = [NotMIWAE(2000)(model, Batch(ROW)).bound.item() for _ in range(5)]
    assert np.mean(bounds) == pytest.approx(expected.item(), abs=0.02)


def test_the_gradient_is_that_of_the_integral() -> None:
    model = small()
    torch.manual_seed(1)
    named = {k: v for k, v in model.named_parameters() if not k.startswith("encoder")}
    exact = torch.autograd.grad(-integrals(model)[0], [*named.values()], allow_unused=True)
    total = [torch.zeros_like(each) for each in named.values()]
    n = 30
    for _ in range(n):
        loss = NotMIWAE(1000)(model, Batch(ROW)).loss
        found = torch.autograd.grad(loss, [*named.values()], allow_unused=True)
        total = [t if f is None else t + f / n for t, f in zip(total, found, strict=True)]
    one, other = (
        torch.cat([torch.zeros(1) if v is None else v.flatten() for v in each])
        for each in (exact, total)
    )
    assert len(one) > 10
    assert float((one - other).norm() / one.norm()) < 0.1


def test_imputed_values_are_those_that_are_missing() -> None:
    model = small()
    torch.manual_seed(1)
    with torch.no_grad():
        _, expected = integrals(model)
        found = impute(model, ROW.expand(8, 2), n_samples=4000, n_draws=500)
    assert found.x[:, 0].tolist() == [0.4] * 8
    assert found.x[:, 1].mean().item() == pytest.approx(expected.item(), abs=0.05)
    assert found.draws[..., 1].mean().item() == pytest.approx(expected.item(), abs=0.1)


def test_the_probability_of_a_missing_value() -> None:
    schema = Schema(
        (
            Column("s", "binary", ("F", "M"), has_missing=True),
            Column("a", "real"),
            Column("b", "real", has_missing=True),
            Column("c", "real", has_missing=True, missing_as_value=True),
        )
    )
    assert masked_places(schema) == [2]
    y = torch.tensor([[9.0, -1.0, 9.0], [9.0, 2.0, 9.0]])
    for masks, slope in (("large", np.log1p(np.e)), ("small", -np.log1p(np.e)), ("any", 1.0)):
        masking = SelfMasking(schema, masks)  # type: ignore[arg-type]
        masking.slope.data.fill_(1.0)
        masking.start_at(torch.tensor([[0.0, 0.0, nan, 0.0], [0.0] * 4, [0.0] * 4, [0.0] * 4]))
        expected = log(1 / 3) + slope * np.array([[-1.0], [2.0]])
        np.testing.assert_allclose(masking(y).detach().numpy(), expected, rtol=1e-5)


def test_data_without_missing_quantities_are_those_of_iwae() -> None:
    spec = DataSpec((2,), "real")
    recipe = build("not-miwae", spec, n_importance=7)
    assert recipe.objective == IWAE(7)
    assert missingness_of(recipe.model) is None
    with pytest.raises(SupportError, match="'not-miwae'"):
        NotMIWAE()(recipe.model, Batch(torch.zeros(3, 2)))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(OptionError, match="n_importance=1"):
        NotMIWAE(1)
    spec = DataSpec((2,), "mixed", schema=SCHEMA)
    with pytest.raises(OptionError, match="masks 'larg': did you mean 'large'"):
        build("not-miwae", spec, masks="larg")
    with pytest.raises(OptionError, match="no quantity"):
        SelfMasking(Schema((Column("a", "real"),)))
    with pytest.raises(OptionError, match="missing 'large-values'"):
        VAEImputer(missing="large-values", steps=1).fit(np.eye(3))  # type: ignore[arg-type]


def censored(n: int, slope: float = 3.0, at: float = 0.5) -> tuple[np.ndarray, ...]:
    """Return two correlated Gaussians, the second one often missing where it is large.

    Returns:
        The rows with NaN, which rows lack a value, and its mean given the other column and that it
        is missing, by an integral on a grid.
    """
    rng, rho = np.random.default_rng(0), 0.6
    x = rng.normal(size=(n, 2))
    x[:, 1] = rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]
    gone = rng.random(n) < expit(slope * (x[:, 1] - at))
    grid = np.linspace(-6, 6, 2001)
    density = norm.logpdf(grid, rho * x[gone, :1], np.sqrt(1 - rho**2))
    weight = np.exp(density + log_expit(slope * (grid - at)))
    seen = x.copy()
    seen[gone, 1] = nan
    return seen, gone, (weight * grid).sum(1) / weight.sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["any", "large"])
def test_values_missing_not_at_random_are_filled_with_less_bias(missing: str) -> None:
    seen, gone, expected = censored(450)
    bias = {}
    for how in ("at-random", missing):
        imputer = VAEImputer(
            200, missing=how, n_importance=10, latent_dim=1, hidden=(16,), steps=600, lr=5e-3,
            random_state=0,
        )  # type: ignore[arg-type]  # fmt: skip
        bias[how] = abs(float((imputer.fit_transform(seen)[gone, 1] - expected).mean()))
    assert bias["at-random"] > 0.9  # the observed values are those below 0.5
    assert bias[missing] < 0.6 * bias["at-random"]


@pytest.mark.slow
def test_an_imputer_with_a_mask_is_saved(tmp_path: object) -> None:
    seen, _, _ = censored(60)
    imputer = VAEImputer(50, missing="large", steps=5, random_state=0).fit(seen)
    imputer.save(f"{tmp_path}/imputer")
    again = VAEImputer.load(f"{tmp_path}/imputer")
    np.testing.assert_array_equal(again.transform(seen), imputer.transform(seen))
    assert rp.variants.get("not-miwae").year == 2021
