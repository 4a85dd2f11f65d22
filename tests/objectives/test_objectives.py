"""Objectives other than the ELBO and IWAE, against closed forms, double loops and exact models."""

from collections.abc import Iterable
from math import log, log1p, pi

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from reparam.batch import Batch
from reparam.errors import OptionError, ReparamError, ShapeError, SupportError
from reparam.evaluation import total_correlation
from reparam.evaluation.samples import psnr
from reparam.mmd import mmd
from reparam.models.latent import LatentModel
from reparam.objectives import (
    ELBO,
    IWAE,
    MMD,
    Contractive,
    DReG,
    FlowMatching,
    NaivePenalty,
    Reconstruction,
    TotalCorrelation,
    bounds,
)
from reparam.objectives.adversarial import (
    Classification,
    DensityRatio,
    Discriminator,
    FactorVAE,
    Generator,
    PerceptualEncoder,
    discrimination,
)
from reparam.objectives.autoencoding import squared_jacobian
from reparam.objectives.corruption import Corruption
from reparam.priors import Diffusion, Standardized, StandardNormal
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import Function, binary, normal, require_gradient

F64 = torch.float64
SPEC = DataSpec((1, 4, 4), "binary", n_classes=3)


class Shifted(nn.Module):
    """q(z | x) = N(φ, s²) with a φ of its own for each example: each gradient is one draw."""

    def __init__(self, n: int, phi: float, scale: float) -> None:
        super().__init__()
        self.phi = nn.Parameter(torch.full((n, 1), phi, dtype=F64))
        self.scale = scale

    def forward(self, x: Tensor) -> Distribution:
        return normal(self.phi, self.scale)


