"""Priors that are fitted after training, against aggregate posteriors that are known exactly."""

from math import e, log, pi
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, Normal

import reparam as rp
from reparam.errors import OptionError, ReparamError, RunError, SupportError
from reparam.models.latent import LatentModel
from reparam.priors import Standardized, StandardNormal
from reparam.runs.refit import refit
from reparam.training.checkpoint import load_tensors
from tests.support import Function, normal, quick_fit, reparam

NOISE = 0.3


class Blurred(nn.Module):
    """q(z | x, c) = N(x, 0.3²)."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        return normal(x, NOISE)


def blurred(dim: int) -> LatentModel:
    """Return a model whose aggregate posterior is the distribution of x, blurred."""
    decoder = Function(lambda z, c=None: normal(z, NOISE))
    return LatentModel(Blurred(), decoder, StandardNormal(dim))


AGGREGATE = MultivariateNormal(torch.full((2,), 5.0), torch.tensor([[4.0, 1.2], [1.2, 0.5]]))
"""The aggregate posterior, with a correlation of 0.85."""


@pytest.mark.parametrize(
    ("kind", "steps", "options", "tolerance"),
    [
        ("flow", 150, {}, 0.02),
        ("mixture", 150, {}, 0.02),
        ("vamp", 200, {"n_components": 200}, 0.1),
        pytest.param("diffusion", 300, {}, 0.02, marks=pytest.mark.slow),
        ("diffusion", 100, {}, 0.1),
    ],
)
def test_reaches_the_entropy_of_the_aggregate_posterior(
    kind: Any, steps: int, options: dict[str, Any], tolerance: float
) -> None:
    sharp = MultivariateNormal(
        AGGREGATE.mean, AGGREGATE.covariance_matrix - NOISE**2 * torch.eye(2)
    )
    torch.manual_seed(0)
    data = rp.data.from_arrays(sharp.sample((5000,)))
    found, fitted = refit(blurred(2), data.spec, data, kind, steps=steps, **options)
    z = AGGREGATE.sample((4000,))
    with torch.no_grad():
        excess = (AGGREGATE.log_prob(z) - found.prior().log_prob(z)).mean()
    # KL(q(z) ‖ p(z)), which is 0.63 nats for the best Gaussian of independent dimensions.
    assert -0.01 < float(excess) < tolerance
    assert fitted.steps <= steps
    assert fitted.covariance == ("diagonal" if kind == "vamp" else "full")


@pytest.mark.parametrize("kind", ["flow", "mixture"])
def test_learns_what_moments_do_not_show(kind: Any) -> None:
    torch.manual_seed(0)
    first = torch.randn(5000, 1)
    x = torch.cat([first, first.square() - 1], 1)
    data = rp.data.from_arrays(x)
    found, _ = refit(blurred(2), data.spec, data, kind, steps=400)
    z = x + NOISE * torch.randn_like(x)
    # The density of the blurred parabola, by integration over the points of the grid.
    points = torch.linspace(-6, 6, 1201)
    curve = torch.stack([points, points.square() - 1], 1)
    weights = Normal(0.0, 1.0).log_prob(points) + log(0.01)
    near = normal(curve, NOISE).log_prob(z[:, None, :])
    with torch.no_grad():
        excess = ((near + weights).logsumexp(1) - found.prior().log_prob(z)).mean()
    assert -0.02 < float(excess) < 0.08  # 1.06 nats for the best Gaussian


@pytest.mark.parametrize(
    ("kind", "steps"),
    [("flow", 150), ("mixture", 150), pytest.param("diffusion", 200, marks=pytest.mark.slow)],
)
def test_under_a_condition_the_prior_is_that_of_the_label(kind: Any, steps: int) -> None:
    torch.manual_seed(0)
    y = torch.arange(4000) % 2
    x = torch.stack([4.0 * y - 2.0 + torch.randn(4000), torch.randn(4000)], 1)
    data = rp.data.from_arrays(x, y).conditioned("label")
    found, _ = refit(blurred(2), data.spec, data, kind, steps=steps)
    with torch.no_grad():
        p = found.prior_distribution(torch.eye(2)[y])
        means = torch.stack([p.sample()[y == label].mean(0) for label in (0, 1)])
        gained = p.log_prob(x + NOISE * torch.randn_like(x)).mean()
    torch.testing.assert_close(means[:, 0], torch.tensor([-2.0, 2.0]), atol=0.2, rtol=0)
    # Minus the entropy of z given y; without y it is higher by almost log 2.
    entropy = log(2 * pi * e * (1 + NOISE**2))
    assert float(gained) == pytest.approx(-entropy, abs=0.08)


def test_few_rows_keep_the_moments_of_their_codes() -> None:
    torch.manual_seed(0)
    data = rp.data.from_arrays(3.0 + 0.1 * torch.randn(12, 2))
    found, fitted = refit(blurred(2), data.spec, data, "flow", steps=40)
    assert isinstance(found.prior, Standardized)
    expected = torch.full((2,), (0.1**2 + NOISE**2) ** 0.5)
    one = torch.eye(2)
    scale = torch.stack(
        [found.prior.to_codes(u) - found.prior.to_codes(torch.zeros(2)) for u in one]
    )
    torch.testing.assert_close(scale.norm(dim=0), expected, atol=0.05, rtol=0)
    assert fitted.steps <= 40


def test_no_steps_keep_the_start() -> None:
    data = rp.data.from_arrays(AGGREGATE.sample((1000,)))
    found, fitted = refit(blurred(2), data.spec, data, "diffusion", steps=0)
    assert fitted.steps == 0
    # A Gaussian with the moments of the codes.
    z, prior = AGGREGATE.sample((50,)), cast(Standardized, found.prior)
    expected = MultivariateNormal(prior.loc, scale_tril=prior.scale).log_prob(z)
    torch.testing.assert_close(prior().log_prob(z), expected, atol=1e-4, rtol=1e-4)
    covariance = AGGREGATE.covariance_matrix + NOISE**2 * torch.eye(2)
    torch.testing.assert_close(prior.scale @ prior.scale.T, covariance, rtol=0.15, atol=0.05)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> rp.Run:
    data = rp.data.load("digits", binarize="threshold")
    out = tmp_path_factory.mktemp("runs") / "run"
    return quick_fit(rp.variants.vae(data.spec, latent_dim=2, hidden=[16]), data, out=out)


class TestRun:
    def test_is_another_run_with_the_same_networks(self, run: rp.Run, tmp_path: Path) -> None:
        assert run.folder is not None
        before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
        new = run.with_prior("mixture", n_components=3, steps=20, out=tmp_path / "new", seed=4)
        after = run.model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        for name, tensor in new.model.state_dict().items():
            assert name.startswith("prior.") or torch.equal(tensor, before[name])
        assert all(p.requires_grad for p in new.model.parameters())
        assert new.config["fitted_prior"] == {
            "prior": "mixture",
            "latent_dim": 2,
            "options": {"n_components": 3, "weights_context": 0},
            "seed": 4,
            "covariance": new.config["fitted_prior"]["covariance"],
            "steps": new.config["fitted_prior"]["steps"],
            "run": str(run.folder.path),
            "weights_sha256": run.folder.weights_sha256,
        }

    @pytest.mark.parametrize("kind", ["flow", "mixture", "vamp", "diffusion"])
    def test_loads_with_equal_figures(self, run: rp.Run, kind: Any, tmp_path: Path) -> None:
        new = run.with_prior(kind, steps=3, out=tmp_path / "new")
        loaded = rp.load(tmp_path / "new")
        assert loaded.config == new.config
        assert loaded.rows == new.rows
        assert torch.equal(loaded.sample(5, seed=1), new.sample(5, seed=1))
        first, again = (each.evaluate(n_samples=2, train=False) for each in (new, loaded))
        assert first.elbo == again.elbo
        own = run.evaluate(n_samples=2, train=False, keep=False)
        assert first.reconstruction == pytest.approx(own.reconstruction, abs=1e-4)
        assert loaded.kept_evaluation() is not None

    def test_the_same_seed_makes_the_same_prior(self, run: rp.Run) -> None:
        first, again, other = (run.with_prior("diffusion", steps=3, seed=s) for s in (1, 1, 2))
        same = zip(
            first.model.state_dict().values(), again.model.state_dict().values(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in same)
        assert not torch.equal(first.model.prior.loc, other.model.prior.loc)  # type: ignore[union-attr]

    def test_leaves_the_random_numbers_alone(self, run: rp.Run) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        run.with_prior("mixture", n_components=2, steps=2)
        assert torch.equal(torch.rand(3), expected)

    def test_goes_on_as_finished(self, run: rp.Run, tmp_path: Path) -> None:
        new = run.with_prior("diffusion", steps=2, out=tmp_path / "new")
        data = run.data
        assert data is not None
        recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[16])
        again = quick_fit(recipe, data, out=tmp_path / "new", resume=True)
        assert torch.equal(again.sample(4), new.sample(4))
        (tmp_path / "new" / "model.json").unlink()
        recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[16])
        with pytest.raises(RunError, match=r"fitted after training.*with_prior again"):
            quick_fit(recipe, data, out=tmp_path / "new", resume=True)

    def test_compares_with_its_own_configuration(self, run: rp.Run, tmp_path: Path) -> None:
        runs = [run.with_prior("mixture", n_components=2, steps=2, out=tmp_path / n) for n in "ab"]
        found = rp.compare([run, *runs], n_samples=2)
        assert len({entry.configuration for entry in found.entries}) == 2

    def test_is_fitted_again(self, run: rp.Run, tmp_path: Path) -> None:
        run.with_prior("mixture", n_components=2, steps=2, out=tmp_path / "a")
        again = rp.load(tmp_path / "a").with_prior("diffusion", steps=2, out=tmp_path / "b")
        assert torch.equal(rp.load(tmp_path / "b").sample(3), again.sample(3))
        assert again.config["fitted_prior"]["run"] == str(tmp_path / "a")

    def test_of_a_model_by_hand_and_data_in_memory(self, tmp_path: Path) -> None:
        x = torch.rand(60, 6).round()

        def by_hand() -> LatentModel:
            return LatentModel(
                encoder=rp.Conditional(rp.nn.MLP(6, 8), rp.families.Gaussian(2)),
                decoder=rp.Conditional(rp.nn.MLP(2, 8), rp.families.Bernoulli(6)),
                prior=StandardNormal(2),
            )

        new = quick_fit(by_hand(), x).with_prior("flow", steps=2, out=tmp_path / "new")
        loaded = rp.load(tmp_path / "new", model=by_hand())
        assert torch.equal(loaded.sample(4), new.sample(4))
        with pytest.raises(RunError, match="in memory"):
            loaded.with_prior("flow", steps=1)
        assert loaded.with_prior("flow", data=x, steps=1).sample(2).shape == (2, 6)

    def test_damaged_descriptions_are_refused(self, run: rp.Run, tmp_path: Path) -> None:
        run.with_prior("mixture", n_components=2, steps=1, out=tmp_path / "new")
        file = tmp_path / "new" / "config.yaml"
        text = file.read_text()
        for old, new, said in (
            ("prior: mixture", "prior: mixtur", "unknown prior 'mixtur': did you mean 'mixture'"),
            ("n_components: 2", "components: 2", "unknown option of the prior 'mixture'"),
            ("n_components: 2", "n_components: 0", "n_components=0: must be at least 1"),
            ("n_components: 2", "n_components: 3", "another model"),
            ("  latent_dim: 2\n  options", "  latent: 2\n  options", "latent"),
        ):
            assert text.count(old) == 1
            file.write_text(text.replace(old, new))
            with pytest.raises(ReparamError, match=said):
                rp.load(tmp_path / "new")

    def test_refusals(self, run: rp.Run, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="unknown prior 'flwo': did you mean 'flow'"):
            run.with_prior("flwo")  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="n_components=3: prior='flow' has no components"):
            run.with_prior("flow", n_components=3)
        with pytest.raises(OptionError, match="steps=-1"):
            run.with_prior("flow", steps=-1)
        (tmp_path / "file").touch()
        with pytest.raises(RunError, match="not empty"):
            run.with_prior("flow", out=tmp_path)


SPEC = rp.DataSpec((1, 4, 4), "binary", n_classes=3)


def small(variant: str, **options: Any) -> rp.Run:
    """Return a short training of a variant on coins."""
    x = torch.rand(48, 1, 4, 4, generator=torch.Generator().manual_seed(0)).round()
    data = rp.data.from_arrays(x, torch.arange(48) % 3)
    return quick_fit(rp.variants.build(variant, data.spec, **options), data)


@pytest.mark.parametrize(
    ("variant", "options", "place"),
    [
        ("ae", {"latent_dim": 2}, "prior"),
        ("wae", {"latent_dim": 2}, "prior"),
        ("iaf-vae", {"latent_dim": 2}, "prior"),
        ("class-prior-vae", {"latent_dim": 2}, "prior"),
        ("cvae", {"latent_dim": 2}, "prior"),
        ("cluster-vae", {"latent_dim": 2, "n_clusters": 3}, "prior"),
        ("hierarchical-vae", {"latent_dims": (3, 2)}, "prior.top"),
        ("ladder-vae", {"latent_dims": (3, 2)}, "prior.top"),
        ("ss-vae", {"latent_dim": 2}, "prior.prior"),
        ("ss-vae-stacked", {}, "prior.labels.prior"),
    ],
)
@pytest.mark.parametrize("kind", ["flow", "mixture", "diffusion"])
def test_every_continuous_variant_takes_it(
    variant: str, options: dict[str, Any], place: str, kind: Any
) -> None:
    run = small(variant, **options)
    new = run.with_prior(kind, steps=2)
    assert isinstance(new.model.get_submodule(place), Standardized)
    assert new.sample(4).isfinite().all()
    found = new.evaluate(n_samples=2, split="train", train=False)
    if "elbo" in found:
        own = run.evaluate(n_samples=2, split="train", train=False)
        assert found.reconstruction == pytest.approx(own.reconstruction, rel=0.2)


@pytest.mark.parametrize(
    ("variant", "options", "kind", "said"),
    [
        ("vmf-vae", {}, "flow", "real vectors.*VonMisesFisher"),
        ("gumbel-vae", {}, "flow", "real vectors.*OneHotCodes"),
        ("vq-vae", {}, "flow", "real vectors"),
        ("hierarchical-vae", {"latent_dims": (3, 2)}, "vamp", "prior='flow'"),
        ("ae", {}, "vamp", "prior='flow'"),
        ("classifier", {}, "flow", "no latent variables"),
    ],
)
def test_what_no_prior_can_be_fitted_to_is_refused(
    variant: str, options: dict[str, Any], kind: Any, said: str
) -> None:
    run = small(variant, **options)
    with pytest.raises((OptionError, SupportError), match=said) as caught:
        run.with_prior(kind, steps=1)
    assert "\n" not in str(caught.value)


def test_vamp_weighs_its_components_by_the_condition() -> None:
    new = small("cvae", latent_dim=2).with_prior("vamp", steps=50)
    p = new.latent_model.prior_distribution(torch.eye(3))
    assert p.batch_shape == (3,)
    assert new.sample(4, label=1).isfinite().all()


def test_of_a_module_with_its_own_way_to_draw(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts = blurred(2)
            self.encoder, self.prior = parts.encoder, parts.prior
            self.decoder = rp.Conditional(rp.nn.MLP(2, 8), rp.families.Gaussian(2))

        def sample(self, n: int) -> Tensor:
            return torch.zeros(n, 2)

    run = quick_fit(Own(), 5.0 + torch.randn(60, 2))
    assert not run.sample(4).any()
    # The new prior is the one that is drawn from.
    new = run.with_prior("mixture", n_components=1, steps=0, out=tmp_path / "new")
    assert new.sample(4).all()
    assert torch.equal(rp.load(tmp_path / "new", model=Own()).sample(4), new.sample(4))


def test_the_command_line_prints_the_change(run: rp.Run, tmp_path: Path) -> None:
    assert run.folder is not None
    out = tmp_path / "new"
    said = reparam("refit-prior", run.folder.path, f"--prior mixture --steps 5 --out {out}").out
    title, *rows = [line.split() for line in said.splitlines() if line.strip()]
    assert title[-3:] == ["before", "after", "change"]
    kl = next(row for row in rows if row[0] == "KL")
    before, after, change = (float(kl[i]) for i in (1, 4, 7))
    assert change == pytest.approx(after - before, abs=0.02)
    assert f"sample {out}" in said
    assert load_tensors(out / "model.safetensors").tensors
    reparam("sample", out, f"-n 4 --out {tmp_path / 'a.npy'}")
    assert (
        "--n-components 3"
        in reparam("refit-prior", run.folder.path, "--n-components 3", code=2).err
    )


def test_fit_says_where_codes_lie_off_the_prior(capsys: pytest.CaptureFixture[str]) -> None:
    data = rp.data.from_arrays(3.0 + torch.randn(200, 2))
    for encoder, is_far in (
        (lambda x: normal(x, NOISE), True),
        (lambda x: normal(0 * x, 1.0), False),
    ):
        decoder = rp.Conditional(rp.nn.MLP(2, 8), rp.families.Gaussian(2))
        model = LatentModel(Function(encoder), decoder, StandardNormal(2))
        quick_fit(model, data, progress=True)
        said = capsys.readouterr().err
        assert ("run.with_prior('flow') fits a prior" in said) == is_far


def test_the_command_line_names_its_own_verb(tmp_path: Path) -> None:
    words = "--beta 0.001 --epochs 5 --hidden 16 --pictures-every 0"
    said = reparam(f"train beta-vae {words} --out {tmp_path / 'run'}").err
    assert "reparam refit-prior RUN --prior flow fits a prior to them" in said
    assert "with_prior" not in said
