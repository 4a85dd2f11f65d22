"""What a whole measurement is given, and the pieces that it is made of."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"

Record = dict[str, Any]
"""What a piece was measured to be: what ``process.run`` returns, and which piece it is."""


@dataclass(frozen=True)
class Settings:
    """What every piece is told.

    Arguments:
        data_dir: The folder that holds ``mnist`` and ``cifar10``.
        threads: torch's threads, in every contender.
        work: A folder for weights and runs.
        pythae: The interpreter that has pythae; None to go without.
        quick: Small sizes: to see whether all works, not to measure.
        images: Test images whose log-likelihood is estimated.
        epochs: Epochs of the tutorial.
    """

    data_dir: str
    threads: int
    work: Path
    pythae: Path | None = None
    quick: bool = False
    images: int = 2000
    epochs: int = 15

    def script(self, name: str, *, python: Path | None = None, **options: object) -> list[str]:
        """Return the command line of a contender."""
        known = {"data_dir": self.data_dir, "threads": self.threads, **options}
        words = [f"--{k.replace('_', '-')}={v}" for k, v in known.items() if v is not None]
        return [str(python or sys.executable), str(CONTENDERS / f"{name}.py"), *words]

    def environment(self) -> dict[str, str]:
        """Return the variables that fix the threads; the reparam command has no option for it."""
        return {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}


class Piece(NamedTuple):
    """One process to measure.

    Arguments:
        contender: Whose it is.
        command: The command line, made when its turn comes, given the records before it.
        measure: What else is to be run on what it leaves behind, untimed, and whose result is
            kept as ``checked``.
    """

    contender: str
    command: Callable[[Sequence[Record]], list[str]]
    measure: Callable[[], list[str]] | None = None


def fixed(scripts: Mapping[str, list[str]]) -> list[Piece]:
    """Return a piece for each contender, whose command line is known beforehand."""

    def piece(name: str, words: list[str]) -> Piece:
        return Piece(name, lambda _: words)

    return [piece(name, words) for name, words in scripts.items()]


class Job(NamedTuple):
    """A job: what is run in each repetition, and what the records say.

    Arguments:
        name: Its name on the command line.
        pieces: The pieces of repetition number ``r``, in their order.
        rows: The rows of the table that follow from the records.
    """

    name: str
    pieces: Callable[[Settings, int], list[Piece]]
    rows: Callable[[Sequence[Record]], list["Row"]]


@dataclass(frozen=True)
class Ratio:
    """A ratio of two contenders, one value for each repetition, which ran side by side.

    Arguments:
        values: The ratios of the repetitions.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, the mean of the middle two where their number is even.

        >>> Ratio((3.0, 1.0, 2.0)).median, Ratio((1.0, 2.0)).median
        (2.0, 1.5)
        """
        ordered, n = sorted(self.values), len(self.values)
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{self.median:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Arguments:
        job: What is measured.
        against: What it is compared with.
        ratio: How much better, or how much of it, one value for each repetition.
        target: The wanted ratio; None for a row that is only told.
        at_least: Whether the ratio should be at least the target, or at most.
        note: What else there is to know, such as the figures themselves.
        valid: Whether the comparison holds at all, such as the same ELBO being reached.
    """

    job: str
    against: str
    ratio: Ratio
    target: float | None = None
    at_least: bool = True
    note: str = ""
    valid: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the target is met by the median; None without one.

        >>> Row("x", "y", Ratio((1.0, 2.0, 3.0)), target=2.0).met
        True
        >>> Row("x", "y", Ratio((1.0,)), target=0.9, at_least=False).met
        False
        """
        if self.target is None:
            return None
        value = self.ratio.median
        return self.valid and (value >= self.target if self.at_least else value <= self.target)


def by_repetition(records: Sequence[Record], contender: str) -> dict[int, Record]:
    """Return the records of a contender by the number of their repetition."""
    return {r["repetition"]: r for r in records if r["contender"] == contender}


def ratio(
    records: Sequence[Record],
    above: str,
    below: str,
    value: Callable[[Record], float],
    of_below: Callable[[Record], float] | None = None,
) -> Ratio | None:
    """Return a value of one contender over that of another, repetition by repetition.

    >>> two = [{"contender": "a", "repetition": 0, "wall_s": 6.0},
    ...        {"contender": "b", "repetition": 0, "wall_s": 2.0}]
    >>> ratio(two, "a", "b", lambda record: record["wall_s"])
    Ratio(values=(3.0,))
    """
    tops, bottoms = by_repetition(records, above), by_repetition(records, below)
    both = sorted(tops.keys() & bottoms.keys())
    if not both:
        return None
    second = of_below or value
    return Ratio(tuple(value(tops[r]) / second(bottoms[r]) for r in both))


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return Ratio(tuple(values)).median


def figures(records: Sequence[Record], value: Callable[[Record], float], unit: str) -> str:
    """Return the medians of all contenders, in their order, as words."""
    names = dict.fromkeys(r["contender"] for r in records)
    parts = []
    for name in names:
        found = [value(r) for r in by_repetition(records, name).values()]
        parts.append(f"{name} {in_figures(middle(found))} {unit}")
    return ", ".join(parts)


def in_figures(value: float) -> str:
    """Return a number with about four significant figures.

    >>> in_figures(12345.6), in_figures(-104.23), in_figures(0.01234)
    ('12,346', '-104.2', '0.01234')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def per_second(record: Mapping[str, Any]) -> float:
    """Return the images a second of the epochs of a record; the first, a warm-up, is left out.

    >>> per_second({"result": {"seconds": [9.0, 2.0, 4.0, 3.0], "n_images": 60}})
    20.0
    """
    result = record["result"]
    counted = result["seconds"][1:] or result["seconds"]
    return result["n_images"] / middle(counted)