class Scaled(nn.Module):
    """p(x | z) = N(w z, 0.5²)."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=F64))

    def forward(self, z: Tensor) -> Distribution:
        return normal(self.w * z, 0.5)


class TestDReG:
    phi, s, w, x = 0.3, 0.7, 0.8, 1.0

    def gradients(self, objective: IWAE | DReG, n: int) -> tuple[Tensor, Tensor]:
        """Return n single gradients in φ, and that of the decoder."""
        torch.manual_seed(7)
        model = LatentModel(
            Shifted(n, self.phi, self.s), Scaled(self.w), StandardNormal(1).double()
        )
        objective(model, Batch(torch.full((n, 1), self.x, dtype=F64))).loss.backward()
        return -n * model.encoder.phi.grad[:, 0], model.decoder.w.grad

    def test_one_draw_has_the_gradient_of_the_elbo(self) -> None:
        # ELBO = -((x - w φ)² + w² s²) / (2 · 0.5²) - (φ² + s²) / 2 + …
        exact = self.w * (self.x - self.w * self.phi) / 0.25 - self.phi
        single, _ = self.gradients(DReG(1), 40_000)
        assert abs(float(single.mean()) - exact) < 4 * float(single.std()) / 200
        # As the posterior is not exact, there is noise left; the path alone still has less.
        assert float(single.std()) > 0.1

    @pytest.mark.parametrize("k", [4, 64])
    def test_mean_of_iwae_with_less_noise(self, k: int) -> None:
        n = 10_000
        ours, theirs = (self.gradients(objective, n)[0] for objective in (DReG(k), IWAE(k)))
        error = float((ours.var() + theirs.var()) / n) ** 0.5
        assert abs(float(ours.mean() - theirs.mean())) < 4 * error
        assert float(ours.std()) < (0.7 if k == 4 else 0.3) * float(theirs.std())

    def test_signal_does_not_fade_as_draws_are_added(self) -> None:
        def signal(objective: IWAE | DReG) -> float:
            single, _ = self.gradients(objective, 10_000)
            return float(single.mean().abs() / single.std())

        assert signal(DReG(128)) > signal(DReG(8))
        assert signal(IWAE(128)) < signal(IWAE(8))

    def test_decoder_and_values_are_those_of_iwae(self) -> None:
        torch.testing.assert_close(self.gradients(DReG(5), 9)[1], self.gradients(IWAE(5), 9)[1])
        model = LatentModel(
            Shifted(9, self.phi, self.s), Scaled(self.w), StandardNormal(1).double()
        )
        found = []
        for objective in (DReG(5), IWAE(5)):
            torch.manual_seed(3)
            found.append(objective(model, Batch(torch.full((9, 1), self.x, dtype=F64))))
        for name in ("bound", "reconstruction", "log_weight", "elbo"):
            torch.testing.assert_close(getattr(found[0], name), getattr(found[1], name))

    @pytest.mark.parametrize("variant", ["vae", "full-covariance-vae", "vmf-vae"])
    def test_a_posterior_whose_parameters_are_held_is_that_of_a_second_pass(
        self, variant: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The fast path against the plain one: the encoder again, with weights that are held."""
        torch.manual_seed(0)
        recipe = build(variant, SPEC, latent_dim=3, hidden=(4,))
        found = []
        for path in (bounds.detached, lambda q: None):
            monkeypatch.setattr(bounds, "detached", path)
            torch.manual_seed(1)
            recipe.model.zero_grad()
            terms = DReG(4)(recipe.model, Batch(binary(5)))
            terms.loss.backward()
            gradients = [p.grad for p in recipe.model.parameters() if p.grad is not None]
            found.append([terms.bound.detach(), *gradients])
        for fast, plain in zip(*found, strict=True):
            torch.testing.assert_close(fast, plain)

    def test_leaves_every_weight_learnable(self) -> None:
        recipe = build("vae", SPEC, latent_dim=2, hidden=(4,), prior="vamp", objective="dreg")
        recipe.model.decoder.requires_grad_(False)
        recipe.objective(recipe.model, Batch(torch.zeros(3, 1, 4, 4)))
        assert not any(p.requires_grad for p in recipe.model.decoder.parameters())
        assert all(p.requires_grad for p in recipe.model.encoder.parameters())

    @pytest.mark.parametrize("variant", ["ladder-vae", "iaf-vae"])
    def test_chains_and_flows_have_the_mean_of_iwae(self, variant: str) -> None:
        spec = DataSpec((3,), "binary")
        small = {"latent_dims": (1, 1)} if variant == "ladder-vae" else {"latent_dim": 2}
        model = build(variant, spec, hidden=(4,), **small).model.double()
        # Of a part of the encoder alone: where a ladder's prior is part of q as well, as here,
        # both are gradients of one bound, but only in mean.
        weight = next(model.encoder.parameters())
        batch = Batch(torch.tensor([[1.0, 0.0, 1.0]], dtype=F64).expand(40, 3))
        found = []
        for objective in (DReG(8), IWAE(8)):
            single = torch.stack(
                [torch.autograd.grad(objective(model, batch).loss, weight)[0] for _ in range(50)]
            ).flatten(1)
            found.append((single.mean(0), single.var(0) / len(single)))
        (ours, ours_var), (theirs, theirs_var) = found
        seen = ours_var > 0
        assert seen.any()
        assert ((ours - theirs)[seen].abs() < 4.5 * (ours_var + theirs_var)[seen].sqrt()).all()


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    """The inverse multiquadric of the source, by its formula."""
    square = float(((a - b) ** 2).sum())
    widths = [s * 2 * len(a) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
    return sum(c / (c + square) for c in widths)


class TestMMD:
    def test_is_the_double_loop(self) -> None:
        a, b = torch.randn(5, 3, dtype=F64), 1 + torch.randn(4, 3, dtype=F64)
        first, second = a.numpy(), b.numpy()
        within = [
            np.mean([kernel(u, v) for i, u in enumerate(s) for j, v in enumerate(s) if i != j])
            for s in (first, second)
        ]
        between = np.mean([kernel(u, v) for u in first for v in second])
        assert float(mmd(a, b)) == pytest.approx(sum(within) - 2 * between)

    def test_has_no_bias_where_the_samples_are_of_one_distribution(self) -> None:
        found = torch.stack([mmd(*torch.randn(2, 8, 2, dtype=F64)) for _ in range(1_000)])
        assert abs(float(found.mean())) < 4 * float(found.std()) / 1_000**0.5
        assert float(found.min()) < 0

    def test_gradient_is_finite_where_draws_coincide(self) -> None:
        a = torch.zeros(4, 2, requires_grad=True)
        mmd(a, torch.zeros(3, 2)).backward()
        assert torch.equal(a.grad, torch.zeros(4, 2))

    @pytest.mark.parametrize("shapes", [((1, 2), (5, 2)), ((5, 2), (1, 2)), ((5, 2), (5, 3))])
    def test_refusals(self, shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
        with pytest.raises(ShapeError, match="must have two draws or more"):
            mmd(*(torch.zeros(shape) for shape in shapes))

    def test_a_single_example_has_no_penalty(self) -> None:
        recipe = build("wae", SPEC, latent_dim=2, hidden=(4,))
        terms = recipe.objective(recipe.model, Batch(torch.zeros(1, 1, 4, 4)))
        assert float(terms.penalties["mmd"]) == 0
        assert terms.loss.isfinite()

    def test_a_kl_of_a_point_is_refused_and_not_left_out(self) -> None:
        model = build("wae", SPEC, latent_dim=2, hidden=(4,)).model
        with pytest.raises(SupportError, match="no density"):
            MMD(kl_weight=0.5)(model, Batch(torch.zeros(4, 1, 4, 4)))

    def test_weights_are_those_of_the_formula(self) -> None:
        model = build("vae", SPEC, latent_dim=2, hidden=(4,)).model
        batch = Batch(binary(6))
        found = []
        for objective in (MMD(10.0, 0.5), MMD(20.0, 0.0), ELBO()):
            torch.manual_seed(0)
            found.append(objective(model, batch))
        torch.testing.assert_close(
            found[0].bound, found[2].reconstruction - 0.5 * found[2].total_kl
        )
        torch.testing.assert_close(found[1].bound, found[2].reconstruction)
        torch.testing.assert_close(2 * found[0].penalties["mmd"], found[1].penalties["mmd"])


class TestTotalCorrelation:
    def mixture(self, loc: Tensor, scale: float) -> Independent:
        return normal(loc.double(), scale)

    def test_of_one_example_is_zero(self) -> None:
        found = total_correlation(self.mixture(torch.tensor([[1.0, 2.0]]), 0.5), 100)
        assert found.value == pytest.approx(0, abs=1e-12)

    def test_of_two_examples_is_that_of_a_grid(self) -> None:
        a, s = 1.0, 0.6
        side = np.linspace(-6, 6, 1201)
        near, far = stats.norm.pdf(side, a, s), stats.norm.pdf(side, -a, s)
        joint = 0.5 * (np.outer(near, near) + np.outer(far, far))
        margin = 0.5 * (near + far)
        exact = (joint * np.log(joint / np.outer(margin, margin))).sum() * (side[1] - side[0]) ** 2
        found = total_correlation(self.mixture(torch.tensor([[a, a], [-a, -a]]), s), 20_000)
        assert abs(found.value - exact) < 4 * found.stderr
        assert exact > 0.2

    def test_of_many_examples_is_that_of_the_correlated_normal(self) -> None:
        # Means whose distribution is a normal with correlation 0.8, and little noise about them.
        quasi = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(2048, dtype=F64)
        noise = torch.special.ndtri(quasi.clamp(1e-6, 1 - 1e-6))
        loc = noise @ torch.tensor([[1.0, 0.8], [0.0, 0.6]], dtype=F64)
        s = 0.3
        rho = 0.8 / (1 + s**2)
        found = total_correlation(self.mixture(loc, s), 4_000)
        assert found.value == pytest.approx(-0.5 * log1p(-(rho**2)), abs=4 * found.stderr + 0.01)

    def test_memory_changes_nothing(self) -> None:
        q = self.mixture(torch.randn(50, 3), 0.5)
        whole, parts = (total_correlation(q, 500, max_memory_mb=mb) for mb in (256, 1))
        assert whole.value == pytest.approx(parts.value)

    def test_objective_is_the_double_loop(self) -> None:
        model = build("vae", SPEC, latent_dim=2, hidden=(4,)).model.double()
        x = torch.rand(5, 1, 4, 4, dtype=F64).round()
        torch.manual_seed(0)
        terms = TotalCorrelation(3.0)(model, Batch(x))
        torch.manual_seed(0)
        elbo = ELBO()(model, Batch(x))
        torch.manual_seed(0)
        with torch.no_grad():
            q = model.posterior(x).base_dist
            z = model.posterior(x).rsample(torch.Size([1]))[0]
        total = 0.0
        for i in range(5):
            each = stats.norm.pdf(z[i], q.loc, q.scale)
            total += log(each.prod(1).mean()) - np.log(each.mean(0)).sum()
        found = float(terms.penalties["total_correlation"].detach()) / 2
        assert found == pytest.approx(total / 5)
        torch.testing.assert_close(terms.bound, elbo.bound)

    def test_posteriors_without_factors_are_refused(self) -> None:
        recipe = build("full-covariance-vae", SPEC, latent_dim=2, hidden=(4,))
        with pytest.raises(SupportError, match="factorizes"):
            TotalCorrelation()(recipe.model, Batch(torch.zeros(3, 1, 4, 4)))
        with pytest.raises(ShapeError, match="factorize"):
            total_correlation(recipe.model.posterior(torch.zeros(3, 1, 4, 4)))


def test_naive_penalty_is_its_formula() -> None:
    model = build("vae", SPEC, latent_dim=2, hidden=(4,)).model
    batch = Batch(binary(6))
    torch.manual_seed(0)
    terms = NaivePenalty(0.3)(model, batch)
    q = model.posterior(batch.x).base_dist
    penalty = q.loc.square().sum(1) + q.variance.log().square().sum(1)
    torch.testing.assert_close(terms.bound, terms.reconstruction - 0.3 * penalty)


class TestContractive:
    def test_exact_norm_of_a_layer_has_a_closed_form(self) -> None:
        weight, bias = torch.randn(3, 4, dtype=F64), torch.randn(3, dtype=F64)
        x = torch.randn(6, 4, dtype=F64, requires_grad=True)
        z = (x @ weight.T + bias).tanh()
        expected = ((1 - z.square()).square() * weight.square().sum(1)).sum(1)
        torch.testing.assert_close(squared_jacobian(z, x), expected)

    def test_exact_norm_is_that_of_torch_func(self) -> None:
        model = build("cae", SPEC, latent_dim=3, hidden=(5, 4)).model.double()
        x = torch.rand(4, 1, 4, 4, dtype=F64)
        jacobian = torch.func.vmap(torch.func.jacrev(lambda v: model.encode(v[None])[0]))(x)
        terms = Contractive(0.7)(model, Batch(x))
        expected = 0.7 * jacobian.square().flatten(1).sum(1).mean()
        torch.testing.assert_close(terms.penalties["contraction"], expected)
        torch.testing.assert_close(terms.bound, terms.reconstruction)

    @pytest.mark.parametrize(("name", "n_probes"), [("vae", 0), ("conv-vae", 1)])
    def test_norm_is_exact_where_the_network_is_an_mlp(self, name: str, n_probes: int) -> None:
        model = build(name, DataSpec((1, 8, 8), "binary"), latent_dim=3).model
        batch = Batch(torch.rand(4, 1, 8, 8).round())
        found = []
        for given in (None, n_probes):
            torch.manual_seed(0)
            found.append(Contractive(0.3, given)(model, batch).penalties["contraction"])
        torch.testing.assert_close(*found)

    @pytest.mark.parametrize("n_probes", [1, 3])
    def test_probes_have_the_exact_mean(self, n_probes: int) -> None:
        weight = torch.randn(3, 4, dtype=F64)
        x = torch.randn(4, dtype=F64).expand(20_000, 4).clone().requires_grad_()
        z = (x @ weight.T).tanh()
        exact = squared_jacobian(z, x)[0]
        found = squared_jacobian(z, x, n_probes).detach()
        # Var(vᵀ A v) = 2 ‖A‖² for A = J Jᵀ.
        jacobian = (1 - z[0].square())[:, None] * weight
        deviation = float((2 * (jacobian @ jacobian.T).square().sum() / n_probes).detach()) ** 0.5
        assert abs(float(found.mean() - exact.detach())) < 4 * deviation / 20_000**0.5
        assert float(found.std()) == pytest.approx(deviation, rel=0.1)

    def test_penalty_is_differentiated_right(self) -> None:
        x = torch.randn(3, 4, dtype=F64)

        def norm(weight: Tensor) -> Tensor:
            seen = x.clone().requires_grad_()
            return squared_jacobian((seen @ weight.T).tanh(), seen)

        weight = torch.randn(2, 4, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(norm, weight)

    def test_works_without_gradients_and_leaves_x_alone(self) -> None:
        model = build("cae", SPEC, latent_dim=2, hidden=(4,)).model
        x = torch.rand(3, 1, 4, 4)
        with torch.no_grad():
            terms = Contractive()(model, Batch(x))
        torch.testing.assert_close(terms.loss, Contractive()(model, Batch(x)).loss.detach())
        assert not x.requires_grad


class TestCorruption:
    n = 40_000

    @pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
    def test_shares_of_changed_entries(self, level: float) -> None:
        x = torch.full((self.n,), 0.5)
        error = 4 * (level * (1 - level) / self.n) ** 0.5
        masked = Corruption("masking", level)(x)
        assert abs(float((masked == 0).double().mean()) - level) <= error
        salted = Corruption("salt-and-pepper", level)(x)
        assert abs(float((salted != 0.5).double().mean()) - level) <= error
        for value in (0.0, 1.0):
            half = level / 2
            share = float((salted == value).double().mean())
            assert abs(share - half) <= 4 * (half * (1 - half) / self.n) ** 0.5
        assert set(salted.unique().tolist()) <= {0.0, 0.5, 1.0}

    def test_gaussian_noise_has_its_level(self) -> None:
        noise = Corruption("gaussian", 0.3)(torch.zeros(self.n))
        assert stats.kstest(noise.numpy(), "norm", args=(0, 0.3)).pvalue > 1e-4

    def test_describes_the_clean_example(self) -> None:
        model = build("ae", SPEC, latent_dim=2, hidden=(4,)).model
        x = binary(5)
        found = Reconstruction(Corruption("masking", 1.0))(model, Batch(x)).bound
        nothing = model.encode(torch.zeros_like(x))
        torch.testing.assert_close(found, model.likelihood(nothing).log_prob(x))

    @pytest.mark.parametrize(
        ("kind", "level", "said"),
        [
            ("masked", 0.5, "did you mean 'masking'"),
            ("masking", 1.5, "at most 1"),
            ("salt-and-pepper", -0.1, "at least 0"),
            ("gaussian", float("nan"), "finite"),
            ("gaussian", float("inf"), "finite"),
        ],
    )
    def test_refusals(self, kind: str, level: float, said: str) -> None:
        with pytest.raises(OptionError, match=said):
            Corruption(kind, level)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"objective": "denoising"}, {"objective": "contractive"}, {"prior": "vamp"}]
)
def test_tokens_are_no_shades(options: dict[str, str]) -> None:
    with pytest.raises(SupportError, match="token"):
        build("text-vae", DataSpec((8,), "tokens", levels=20), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "denoising"},
        {"objective": "contractive"},
        {"prior": "vamp"},
        {"posterior": "iaf"},
    ],
)
def test_classes_in_floats_take_any_part(options: dict[str, str]) -> None:
    recipe = build("vae", DataSpec((4,), "categorical", levels=3), hidden=(4,), **options)
    x, model = torch.randint(0, 3, (5, 4)).double(), recipe.model.double()
    require_gradient(lambda: recipe.objective(model, Batch(x)).loss, model)


