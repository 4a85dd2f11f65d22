"""When a run ends for want of a better score."""

from types import SimpleNamespace
from typing import Any

import pytest

from reparam.training.state import Progress
from reparam.training.validation import Patience, Validation


def stops(steps: int, **progress: Any) -> bool:
    """Return whether a run with a patience of some steps ends at this progress."""
    options = SimpleNamespace(early_stopping=0)
    step: Any = SimpleNamespace(options=options, clock=None)
    state: Any = SimpleNamespace(step=step, progress=Progress(**progress))
    validation = Validation(None, state)
    validation.patience = Patience(steps=steps, by_loss=True)
    return validation.stops


@pytest.mark.parametrize(
    ("best_step", "trained_step", "expected"),
    [(600, 600, True), (700, 700, False), (0, 900, False), (0, 600, True)],
)
def test_patience_counts_from_the_best_of_the_trained_weights(
    best_step: int, trained_step: int, expected: bool
) -> None:
    """The weights that a run begins with may be better than many steps, which still learn."""
    found = stops(400, step=1000, best=9.0, best_step=best_step, trained_step=trained_step)
    assert found is expected


def test_scores_that_are_not_known_are_stored() -> None:
    values = Progress(step=3).to_values()
    assert values["best"] is values["trained"] is None
    assert Progress.from_values(values) == Progress(step=3)
    older = {key: value for key, value in values.items() if not key.startswith("trained")}
    assert Progress.from_values({**older, "best": 2.0, "best_step": 1}).trained_step == 1
