"""Metrics: the declaration of figures, of what they need, and their computation.

A metric is one class in a file of ``evaluation/metrics/``. The table, ``evaluation.json``, the
comparison of runs and the command line read its declaration.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar

from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure, Figures
from reparam.utils.registry import Registry


class Section(Enum):
    """The sections of the table, in its order."""

    BOUND = "Bound and likelihood"
    CODE = "Code: what z costs, and what it is spent on"
    LATENTS = "Latents"
    SAMPLES = "Reconstructions and samples"


class Needs(Flag):
    """The properties that a model and examples must have for a metric to apply."""

    NOTHING = 0
    LATENTS = auto()
    """Latent variables."""
    DENSITY = auto()
    """A posterior with a density, and so a KL."""
    LABELS = auto()
    """Examples with known labels."""


@dataclass(frozen=True)
class Quantity:
    """The declaration of a figure.

    Arguments:
        name: Its key in ``evaluation.json``.
        description: Its meaning, for the table: a text, or a function of the facts and figures of
            an evaluation.
        unit: Its unit.
        higher_is_better: Its direction; None where neither is better.
        has_stderr: Whether it has a standard error, under the key ``NAME_stderr``.
        has_bias: Whether it has an estimate of its bias, under the key ``NAME_bias``.
        is_compared: Whether runs are compared by it example by example. Its values are then stored
            beside ``evaluation.json``.
        is_likelihood: Whether it is log p(x), a bound of it, or its length in bits, where
            p(x | z) is normalized.
        is_shown: Whether the table has a row for it.
    """

    name: str
    description: str | Callable[[Facts, Figures], str]
    unit: str = ""
    higher_is_better: bool | None = None
    has_stderr: bool = True
    has_bias: bool = False
    is_compared: bool = False
    is_likelihood: bool = False
    is_shown: Callable[[Facts, Figures], bool] = lambda facts, figures: True

    def described(self, facts: Facts, figures: Figures) -> str:
        """Return the meaning of the figure in an evaluation."""
        return (
            self.description
            if isinstance(self.description, str)
            else self.description(facts, figures)
        )


@dataclass(frozen=True)
class Measured:
    """The result of a metric.

    Arguments:
        figures: Its figures by name; None for one that does not exist.
        facts: Values of ``Facts`` by name.
        warnings: Sentences about figures that are missing or unreliable.
    """

    figures: Mapping[str, Figure | None] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Metric(ABC):
    """A group of figures that are computed together."""

    section: ClassVar[Section]
    """The section of the table; within it, metrics are in the order of their registration."""
    quantities: ClassVar[tuple[Quantity, ...]]
    """The figures."""
    needs: ClassVar[Needs] = Needs.NOTHING
    """The properties that the model and the examples must have."""

    def check(self, context: Context) -> None:  # noqa: B027
        """Refuse what cannot be measured, before anything is computed.

        Raises:
            ReparamError: The metric was requested, and the model or the data do not have it.
        """

    @abstractmethod
    def compute(self, context: Context) -> Measured:
        """Return the figures of the examples of a context."""


def is_met(needs: Needs, context: Context) -> bool:
    """Return whether the model and the examples of a context meet the needs of a metric."""
    y = context.batch.y
    if Needs.LABELS in needs and (y is None or not bool((y >= 0).any())):
        return False
    if Needs.LATENTS in needs and context.is_directed:
        return False
    return Needs.DENSITY not in needs or context.draws.has_density


METRICS: Registry[type[Metric]] = Registry("metric")
"""All metrics by name."""


@cache
def metrics() -> tuple[Metric, ...]:
    """Return all metrics in the order of the table."""
    from reparam.evaluation import metrics as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    found = [kind() for kind in METRICS.values()]
    return tuple(metric for section in Section for metric in found if metric.section == section)


@cache
def quantities() -> dict[str, Quantity]:
    """Return the declarations of all figures by name, in the order of the table."""
    return {one.name: one for metric in metrics() for one in metric.quantities}


def compared() -> tuple[str, ...]:
    """Return the names of the figures that runs are compared by, example by example.

    >>> "elbo" in compared()
    True
    """
    return tuple(name for name, one in quantities().items() if one.is_compared)
