"""The difference between the figures of two models on the same examples."""

from dataclasses import dataclass

from reparam.evaluation.figure import Figure
from reparam.evaluation.metric import quantities


def compared() -> tuple[str, ...]:
    """Return the names of the figures that runs are compared by, example by example.

    >>> "elbo" in compared()
    True
    """
    return tuple(name for name, one in quantities().items() if one.is_compared)


@dataclass(frozen=True)
class Difference:
    """The figures of a group less those of the reference.

    Arguments:
        name: The group.
        figures: The differences that exist, by figure, in nats.
        is_alike: Whether both have the log-probability of the same; if not, neither is better.
    """

    name: str
    figures: dict[str, Figure]
    is_alike: bool = True

    @property
    def clear(self) -> dict[str, Figure]:
        """The differences whose 95 % interval leaves out zero, where both are alike."""
        return {name: d for name, d in self.figures.items() if self.is_alike and d.is_clear}
