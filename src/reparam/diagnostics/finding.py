"""What the doctor says of one thing: how bad it is, what shows it, and what to change."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from textwrap import fill
from typing import Any, Literal

Severity = Literal["problem", "advice", "fine", "skipped"]
"""``problem``: numbers or pictures are wrong because of it. ``advice``: worth a try. ``skipped``:
the check has nothing to look at here, and says why."""
NO_LATENT = "the model has no latent variables"
NO_KL = "the code has no density, and so no KL"
UNKNOWN_OBJECTIVE = "what was maximized is not known; give it as examine(run, objective=...)"
WIDTH = 100
"""Columns of the report."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Arguments:
        name: What was looked at, in one or two words with dashes.
        severity: How bad it is.
        said: What is amiss, in a sentence; what is well, where it is fine; why it was not looked
            at, where it was skipped.
        evidence: The figures that show it, with their standard errors where they are estimates.
        fix: The setting to change.
        figures: The figures as numbers.

    Example:
        >>> print(Finding("beta", "advice", "The KL counts too much", "β = 4", "drop --beta 4"))
        beta: The KL counts too much.
          evidence: β = 4
          change: drop --beta 4
    """

    name: str
    severity: Severity
    said: str
    evidence: str
    fix: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [_wrapped(f"{self.name}: {self.said}.", "  ")]
        if self.evidence:
            lines.append(_wrapped(f"  evidence: {self.evidence}"))
        return "\n".join([*lines, _wrapped(f"  change: {self.fix}")] if self.fix else lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them; None for a figure that is no number."""
        figures = {k: v if isfinite(v) else None for k, v in self.figures.items()}
        return asdict(self) | {"figures": figures}


@dataclass(frozen=True)
class Diagnosis:
    """All findings about one run or one data set.

    Arguments:
        subject: What was examined.
        sampled: What was looked at, in words: the report says on what its figures rest.
        findings: The findings.

    Example:
        >>> beta = Finding("beta", "fine", "the KL has its weight of one", "β = 1")
        >>> print(Diagnosis("runs/a", "500 examples", (beta,)))
        runs/a
        looked at 500 examples
        <BLANKLINE>
        No problem was found.
        <BLANKLINE>
        looked at and fine: the KL has its weight of one
    """

    subject: str
    sampled: str
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    def __getitem__(self, name: str) -> Finding:
        """Return the finding of that name.

        Raises:
            KeyError: It was not looked at.
        """
        return {f.name: f for f in self.findings}[name]

    def __contains__(self, name: str) -> bool:
        return any(f.name == name for f in self.findings)

    def report(self, everything: bool = False) -> str:
        """Return the findings in words, problems first.

        Arguments:
            everything: Whether what is fine is shown with its evidence too.
        """
        lines = [self.subject, f"looked at {self.sampled}", ""]
        problems, advice, fine, skipped = (
            self.of(s) for s in ("problem", "advice", "fine", "skipped")
        )
        lines += (
            ["PROBLEMS", *map(str, problems), ""] if problems else ["No problem was found.", ""]
        )
        if advice:
            lines += ["ADVICE", *map(str, advice), ""]
        if fine and everything:
            lines += ["FINE", *map(str, fine), ""]
        elif fine:
            lines.append(_wrapped("looked at and fine: " + "; ".join(f.said for f in fine), "  "))
        if skipped:
            names: dict[str, list[str]] = {}
            for f in skipped:
                names.setdefault(f.said, []).append(f.name)
            whys = "; ".join(f"{', '.join(which)} ({why})" for why, which in names.items())
            lines.append(_wrapped(f"not looked at: {whys}", "  "))
        return "\n".join(lines).rstrip()

    def __str__(self) -> str:
        return self.report()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return {
            "subject": self.subject,
            "sampled": self.sampled,
            "findings": [f.to_dict() for f in self.findings],
        }


def skipped(name: str, why: str) -> Finding:
    """Return the finding of a check that was not done, and why.

    >>> print(skipped("codes", "the code is not quantized"))
    codes: the code is not quantized.
    """
    return Finding(name, "skipped", why, "")


def _wrapped(text: str, indent: str = "    ") -> str:
    """Return a text in lines of the report's width; paths and options stay whole."""
    return fill(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def estimate(mean: float, stderr: float | None) -> str:
    """Return a mean with its standard error.

    >>> estimate(-3.14159, 0.2), estimate(1.0, None)
    ('-3.14 ± 0.20', '1.00')
    """
    return f"{mean:.2f}" if stderr is None else f"{mean:.2f} ± {stderr:.2f}"
