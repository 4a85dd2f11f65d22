"""The settings of a measurement, the pieces that it consists of, and the arithmetic of its rows."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from experiments.ledger.records import Record
from experiments.ledger.rows import Row

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"


@dataclass(frozen=True)
class Settings:
    """The options of a measurement that all pieces share.

    Arguments:
        data_dir: The folder that holds ``mnist`` and ``cifar10``.
        threads: torch's threads, in every contender.
        work: A folder for weights and runs.
        pythae: The interpreter that has pythae; None to leave pythae out.
        quick: Whether sizes are small, to test the benchmarks and not to measure.
        images: Test images whose log-likelihood is estimated.
        epochs: Epochs of the tutorial.
        minutes: The length of the load test at half of the rate.
    """

    data_dir: str
    threads: int
    work: Path
    pythae: Path | None = None
    quick: bool = False
    images: int = 2000
    epochs: int = 15
    minutes: float = 10.0

    def script(self, name: str, *, python: Path | None = None, **options: object) -> list[str]:
        """Return the command line of a contender."""
        known = {"data_dir": self.data_dir, "threads": self.threads, **options}
        words = [f"--{k.replace('_', '-')}={v}" for k, v in known.items() if v is not None]
        return [str(python or sys.executable), str(CONTENDERS / f"{name}.py"), *words]

    def environment(self) -> dict[str, str]:
        """Return the environment variables that set the number of threads."""
        return {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}


class Piece(NamedTuple):
    """One process to measure.

    Arguments:
        contender: The name of the contender.
        command: Returns the command line, given the records before it.
        measure: Returns the command line of a process that is not timed, which measures the
            output of this one; its result is kept as ``checked``.
    """

    contender: str
    command: Callable[[Sequence[Record]], list[str]]
    measure: Callable[[], list[str]] | None = None


def fixed(scripts: Mapping[str, list[str]]) -> list[Piece]:
    """Return a piece for each contender, with a command line that depends on no record."""

    def piece(name: str, words: list[str]) -> Piece:
        return Piece(name, lambda _: words)

    return [piece(name, words) for name, words in scripts.items()]


class Job(NamedTuple):
    """A job: the processes of each repetition, and the rows that follow from their records.

    Arguments:
        name: Its name on the command line.
        pieces: Returns the pieces of repetition number ``r``, in their order.
        rows: Returns the rows of the table.
    """

    name: str
    pieces: Callable[[Settings, int], list[Piece]]
    rows: Callable[[Sequence[Record]], list[Row]]


def by_repetition(records: Sequence[Record], contender: str) -> dict[int, Record]:
    """Return the records of a contender by the number of their repetition."""
    return {r["repetition"]: r for r in records if r["contender"] == contender}


def ratio(
    records: Sequence[Record],
    above: str,
    below: str,
    value: Callable[[Record], float],
    of_below: Callable[[Record], float] | None = None,
    **row: Any,
) -> list[Row]:
    """Return the row of a value of one contender over that of another; none without records.

    The ratio is taken in each repetition, in which both ran one after the other; the row has the
    median and the range.

    Arguments:
        records: The records of a job.
        above: The contender in the numerator.
        below: The contender in the denominator.
        value: Returns the value of a record.
        of_below: Returns the value of a record of the denominator; ``value`` when None.
        row: Arguments of the row, such as ``what``, ``against`` and ``target``.

    Example:
        >>> two = [{"contender": "a", "repetition": 0, "wall_s": 6.0},
        ...        {"contender": "b", "repetition": 0, "wall_s": 2.0}]
        >>> (found,) = ratio(two, "a", "b", lambda record: record["wall_s"], what="time")
        >>> found.ours, found.spread
        (3.0, (3.0, 3.0))
    """
    tops, bottoms = by_repetition(records, above), by_repetition(records, below)
    second = of_below or value
    both = sorted(tops.keys() & bottoms.keys())
    ratios = [value(tops[r]) / second(bottoms[r]) for r in both]
    if not ratios:
        return []
    return [Row(ours=median(ratios), spread=(min(ratios), max(ratios)), unit="", **row)]


def figures(records: Sequence[Record], value: Callable[[Record], float], unit: str) -> str:
    """Return the medians of all contenders, in their order, as text."""
    names = dict.fromkeys(r["contender"] for r in records)
    found = {name: [value(r) for r in by_repetition(records, name).values()] for name in names}
    return ", ".join(f"{name} {in_figures(median(v))} {unit}" for name, v in found.items())


def in_figures(value: float) -> str:
    """Return a number with about four significant figures.

    >>> in_figures(12345.6), in_figures(-104.23), in_figures(0.01234)
    ('12,346', '-104.2', '0.01234')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def per_second(record: Mapping[str, Any]) -> float:
    """Return the images per second of the epochs of a record, without the first, a warm-up.

    >>> per_second({"result": {"seconds": [9.0, 2.0, 4.0, 3.0], "n_images": 60}})
    20.0
    """
    result = record["result"]
    rate: float = result["n_images"] / median(result["seconds"][1:] or result["seconds"])
    return rate
