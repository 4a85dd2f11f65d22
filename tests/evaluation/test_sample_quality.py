"""Distances of samples against closed forms, and bits of levels that noise made continuous."""

import json
from math import log2, sqrt
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.distributions import Beta, Distribution, Independent, Uniform

import reparam as rp
from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.cli.evaluate import _function
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.samples import (
    Features,
    NamedFeatures,
    blockwise,
    cubic_kernel,
    features_of,
    fid,
    frechet_distance,
    kid,
    sample_quality,
)
from reparam.mmd import mmd
from reparam.spec import DataSpec
from reparam.training.callbacks import sample_images
from tests.support import Constant, Function, normal, quick_fit, reparam


def gaussian(n: int, seed: int, *, loc: float = 0.0, scale: float = 1.0, size: int = 4) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return loc + scale * torch.randn(n, size, generator=draw)


def exact_moments(m: Tensor, s: Tensor, seed: int) -> Tensor:
    """Return points whose mean and covariance are m and s, to float64."""
    x = gaussian(50, seed, size=len(m)).double()
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return m + x @ torch.linalg.cholesky(s).T


class TestFrechetDistance:
    def test_of_gaussians_that_commute_in_closed_form(self) -> None:
        m_1, m_2 = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 0.0]).double()
        first = exact_moments(m_1, torch.diag(torch.tensor([1.0, 4.0, 9.0])).double(), 0)
        second = exact_moments(m_2, torch.diag(torch.tensor([4.0, 1.0, 9.0])).double(), 1)
        # ‖m₁ - m₂‖² + Σ (σ₁ - σ₂)²
        assert frechet_distance(first, second) == pytest.approx(5 + 2, abs=1e-9)

    def test_with_the_matrix_root_of_another_library(self) -> None:
        a, b = gaussian(5, 0, size=5).double(), gaussian(5, 1, size=5).double()
        s_1, s_2 = a @ a.T + torch.eye(5), b @ b.T + torch.eye(5)
        zero = torch.zeros(5).double()
        found = frechet_distance(exact_moments(zero, s_1, 2), exact_moments(zero, s_2, 3))
        root = scipy.linalg.sqrtm((s_1 @ s_2).numpy())
        exact = np.trace((s_1 + s_2).numpy()) - 2 * np.trace(root).real
        assert found == pytest.approx(exact, rel=1e-9)

    def test_of_features_that_do_not_vary(self) -> None:
        flat = torch.cat([gaussian(30, 0), torch.zeros(30, 2)], dim=1)
        assert frechet_distance(flat, flat) == pytest.approx(0.0, abs=1e-9)
        assert frechet_distance(torch.zeros(4, 3), torch.ones(5, 3)) == pytest.approx(3.0)

    def test_its_error_and_its_bias_by_many_repetitions(self) -> None:
        """N(0, 1) and N(½, 1.5²) in each of 4 dimensions: 4 (¼ + ¼) = 2."""
        found = [
            fid(gaussian(300, 2 * s), gaussian(300, 2 * s + 1, loc=0.5, scale=1.5))
            for s in range(60)
        ]
        values = torch.tensor([one.value for one in found])
        corrected = torch.tensor([one.value - one.bias for one in found])
        spread = float(values.std())
        assert float(torch.tensor([one.stderr for one in found]).mean()) == pytest.approx(
            spread, rel=0.35
        )
        assert abs(float(corrected.mean()) - 2.0) < 4 * spread / sqrt(60)
        # Uncorrected it is too high.
        assert float(values.mean()) - 2.0 > 2 * spread / sqrt(60)

    def test_refuses_what_has_no_covariance(self) -> None:
        with pytest.raises(ShapeError, match="two rows or more"):
            frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))
        with pytest.raises(ShapeError, match="as many of both, 20 or more"):
            fid(torch.zeros(10, 3), torch.zeros(10, 3))
        with pytest.raises(ShapeError, match="as many of both"):
            fid(torch.zeros(40, 3), torch.zeros(50, 3))


