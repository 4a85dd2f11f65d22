"""Runs beside each other, as numbers, as JSON and in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from textwrap import fill
from typing import Any

import torch
from torch import Tensor

from reparam.comparison.paired import Estimate, mean_over_seeds, paired_difference, quantile
from reparam.evaluation.likelihood.proposal import POSTERIOR
from reparam.evaluation.result import Evaluation, number_and_error

FIGURES = ("elbo", "log_likelihood", "reconstruction", "kl")
"""What is compared example by example, in nats."""

WIDTH = 100
"""The columns of a table, at most."""

_ONE_CONFIGURATION = (
    "All runs are of one configuration, so that nothing is subtracted: the error over seeds tells "
    "what another seed of training changes. Give a run of another configuration to compare it with."
)


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Arguments:
        name: What the run is called.
        variant: Its variant; None for a model composed by hand.
        seed: The seed of its training.
        seconds: How long it trained; None where that is not known.
        parameters: How many numbers its model has learnt.
        scored: What its log-likelihood is that of: ``p(x)``, ``p(x | c)``, ``p(x, y)`` ...
        configuration: What it shares with runs that differ in the seed only.
        evaluation: Its figures.
    """

    name: str
    variant: str | None
    seed: int | None
    seconds: float | None
    parameters: int
    scored: str
    configuration: str = field(repr=False)
    evaluation: Evaluation = field(repr=False)

    def figure(self, name: str) -> Tensor | None:
        """Return a figure of every example, with shape (N,); None where it does not exist."""
        examples = self.evaluation.per_example
        values: Tensor | None = None if examples is None else getattr(examples, name)
        return values


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed of training only; mostly one run.

    Arguments:
        entries: The runs.
        label: What it is called; None for the name of the first run.
    """

    entries: tuple[Entry, ...]
    label: str | None = None

    @property
    def name(self) -> str:
        """The name of the group, which is that of its only run."""
        return self.label or self.entries[0].name

    def figure(self, name: str) -> Tensor | None:
        """Return a figure of every run and example, with shape (S, N), where it exists."""
        found = [values for entry in self.entries if (values := entry.figure(name)) is not None]
        return torch.stack(found) if len(found) == len(self.entries) else None

    def means(self) -> dict[str, Estimate]:
        """Return the means over seeds of the figures that exist."""
        found = {name: self.figure(name) for name in FIGURES}
        means = {k: mean_over_seeds(values) for k, values in found.items() if values is not None}
        return {name: mean for name, mean in means.items() if mean is not None}


@dataclass(frozen=True)
class Difference:
    """How much higher the figures of a group are than those of the reference.

    Arguments:
        name: The group.
        figures: The differences that exist, by figure, in nats.
        is_alike: Whether both have the log-probability of the same; if not, neither is better.
    """

    name: str
    figures: dict[str, Estimate]
    is_alike: bool = True

    @property
    def clear(self) -> dict[str, Estimate]:
        """The differences in figures of the same whose 95 % interval leaves out zero."""
        return {name: d for name, d in self.figures.items() if self.is_alike and d.is_clear}


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other, as ``compare`` returns them.

    Arguments:
        groups: The runs; those that differ in the seed only stand together.
        reference: The group that the others are compared with.

    Example:
        >>> from reparam.evaluation.per_example import PerExample
        >>> def entry(name, values):
        ...     kept = PerExample(elbo=torch.tensor(values))
        ...     return Entry(name, "vae", 0, None, 1, "p(x)", name,
        ...                  Evaluation("test", 3, True, per_example=kept))
        >>> a, b = entry("a", [-1.0, -5.0, -9.0]), entry("b", [-0.0, -3.0, -6.0])
        >>> compared = Comparison((Group((a,)), Group((b,))), Group((a,)))
        >>> round(compared.differences[0].figures["elbo"].value, 6)
        2.0
    """

    groups: tuple[Group, ...]
    reference: Group

    @property
    def entries(self) -> list[Entry]:
        """All runs, in the order of the groups."""
        return [entry for group in self.groups for entry in group.entries]

    @property
    def differences(self) -> list[Difference]:
        """What every other group has more than the reference."""
        found = []
        for group in self.groups:
            if group is self.reference or group == self.reference:
                continue
            pairs = ((name, group.figure(name), self.reference.figure(name)) for name in FIGURES)
            figures = {
                name: paired_difference(values, reference)
                for name, values, reference in pairs
                if values is not None and reference is not None
            }
            there = {name: change for name, change in figures.items() if change is not None}
            is_alike = group.entries[0].scored == self.reference.entries[0].scored
            found.append(Difference(group.name, there, is_alike))
        return found

    @property
    def notes(self) -> list[str]:
        """What must be said with the numbers."""
        notes = list(dict.fromkeys(n for e in self.entries if (n := e.evaluation.note) is not None))
        if len({entry.scored for entry in self.entries}) > 1:
            given = ", ".join(e.name for e in self.entries if e.scored != "p(x)")
            notes.append(
                f"{given}: log p(x | c), where c is given; the others have log p(x), and must tell "
                "of x what c says too"
            )
        poor = [entry.name for entry in self.entries if _is_poor(entry.evaluation)]
        if poor:
            notes.append(
                f"{', '.join(poor)}: the draws of an example are worth fewer than two, so that "
                "log-likelihood is too low, by more for one run than for another: take more "
                "samples (--n-samples)"
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them.

        ``stderr`` is over test points, ``margin`` half the 95 % interval of a difference.
        """
        first = self.entries[0].evaluation
        facts = ("data", "binarize", "split", "n_examples", "data_sha256", "seed", "is_likelihood")
        return {
            **{name: getattr(first, name) for name in facts},
            "n_samples": _common("n_samples", self.entries),
            "proposal": _common("proposal", self.entries),
            "runs": [
                {
                    "name": entry.name,
                    "variant": entry.variant,
                    "training_seed": entry.seed,
                    "seconds": entry.seconds,
                    "parameters": entry.parameters,
                    "scored": entry.scored,
                    **{
                        key: getattr(entry.evaluation, key)
                        for name in (*FIGURES, "bits_per_dim")
                        for key in (name, f"{name}_stderr")
                    },
                    "active_units": entry.evaluation.active_units,
                    "latent_dim": entry.evaluation.latent_dim,
                }
                for entry in self.entries
            ],
            "seeds": [
                {
                    "name": group.name,
                    "runs": [entry.name for entry in group.entries],
                    **{name: mean.to_dict() for name, mean in group.means().items()},
                }
                for group in self.groups
                if len(group.entries) > 1
            ],
            "reference": self.reference.name,
            "differences": [
                {
                    "name": one.name,
                    "is_alike": one.is_alike,
                    **{
                        k: {**d.to_dict(), "margin": d.margin, "is_clear": k in one.clear}
                        for k, d in one.figures.items()
                    },
                }
                for one in self.differences
            ],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        lines = [self._head(), "", *_table(*self._figures())]
        several = [group for group in self.groups if len(group.entries) > 1]
        if several:
            lines += ["", *_estimates("means", [(group.name, group.means()) for group in several])]
        if differences := self.differences:
            rows = [(one.name, one.figures) for one in differences]
            lines += ["", *_estimates(f"minus {self.reference.name}", rows, intervals=True)]
            lines += ["", _filled(self._meaning(differences))]
        else:
            lines += ["", _filled(_ONE_CONFIGURATION)]
        notes = [_filled(f"note: {note}", "  ") for note in self.notes]
        return "\n".join([*lines, *([""] if notes else []), *notes])

    def _head(self) -> str:
        first = self.entries[0].evaluation
        of = "" if first.data is None else f" of {first.data}"
        how = f", binarize={first.binarize}" if first.binarize not in (None, "none") else ""
        n_samples, proposal = (_common(name, self.entries) for name in ("n_samples", "proposal"))
        many = "draw" if n_samples == 1 else "draws"
        draws = f", {n_samples:,} {many} of z each" if n_samples else ""
        draws += f" (proposal={proposal})" if proposal not in (None, POSTERIOR) else ""
        what = f"{len(self.entries)} runs on the {first.n_examples:,} examples of {first.split!r}"
        return _filled(f"{what}{of}{how}{draws}; nats per example ± standard error over them")

    def _figures(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows of the table of runs."""
        columns: dict[str, list[str]] = {"run": [_labelled(entry) for entry in self.entries]}
        evaluations = [entry.evaluation for entry in self.entries]
        for name, title in (("elbo", "elbo"), ("log_likelihood", "log-likelihood")):
            columns[title] = _with_errors(evaluations, name)
        columns["reconstr."] = [_decimals(one.reconstruction, 2) for one in evaluations]
        columns["kl"] = [_decimals(one.kl, 2) for one in evaluations]
        columns["bits/dim"] = [_decimals(one.bits_per_dim, 4) for one in evaluations]
        columns["active"] = [
            "" if one.active_units is None else f"{one.active_units}/{one.latent_dim}"
            for one in evaluations
        ]
        columns["trained"] = [_duration(entry.seconds) for entry in self.entries]
        columns["weights"] = [_count(entry.parameters) for entry in self.entries]
        there = {title: cells for title, cells in columns.items() if any(cells)}
        return list(there), [list(row) for row in zip(*there.values(), strict=True)]

    def _meaning(self, differences: Sequence[Difference]) -> str:
        """Return in words what the differences are, and which of them are clear."""
        clear = [
            f"{one.name} ({', '.join(_told(name, d) for name, d in one.clear.items())})"
            for one in differences
            if one.clear
        ]
        unlike = [one.name for one in differences if not one.is_alike]
        said = (
            f"A difference is a run's figure minus that of {self.reference.name} on the same "
            "example, averaged over examples: what makes an example hard for both is not in its "
            "error."
        )
        if len(unlike) < len(differences):
            said += (
                " Zero is outside the 95 % interval (Student's t) of: "
                f"{'; '.join(clear) or 'none'}.{self._why_wide(differences)}"
            )
        if unlike:
            said += (
                f" No verdict on {', '.join(unlike)}: not of the same log-probability as "
                f"{self.reference.name}."
            )
        if any(d.stderr_seeds is None for one in differences for d in one.figures.values()):
            said += (
                " Between single runs errors say nothing of what another seed of training would "
                "change: train each with two seeds or more (--seed) to see it."
            )
        n_seeds = {len(group.entries) for group in self.groups if group != self.reference}
        n_seeds_of_reference = len(self.reference.entries)
        if min(n_seeds) == 1 < n_seeds_of_reference or n_seeds_of_reference == 1 < max(n_seeds):
            said += " A single seed is taken to vary as those that it is set beside."
        return said

    def _why_wide(self, differences: Sequence[Difference]) -> str:
        """Return why differences of many standard errors are not clear, where there are such."""
        few = [
            d.df_seeds
            for one in differences
            for d in one.figures.values()
            if one.is_alike and not d.is_clear and _is_far(d)
        ]
        if not few:
            return ""
        n_seeds = min(n for group in self.groups if (n := len(group.entries)) > 1)
        more = "a third seed" if n_seeds == 2 else "another seed"
        return (
            " Intervals are wide where seeds are few: they leave as little as "
            f"{min(few):.1f} degrees of freedom, where 95 % needs {quantile(min(few)):.1f} times "
            f"the error over seeds; {more} of each (--seed) shortens them most."
        )


def _common(option: str, entries: Sequence[Entry]) -> Any:
    """Return what all runs that have an option have for it."""
    values = (getattr(entry.evaluation, option) for entry in entries)
    return next((value for value in values if value is not None), None)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, of at most ``WIDTH`` columns: long names lose their start."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    room = WIDTH - sum(width + 2 for width in widths[1:])
    widths[0] = min(widths[0], max(room, 8))
    return [
        "  ".join(
            [
                _cut(row[0], widths[0]).ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in (header, *rows)
    ]


def _filled(text: str, indent: str = "") -> str:
    return fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _is_far(difference: Estimate) -> bool:
    """Return whether a difference would be clear if its errors were those of many seeds."""
    return difference._replace(df=inf, df_seeds=inf).is_clear


def _told(name: str, difference: Estimate) -> str:
    """Return in words in what direction a figure differs.

    >>> _told("log_likelihood", Estimate(-1.0, 0.1))
    'log-likelihood lower'
    """
    return f"{name.replace('_', '-')} {'higher' if difference.value > 0 else 'lower'}"


def _is_poor(evaluation: Evaluation) -> bool:
    """Return whether the draws of an example are worth fewer than two."""
    share, n_samples = evaluation.effective_sample_size, evaluation.n_samples
    return share is not None and n_samples is not None and share * n_samples < 2


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def _estimates(
    title: str, rows: Sequence[tuple[str, dict[str, Estimate]]], *, intervals: bool = False
) -> list[str]:
    """Return the lines of a table of means or differences, with their errors.

    An error stands behind its number, or under it where another error, over seeds, stands too; the
    95 % interval of both comes then below them where it is asked for.
    """
    names = [name for name in FIGURES if any(name in figures for _, figures in rows)]
    lines: list[list[str]] = []
    for name, figures in rows:
        found = [figures.get(figure) for figure in names]
        cells = [
            ("", "", "", "")
            if one is None
            else number_and_error(one.value, one.stderr, one.stderr_seeds, one.margin)
            for one in found
        ]
        if all(one is None or one.stderr_seeds is None for one in found):
            lines.append([name, *(" ".join(cell[:2]).strip() for cell in cells)])
            continue
        starts = (name, "  over test points", "  over seeds", "  95 % interval")[: 3 + intervals]
        # Without intervals, the last of each four is left out.
        columns = list(zip(*cells, strict=True))[: len(starts)]
        lines += [[start, *column] for start, column in zip(starts, columns, strict=True)]
    return _table([title, *(name.replace("_", "-") for name in names)], lines)


def _with_errors(evaluations: Sequence[Evaluation], name: str) -> list[str]:
    pairs = [(getattr(one, name), getattr(one, f"{name}_stderr")) for one in evaluations]
    return [" ".join(number_and_error(value, error)).strip() for value, error in pairs]


def _decimals(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _labelled(entry: Entry) -> str:
    """Return the name of a run, with its variant where the name does not say it."""
    if entry.variant is None or entry.variant in entry.name:
        return entry.name
    return f"{entry.name} ({entry.variant})"


def _duration(seconds: float | None) -> str:
    """Return seconds as they are read.

    >>> _duration(40.2), _duration(400), _duration(20000)
    ('40 s', '6.7 min', '5.6 h')
    """
    if seconds is None:
        return ""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _count(n: int) -> str:
    """Return a number of weights as it is read.

    >>> _count(812), _count(68_412), _count(2_400_000)
    ('812', '68.4k', '2.4M')
    """
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)
