"""The doctor: what is ill is said to be, and what is well is not."""

import json
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions import Distribution
from torch.nn.functional import pad

import reparam as rp
from reparam import data, variants
from reparam.batch import Batch
from reparam.data import Dataset
from reparam.data.frames import of_frame
from reparam.data.infer import schema_of
from reparam.diagnostics import data as data_checks
from reparam.diagnostics import encoder, examine, examine_data, latents, likelihood, training
from reparam.diagnostics.context import DiagnosticContext, diagnostic_context
from reparam.diagnostics.finding import Finding
from reparam.distributions import CodeSequence, QuantizedCodes
from reparam.distributions.autoregressive import Autoregressive
from reparam.errors import OptionError
from reparam.evaluation import Evaluation, Facts
from reparam.families import Gaussian
from reparam.models.latent import LatentModel
from reparam.nn.standardize import Standardize
from reparam.objectives import ELBO, IWAE, MMD
from reparam.objectives.bounds import forward_pass
from reparam.objectives.terms import Terms
from reparam.priors import StandardNormal
from reparam.runs.run import Run
from reparam.spec import DataSpec
from tests.support import Function, normal, quick_fit, reparam


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits", binarize="dynamic")


@pytest.fixture(scope="module")
def healthy(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.manual_seed(0)
    return quick_fit(
        variants.vae(digits.spec, latent_dim=8, hidden=[64]),
        digits,
        epochs=40,
        checkpoint_every=60.0,
        out=tmp_path_factory.mktemp("doctor") / "run",
        pictures_every=0,
    )


def copied(run: Run) -> Run:
    """The same run with weights of its own, which a test may spoil."""
    model = variants.vae(run.spec, latent_dim=8, hidden=[64]).model
    model.load_state_dict(run.model.state_dict())
    return replace(run, model=model.eval())


def severity(finding: Finding) -> str:
    return finding.severity


def made(
    encoder: Any,
    decoder: Any,
    x: Tensor,
    *,
    prior: nn.Module | None = None,
    objective: Any = ELBO(),  # noqa: B008
) -> DiagnosticContext:
    """A run of these parts and examples, on data in memory."""
    model = LatentModel(
        Function(encoder), Function(decoder), prior or StandardNormal(x.shape[1])
    ).eval()
    source = data.from_arrays(x, support="real", test=x)
    run = Run(model, source.spec, {"variant": None}, source)
    return diagnostic_context(run, source, objective)


NOISE = 0.5


def linear_gaussian(shift: float = 0.0, width: float = 1.0, n_others: int = 0) -> DiagnosticContext:
    """x = z + noise; its posterior is exact but for a shift and a width, in its own scale.

    Other entries of x are standard normal, whatever z is.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=draw) * (1 + NOISE**2) ** 0.5
    x = torch.cat([x, torch.randn(400, n_others, generator=draw)], 1)
    shrink = 1 / (1 + NOISE**2)
    scale = NOISE * shrink**0.5
    sigma = torch.cat([torch.full((3,), NOISE), torch.ones(n_others)])
    return made(
        lambda x: normal(shrink * x[..., :3] + shift * scale, width * scale),
        lambda z: normal(pad(z, (0, n_others)), sigma),
        x,
        prior=StandardNormal(3),
    )


class TestHealthy:
    def test_digits_have_no_problem(self, healthy: Run) -> None:
        found = examine(healthy)
        assert found.of("problem") == (), str(found)
        fine = {f.name for f in found.of("fine")}
        assert {"likelihood", "beta", "collapse", "encoder", "prior", "learning-rate"} <= fine
        assert {"finite", "range", "variation", "leak"} <= fine
        assert "No problem was found." in str(found)

    def test_figures_are_those_of_the_seed_and_leave_no_trace(self, healthy: Run) -> None:
        state, before = (
            torch.get_rng_state(),
            {k: v.clone() for k, v in healthy.model.state_dict().items()},
        )
        one, two = (examine(healthy, n_examples=60, seed=3) for _ in range(2))
        assert one == two
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(v, before[k]) for k, v in healthy.model.state_dict().items())
        assert all(p.requires_grad for p in healthy.model.parameters())

    def test_every_finding_has_evidence(self, healthy: Run) -> None:
        for finding in examine(healthy, n_examples=60).findings:
            assert bool(finding.evidence) == (finding.severity != "skipped")
            assert finding.severity in ("fine", "skipped") or finding.fix

    def test_what_was_not_looked_at_is_said_with_the_reason(self, healthy: Run) -> None:
        found = examine(healthy, n_examples=60)
        assert found["codes"].severity == "skipped"
        assert "codes (there is no codebook)" in str(found)
        assert "decoder-scale (the likelihood is a Bernoulli)" in " ".join(str(found).split())
        assert max(map(len, found.report(everything=True).splitlines())) <= 100

    @pytest.mark.parametrize(
        ("variant", "options", "training", "expected"),
        [
            # So large a weight does leave nothing of z; it is no over-fitting and no slow encoder.
            ("beta-vae", {"beta": 10.0}, {"epochs": 30, "kl_warmup": 25.0}, {"collapse"}),
            pytest.param(
                *("beta-vae", {"beta": 3.0}, {"epochs": 40, "kl_warmup": 10.0}, set()),
                marks=pytest.mark.slow,
            ),
            pytest.param("iwae", {}, {"epochs": 30}, set(), marks=pytest.mark.slow),
            ("vae", {"condition": "label"}, {"epochs": 15}, set()),
        ],
    )
    def test_other_objectives_have_no_problem(
        self, digits: Dataset, variant: str, options: Any, training: Any, expected: set[str]
    ) -> None:
        torch.manual_seed(0)
        named = dict(options)
        source = digits.conditioned(named.pop("condition", None))
        recipe = variants.build(variant, source.spec, latent_dim=4, hidden=[64], **named)
        run = rp.fit(recipe, source, progress=False, **training)
        found = examine(run, n_examples=300)
        assert {f.name for f in found.of("problem")} == expected, str(found)
        if expected:
            assert "smaller beta= than 10" in found["collapse"].fix

    def test_small_discrete_data_have_no_problem(self) -> None:
        """Six bits that tell of one of two kinds: most held-out ones are in the training split."""
        generator = torch.Generator().manual_seed(0)
        kind = torch.rand(1000, 1, generator=generator) < 0.5
        x = (kind ^ (torch.rand(1000, 6, generator=generator) < 0.1)).float()
        source = data.from_arrays(x[:800], test=x[800:])
        torch.manual_seed(0)
        recipe = variants.vae(source.spec, latent_dim=2, hidden=[32])
        run = quick_fit(recipe, source, epochs=40, lr=3e-3)
        found = examine(run)
        assert found.of("problem") == (), str(found)
        assert found["leak"].severity == "fine"
        assert found["leak"].figures["share_in_train"] > 0.9


class TestCollapse:
    def test_all_of_it(self, healthy: Run, digits: Dataset) -> None:
        run = copied(healthy)
        for parameter in run.latent_model.encoder.family.head.parameters():
            parameter.data.zero_()  # q = N(0, 1), the prior
        context = diagnostic_context(run, digits)
        found = latents.collapse(context)
        assert found.severity == "problem"
        assert found.figures["kl"] == pytest.approx(0.0, abs=1e-6)
        assert "kl_warmup=" in found.fix
        # The decoder still listens to z: it is the encoder that does not speak.
        assert severity(encoder.lagging_encoder(context)) == "problem"

    def test_some_of_it(self) -> None:
        def encoder(x: Tensor) -> Distribution:
            loc = torch.cat([x, torch.zeros(len(x), 9)], 1)
            return normal(loc, torch.cat([torch.full_like(x, 0.1), torch.ones(len(x), 9)], 1))

        context = made(
            encoder,
            lambda z: normal(z[..., :1], 0.1),
            torch.randn(300, 1),
            prior=StandardNormal(10),
        )
        found = latents.collapse(context)
        assert found.severity == "advice"
        assert found.figures["n_unused"] == 9
        assert "latent_dim=" in found.fix

    def test_free_bits_force_no_information(self) -> None:
        context = made(
            lambda x: normal(torch.full_like(x, 0.7), 1.0),
            lambda z: normal(z, 1.0),
            torch.randn(300, 4),
        )
        found = latents.collapse(context)
        assert found.figures["n_still"] == 4
        assert found.figures["kl"] == pytest.approx(4 * 0.7**2 / 2, rel=1e-3)
        assert "same for all x" in found.message
        assert found.severity == "problem"
        assert "free bits" not in found.message
        forced = latents.collapse(replace(context, objective=ELBO(free_bits=0.2)))
        assert "free bits" in forced.message
        assert "free_bits=" not in forced.fix

    def test_half_of_it_pays_for_nothing(self) -> None:
        context = made(
            lambda x: normal(torch.cat([x, 0.7 + 0 * x], 1), 0.5),
            lambda z: normal(z[..., :2], 0.5),
            torch.randn(300, 2),
            prior=StandardNormal(4),
        )
        found = latents.collapse(context)
        assert found.severity == "advice"
        assert found.figures["n_still"] == 2
        assert "free_bits=" not in found.fix


class TestEncoder:
    @pytest.mark.parametrize(("shift", "width"), [(4.0, 1.0), (0.0, 4.0)])
    def test_gain_is_the_divergence_from_the_exact_posterior(
        self, shift: float, width: float
    ) -> None:
        found = encoder.lagging_encoder(linear_gaussian(shift, width))
        known = 3 * 0.5 * (shift**2 + width**2 - 1 - 2 * log(width))
        assert found.severity == "problem"
        assert found.figures["gain_held"] == pytest.approx(known, rel=0.05)

    @pytest.mark.parametrize("beta", [0.5, 4.0])
    def test_an_exact_posterior_under_a_weight_keeps_up(self, beta: float) -> None:
        """Maximizing E[log p(x | z)] - β KL over q gives q ∝ p(z) p(x | z)^(1/β)."""
        precision = 1 + 1 / (beta * NOISE**2)
        x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * (1 + NOISE**2) ** 0.5
        best = made(
            lambda x: normal(x / (beta * NOISE**2) / precision, precision**-0.5),
            lambda z: normal(z, NOISE),
            x,
            objective=ELBO(beta=beta),
        )
        found = encoder.lagging_encoder(best)
        assert found.severity == "fine"
        assert abs(found.figures["gain_held"]) < 0.1 * beta
        unweighted = encoder.lagging_encoder(replace(best, objective=ELBO()))
        assert unweighted.figures["gain_held"] > 5 * abs(found.figures["gain_held"])

    def test_an_exact_posterior_keeps_up(self) -> None:
        found = encoder.lagging_encoder(linear_gaussian())
        assert found.severity == "fine"
        assert abs(found.figures["gain_held"]) < 0.1

    def test_directions_are_tuned_too(self) -> None:
        digits = data.load("digits", binarize="dynamic")
        run = quick_fit(variants.vmf_vae(digits.spec, latent_dim=3), digits)
        found = encoder.lagging_encoder(diagnostic_context(run, digits, n_examples=50))
        assert found.figures["gain_train"] > 0

    def test_a_width_that_is_fixed_stays(self) -> None:
        context = linear_gaussian(width=4.0)
        assert context.latent is not None
        context.latent.encoder.family = Gaussian(3, scale=4.0)  # by its name only
        found = encoder.lagging_encoder(context)
        assert found.severity == "fine"

    @pytest.mark.parametrize(
        ("objective", "why"),
        [
            (IWAE(5), "no plain ELBO"),
            (ELBO(free_bits=0.1), "no plain ELBO"),
            (MMD(), "no plain ELBO"),
            (None, "not known"),
        ],
    )
    def test_it_is_judged_by_what_it_was_trained_for(self, objective: Any, why: str) -> None:
        context = replace(linear_gaussian(width=4.0), objective=objective)
        found = encoder.lagging_encoder(context)
        assert found.severity == "skipped"
        assert why in found.message

    def test_a_posterior_of_another_kind_is_left_alone(self) -> None:
        digits = data.load("digits", binarize="dynamic")
        run = quick_fit(variants.ladder_vae(digits.spec), digits)
        found = encoder.lagging_encoder(diagnostic_context(run, digits, n_examples=50))
        assert found.severity == "skipped"


class TestDraws:
    def test_an_exact_posterior_needs_one_draw(self) -> None:
        found = encoder.too_few_draws(linear_gaussian())
        assert found.severity == "fine"
        assert found.figures["rise"] == pytest.approx(0.0, abs=1e-4)
        assert found.figures["effective_draws"] == pytest.approx(500, rel=1e-3)

    @pytest.mark.parametrize(("shift", "expected"), [(3.0, "advice"), (6.0, "problem")])
    def test_a_poor_one_needs_more(self, shift: float, expected: str) -> None:
        found = encoder.too_few_draws(linear_gaussian(shift))
        assert found.severity == expected
        assert found.figures["rise"] > 0.1
        assert "n_samples=5000" in found.fix

    def test_a_rise_that_bits_per_dimension_do_not_show_is_no_problem(self) -> None:
        found = encoder.too_few_draws(linear_gaussian(6.0, n_others=5000))
        assert found.severity == "advice"
        assert found.figures["rise"] > 1

    def test_draws_are_those_of_the_kept_evaluation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = linear_gaussian(shift=3.0)
        kept = Evaluation(Facts("test", 400, True, n_samples=100, proposal="tuned"))
        monkeypatch.setattr(Run, "kept_evaluation", lambda run: kept)
        found = encoder.too_few_draws(context)
        # What is tuned to an example is its exact posterior, near enough.
        assert found.severity == "fine", str(found)
        assert found.figures["n_samples"] == 100
        assert found.figures["effective_draws"] > 50
        assert "tuned proposal" in found.evidence

    def test_figures_of_other_weights_are_not_kept(self, healthy: Run, digits: Dataset) -> None:
        assert healthy.folder is not None
        try:
            healthy.folder.evaluation_file.write_text('{"n_samples": 7, "weights_sha256": "0"}')
            found = encoder.too_few_draws(diagnostic_context(healthy, digits, n_examples=50))
        finally:
            healthy.folder.evaluation_file.unlink()
        assert found.figures["n_samples"] == 500


class TestPrior:
    def test_shifted_codes(self) -> None:
        context = made(
            lambda x: normal(3 + 0 * x, 1.0), lambda z: normal(z, 1.0), torch.randn(1000, 2)
        )
        found = latents.far_aggregate(context)
        assert found.severity == "advice"
        assert found.figures["nats"] == pytest.approx(2 * 3**2 / 2, rel=0.1)

    def test_codes_like_the_prior(self) -> None:
        assert severity(latents.far_aggregate(linear_gaussian())) == "fine"


class TestCodes:
    @pytest.mark.parametrize(("n_used", "expected"), [(16, "fine"), (12, "advice"), (3, "problem")])
    def test_are_counted(self, n_used: int, expected: str) -> None:
        codes = torch.arange(16.0)[:, None]
        prior = Function(None)
        sequence = Autoregressive(lambda k: torch.zeros(*k.shape, 16), length=4)
        prior.forward = lambda: CodeSequence(sequence, codes)  # type: ignore[method-assign]
        x = (torch.arange(400 * 4) % n_used).float().reshape(400, 4)
        context = made(
            lambda x: QuantizedCodes(x[..., None], codes), lambda z: normal(z, 1.0), x, prior=prior
        )
        found = latents.dead_codes(context)
        assert found.severity == expected
        assert found.figures["n_used"] == n_used
        assert found.figures["perplexity"] == pytest.approx(n_used, rel=1e-3)


class TestBeta:
    @pytest.mark.parametrize(
        ("beta", "expected"), [(1.0, "fine"), (4.0, "advice"), (0.5, "advice")]
    )
    def test_of_an_objective(self, beta: float, expected: str) -> None:
        context = replace(linear_gaussian(), objective=ELBO(beta=beta))
        found = likelihood.kl_weight(context)
        assert found.severity == expected
        assert found.figures["beta"] == beta

    @pytest.mark.parametrize(("n_averaged", "expected"), [(64, "problem"), (1, "fine")])
    def test_of_a_reconstruction_averaged_over_pixels(
        self, healthy: Run, digits: Dataset, n_averaged: int, expected: str
    ) -> None:
        def averaged(model: LatentModel, batch: Batch) -> Terms:
            made = forward_pass(model, batch)
            return made.terms(made.reconstruction / n_averaged - made.divergence.value)

        found = likelihood.kl_weight(diagnostic_context(healthy, digits, averaged))
        assert found.severity == expected
        assert found.figures["beta"] == pytest.approx(n_averaged, rel=0.15)


class TestLikelihood:
    @pytest.mark.parametrize(
        ("variant", "name", "expected"),
        [
            ("vae", "cross-entropy", "problem"),
            ("vae", "continuous-bernoulli", "fine"),
            ("ae", "cross-entropy", "fine"),
        ],
    )
    def test_cross_entropy(self, variant: str, name: str, expected: str) -> None:
        digits = data.load("digits")
        recipe = variants.build(variant, digits.spec, latent_dim=2, hidden=[16], likelihood=name)
        run = quick_fit(recipe, digits)
        found = likelihood.cross_entropy(diagnostic_context(run, digits, n_examples=50))
        assert found.severity == expected
        if expected == "problem":
            assert "likelihood='discretized-logistic'" in found.fix
            assert found.figures["missing_nats"] > 64 * log(2) - 1e-3  # C(λ) is 2 at least

    def test_what_is_missing_is_the_normalizer(self) -> None:
        from reparam.distributions import CrossEntropy

        x, logits = torch.rand(5, 7), 3 * torch.randn(5, 7)
        known = TorchContinuousBernoulli(logits=logits)._cont_bern_log_norm().sum(1)
        missing = likelihood.missing_nats(CrossEntropy(logits=logits), x)
        assert torch.allclose(missing.float(), known, atol=1e-3)


class TestScale:
    @pytest.mark.parametrize(
        ("sigma", "expected"), [(0.5, "fine"), (0.7, "advice"), (1.0, "problem"), (0.1, "problem")]
    )
    def test_of_a_fixed_decoder(self, sigma: float, expected: str) -> None:
        x = torch.randn(500, 4)
        x = 0.499 * x / x.square().mean().sqrt()
        context = made(lambda x: normal(x, 1.0), lambda z: normal(0 * z, sigma), x)
        found = likelihood.decoder_scale(context)
        assert found.severity == expected
        assert found.figures["best_sigma"] == pytest.approx(0.499, rel=1e-4)
        assert found.figures["beta_beside_best"] == pytest.approx((sigma / 0.499) ** 2, rel=1e-4)
        assert found.figures["beta_beside_squared_error"] == pytest.approx(2 * sigma**2)

    def test_the_true_noise_is_the_best(self) -> None:
        found = likelihood.decoder_scale(linear_gaussian())
        assert found.severity == "fine"
        assert found.figures["best_sigma"] == pytest.approx(NOISE, rel=0.05)

    @pytest.mark.parametrize(("sigma", "expected"), [(0.5, "fine"), (0.2, "problem")])
    def test_of_a_learned_one(self, sigma: float, expected: str) -> None:
        x = 0.5 * torch.randn(500, 4)
        scale = sigma * torch.tensor([1.0, 1.0, 1.0, 1.001])
        found = likelihood.decoder_scale(
            made(lambda x: normal(x, 1.0), lambda z: normal(0 * z, scale.expand(z.shape)), x)
        )
        assert found.severity == expected
        assert found.figures["rms_in_sigmas"] == pytest.approx(0.5 / sigma, rel=0.05)

    @pytest.mark.parametrize(("n_held_up", "expected"), [(0, "fine"), (2, "advice")])
    def test_at_the_floor(self, n_held_up: int, expected: str) -> None:
        x = torch.randn(200, 4)
        x[:, :n_held_up] = 0.0
        source = data.from_arrays(x, support="real")
        model = variants.vae(source.spec, latent_dim=2, hidden=[8]).model
        *_, bias = model.decoder.family.head.parameters()
        for parameter in model.decoder.family.head.parameters():
            parameter.data.zero_()
        bias.data[7] = 0.01  # log σ² of the last column
        bias.data[4 : 4 + n_held_up] = -40.0
        found = likelihood.decoder_scale(
            diagnostic_context(Run(model, source.spec, {}, source), source)
        )
        assert found.severity == expected
        assert found.figures["share_at_floor"] == n_held_up / 4


@pytest.mark.parametrize("n", [14, 63, 300])
def test_a_code_that_the_rows_do_not_support_is_no_problem(n: int) -> None:
    """Columns that do not depend on each other leave z nothing to say; others do."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=draw)
    turn = 2 * torch.pi * torch.rand(n, 1, generator=draw)
    noise = 0.05 * torch.randn(n, 2, generator=draw)
    circle = torch.cat([turn.cos(), turn.sin()], 1) + noise  # dependent without a correlation
    line = x[:, :1] + 0.4 * torch.randn(n, 3, generator=draw)
    for rows, expected in ((x, "advice"), (line, "problem"), (circle, "problem")):
        if n == 14 and expected == "problem":  # too few to tell
            continue
        # After two steps of nothing, z says nothing.
        run = quick_fit(variants.vae, rows, epochs=None, steps=2, lr=1e-9)
        found = latents.collapse(diagnostic_context(run, run.dataset()))
        assert found.severity == expected, str(found)


def test_classes_that_depend_on_each_other_need_a_code() -> None:
    random = np.random.default_rng(0)
    place = random.integers(0, 4, 200)
    rows = {"a": np.array(list("wxyz"))[place], "b": random.choice(["p", "q", "r"], 200)}
    for other, expected in ((random.integers(0, 5, 200), "advice"), (place * 3 % 5, "problem")):
        table = pd.DataFrame({**rows, "c": np.array(list("abcde"))[other]})
        table.loc[::9, "a"] = None
        read = of_frame(table)
        assert read is not None
        source = data.from_table(read, schema=schema_of(read))
        run = quick_fit(variants.vae, source, epochs=None, steps=2, lr=1e-9)
        found = latents.collapse(diagnostic_context(run, source))
        assert found.severity == expected, str(found)


def validated(losses: list[float], step: int) -> list[dict[str, Any]]:
    """Rows of a validation with these losses, from a step on."""
    return [
        {"split": "validation", "epoch": i, "step": step + i, "loss": loss}
        for i, loss in enumerate(losses)
    ]


@pytest.fixture(scope="module")
def few() -> tuple[Run, Dataset]:
    static = data.load("digits", binarize="static", seed=1)
    splits = {
        "train": static.split("train").take(torch.arange(60)),
        "test": static.split("test"),
    }
    source = replace(static, splits=splits)
    recipe = variants.vae(source.spec, latent_dim=8, hidden=[128])
    return quick_fit(recipe, source, epochs=250), source


class TestOverfitting:
    def test_few_examples(self, few: tuple[Run, Dataset]) -> None:
        found = training.overfitting(diagnostic_context(*few))
        assert found.severity == "problem"
        assert found.figures["gap"] > 5

    @pytest.mark.parametrize(
        ("losses", "config", "expected"),
        [
            ([30.0, 20.0, 25.0, 35.0], {}, "problem"),
            ([30.0, 20.0, 25.0, 35.0], {"early_stopping": 3}, "advice"),
            ([30.0, 25.0, 20.0, 19.0], {}, "advice"),
        ],
    )
    def test_a_gap_and_a_validation_that_rose(
        self, few: tuple[Run, Dataset], losses: list[float], config: Any, expected: str
    ) -> None:
        run, source = few
        rows = [*run.rows, *validated(losses, run.rows[0]["step"])]
        changed = replace(run, rows=rows, config=run.config | config)
        found = training.overfitting(diagnostic_context(changed, source))
        assert found.severity == expected
        if not config and expected == "problem":
            assert "best after epoch 2 with 20.00, last 35.00" in found.evidence
            assert "early_stopping=" in found.fix

    def test_a_validation_that_rose_without_a_gap(self, healthy: Run, digits: Dataset) -> None:
        """Train and test are the same examples here, so that nothing is over-fitted."""
        train = digits.split("train")
        source = replace(digits, splits={"train": train, "test": train})
        rows = [*healthy.rows, *validated([20.0, 30.0], healthy.rows[0]["step"])]
        found = training.overfitting(diagnostic_context(replace(healthy, rows=rows), source))
        assert found.severity == "fine"

    def test_a_warm_up_is_no_rise_of_validation(self, few: tuple[Run, Dataset]) -> None:
        """Before its end another objective is maximized, and its best says nothing."""
        run, source = few
        last = run.rows[-1]["step"]
        early = [row | {"beta": 0.1} for row in run.rows]
        late = [row | {"step": last + 1 + row["step"]} for row in run.rows]
        rows = [*early, *validated([10.0, 12.0], 1), *late, *validated([30.0, 29.0], 2 * last + 1)]
        found = training.overfitting(diagnostic_context(replace(run, rows=rows), source))
        assert found.figures["best_validation_loss"] == 29.0
        assert found.severity == "advice"

    def test_a_run_that_carries_over(self, healthy: Run, digits: Dataset) -> None:
        assert severity(training.overfitting(diagnostic_context(healthy, digits))) != "problem"


def curve(losses: Any, **config: Any) -> DiagnosticContext:
    """A run that had these losses."""
    context = linear_gaussian()
    rows = [
        {"split": "train", "epoch": 0, "step": 50 * (i + 1), "loss": float(loss), "beta": 1.0}
        for i, loss in enumerate(losses)
    ]
    config = {"lr": 0.01, "epochs": 10, **config}
    return replace(context, run=replace(context.run, rows=rows, config=config))


STEPS = torch.arange(200.0)
FALLING = 100 + 400 * torch.exp(-STEPS / 10) + 0.3 * torch.sin(37 * STEPS)


class TestCurves:
    def test_a_steady_one(self) -> None:
        context = curve(FALLING)
        assert severity(training.learning_rate(context)) == "fine"
        assert severity(training.stopped_early(context)) == "fine"

    def test_spikes(self) -> None:
        losses = FALLING.clone()
        losses[[90, 130]] += 60
        found = training.learning_rate(curve(losses))
        assert found.severity == "problem"
        assert found.figures["n_spikes"] == 2
        assert "lr=0.003" in found.fix

    def test_validation_that_goes_up_and_down(self) -> None:
        """In standard deviations of the ELBO over examples, which are about 2 nats here."""
        context = curve(FALLING)
        losses = FALLING.clone()[:30].clamp(max=120)
        losses[[12, 20]] += 10
        rows = [*context.run.rows, *validated(losses.tolist(), 50)]
        found = training.learning_rate(replace(context, run=replace(context.run, rows=rows)))
        assert found.severity == "problem"
        assert found.figures["n_validation_spikes"] == 2
        assert found.figures["n_spikes"] == 0
        assert "2 of 30 validations are outliers" in found.evidence
        steady = [*context.run.rows, *validated(FALLING[:30].tolist(), 50)]
        found = training.learning_rate(replace(context, run=replace(context.run, rows=steady)))
        assert found.severity == "fine"

    def test_a_real_curve_that_never_calms_down(self) -> None:
        source = data.load("digits", validation=71)
        torch.manual_seed(0)
        recipe = variants.vae(source.spec, hidden=[64])
        run = quick_fit(recipe, source, epochs=30, lr=2.0, clip_norm=1.0)
        found = training.learning_rate(diagnostic_context(run, source))
        assert found.severity == "problem", str(found)
        assert "lr=0.2" in found.fix
        assert "clip_norm" not in found.fix

    def test_a_rise(self) -> None:
        found = training.learning_rate(curve(FALLING + 80 * (STEPS > 100)))
        assert found.severity == "problem"
        assert found.figures["rise"] == pytest.approx(80, abs=2)

    def test_no_number(self) -> None:
        losses = FALLING.clone()
        losses[150] = torch.nan
        assert severity(training.learning_rate(curve(losses))) == "problem"

    def test_a_phase_of_another_objective_is_no_rise(self) -> None:
        context = replace(curve(FALLING + 80 * (STEPS > 100)), last_phase=0.5)
        assert severity(training.learning_rate(context)) == "fine"

    def test_a_warm_up_is_no_rise(self) -> None:
        context = curve(100 + 50 * (STEPS / 50).clamp(max=1) + 0.3 * torch.sin(37 * STEPS))
        for row in context.run.rows[:50]:
            row["beta"] = 0.5
        assert severity(training.learning_rate(context)) == "fine"

    def test_too_few_rows_have_no_shape(self) -> None:
        context = curve([500.0, 600.0, 100.0])
        assert severity(training.learning_rate(context)) == "skipped"
        assert severity(training.stopped_early(context)) == "skipped"

    def test_a_second_player_may_make_it_rise(self) -> None:
        context = curve(FALLING + 80 * (STEPS > 100))
        for row in context.run.rows:
            row["discriminator/loss"] = 0.0
        assert severity(training.learning_rate(context)) == "skipped"

    def test_still_falling(self) -> None:
        found = training.stopped_early(curve(500 - STEPS))
        assert found.severity == "advice"
        assert found.figures["gain"] == pytest.approx(20)
        assert "epochs=20" in found.fix

    @pytest.mark.parametrize(
        ("held", "expected"),
        [
            ([500 - 5 * i for i in range(40)], "advice"),
            ([350 - 5 * min(i, 15) for i in range(40)], "fine"),
            ([350 - 5 * i + 0.2 * i**2 for i in range(40)], "fine"),
            ([400.0, 300.0, 290.0], "advice"),
            ([400.0, 300.0, 310.0], "fine"),
        ],
    )
    def test_validation_decides_whether_it_still_learned(
        self, held: list[float], expected: str
    ) -> None:
        context = curve(500 - STEPS)
        rows = [*context.run.rows, *validated(held, 50)]
        found = training.stopped_early(replace(context, run=replace(context.run, rows=rows)))
        assert found.severity == expected, str(found)

    def test_a_warm_up_is_no_part_of_what_was_learned(self) -> None:
        """The loss at β = 0 is not that of the objective: from it everything looks still."""
        falling = torch.cat([600 * torch.ones(100), 110 - 0.1 * torch.arange(100.0)])
        context = curve(falling)
        for row in context.run.rows[:100]:
            row["beta"] = 0.0
        found = training.stopped_early(context)
        assert found.figures["fall"] == pytest.approx(110 - 0.1 * 94.5 - 100.1 + 9.45, abs=0.6)
        assert found.severity == "advice"

    def test_a_real_rate_that_is_too_high(self, digits: Dataset) -> None:
        """It kills the units of the network within an epoch, so that nothing is left to encode."""
        torch.manual_seed(0)
        recipe = variants.vae(digits.spec, latent_dim=8, hidden=[64, 64])
        run = quick_fit(recipe, digits, epochs=5, lr=0.3)
        found = latents.collapse(diagnostic_context(run, digits, n_examples=50))
        assert found.severity == "problem"
        assert "lr=0.03" in found.fix
        assert "epochs=10, as 55 steps are few" in found.fix

    def test_weights_that_no_step_made_better(self) -> None:
        context = curve(FALLING)
        config = {**context.run.config, "recorded": {"kept_first": True}}
        found = training.stopped_early(replace(context, run=replace(context.run, config=config)))
        assert found.severity == "problem"
        assert "not trained" in found.message

    def test_an_interrupted_run(self, healthy: Run, digits: Dataset) -> None:
        assert healthy.folder is not None
        away = replace(healthy, folder=type(healthy.folder)(healthy.folder.path / "elsewhere"))
        found = training.stopped_early(diagnostic_context(away, digits, n_examples=50))
        assert found.severity == "problem"
        assert "resume=" in found.fix


class TestData:
    @pytest.mark.parametrize(
        ("x", "support", "name", "expected"),
        [
            (
                torch.rand(50, 4).index_fill(0, torch.tensor([3]), torch.nan),
                None,
                "finite",
                "problem",
            ),
            (torch.rand(50, 4), None, "finite", "fine"),
            (3 * torch.rand(50, 4), "unit", "range", "problem"),
            (torch.rand(50, 4), "unit", "range", "fine"),
            (torch.arange(256.0).reshape(64, 4), None, "support", "problem"),
            (torch.randint(200, (50, 5, 5)).float(), None, "support", "problem"),
            (torch.arange(17.0).repeat(64).reshape(17, 64), None, "support", "problem"),
            (1.0 + torch.arange(250).reshape(50, 5) % 5, None, "support", "fine"),
            (1.0 + torch.arange(250).reshape(50, 5) % 7 % 5, None, "columns", "advice"),
            (18.0 + torch.arange(248).reshape(62, 4) % 62, None, "support", "fine"),
            (torch.rand(50, 4), "unit", "grey", "fine"),
            (torch.randn(50, 4), None, "grey", "skipped"),
            (torch.randint(256, (50, 4), dtype=torch.uint8), None, "support", "fine"),
            (torch.rand(50, 4).round(), "real", "support", "advice"),
            (torch.rand(50, 1, 4, 4).round(), "real", "support", "problem"),
            (torch.rand(50, 4), "real", "support", "advice"),
            (torch.randn(50, 4), None, "support", "fine"),
            (torch.ones(50, 4), None, "variation", "problem"),
            (torch.randn(50, 4) * torch.tensor([0.0, 1, 1, 1]), None, "variation", "fine"),
            (torch.randn(50, 4) * torch.tensor([0.0, 1, 1, 1]), None, "columns", "advice"),
            (torch.rand(50, 4), None, "variation", "fine"),
            (1000 * torch.randn(50, 4), None, "scale", "fine"),
            (torch.randn(50, 4), None, "scale", "fine"),
        ],
    )
    def test_arrays(self, x: Tensor, support: Any, name: str, expected: str) -> None:
        found = examine_data(x, support=support)
        assert found[name].severity == expected, str(found)

    @pytest.mark.parametrize(
        ("x", "check", "expected"),
        [
            (1.0 + torch.arange(250).reshape(50, 5) % 5, "mistaken", "advice"),
            (18.0 + torch.arange(248).reshape(62, 4) % 62, "mistaken", "advice"),
            (torch.rand(50, 4).round(), "mistaken", "problem"),
            (torch.randn(50, 4) * torch.tensor([0.0, 1, 1, 1]), "constant", "advice"),
            (1000 * torch.randn(50, 4), "standardized", "problem"),
            (20 * torch.randn(50, 4), "standardized", "advice"),
            (torch.randn(50, 2) * torch.tensor([0.001, 1.0]), "standardized", "advice"),
        ],
    )
    def test_a_model_that_gets_the_values_as_they_are(
        self, x: Tensor, check: str, expected: str
    ) -> None:
        sample = data_checks.Sample(x, "real", has_model=True)
        assert vars(data_checks)[check](sample).severity == expected

    def test_missing_values_of_a_table_are_no_problem(self) -> None:
        columns = {"a": np.append(np.arange(50.0) % 7, np.nan), "b": np.arange(51.0) % 5}
        table = data.Table("t", columns, {"a": "float", "b": "int"}, {"b": 0})
        found = examine_data(data.from_table(table))["finite"]
        assert found.severity == "fine"

    def test_kinds_of_columns_are_named(self) -> None:
        n, rng = 400, np.random.default_rng(0)
        table = pd.DataFrame(
            {
                "height": rng.normal(size=n),
                "id": np.arange(5000, 5000 + n)[rng.permutation(n)],
                "flag": rng.integers(0, 2, n),
                "group": rng.integers(0, 4, n),
                "visits": rng.poisson(9, n),
                "rain": np.where(rng.random(n) < 0.4, 0, rng.exponential(size=n)),
                "unit": np.full(n, 3.0),
                "age": rng.integers(18, 80, n),
            }
        )
        found = examine_data(data.from_arrays(table))["columns"]
        assert found.severity == "advice"
        for said in (
            *("identifier: column id", "binary: column flag", "count: column visits"),
            *("category: column group", "spike: column rain", "constant: column unit"),
        ):
            assert said in found.evidence
        assert "height" not in found.evidence
        assert "age" not in found.evidence

    def test_a_span_is_that_of_most_values(self) -> None:
        """A normal column has values near 0, and spans no orders of magnitude."""
        normal = np.random.default_rng(0).standard_normal((5000, 2))
        x = np.stack([normal[:, 0], np.exp(5 * normal[:, 1])], 1)
        assert examine_data(x[:, :1])["tails"].figures["n_wide"] == 0
        found = examine_data(x)["tails"]
        assert found.figures["n_wide"] == 1
        assert "column 1" in found.evidence
        sample = data_checks.Sample(
            torch.from_numpy(x), "real", has_model=True, layer=Standardize(2)
        )
        assert data_checks.heavy_tails(sample).severity == "advice"

    @pytest.mark.parametrize(("n_shared", "expected"), [(0, "fine"), (10, "advice")])
    def test_examples_in_both_splits(self, n_shared: int, expected: str) -> None:
        x, test = torch.randn(100, 4), torch.randn(50, 4)
        test[:n_shared] = x[:n_shared]
        found = examine_data(data.from_arrays(x, test=test))["leak"]
        assert found.severity == expected
        assert found.figures["share_in_train"] == n_shared / 50

    @pytest.mark.parametrize("row", [0, 3, 399])
    def test_the_row_of_the_file_is_said(self, row: int) -> None:
        x = torch.randn(400, 6)
        x[row, 2] = torch.nan
        for n in (20, 400):
            found = examine_data(x, n_examples=n)["finite"]
            assert found.severity == "problem"
            assert f"index ({row}, 2)" in found.evidence

    def test_grey_levels_have_one_remedy(self) -> None:
        x = torch.randint(256, (200, 6), generator=torch.Generator().manual_seed(0)).float()
        x[0, 0] = 255
        found = examine_data(x)
        assert [f.name for f in found.of("problem")] == ["support"]
        assert found["scale"].severity == "skipped"
        assert examine_data(x, support="unit")["grey"].severity == "skipped"

    def test_the_brightest_level_is_quoted(self) -> None:
        found = examine_data(torch.arange(17.0).repeat(64).reshape(17, 64))["support"]
        assert found.fix == "divide by 16"
        assert "up to 16" in found.message

    def test_examples_of_few_values_meet_again_by_chance(self) -> None:
        bits = torch.randint(2, (500, 6), generator=torch.Generator().manual_seed(0)).float()
        found = examine_data(data.from_arrays(bits[:300], test=bits[300:]))["leak"]
        assert found.figures["share_in_train"] > 0.9
        assert found.figures["share_by_chance"] > 0.9
        assert found.severity == "fine"

    def test_large_data_are_not_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data_checks, "LEAK_MIB", 0)
        found = examine_data(data.from_arrays(torch.randn(50, 4), test=torch.randn(20, 4)))["leak"]
        assert found.severity == "skipped"

    def test_integer_columns_have_no_problem(self) -> None:
        generator = torch.Generator().manual_seed(0)
        ratings = torch.randint(1, 6, (300, 3), generator=generator)
        ages = torch.randint(18, 80, (300, 1), generator=generator)
        found = examine_data(torch.cat([ratings, ages], 1).float())
        assert found.of("problem") == (), str(found)
        assert "category: column 0, 1, 2" in found["columns"].evidence

    def test_grey_values_say_what_cross_entropy_is(self) -> None:
        said = examine_data(torch.rand(50, 4))["grey"].message
        assert "no likelihood" in said
        assert "continuous-bernoulli" in said

    def test_named_data_are_well(self) -> None:
        found = examine_data(data.load("digits"))
        assert found.of("problem") == ()
        assert found.of("advice") == ()
        assert found["grey"].figures["share_grey"] > 0.1

    def test_tokens_are_no_quantities(self) -> None:
        x = torch.randint(5, (50, 4))
        source = data.from_arrays(x, support="tokens")
        assert examine_data(source).of("problem") == ()

    def test_too_few_are_refused(self) -> None:
        with pytest.raises(OptionError, match="n_examples=3"):
            examine_data(torch.randn(50, 4), n_examples=3)


