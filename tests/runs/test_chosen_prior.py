"""The mixture that a run may choose as its prior, against aggregate posteriors known exactly."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import reparam as rp
from reparam.errors import OptionError, RunError
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.runs.chosen_prior import choose_prior
from reparam.variants.fitted_prior import FittedPrior
from tests.support import Function, normal

NOISE = 0.5

N_STEPS = 10_000


def passing(dim: int) -> LatentModel:
    """Return a model with q(z | x) = N(x, NOISE²), whose aggregate posterior is x, blurred."""
    return LatentModel(
        Function(lambda x, c=None: normal(x, NOISE)),
        Function(lambda z, c=None: normal(z, NOISE)),
        StandardNormal(dim),
    )


def mixture(scale: float) -> MixtureSameFamily:
    """Return two equal components, ±2 in both dimensions."""
    means = torch.tensor([[-2.0, -2.0], [2.0, 2.0]])
    parts = Independent(Normal(means, scale), 1)
    return MixtureSameFamily(Categorical(torch.ones(2)), parts)


@pytest.mark.parametrize("n", [300, 3000])
def test_two_clusters_become_two_components(n: int) -> None:
    torch.manual_seed(0)
    x = mixture(0.3).sample((n,))
    model = passing(2)
    found = choose_prior(model, rp.data.from_arrays(x), seed=0, n_steps=N_STEPS)
    assert found is not None
    assert found.fitted.options["n_components"] == 2
    z, blurred = Normal(x, NOISE).sample((50,)).flatten(0, 1), mixture((0.3**2 + NOISE**2) ** 0.5)
    best = float((blurred.log_prob(z) - StandardNormal(2)().log_prob(z)).mean())
    with torch.no_grad():
        gained = model.prior().log_prob(z) - StandardNormal(2)().log_prob(z)
    assert float(gained.mean()) == pytest.approx(best, abs=0.03)
    assert found.gain == pytest.approx(best, abs=0.15)


def test_a_short_run_has_few_components() -> None:
    torch.manual_seed(0)
    x = mixture(0.3).sample((300,))
    found = choose_prior(passing(2), rp.data.from_arrays(x), seed=0, n_steps=19)
    assert found is not None
    assert found.fitted.options["n_components"] == 1


def test_codes_of_a_standard_normal_keep_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 3) * (1 - NOISE**2) ** 0.5
    model = passing(3)
    assert choose_prior(model, rp.data.from_arrays(x), seed=0, n_steps=N_STEPS) is None
    assert isinstance(model.prior, StandardNormal)


@pytest.mark.parametrize(("noise", "is_chosen"), [(0.5, False), (0.1, True)])
def test_images_keep_the_standard_normal_for_less_than_a_nat(noise: float, is_chosen: bool) -> None:
    """Two clusters with the moments of the prior: a mixture gains 0.7 nats, or 3.8 nats."""
    torch.manual_seed(0)
    x = torch.cat([torch.full((500, 1, 1, 2), s) for s in (-1.0, 1.0)]) * (1 - noise**2) ** 0.5

    def encoder(x: Tensor, c: Tensor | None = None) -> Independent:
        q: Independent = normal(x.flatten(1), noise)
        return q

    model = LatentModel(
        Function(encoder),
        Function(lambda z, c=None: normal(z.unflatten(-1, (1, 1, 2)), noise)),
        StandardNormal(2),
    )
    found = choose_prior(model, rp.data.from_arrays(x), seed=0, n_steps=N_STEPS)
    assert (found is not None) == is_chosen
    # log N(x; 0, I) of one cluster, and the density of the mixture, to which both contribute.
    parts = MixtureSameFamily(
        Categorical(torch.ones(2)), normal(torch.stack([x[0], x[-1]]).flatten(1), noise)
    )
    z = parts.sample((20_000,))
    best = float((parts.log_prob(z) - StandardNormal(2)().log_prob(z)).mean())
    assert (best > 1) == is_chosen
    if found is not None:
        assert found.gain == pytest.approx(best, abs=0.1)


def test_correlated_codes_are_one_gaussian() -> None:
    torch.manual_seed(0)
    x = torch.randn(3000, 3) @ torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, 1.0]])
    model = passing(3)
    found = choose_prior(model, rp.data.from_arrays(x), seed=0, n_steps=N_STEPS, budget=60.0)
    assert found is not None
    assert found.fitted.covariance == "full"
    assert found.fitted.options["n_components"] == 1
    z = model.prior().sample((50_000,))
    expected = torch.cov(x.T) + NOISE**2 * torch.eye(3)
    torch.testing.assert_close(torch.cov(z.T), expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("covariance", [None, "full", "half"])
def test_a_description_without_a_covariance_is_of_an_older_run(covariance: str | None) -> None:
    stored = {"prior": "mixture", "latent_dim": 2, "options": {"n_components": 5}}
    if covariance == "half":
        with pytest.raises(OptionError, match="unknown covariance 'half'"):
            FittedPrior.from_dict(stored | {"covariance": covariance})
        return
    fitted = FittedPrior.from_dict(
        stored | ({} if covariance is None else {"covariance": covariance})
    )
    assert fitted.covariance == (covariance or "diagonal")
    prior = fitted.build(rp.DataSpec((4,), "binary"), None)
    assert prior.state_dict()["scale"].dim() == (2 if covariance else 1)


def test_too_few_rows_keep_the_standard_normal() -> None:
    x = mixture(0.3).sample((20,))
    assert choose_prior(passing(2), rp.data.from_arrays(x), seed=0, n_steps=N_STEPS) is None


def clustered() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sides = torch.randint(2, (400, 1), generator=generator) * 8.0
    return sides + 0.1 * torch.randn(400, 3, generator=generator)


OPTIONS = {"steps": 120, "early_stopping": 0, "progress": False, "lr": 0.01}


class TestFit:
    def test_a_run_stores_and_loads_its_prior(self, tmp_path: Path) -> None:
        run = rp.fit(rp.variants.vae, clustered(), out=tmp_path / "run", **OPTIONS)
        assert run.config["fitted_prior"]["prior"] == "mixture"
        loaded = rp.load(tmp_path / "run")
        assert torch.equal(loaded.sample(5, seed=1), run.sample(5, seed=1))
        again = rp.fit(rp.variants.vae, clustered(), out=tmp_path / "run", resume=True, **OPTIONS)
        assert torch.equal(again.sample(5, seed=1), run.sample(5, seed=1))

    def test_an_objective_of_the_users_own_keeps_the_prior(self) -> None:
        run = rp.fit(rp.variants.vae, clustered(), objective=rp.objectives.ELBO(), **OPTIONS)
        assert isinstance(run.latent_model.prior, StandardNormal)

    def test_it_is_chosen_again_where_the_weights_were_lost(self, tmp_path: Path) -> None:
        run = rp.fit(rp.variants.vae, clustered(), out=tmp_path / "run", **OPTIONS)
        for ending in ("json", "safetensors"):
            (tmp_path / "run" / f"model.{ending}").unlink()
        assert isinstance(rp.load(tmp_path / "run").latent_model.prior, StandardNormal)
        again = rp.fit(rp.variants.vae, clustered(), out=tmp_path / "run", resume=True, **OPTIONS)
        assert torch.equal(again.sample(5, seed=1), run.sample(5, seed=1))

    def test_another_fitted_prior_is_not_made_again(self, tmp_path: Path) -> None:
        run = rp.fit(rp.variants.vae, clustered(), **OPTIONS)
        run.with_prior("mixture", n_components=2, steps=0, out=tmp_path / "new")
        (tmp_path / "new" / "model.json").unlink()
        with pytest.raises(RunError, match="fitted after training"):
            rp.fit(rp.variants.vae, clustered(), out=tmp_path / "new", resume=True, **OPTIONS)

    @pytest.mark.parametrize(
        ("variant", "options"),
        [
            (partial(rp.variants.build, "vae", prior="standard-normal"), {}),
            (rp.variants.vae, {"steps": None, "epochs": 30}),
            (rp.variants.beta_vae, {}),
        ],
    )
    def test_a_named_prior_a_number_of_epochs_and_other_objectives_keep_it(
        self, variant: object, options: dict[str, object]
    ) -> None:
        run = rp.fit(variant, clustered(), **{**OPTIONS, **options})
        assert isinstance(run.latent_model.prior, StandardNormal)
        assert "fitted_prior" not in run.config