class TestKernelDistance:
    def test_its_population_value_from_moments(self) -> None:
        """For one feature k = (ab + 1)³, so that the first three moments tell everything."""
        loc, scale = 0.5, 1.3
        moments = {
            "a": (0.0, 1.0, 0.0),
            "b": (loc, loc**2 + scale**2, loc**3 + 3 * loc * scale**2),
        }

        def expected(one: str, other: str) -> float:
            products = [p * q for p, q in zip(moments[one], moments[other], strict=True)]
            return 1 + 3 * products[0] + 3 * products[1] + products[2]

        exact = expected("a", "a") + expected("b", "b") - 2 * expected("a", "b")
        found = kid(gaussian(20_000, 0, size=1), gaussian(20_000, 1, loc=loc, scale=scale, size=1))
        assert found.stderr < 0.2 * exact
        assert abs(found.value - exact) < 4 * found.stderr

    def test_the_kernel_is_that_of_the_formula(self) -> None:
        a, b = gaussian(3, 0), gaussian(5, 1)
        found = cubic_kernel(a, b)
        assert found.shape == (3, 5)
        assert float(found[1, 2]) == pytest.approx((float(a[1] @ b[2]) / 4 + 1) ** 3, rel=1e-5)

    def test_the_error_is_the_spread_of_repetitions(self) -> None:
        found = [kid(gaussian(200, 2 * s), gaussian(200, 2 * s + 1)) for s in range(80)]
        values = torch.tensor([one.value for one in found])
        assert abs(float(values.mean())) < 4 * float(values.std()) / sqrt(80)
        said = float(torch.tensor([one.stderr for one in found]).mean())
        assert said == pytest.approx(float(values.std()), rel=0.3)

    def test_mmd_with_a_kernel_is_written_out(self) -> None:
        a, b = gaussian(4, 0), gaussian(3, 1)
        k_aa, k_bb, k_ab = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
        pairs = [k_aa[i, j] for i in range(4) for j in range(4) if i != j]
        others = [k_bb[i, j] for i in range(3) for j in range(3) if i != j]
        exact = torch.stack(pairs).mean() + torch.stack(others).mean() - 2 * k_ab.mean()
        torch.testing.assert_close(mmd(a, b, cubic_kernel), exact)


class TestSampleQuality:
    def test_the_same_law_has_no_distance_and_another_law_has_one(self) -> None:
        x = gaussian(1200, 0, size=6)
        for seed in range(3):
            order = torch.randperm(1200, generator=torch.Generator().manual_seed(seed))
            same = sample_quality(x[order[:600]], x[order[600:]], lambda z: z[:, :3])
            assert same.kid is not None
            assert same.fid is not None
            assert abs(same.mmd.value) < 4 * same.mmd.stderr
            assert abs(same.kid.value) < 4 * same.kid.stderr
            assert abs(same.fid.value - same.fid.bias) < 4 * same.fid.stderr
        other = sample_quality(x[:600], x[600:] + 0.5, lambda z: z[:, :3])
        assert other.kid is not None
        assert other.fid is not None
        assert other.mmd.value > 4 * other.mmd.stderr
        assert other.kid.value > 4 * other.kid.stderr
        assert other.fid.value - other.fid.bias > 4 * other.fid.stderr

    def test_blocks_are_disjoint_and_leave_only_a_rest_out(self) -> None:
        first, second = torch.arange(57.0)[:, None], torch.zeros(57, 1)
        seen: list[float] = []

        def mean(a: Tensor, b: Tensor) -> Tensor:
            seen.extend(a[:, 0].tolist())
            return a.mean()

        found = blockwise(mean, first, second)
        assert seen == list(range(50))
        assert found.value == pytest.approx(24.5)
        blocks = torch.arange(2.0, 50, 5)
        assert found.stderr == pytest.approx(float(blocks.std()) / sqrt(10), rel=1e-5)

    def test_refuses_features_that_are_no_rows(self) -> None:
        x = gaussian(40, 0)
        with pytest.raises(ShapeError, match="a row for each"):
            sample_quality(x, x, lambda z: z.sum(1))

    def test_features_of_trained_parts(self) -> None:
        spec = DataSpec((1, 4, 4), "binary", n_classes=3)
        x = torch.rand(5, 1, 4, 4).round()
        vae = variants.vae(spec, latent_dim=3, hidden=(8,)).model
        torch.testing.assert_close(features_of(vae)(x), vae.encode(x).detach())
        judge = variants.classifier(spec, hidden=(8,)).model
        state = torch.get_rng_state()
        assert features_of(judge)(x).shape == (5, 8)
        assert not features_of(judge)(x).requires_grad
        assert torch.equal(torch.get_rng_state(), state)
        with pytest.raises(OptionError, match="features of a Linear"):
            features_of(nn.Linear(2, 2))