def test_psnr_is_that_of_its_formula() -> None:
    clean, other = np.random.default_rng(0).random((2, 5, 3, 4))
    expected = [10 * np.log10(1 / np.mean((a - b) ** 2)) for a, b in zip(clean, other, strict=True)]
    found = psnr(torch.as_tensor(clean), torch.as_tensor(other))
    np.testing.assert_allclose(found, expected)
    assert psnr(torch.zeros(1, 2), torch.zeros(1, 2)).isfinite().all()
    with pytest.raises(ShapeError, match="pairs"):
        psnr(torch.zeros(2, 3), torch.zeros(2, 4))


class Quadratic(nn.Module):
    """log D / (1 - D) = a + b z₁² + c z₁ z₂ + d z₂²: where the best discriminator of normals is."""

    def __init__(self, rho: float) -> None:
        super().__init__()
        v = 1 - rho**2
        best = [-0.5 * log(v), -0.5 / v + 0.5, rho / v, -0.5 / v + 0.5]
        self.weight = nn.Parameter(torch.tensor(best, dtype=F64))

    def forward(self, z: Tensor) -> Distribution:
        first, second = z.unbind(-1)
        features = torch.stack([torch.ones_like(first), first**2, first * second, second**2], -1)
        return torch.distributions.Bernoulli(logits=features @ self.weight)