class TestCommand:
    def test_a_run(self, healthy: Run) -> None:
        assert healthy.folder is not None
        before = sorted(healthy.folder.path.rglob("*"))
        words = ("doctor", healthy.folder.path, "--n-examples 60")
        out = reparam(*words).out
        assert "No problem was found." in out
        assert "fine: every value is finite" in out
        assert "evidence: β = 1" in reparam(*words, "--all").out
        found = json.loads(reparam(*words, "--json").out)["findings"]
        assert sorted(healthy.folder.path.rglob("*")) == before
        assert {"name", "severity", "message", "evidence", "fix", "figures"} == set(found[0])

    def test_data(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.full((20, 3), np.nan))
        np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(20, 3)))
        (tmp_path / "some.txt").write_text("the cat sat on the mat. " * 400)
        assert "No problem was found." in reparam("doctor digits --binarize dynamic").out
        assert "PROBLEMS\nfinite:" in reparam("doctor", tmp_path / "x.npy").out
        said = reparam("doctor", tmp_path / "x.npz", "--support real")
        assert "No problem was found." in said.out
        assert "training examples of shape (64,)" in reparam("doctor", tmp_path / "some.txt").out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["minst"], "did you mean 'mnist'"),
            (["digits", "--support", "real"], "for .npy files only"),
            (["digits", "--seed", "-1"], "--seed -1: "),
            (["FOLDER"], "holds no run (no config.yaml) and no images"),
            (["TABLE"], "is a table: 'reparam data inspect' shows"),
        ],
    )
    def test_what_it_refuses(self, words: list[str], said: str, tmp_path: Path) -> None:
        table = tmp_path / "a.csv"
        if "TABLE" in words:
            table.write_text("a,b\n1,2\n")
        places = {"FOLDER": str(tmp_path), "TABLE": str(table)}
        words = [places.get(word, word) for word in words]
        assert said in reparam("doctor", *words, code=2).err

    def test_a_run_prepares_its_own_data(self, healthy: Run) -> None:
        assert healthy.folder is not None
        said = reparam("doctor", healthy.folder.path, "--binarize static", code=2)
        assert "--binarize" in said.err


def test_spec_of_a_model_by_hand() -> None:
    """A model composed by hand has no recorded objective, and is examined without it."""
    context = replace(linear_gaussian(), objective=None)
    assert isinstance(context.run.spec, DataSpec)
    assert severity(likelihood.kl_weight(context)) == "skipped"


def test_a_model_that_gives_the_data_back_exactly_is_no_error() -> None:
    run = quick_fit(variants.vae, np.full((60, 2), 0.5))
    assert examine(run)["decoder-scale"].severity in ("fine", "skipped", "advice")
