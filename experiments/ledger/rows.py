"""Rows of figures, each beside the published figure and its target, and tables of them.

A row is held to its target by a rule: at least, at most, within a tolerance of it, or apart from
it. Experiments and benchmarks both report rows. Nothing here imports torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from reparam.errors import OptionError, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Drawing: TypeAlias = Union["Figure", "Image"]
"""A plot, or an image made of pixels."""

Rule = Literal["at least", "at most", "within", "apart"]
SIGNS = {"at least": "≥", "at most": "≤", "within": "≈", "apart": "≠"}
"""The rules that compare a figure with its target, and their signs."""

HEADER = ("what", "against", "published", "ours", "unit", "target", "met", "training, s")


@dataclass(frozen=True)
class Row:
    """One figure.

    Arguments:
        what: What was measured.
        ours: The figure, in ``unit``; None if it is infinite or does not exist.
        stderr: Its standard error, in ``unit``; None if it was not estimated.
        unit: ``nats`` by default; empty for a plain number.
        published: The figure in the source.
        target: The number that the figure is compared with; None for a figure without a target.
        rule: ``at least`` or ``at most`` the target, ``within`` the tolerance of it, or ``apart``
            from it by more than the tolerance.
        tolerance: In ``unit``; four standard errors when None.
        note: A remark on the figure.
        seconds: The training time of the model, in seconds; None if it is not relevant.
        beside: Whether the table of many experiments shows the figure although it has no target.
        against: What the figure is compared with, for a ratio.
        spread: The smallest and the largest value over repetitions, for a median.
        valid: Whether the comparison holds; a figure of one that does not hold meets no target.

    Raises:
        OptionError: An unknown rule, or a rule of nearness without a tolerance.

    Example:
        >>> Row("ELBO", -101.3, 0.2, published=-104.7, target=-102.5).met
        True
    """

    what: str
    ours: float | None
    stderr: float | None = None
    unit: str = "nats"
    published: float | None = None
    target: float | None = None
    rule: Rule = "at least"
    tolerance: float | None = None
    note: str = ""
    seconds: float | None = None
    beside: bool = False
    against: str = ""
    spread: tuple[float, float] | None = None
    valid: bool = True

    def __post_init__(self) -> None:
        if self.rule not in SIGNS:
            raise unknown("rule", str(self.rule), SIGNS)
        near = self.rule in ("within", "apart") and self.target is not None
        if near and self.tolerance is None and self.stderr is None:
            raise OptionError(
                f"{self.what!r}: {self.rule} {self.target} needs a tolerance or a standard error"
            )

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Row":
        """Return the row of values that ``to_dict`` returned."""
        return cls(**{name: value for name, value in stored.items() if name != "met"})

    @property
    def met(self) -> bool | None:
        """Whether the figure meets its target; None without a target."""
        if self.target is None:
            return None
        if self.ours is None or not self.valid:
            return False
        if self.rule == "at least":
            return self.ours >= self.target
        if self.rule == "at most":
            return self.ours <= self.target
        margin = 4 * (self.stderr or 0.0) if self.tolerance is None else self.tolerance
        near = abs(self.ours - self.target) <= margin
        return near if self.rule == "within" else not near

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them: no NaN, no infinity."""
        return {name: _plain(value) for name, value in asdict(self).items()} | {"met": self.met}

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, a cell for each column of ``HEADER``.

        >>> Row("ELBO", -101.314, 0.21, published=-104.675, target=-102.5).cells()
        ('ELBO', '', '-104.675', '-101.31 ± 0.21', 'nats', '≥ -102.5', 'yes', '')
        """
        return (
            self.what,
            self.against,
            "" if self.published is None else _number(self.published),
            measured(self.ours, self.stderr, self.spread),
            self.unit,
            "" if self.target is None else f"{SIGNS[self.rule]} {_number(self.target)}",
            {None: "", True: "yes", False: "NO"}[self.met],
            "" if self.seconds is None else f"{self.seconds:,.0f}",
        )


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells of a table of rows, without the columns that are empty.

    >>> table([Row("x", 1.5, unit="")])
    (['what', 'ours'], [['x', '1.5']])
    """
    cells = [row.cells() for row in rows]
    used = [i for i in range(len(HEADER)) if any(row[i] for row in cells)]
    return [HEADER[i] for i in used], [[row[i] for i in used] for row in cells]


def markdown(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table of rows in Markdown.

    >>> markdown([Row("x", 1.5, unit="")])
    ['| what | ours |', '| --- | --- |', '| x | 1.5 |']
    """
    header, cells = table(rows)
    lines = [header, ["---"] * len(header), *cells]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def verdict(rows: Sequence[Row]) -> str:
    """Return how many targets are met.

    >>> verdict([Row("a", 1.0, target=2.0)]), verdict([Row("a", 1.0)])
    ('0 of 1 targets met', 'no targets')
    """
    held = [row.met for row in rows if row.met is not None]
    return f"{sum(held)} of {len(held)} targets met" if held else "no targets"


@dataclass(frozen=True)
class Findings:
    """What an experiment returns.

    Arguments:
        rows: The figures.
        notes: Remarks on them, a sentence or two each.
        figures: Plots and images, by a short name that becomes part of the file name.
        details: Other values worth keeping, as JSON holds them.
    """

    rows: Sequence[Row]
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Drawing] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The findings of an experiment with their provenance.

    Arguments:
        name: The name of the experiment.
        source: The source of the published figures or of the claim.
        protocol: What was done.
        findings: What was found.
        facts: Command, version, commit, seed, options, seconds, date and machine, and whether
            earlier runs were used, so that the seconds may leave out their training.
        figures: The files of the figures, beside the JSON.
    """

    name: str
    source: str
    protocol: str
    findings: Findings
    facts: Mapping[str, Any]
    figures: tuple[str, ...] = ()

    @property
    def rows(self) -> Sequence[Row]:
        """The figures."""
        return self.findings.rows

    @property
    def met(self) -> bool:
        """Whether every target was met."""
        return all(row.met is not False for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return {
            "name": self.name,
            "source": self.source,
            "protocol": self.protocol,
            "met": self.met,
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.findings.notes),
            "details": dict(self.findings.details),
            "figures": list(self.figures),
            **self.facts,
        }


def measured(
    value: float | None, stderr: float | None = None, spread: tuple[float, float] | None = None
) -> str:
    """Return a figure with as many digits as its standard error allows, or with its spread.

    >>> measured(-101.3141, 0.2134), measured(0.5), measured(12.0, 0.0), measured(None)
    ('-101.31 ± 0.21', '0.5', '12', '∞')
    >>> measured(0.0015177926), measured(3.5, spread=(2.66, 3.64))
    ('0.001518', '3.50 (2.66 to 3.64)')
    """
    if value is None:
        return "∞"
    if spread is not None:
        return f"{value:.2f} ({spread[0]:.2f} to {spread[1]:.2f})"
    if stderr is None or not stderr > 0:
        return f"{value:,.4g}"
    digits = min(8, max(0, 1 - floor(log10(stderr))))
    return f"{value:,.{digits}f} ± {stderr:.{digits}f}"


def _number(value: float) -> str:
    return f"{value:,.6g}"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not isfinite(value) else value
