"""Findings of the diagnostics: how bad something is, the evidence, and the setting to change."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from textwrap import fill
from typing import Any, Generic, Literal, TypeVar

from reparam.evaluation.figure import Figure

T = TypeVar("T")

Severity = Literal["problem", "advice", "fine", "skipped"]
"""``problem``: numbers or pictures are wrong because of it. ``advice``: worth a try. ``skipped``:
the check does not apply, for a reason that it gives."""
NO_LATENT = "the model has no latent variables"
NO_KL = "the code has no density, and so no KL"
UNKNOWN_OBJECTIVE = "the objective is not known; give it as examine(run, objective=...)"
WIDTH = 100
"""Columns of the report."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Arguments:
        name: The name of the check, one or two words with dashes.
        severity: How bad it is.
        message: A sentence: the problem, or what is fine, or why the check was skipped.
        evidence: The figures that show it, with their standard errors where they are estimates.
        fix: The setting to change.
        figures: The figures as numbers.

    Example:
        >>> print(Finding("beta", "advice", "The KL counts too much", "β = 4", "beta=1"))
        beta: The KL counts too much.
          evidence: β = 4
          change: beta=1
    """

    name: str
    severity: Severity
    message: str
    evidence: str
    fix: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = (("evidence", self.evidence), ("change", self.fix))
        lines = [_wrapped(f"  {title}: {text}") for title, text in rows if text]
        return "\n".join([_wrapped(f"{self.name}: {self.message}.", "  "), *lines])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them; None for a figure that is no number."""
        figures = {k: v if isfinite(v) else None for k, v in self.figures.items()}
        return asdict(self) | {"figures": figures}


class Evidence:
    """The evidence of a check, and the finding that follows from it.

    Arguments:
        text: The figures in words, with their standard errors.
        figures: The figures by name.

    Example:
        >>> evidence = Evidence("β = 4", beta=4.0)
        >>> evidence.advice("The KL counts too much", "beta=1").figures
        {'beta': 4.0}
    """

    def __init__(self, text: str, **figures: Figure | float) -> None:
        self.text = text
        self.figures: dict[str, float] = {}
        self.add("", **figures)

    def add(self, text: str, **figures: Figure | float) -> None:
        """Add text and figures; a standard error becomes ``NAME_stderr``."""
        self.text += text
        for name, figure in figures.items():
            self.figures[name] = float(figure)
            if isinstance(figure, Figure) and figure.stderr is not None:
                self.figures[f"{name}_stderr"] = figure.stderr

    def fine(self, message: str) -> Finding:
        """Return the finding that there is nothing to change."""
        return Finding("", "fine", message, self.text, figures=self.figures)

    def advice(self, message: str, fix: str, *, is_problem: bool = False) -> Finding:
        """Return a finding with a change that is worth a try; a problem where it is one."""
        severity: Severity = "problem" if is_problem else "advice"
        return Finding("", severity, message, self.text, fix, self.figures)

    def problem(self, message: str, fix: str) -> Finding:
        """Return a finding of wrong numbers or pictures, with the change that avoids them."""
        return self.advice(message, fix, is_problem=True)


class NotApplicable(Exception):
    """A check does not apply; the message is the reason."""


@dataclass(frozen=True)
class Check(Generic[T]):
    """A check with a name.

    Arguments:
        name: The name of its finding.
        function: A function that returns a finding, or raises ``NotApplicable``.
    """

    name: str
    function: Callable[[T], Finding]

    def __call__(self, subject: T) -> Finding:
        """Return the finding about a run or data."""
        try:
            return replace(self.function(subject), name=self.name)
        except NotApplicable as reason:
            return Finding(self.name, "skipped", str(reason), "")


def check(name: str) -> Callable[[Callable[[T], Finding]], Check[T]]:
    """Return the decorator that makes a function a check.

    Example:
        >>> @check("codes")
        ... def codes(subject: object) -> Finding:
        ...     raise NotApplicable("the code is not quantized")
        >>> print(codes(None))
        codes: the code is not quantized.
    """
    return lambda function: Check(name, function)


@dataclass(frozen=True)
class Diagnosis:
    """All findings about one run or one data set.

    Arguments:
        subject: The run or the data.
        sampled: The examples that the figures rest on, in words.
        findings: The findings.

    Example:
        >>> beta = Finding("beta", "fine", "the KL has its weight of one", "β = 1")
        >>> print(Diagnosis("runs/a", "500 examples", (beta,)))
        runs/a
        checked on 500 examples
        <BLANKLINE>
        No problem was found.
        <BLANKLINE>
        fine: the KL has its weight of one
    """

    subject: str
    sampled: str
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    def __getitem__(self, name: str) -> Finding:
        """Return the finding of a check.

        Raises:
            KeyError: There is no check of this name.
        """
        return {f.name: f for f in self.findings}[name]

    def __contains__(self, name: str) -> bool:
        return any(f.name == name for f in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def report(self, everything: bool = False) -> str:
        """Return the findings as text, problems first.

        Arguments:
            everything: Whether findings that are fine are shown with their evidence too.
        """
        lines = [self.subject, f"checked on {self.sampled}", ""]
        found = {s: self.of(s) for s in ("problem", "advice", "fine", "skipped")}
        if not found["problem"]:
            lines += ["No problem was found.", ""]
        titles = {"problem": "PROBLEMS", "advice": "ADVICE", "fine": "FINE"}
        for severity, title in titles.items():
            if found[severity] and (severity != "fine" or everything):
                lines += [title, *map(str, found[severity]), ""]
        if found["fine"] and not everything:
            lines.append(_wrapped("fine: " + "; ".join(f.message for f in found["fine"]), "  "))
        if found["skipped"]:
            names: dict[str, list[str]] = {}
            for f in found["skipped"]:
                names.setdefault(f.message, []).append(f.name)
            whys = "; ".join(f"{', '.join(which)} ({why})" for why, which in names.items())
            lines.append(_wrapped(f"not checked: {whys}", "  "))
        return "\n".join(lines).rstrip()

    def __str__(self) -> str:
        return self.report()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        findings = [f.to_dict() for f in self.findings]
        return {"subject": self.subject, "sampled": self.sampled, "findings": findings}


def _wrapped(text: str, indent: str = "    ") -> str:
    """Return a text in lines of the report's width; paths and options stay whole."""
    return fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