class TestFactorVAE:
    rho, n = 0.7, 40_000

    def game(self) -> tuple[LatentModel, Batch]:
        code_of_x = Function(lambda x: normal(x, 1e-9))  # next to no noise
        model = LatentModel(code_of_x, Scaled(1.0), StandardNormal(2).double())
        model.add_module("discriminator", Quadratic(self.rho))
        x = torch.randn(self.n, 2, dtype=F64)
        x[:, 1] = self.rho * x[:, 0] + (1 - self.rho**2) ** 0.5 * x[:, 1]
        return model, Batch(x)

    def test_the_log_ratio_of_densities_is_the_best_discriminator(self) -> None:
        model, batch = self.game()
        weight = model.part("discriminator").weight
        best = float(DensityRatio()(model, batch).loss.detach())
        # An error of first order in the weights has an effect of second order.
        singles = []
        for part in batch.x.chunk(20):
            loss = DensityRatio()(model, Batch(part)).loss
            singles.append(torch.autograd.grad(loss, weight)[0])
        gradient = torch.stack(singles)
        error = gradient.std(0) / 20**0.5
        assert (gradient.mean(0).abs() < 4.5 * error).all()
        for i in range(4):
            for step in (-0.3, 0.3):
                weight.data[i] += step
                assert float(DensityRatio()(model, batch).loss.detach()) > best
                weight.data[i] -= step

    def test_the_best_discriminator_tells_the_total_correlation(self) -> None:
        model, batch = self.game()
        terms = FactorVAE(gamma=5.0)(model, batch)
        ratio = model.part("discriminator")(batch.x).logits
        error = float(ratio.std().detach()) / self.n**0.5
        exact = -0.5 * log1p(-(self.rho**2))
        found = float(terms.penalties["total_correlation"].detach()) / 5
        assert abs(found - exact) < 4 * error

    def test_shuffled_codes_keep_their_margins(self) -> None:
        model, _ = self.game()
        seen: list[Tensor] = []
        part = model.part("discriminator")
        part.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        x = torch.randn(500, 1, dtype=F64).expand(500, 2)
        DensityRatio()(model, Batch(x))
        true, shuffled = seen
        torch.testing.assert_close(true.sort(0).values, shuffled.sort(0).values, atol=1e-6, rtol=0)
        assert abs(stats.pearsonr(*shuffled.detach().numpy().T).statistic) < 4 / 500**0.5


