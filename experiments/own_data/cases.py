"""One fit of a protocol, and its figures."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Figures = dict[str, float]


class Case(NamedTuple):
    """One fit and its figures.

    Arguments:
        name: The data set.
        contender: What is fitted.
        measure: Returns the figures.
        versions: Returns the versions of the libraries that are fitted in place of ours, by name.
    """

    name: str
    contender: str
    measure: Callable[[], Figures]
    versions: Callable[[], Mapping[str, str]] = dict