class TestEvaluation:
    spec = DataSpec((3,), "real")

    def model(self) -> rp.LatentModel:
        return rp.LatentModel(
            Constant(normal(torch.zeros(2), 1.0)),
            Constant(normal(torch.zeros(3), 1.0)),
            rp.priors.StandardNormal(2),
        )

    def test_a_model_of_its_own_data_has_no_distance(self) -> None:
        x = gaussian(500, 0, size=3)

        def evaluated(x: Tensor, **options: object) -> evaluation.Evaluation:
            return evaluation.evaluate(self.model(), Batch(x), self.spec, n_samples=2, **options)

        same = evaluated(x, sample_quality=400, features=lambda z: z[:, :2])
        assert same.n_generated == 400
        assert abs(same.sample_mmd) < 4 * same.sample_mmd_stderr
        assert abs(same.kid) < 4 * same.kid_stderr
        assert abs(same.fid - same.fid_bias) < 4 * same.fid_stderr
        assert "MMD² of 400 samples and examples" in str(same)
        assert "too high" in str(same)
        other = evaluated(x + 1, sample_quality=10_000)
        assert other.n_generated == 500
        assert other.fid is None
        assert other.sample_mmd > 4 * other.sample_mmd_stderr
        # Means of p(x | z) never vary here, and so lie in the midst of the examples.
        means = evaluated(x, sample_quality=400, sample_means=True)
        assert means.sample_mmd > 4 * means.sample_mmd_stderr
        assert "MMD² of 400 means of p(x | z) and examples" in str(means)
        assert (means.sample_means, same.sample_means) == (True, False)
        nothing = evaluated(x)
        assert nothing.sample_mmd is None
        assert nothing.sample_means is None
        assert nothing.features is None

    def test_the_figures_say_in_what_features_they_are(self) -> None:
        batch = Batch(gaussian(40, 0, size=3))

        def evaluated(features: Features) -> evaluation.Evaluation:
            options = {"n_samples": 2, "sample_quality": 40, "features": features}
            return evaluation.evaluate(self.model(), batch, self.spec, **options)

        plain = evaluated(halved)
        assert (plain.features, plain.features_sha256) == (f"{__name__}:halved", None)
        assert "the features of fid and kid are those of" in str(plain)
        assert evaluated(nn.Linear(3, 2)).features == "Linear"
        named = evaluated(NamedFeatures(halved, "runs/judge", "0123456789abcdef"))
        assert named.to_dict()["features"] == "runs/judge"
        assert named.features_sha256 == "0123456789abcdef"
        assert "runs/judge (weights 0123456789ab…)" in str(named)
        assert named.fid == plain.fid

    def test_conditions_of_samples_are_no_pairs_of_the_examples(self) -> None:
        """The law of x hangs on c: were both under the same c, the distance fell below zero."""
        draw = torch.Generator().manual_seed(0)
        found = []
        for seed in range(12):
            c = torch.randint(2, (400, 1), generator=draw).float()
            x = 8 * c + torch.randn(400, 1, generator=draw)
            moved = Function(lambda value, c: normal(0 * value[..., :1] + 8 * c, 1.0))
            model = rp.LatentModel(moved, moved, Function(lambda c: normal(0 * c, 1.0)))
            found.append(
                evaluation.evaluate(
                    model,
                    Batch(x, c=c),
                    DataSpec((1,), "real"),
                    n_samples=2,
                    sample_quality=400,
                    seed=seed,
                ).sample_mmd
            )
        values = torch.tensor(found)
        assert abs(float(values.mean())) < 4 * float(values.std()) / sqrt(12)

    def test_a_directed_model_generates_too(self) -> None:
        spec = DataSpec((1, 4, 4), "binary", n_classes=2)
        model = variants.directed(spec, n_parts=2, hidden=(4,)).model
        x = sample_images(model, 200, spec.shape)
        batch = Batch(x, y=x[:, 0, 0, 0].long())
        found = evaluation.evaluate(model, batch, spec, sample_quality=200)
        # The examples are draws of the model.
        assert abs(found.sample_mmd) < 4 * found.sample_mmd_stderr
        zeros = Batch(torch.zeros_like(x), y=torch.zeros_like(batch.y))
        other = evaluation.evaluate(model, zeros, spec, sample_quality=200)
        assert other.sample_mmd > 4 * other.sample_mmd_stderr

    def test_nonsense_is_refused(self) -> None:
        batch = Batch(gaussian(30, 0, size=3))
        with pytest.raises(OptionError, match="sample_quality=-1"):
            evaluation.evaluate(self.model(), batch, self.spec, sample_quality=-1)
        with pytest.raises(ShapeError, match="20 or more"):
            evaluation.evaluate(self.model(), batch, self.spec, n_samples=2, sample_quality=10)
        words = DataSpec((3,), "tokens", levels=5)
        tokens = Batch(torch.arange(90.0).reshape(30, 3) % 5)
        with pytest.raises(OptionError, match="tokens values have no distances"):
            evaluation.evaluate(self.model(), tokens, words, n_samples=2, sample_quality=20)


