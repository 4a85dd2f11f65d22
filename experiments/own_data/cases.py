"""One fit of a protocol, and its figures."""

from collections.abc import Callable
from typing import NamedTuple

Figures = dict[str, float]


class Case(NamedTuple):
    """One fit and its figures.

    Arguments:
        name: The data set.
        contender: What is fitted.
        measure: Returns the figures.
    """

    name: str
    contender: str
    measure: Callable[[], Figures]
