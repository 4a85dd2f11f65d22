"""What a reproduction found: rows of figures, published, wanted and ours."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from reparam.errors import OptionError, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Drawing: TypeAlias = Union["Figure", "Image"]
"""A plot, or a picture made of pixels."""

Rule = Literal["at least", "at most", "within", "apart"]
SIGNS = {"at least": "≥", "at most": "≤", "within": "≈", "apart": "≠"}
"""How a figure is held to its target, and the sign that says so."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Arguments:
        what: What was measured, in words.
        ours: The figure, in ``unit``; None where it is infinite or does not exist.
        stderr: Its standard error, in ``unit``; None for what was not estimated.
        unit: ``nats`` unless said otherwise; empty for a plain number.
        published: The figure that the source prints.
        target: What the figure is held to; None where it is only told.
        rule: How: ``at least`` or ``at most`` the target, ``within`` the tolerance of it, or
            ``apart`` from it by more than the tolerance.
        tolerance: In ``unit``; four standard errors when None.
        note: What must be said with the figure.
        seconds: How long the model behind the figure trained; None where that says nothing.
        beside: Whether a table of many entries shows the figure though nothing is wanted of it.

    Raises:
        OptionError: A rule that does not exist; or one about nearness without a tolerance.

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

    def __post_init__(self) -> None:
        if self.rule not in SIGNS:
            raise unknown("rule", str(self.rule), SIGNS)
        near = self.rule in ("within", "apart") and self.target is not None
        if near and self.tolerance is None and self.stderr is None:
            raise OptionError(
                f"{self.what!r}: {self.rule} {self.target} needs a tolerance or a standard error"
            )

    @property
    def margin(self) -> float:
        """How far from the target still counts as near, in ``unit``."""
        if self.tolerance is not None:
            return self.tolerance
        return 4 * (self.stderr or 0.0)

    @property
    def met(self) -> bool | None:
        """Whether the figure is as it should be; None without a target."""
        if self.target is None:
            return None
        if self.ours is None:
            return False
        if self.rule == "at least":
            return self.ours >= self.target
        if self.rule == "at most":
            return self.ours <= self.target
        near = abs(self.ours - self.target) <= self.margin
        return near if self.rule == "within" else not near

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them: no NaN, no infinity."""
        return {name: _plain(value) for name, value in asdict(self).items()} | {"met": self.met}

    def cells(self) -> tuple[str, str, str, str, str, str, str]:
        """Return the row as words: what, published, ours, unit, wanted, met, seconds of training.

        >>> Row("ELBO", -101.314, 0.21, published=-104.675, target=-102.5).cells()
        ('ELBO', '-104.675', '-101.31 ± 0.21', 'nats', '≥ -102.5', 'yes', '')
        """
        wanted = ""
        if self.target is not None:
            wanted = f"{SIGNS[self.rule]} {_number(self.target)}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        published = "" if self.published is None else _number(self.published)
        seconds = "" if self.seconds is None else f"{self.seconds:,.0f}"
        ours = measured(self.ours, self.stderr)
        return self.what, published, ours, self.unit, wanted, met, seconds


@dataclass(frozen=True)
class Findings:
    """What the function of an entry returns.

    Arguments:
        rows: The figures.
        notes: What must be said with them, a sentence or two each.
        figures: Plots and pictures, by a short name that becomes a part of the file's.
        details: Anything else worth keeping, as JSON holds it.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Drawing] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Findings, and how they came about.

    Arguments:
        name: The name of the entry.
        source: Where the published figures are from.
        protocol: What was done.
        findings: What was found.
        facts: Command, version, commit, seed, options, seconds, date and machine, and whether there
            were runs to take up, so that the seconds may leave out training.
        figures: The files of the figures, beside the JSON.
    """

    name: str
    source: str
    protocol: str
    findings: Findings
    facts: Mapping[str, Any]
    figures: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
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

    def verdict(self) -> str:
        """Return in a sentence how many targets were met.

        >>> Result("x", "", "", Findings((Row("a", 1.0, target=2.0),)), {}).verdict()
        '0 of 1 target met'
        """
        held = [row.met for row in self.rows if row.met is not None]
        if not held:
            return "no targets: the figures speak for themselves"
        return f"{sum(held)} of {len(held)} target{'s' * (len(held) > 1)} met"


def measured(value: float | None, stderr: float | None = None) -> str:
    """Return a figure with as many digits as its standard error lets stand.

    >>> measured(-101.3141, 0.2134), measured(0.5), measured(12.0, 0.0), measured(None)
    ('-101.31 ± 0.21', '0.5', '12', '∞')
    >>> measured(0.0015177926)
    '0.001518'
    """
    from math import floor, log10

    if value is None:
        return "∞"
    if stderr is None or not stderr > 0:
        return f"{value:,.4g}"
    digits = min(8, max(0, 1 - floor(log10(stderr))))
    return f"{value:,.{digits}f} ± {stderr:.{digits}f}"


def _number(value: float) -> str:
    return f"{value:,.6g}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