def test_a_discriminators_terms_are_its_formula() -> None:
    # log D(x) + ½ log(1 - D(x̂)) + ½ log(1 - D(x̂_p)), example by example.
    true, false = torch.tensor([0.0, 2.0]), torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    d = torch.sigmoid
    expected = d(true).log() + 0.5 * ((1 - d(false[0])).log() + (1 - d(false[1])).log())
    torch.testing.assert_close(discrimination(true, false).bound, expected)
    assert float(discrimination(torch.zeros(3), torch.zeros(3)).loss) == pytest.approx(2 * log(2))


GAMES = [
    ("factor-vae", None, {"encoder", "decoder"}),
    ("factor-vae", DensityRatio(), {"discriminator"}),
    ("vae-gan", PerceptualEncoder(), {"encoder"}),
    ("vae-gan", Generator(), {"decoder"}),
    ("vae-gan", Discriminator(), {"discriminator"}),
    ("cvae-gan", Classification(), {"classifier"}),
    ("cvae-gan", Generator(), {"decoder"}),
]


def touched(model: nn.Module, names: Iterable[str]) -> set[str]:
    """Return the parts with a gradient in every weight."""
    return {
        name
        for name in names
        if all(p.grad is not None and p.grad.any() for p in model.get_submodule(name).parameters())
    }


