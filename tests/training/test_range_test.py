"""A learning rate that is found by a range test."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.batch import Batch
from reparam.objectives import Terms
from reparam.training import Step, TrainingOptions, range_test
from reparam.training.range_test import SAFETY, best_rate, losses_by_rate, rates
from reparam.variants import Recipe
from tests.support import Stop, quick_fit, stop_at, weights

X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)) @ torch.ones(3, 3).triu()

NOISE = torch.randn(200, 8, 1, generator=torch.Generator().manual_seed(0)).double()


class Parabola(nn.Module):
    """λ/2 (θ - x)², on which gradient descent is stable below 2/λ."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature = curvature
        self.theta = nn.Parameter(torch.ones((), dtype=torch.float64))


def parabola(model: Parabola, batch: Batch) -> Terms:
    bound = -0.5 * model.curvature * (model.theta - batch.x[:, 0]).square()
    return Terms(bound=bound, reconstruction=bound)


def losses_of(curvature: float, *given: Tensor) -> list[float]:
    step = Step(
        Recipe(Parabola(curvature), parabola),
        TrainingOptions(clip_norm=0.0),
        n_steps=1000,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    )
    return losses_by_rate(step, cycle(map(Batch, given)))


class TestRates:
    def test_rise_exponentially(self) -> None:
        ratios = [b / a for a, b in zip(rates(), rates()[1:], strict=False)]
        assert ratios == pytest.approx([ratios[0]] * len(ratios))

    @pytest.mark.parametrize("curvature", [30.0, 100.0, 500.0])
    def test_gradient_descent_on_a_parabola_has_its_closed_form(self, curvature: float) -> None:
        losses = losses_of(curvature, torch.zeros(1, 1, dtype=torch.float64))
        theta, expected = 1.0, []
        for rate in rates():
            expected.append(curvature / 2 * theta**2)
            theta *= 1 - rate * curvature
        assert losses == pytest.approx(expected[: len(losses)], rel=1e-9)
        # The loss falls up to the largest stable rate, and never after it.
        least = rates()[losses.index(min(losses))]
        assert least == next(rate for rate in rates() if rate >= 2 / curvature)

    @pytest.mark.parametrize("curvature", [30.0, 100.0, 500.0])
    def test_the_rate_found_is_stable(self, curvature: float) -> None:
        """Even with noise, which keeps θ from its optimum."""
        found = best_rate(losses_of(curvature, *NOISE))
        assert found is not None
        assert found < 2 / curvature

    def test_a_fall_between_two_levels_gives_the_place_of_the_lower_one(self) -> None:
        """The moving average keeps 0.9^n of the upper level after n steps, 5 % after 28."""
        losses = [8.0] * 40 + [3.0] * 60
        assert best_rate(losses) == pytest.approx(rates()[40 + 27] / SAFETY, rel=0.02)

    @pytest.mark.parametrize("change", [lambda loss: 1000 * loss, lambda loss: loss - 1e4])
    def test_does_not_depend_on_units(self, change: Callable[[float], float]) -> None:
        losses = losses_of(100.0, *NOISE)
        assert best_rate(list(map(change, losses))) == best_rate(losses)

    def test_of_a_loss_that_rises_from_the_start_is_the_lowest_after_smoothing(self) -> None:
        assert best_rate(list(range(100))) == pytest.approx(rates()[10] / SAFETY, rel=0.02)

    def test_without_a_finite_loss_there_is_none(self) -> None:
        assert losses_of(float("nan"), torch.zeros(1, 1)) == []
        assert best_rate([]) is None


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test the rate of runs that are too short for it."""
    monkeypatch.setattr(range_test, "SHARE", 1.0)


def train(out: Path | None = None, variant: str = "vae", **options: Any) -> rp.Run:
    def model(spec: rp.DataSpec) -> Recipe:
        return rp.variants.build(variant, spec, latent_dim=2, hidden=(8,))

    options = {"epochs": None, "steps": 100, "early_stopping": 0, "log_every": 1, **options}
    return quick_fit(model, X, out=out, **options)


def same(a: rp.Run, b: rp.Run) -> bool:
    return all(map(torch.equal, weights(a).values(), weights(b).values()))


@pytest.mark.usefixtures("tested")
class TestRun:
    def test_is_that_of_the_rate_which_it_records(self) -> None:
        """The test changes neither weights nor draws, and finds the same rate again."""
        state = torch.get_rng_state()
        run = train()
        assert torch.equal(torch.get_rng_state(), state)
        assert run.config["lr"] not in (None, 5e-3)
        assert max(row["lr"] for row in run.rows) == pytest.approx(run.config["lr"])
        assert train().config == run.config | {"recorded": train().config["recorded"]}
        assert same(train(lr=run.config["lr"]), run)

    def test_resumes_exactly(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = train()
        options: dict[str, Any] = {"checkpoint_every": 0, "resume": True}
        with pytest.raises(Stop):
            train(tmp_path / "run", callbacks=[stop_at(40)], **options)
        monkeypatch.setattr(range_test, "losses_by_rate", None)  # there is no second test
        assert same(train(tmp_path / "run", **options), whole)

    def test_says_what_it_found(self, capsys: pytest.CaptureFixture[str]) -> None:
        run = train(progress=True)
        said = f"adam at {run.config['lr']:g} (found by a range test of 100 steps, linear"
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "lr"),
        [
            ({"lr": 0.003}, 0.003),
            ({"steps": 99}, 5e-3),  # too few for a test
            ({"variant": "factor-vae"}, 5e-3),  # a player
            ({"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)}, 5e-3),
        ],
    )
    def test_has_no_test_where_it_says_nothing(self, options: dict[str, Any], lr: float) -> None:
        assert train(**options).config["lr"] == lr

    def test_grows_with_the_root_of_the_batch_beyond_that_of_the_test(self) -> None:
        plain, large = (train(batch_size=size).config["lr"] for size in (128, 288))
        assert large == pytest.approx(1.5 * plain, rel=0.05)
