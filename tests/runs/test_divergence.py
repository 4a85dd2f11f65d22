"""A run whose learning rate was found begins again at half of it where training diverges."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import NonFiniteError
from reparam.training import Event
from reparam.training.length import seconds_of
from reparam.training.validation import Validation

X = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> float:
    """The learning rate that the range test finds."""
    monkeypatch.setattr("reparam.runs.fit.found_lr", lambda *given: 0.04)
    monkeypatch.setattr("reparam.runs.fit.steps_of_test", lambda *given: 1)
    return 0.04


def breaking(model: torch.nn.Module, highest: float) -> Callable[[Event], None]:
    """Return a callback that breaks a model as a rate above this one does, in the middle."""

    def watch(event: Event) -> None:
        if event.step >= 40 and event.row and event.row.get("lr", 0.0) > highest:
            with torch.no_grad():
                next(model.parameters()).fill_(torch.nan)

    return watch


def fitted(recipe: Any, highest: float, **options: Any) -> rp.Run:
    given = {"steps": 300, "batch_size": 64, "log_every": 20, "early_stopping": 0, **options}
    return rp.fit(recipe, X, callbacks=[breaking(recipe.model, highest)], **given)


def weights(run: rp.Run) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def small() -> Any:
    return rp.variants.vae(rp.data.from_arrays(X).spec, latent_dim=2, hidden=[4])


def test_the_run_is_that_of_the_smaller_rate(
    rate: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, other = small(), small()
    other.model.load_state_dict(recipe.model.state_dict())
    run = fitted(recipe, rate / 3, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert "not finite at the learning rate 0.04, which was found" in said
    assert "begins again at 0.02" in said
    assert "begins again at 0.01" in said
    assert run.config["lr"] == 0.01
    known = fitted(other, rate, lr=0.01)
    one, two = weights(run), weights(known)
    assert all(torch.equal(one[name], two[name]) for name in one)
    steps = [row["step"] for row in rp.load(tmp_path / "run").rows if row["split"] == "train"]
    assert steps == sorted({*steps})  # nothing is left of what was begun before


@pytest.mark.usefixtures("rate")
def test_a_run_that_diverges_at_any_rate_says_so() -> None:
    with pytest.raises(NonFiniteError, match="not finite"):
        fitted(small(), 0.0)


def test_a_rate_that_is_given_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NonFiniteError):
        fitted(small(), 0.001, lr=0.02)
    assert "begins again" not in capsys.readouterr().err


@pytest.mark.usefixtures("rate")
def test_a_run_that_learns_nothing_begins_again_at_a_quarter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reparam.training.length.DEFAULT_STEPS", 60)
    found = iter([True, False])  # the first run keeps the weights that it began with
    monkeypatch.setattr(Validation, "kept_first", property(lambda _: next(found, False)))
    run = rp.fit(small(), X, batch_size=64)
    said = capsys.readouterr().err
    assert "no weights are better than the first ones at the learning rate 0.04, which" in said
    assert said.count("begins again at 0.01") == 1
    assert run.config["lr"] == 0.01


@pytest.mark.usefixtures("rate")
def test_a_budget_is_shared_with_the_runs_that_begin_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter([True, True, False])
    monkeypatch.setattr(Validation, "kept_first", property(lambda _: next(found, False)))
    run = rp.fit(small(), X, batch_size=64, budget="20s", callbacks=[_ending(30)])
    said = capsys.readouterr().err
    assert said.count("no weights are better") == 2
    assert said.count("begins again at 0.0025") == 1
    assert run.config["lr"] == 0.0025
    assert 2 < seconds_of(run.config["budget"]) < 20


def _ending(step: int) -> Callable[[Event], None]:
    """Return a callback that ends a run after a step."""

    def watch(event: Event) -> None:
        if event.step > step:
            event.stop()

    return watch