def halved(x: Tensor) -> Tensor:
    return x[:, :2] / 2


class TestBitsOfDequantizedData:
    """x = (k + u) / L, of which the bits per dimension are those of the levels k."""

    levels, size = 8, 4
    spec = DataSpec((4,), "unit", dequantized_from=8)

    def evaluated(self, law: Distribution, k: Tensor) -> evaluation.Evaluation:
        draw = torch.Generator().manual_seed(3)
        x = (k + torch.rand(k.shape, generator=draw)) / self.levels
        encoder = Constant(normal(torch.zeros(1), 1.0))
        decoder = Constant(Independent(law.expand((self.size,)), 1))
        model = rp.LatentModel(encoder, decoder, rp.priors.StandardNormal(1))
        return evaluation.evaluate(model, Batch(x), self.spec, n_samples=2)

    def test_a_flat_density_takes_the_bits_of_the_levels(self) -> None:
        k = torch.randint(8, (200, 4), generator=torch.Generator().manual_seed(0))
        found = self.evaluated(Uniform(0.0, 1.0, validate_args=False), k)
        assert found.bits_per_dim == pytest.approx(log2(8), abs=1e-6)
        assert found.code_bits == pytest.approx(4 * log2(8), abs=1e-5)
        assert found.raw_bits == 12
        assert "at most, per entry of the 8 levels without noise" in str(found)

    def test_a_slope_takes_at_most_what_is_reported(self) -> None:
        """p(x) = 2 x gives the level k the probability (2 k + 1) / L²."""
        levels = torch.arange(8.0, dtype=torch.float64)
        probability = (2 * levels + 1) / 64
        k = torch.multinomial(probability, 20_000, replacement=True).reshape(5000, 4)
        exact = -probability.log2()[k].mean(1)
        found = self.evaluated(Beta(2.0, 1.0, validate_args=False), k)
        assert found.bits_per_dim is not None
        assert found.bits_per_dim_stderr is not None
        # E_u[log₂ 2 x] in each cell, by the antiderivative x log x - x.
        edges = torch.arange(9.0, dtype=torch.float64) / 8
        inner = torch.special.xlogy(edges, edges) - edges
        bound = -(1 + 8 * inner.diff() / np.log(2))[k].mean(1) + log2(8)
        assert abs(found.bits_per_dim - float(bound.mean())) < 4 * found.bits_per_dim_stderr
        assert float(bound.mean()) > float(exact.mean())
        assert float(bound.mean()) < float(exact.mean()) + 0.05


def test_the_command_line_compares_samples_in_features(tmp_path: Path) -> None:
    digits = rp.data.load("digits", binarize="dynamic")
    for name, build in (("one", variants.vae), ("judge", variants.classifier)):
        recipe = build(digits.spec, hidden=(16,))
        quick_fit(recipe, digits, out=tmp_path / name)
    quick_fit(
        variants.vae(DataSpec((3,), "real"), hidden=(4,)),
        gaussian(40, 0, size=3),
        out=tmp_path / "other",
    )
    line = ["evaluate", str(tmp_path / "one"), "--n-samples", "2", "--sample-quality", "200"]
    said = reparam(*line, "--features", tmp_path / "judge").out
    for word in ("sample_mmd", "fid", "kid", "distance of 200 samples and examples in features"):
        assert word in said
    kept = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    assert kept["features"] == str(tmp_path / "judge")
    assert kept["features_sha256"] == rp.load(tmp_path / "judge").folder.weights_sha256
    assert kept["sample_means"] is False
    said = reparam(*line, "--features", tmp_path / "other", code=2)
    assert "give a run on data of the same kind" in said.err
    said = reparam(*line[:4], "--features", tmp_path / "judge", code=2)
    assert "--sample-quality 5000" in said.err


def test_a_function_of_ones_own_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_features.py").write_text("def halves(x):\n    return x.flatten(1)[:, ::2]\n")
    monkeypatch.chdir(tmp_path)
    spec = DataSpec((1, 2, 2), "unit")
    found = _function("my_features:halves", spec)
    assert found.name == "my_features:halves"
    assert found(torch.zeros(3, 1, 2, 2)).shape == (3, 2)
    for wrong, said in (("my_features:thirds", "thirds"), ("no_such_module:f", "no_such_module")):
        with pytest.raises(OptionError, match=said):
            _function(wrong, spec)
