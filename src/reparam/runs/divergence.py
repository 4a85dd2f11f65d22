"""A run whose learning rate was found, and whose training diverges, begins again at a lower one.

It diverges if its loss is not finite, or if no weights are better on held-out examples than the
first ones. A range test of a hundred steps cannot see what happens after thousands.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import Any, ParamSpec, TypeVar, cast

from torch import nn

from reparam.errors import NonFiniteError
from reparam.objectives.recipe import Recipe
from reparam.runs.folder import RunFolder
from reparam.training.length import seconds_of
from reparam.utils.terminal import note

MOST_AGAIN = 3
"""How often a run begins again."""

LEAST_LEFT = 0.1
"""The least share of a budget in which a run begins again."""

Given = ParamSpec("Given")
Found = TypeVar("Found")


NOT_FINITE, NO_BETTER = "the loss is not finite", "no weights are better than the first ones"
"""How a run diverges."""

_MAY_AGAIN: ContextVar[bool] = ContextVar("_MAY_AGAIN", default=False)
"""Whether a run that has begun again may do so once more."""

FACTORS = {NOT_FINITE: 0.5, NO_BETTER: 0.25}
"""The learning rate of the next run, as a multiple of the one before."""


class Diverged(Exception):
    """A run that diverges at a learning rate that was found.

    Arguments:
        lr: The learning rate.
        folder: The folder that was begun; None for a run in memory.
        how: How it diverges: ``NOT_FINITE`` or ``NO_BETTER``.
    """

    def __init__(self, lr: float, folder: RunFolder | None, how: str = NOT_FINITE) -> None:
        super().__init__(f"{how} at the learning rate {lr:g}")
        self.lr, self.folder, self.how = lr, folder, how


@contextmanager
def diverging(lr: float | None, folder: RunFolder | None) -> Iterator[None]:
    """Raise ``Diverged`` in place of an error of a loss that is not finite.

    Arguments:
        lr: The learning rate that was found; None for one that a user gives, whose error stays.
        folder: The folder of the run; None for a run in memory.
    """
    try:
        yield
    except NonFiniteError as error:
        if lr is None:
            raise
        raise Diverged(lr, folder) from error


def rate_is_free(lr_is_found: bool) -> bool:
    """Return whether the learning rate of a run is not the user's, so that another may be tried.

    Arguments:
        lr_is_found: Whether a range test of this run found it.
    """
    may_again = _MAY_AGAIN.get()
    _MAY_AGAIN.set(False)  # a run that a callback starts has the rate that it is given
    return lr_is_found or may_again


def begins_again(fit: Callable[Given, Found]) -> Callable[Given, Found]:
    """Return ``fit`` as a function that begins again where it raises ``Diverged``.

    The model gets back the weights that it was given with, and what was written is removed. A
    budget counts from the first beginning on.

    Arguments:
        fit: The function, whose first argument is ``model``.
    """

    @functools.wraps(fit)
    def again(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        options: dict[str, Any] = dict(kwargs)
        began, budget = time.perf_counter(), options.get("budget")
        model = args[0] if args else options.get("model")
        module = model.model if isinstance(model, Recipe) else model
        first = None
        if isinstance(module, nn.Module) and options.get("lr") is None:
            first = deepcopy(module.state_dict())
        try:
            return fit(*args, **kwargs)
        except Diverged as diverged:
            lr, folder = diverged.lr, diverged.folder
            how, error = diverged.how, diverged.__cause__
        for n_left in reversed(range(MOST_AGAIN)):
            share = 0.0
            if budget is not None:
                share = (time.perf_counter() - began) / seconds_of(budget)
                left = max(1 - share, LEAST_LEFT) * seconds_of(budget)
                options["budget"] = round(left, 1) if left > 1 else left
            if share > 1 - LEAST_LEFT and how == NOT_FINITE:
                break
            lower = float(f"{FACTORS[how] * lr:.2g}")
            note(
                f"{how} at the learning rate {lr:g}, which was found: training begins again at "
                f"{lower:g}"
            )
            lr, how = lower, NOT_FINITE
            options["lr"] = lower
            if first is not None:
                cast(nn.Module, module).load_state_dict(first)
            if folder is not None:
                folder.clear()
                options["out"] = folder.path
            token = _MAY_AGAIN.set(n_left > 0)
            try:
                return cast(Callable[..., Found], fit)(*args, **options)
            except NonFiniteError as other:
                error = other
            except Diverged as other:
                how, folder, error = other.how, other.folder, other.__cause__
            finally:
                _MAY_AGAIN.reset(token)
        raise cast(NonFiniteError, error)

    return again