@pytest.mark.parametrize(("variant", "objective", "learners"), GAMES)
def test_every_player_teaches_its_own_part(
    variant: str, objective: object, learners: set[str]
) -> None:
    recipe = build(variant, SPEC, latent_dim=2, hidden=(8,))
    x, y = binary(12), torch.arange(12) % 3
    c = torch.eye(3)[y] if recipe.spec.context else None
    objective = objective or recipe.objective
    objective(recipe.model, Batch(x, y, c)).loss.backward()
    parts = [name for name, _ in recipe.model.named_children() if name != "prior"]
    found = touched(recipe.model, parts)
    assert learners <= found
    # What a player only uses may have gradients, of which it takes no step, but no player that
    # draws codes to judge them sends any back into the encoder.
    if not isinstance(objective, PerceptualEncoder | FactorVAE):
        assert all(p.grad is None for p in recipe.model.encoder.parameters())
    if isinstance(objective, DensityRatio | Discriminator | Classification):
        assert all(p.grad is None for p in recipe.model.decoder.parameters())


def test_the_parts_of_a_game_add_up() -> None:
    model = build("vae-gan", SPEC, latent_dim=2, hidden=(8,)).model
    batch = Batch(binary(6))
    found = {}
    for gamma, pixels in ((0.0, 1.0), (2.0, 1.0), (0.0, 0.0)):
        torch.manual_seed(0)
        found[gamma, pixels] = PerceptualEncoder(gamma, pixels)(model, batch)
    torch.manual_seed(0)
    elbo = ELBO()(model, batch)
    torch.testing.assert_close(found[0.0, 1.0].bound, elbo.elbo)
    torch.testing.assert_close(found[0.0, 0.0].bound, -elbo.total_kl)
    unlike = found[0.0, 1.0].bound - found[2.0, 1.0].bound
    assert (unlike > 0).all()
    # The distance is that of the first layer's features of x and of the reconstruction.
    torch.manual_seed(0)
    z = model.posterior(batch.x).rsample(torch.Size([1]))[0]
    first = model.part("discriminator").network.first
    expected = (first(batch.x) - first(model.decode(z))).square().sum(1)
    torch.testing.assert_close(unlike, expected)


def test_a_perfect_decoder_that_is_taken_for_real_half_the_time() -> None:
    model = build("vae-gan", SPEC, latent_dim=2, hidden=(8,)).model
    for parameter in model.part("discriminator").family.parameters():
        parameter.data.zero_()
    batch = Batch(binary(6))
    terms = Generator(gamma=0.0, pixels=0.0)(model, batch)
    torch.testing.assert_close(terms.bound, torch.full((6,), -2 * log(2)))
    loss = Discriminator()(model, batch).loss.detach()
    assert float(loss) == pytest.approx(2 * log(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: TotalCorrelation(-1.0),
        lambda: MMD(-1.0),
        lambda: MMD(kl_weight=float("inf")),
        lambda: NaivePenalty(float("nan")),
        lambda: Contractive(-0.1),
        lambda: Contractive(n_probes=-1),
        lambda: FactorVAE(-1.0),
        lambda: Generator(gamma=-1.0),
        lambda: Generator(pixels=float("inf")),
        lambda: PerceptualEncoder(gamma=-1.0),
        lambda: PerceptualEncoder(pixels=float("nan")),
        lambda: DReG(0),
    ],
)
def test_impossible_weights_are_refused(make: object) -> None:
    with pytest.raises(OptionError):
        make()  # type: ignore[operator]


def test_a_part_that_is_missing_is_named() -> None:
    model = build("vae", SPEC, latent_dim=2, hidden=(4,)).model
    batch = Batch(torch.zeros(3, 1, 4, 4))
    for objective in (FactorVAE(), DensityRatio(), Generator(), Discriminator()):
        with pytest.raises(ReparamError, match="has no discriminator, which its objective needs"):
            objective(model, batch)
    with pytest.raises(OptionError, match="learns from labels"):
        Classification()(model, batch)


def test_dreg_sees_one_posterior_where_the_encoder_is_random() -> None:
    """Dropout in the encoder: both passes must drop the same units, or the weights are wrong."""
    torch.manual_seed(0)
    model = build("vae", SPEC, latent_dim=2, hidden=(64,)).model.double()
    model.encoder.network = nn.Sequential(model.encoder.network, nn.Dropout(0.5))
    x = torch.rand(5, 1, 4, 4, dtype=F64).round()
    torch.manual_seed(1)
    exact = IWAE(3)(model.train(), Batch(x))
    torch.manual_seed(1)
    assert torch.allclose(DReG(3)(model, Batch(x)).bound, exact.bound)


def test_flow_matching_is_least_at_the_conditional_mean() -> None:
    # For standard normal codes the best velocity is a(t) z, that of the start.
    prior, batch = Standardized(Diffusion(2, width=8), 2), Batch(torch.randn(40_000, 2))

    def loss() -> float:
        return float(FlowMatching()(prior.train(), batch).loss.detach())

    # 2 E[(z - ε)²] - 2 E[a(t)² z_t²] = 4 - 2 ∫ (2 t - 1)² / (t² + (1 - t)²) dt
    assert loss() == pytest.approx(4 - 2 * (2 - pi / 2), rel=0.02)
    best = loss()
    for shift in (-0.3, 0.3):
        torch.nn.init.constant_(prior.prior.velocity.last.bias, shift)  # type: ignore[arg-type]
        assert loss() > best + 0.05
