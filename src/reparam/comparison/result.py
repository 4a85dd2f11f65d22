"""The result of a comparison: figures of runs, differences, and the table of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap
from math import inf
from textwrap import fill
from typing import Any

import torch
from torch import Tensor

from reparam.comparison.paired import mean_over_seeds, paired_difference
from reparam.evaluation.figure import Difference, Figure, formatted, quantile
from reparam.evaluation.likelihood.proposal import POSTERIOR
from reparam.evaluation.metric import compared
from reparam.evaluation.result import Evaluation

WIDTH = 100
"""The columns of a table, at most."""

_FACTS = ("data", "binarize", "split", "n_examples", "data_sha256", "seed", "is_likelihood")
_ONE_CONFIGURATION = (
    "All runs are of one configuration, so that nothing is subtracted. The error over seeds is "
    "that of another seed of training. Give a run of another configuration to compare it with."
)


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Arguments:
        name: The name of the run.
        variant: Its variant; None for a model composed by hand.
        seed: The seed of its training.
        seconds: The duration of its training; None where it is not known.
        parameters: The number of parameters of its model.
        scored: The argument of its log-likelihood: ``p(x)``, ``p(x | c)``, ``p(x, y)`` ...
        configuration: Its options without the seed.
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

    @property
    def title(self) -> str:
        """The name, with the variant where the name does not contain it."""
        is_named = self.variant is None or self.variant in self.name
        return self.name if is_named else f"{self.name} ({self.variant})"


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed of training only; mostly one run.

    Arguments:
        entries: The runs.
        label: Its name; None for the name of the first run.
    """

    entries: tuple[Entry, ...]
    label: str | None = None

    @property
    def name(self) -> str:
        """The name of the group, or of its only run."""
        return self.label or self.entries[0].name

    def values(self, name: str) -> Tensor | None:
        """Return a figure of every run and example, with shape (S, N), where it exists."""
        figures = [entry.evaluation.get(name) for entry in self.entries]
        found = [one.per_example for one in figures if one and one.per_example is not None]
        return torch.stack(found) if len(found) == len(self.entries) else None

    def means(self) -> dict[str, Figure]:
        """Return the means over seeds of the figures that exist."""
        values = {name: self.values(name) for name in compared()}
        means = {k: None if v is None else mean_over_seeds(v) for k, v in values.items()}
        return {name: mean for name, mean in means.items() if mean is not None}

    def minus(self, reference: "Group") -> "Difference":
        """Return the paired differences to another group."""
        figures = {}
        for name in compared():
            values, others = self.values(name), reference.values(name)
            found = None if values is None or others is None else paired_difference(values, others)
            if found is not None:
                figures[name] = found
        alike = self.entries[0].scored == reference.entries[0].scored
        return Difference(self.name, figures, alike)


@dataclass(frozen=True)
class Comparison:
    """The figures of runs and their differences, as ``compare`` returns them.

    Arguments:
        groups: The runs; those that differ in the seed only are one group.
        reference: The group that the others are compared with.

    Example:
        >>> from reparam.evaluation import Facts
        >>> def entry(name, values):
        ...     found = Evaluation(Facts("test", 3, True), {"elbo": Figure.mean(values)})
        ...     return Entry(name, "vae", 0, None, 1, "p(x)", name, found)
        >>> a, b = entry("a", torch.tensor([-1.0, -5.0])), entry("b", torch.tensor([0.0, -3.0]))
        >>> compared = Comparison((Group((a,)), Group((b,))), Group((a,)))
        >>> str(compared.differences[0].figures["elbo"])
        '1.50 ± 0.50'
    """

    groups: tuple[Group, ...]
    reference: Group

    @property
    def entries(self) -> list[Entry]:
        """All runs, in the order of the groups."""
        return [entry for group in self.groups for entry in group.entries]

    @property
    def differences(self) -> list[Difference]:
        """The differences of every other group to the reference."""
        return [g.minus(self.reference) for g in self.groups if g != self.reference]

    @property
    def notes(self) -> list[str]:
        """Sentences that have to be read with the figures."""
        entries = self.entries
        notes = list(dict.fromkeys(n for e in entries if (n := e.evaluation.note) is not None))
        if len({entry.scored for entry in entries}) > 1:
            given = ", ".join(e.name for e in entries if e.scored != "p(x)")
            notes.append(
                f"{given}: log p(x | c), where c is given; the others have log p(x), which "
                "also accounts for the part of x that c predicts"
            )
        poor = [entry.name for entry in entries if _is_poor(entry.evaluation)]
        if poor:
            notes.append(
                f"{', '.join(poor)}: an effective sample size below two draws, so that "
                "log-likelihood is too low, and differently for each run: give a larger n_samples="
            )
        return notes

    def common(self, fact: str) -> Any:
        """Return the value of a fact that all runs share that have one."""
        values = (vars(entry.evaluation.facts)[fact] for entry in self.entries)
        return next((value for value in values if value is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them.

        ``stderr`` is over test points, ``margin`` half the 95 % interval of a difference.
        """
        facts = vars(self.entries[0].evaluation.facts)
        return {
            **{name: facts[name] for name in _FACTS},
            **{name: self.common(name) for name in ("n_samples", "proposal")},
            "runs": [_run(entry) for entry in self.entries],
            "seeds": [
                {
                    "name": group.name,
                    "runs": [entry.name for entry in group.entries],
                    **{name: _estimate(mean) for name, mean in group.means().items()},
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
                        k: {**_estimate(d), "margin": d.margin, "is_clear": k in one.clear}
                        for k, d in one.figures.items()
                    },
                }
                for one in self.differences
            ],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        lines = [self._head(), "", *_table(self._columns())]
        several = {g.name: g.means() for g in self.groups if len(g.entries) > 1}
        if several:
            lines += ["", *_estimates("means", several, 3)]
        if differences := self.differences:
            rows = {one.name: one.figures for one in differences}
            lines += ["", *_estimates(f"minus {self.reference.name}", rows, 4)]
            lines += ["", _filled(self._meaning(differences))]
        else:
            lines += ["", _filled(_ONE_CONFIGURATION)]
        notes = [_filled(f"note: {note}", "  ") for note in self.notes]
        return "\n".join([*lines, *([""] if notes else []), *notes])

    def _head(self) -> str:
        facts = self.entries[0].evaluation.facts
        of = "" if facts.data is None else f" of {facts.data}"
        how = f", {facts.binarize} binarization" if facts.binarize not in (None, "none") else ""
        n_samples, proposal = self.common("n_samples"), self.common("proposal")
        many = "draw" if n_samples == 1 else "draws"
        draws = f", {n_samples:,} {many} of z each" if n_samples else ""
        draws += f" from a {proposal} proposal" if proposal not in (None, POSTERIOR) else ""
        what = f"{len(self.entries)} runs on the {facts.n_examples:,} examples of {facts.split!r}"
        return _filled(f"{what}{of}{how}{draws}; nats per example ± standard error over them")

    def _columns(self) -> dict[str, list[str]]:
        """Return the columns of the table of runs by their titles."""

        def cells(name: str, digits: int | None = None) -> list[str]:
            found = [entry.evaluation.get(name) for entry in self.entries]
            there = [one if one is not None and one.is_finite else None for one in found]
            if digits is None:
                return ["" if one is None else str(one) for one in there]
            return ["" if one is None else f"{one.value:.{digits}f}" for one in there]

        active = [(e.evaluation.active_units, e.evaluation.latent_dim) for e in self.entries]
        columns = {
            "run": [entry.title for entry in self.entries],
            "elbo": cells("elbo"),
            "log-likelihood": cells("log_likelihood"),
            "reconstr.": cells("reconstruction", 2),
            "kl": cells("kl", 2),
            "bits/dim": cells("bits_per_dim", 4),
            "active": ["" if n is None else f"{n}/{dim}" for n, dim in active],
            "trained": [_duration(entry.seconds) for entry in self.entries],
            "weights": [_count(entry.parameters) for entry in self.entries],
        }
        return {title: column for title, column in columns.items() if any(column)}

    def _meaning(self, differences: Sequence[Difference]) -> str:
        """Return what the differences are, and which of them are clear."""
        reference = self.reference.name
        text = (
            f"A difference is a run's figure minus that of {reference} on the same example, "
            "averaged over examples; pairing removes the variance that both share."
        )
        unlike = [one.name for one in differences if not one.is_alike]
        if len(unlike) < len(differences):
            changes = {d.name: list(starmap(_direction, d.clear.items())) for d in differences}
            clear = "; ".join(f"{k} ({', '.join(some)})" for k, some in changes.items() if some)
            text += f" Zero is outside the 95 % interval (Student's t) of: {clear or 'none'}."
            text += self._why_wide(differences)
        if unlike:
            text += f" No verdict on {', '.join(unlike)}: another log-probability than {reference}."
        if any(d.stderr_seeds is None for one in differences for d in one.figures.values()):
            text += (
                " Between single runs the errors do not contain what another seed of training "
                "would change: train each with two seeds or more (seed=) to measure it."
            )
        others = {len(group.entries) for group in self.groups if group != self.reference}
        n_reference = len(self.reference.entries)
        if min(others) == 1 < n_reference or n_reference == 1 < max(others):
            text += " For a group with one seed, the variance of the other group is used."
        return text

    def _why_wide(self, differences: Sequence[Difference]) -> str:
        """Return why differences of many standard errors are not clear, where there are such."""
        few = [
            d.df_seeds
            for one in differences
            for d in one.figures.values()
            # Clear if the errors were those of many seeds.
            if one.is_alike and not d.is_clear and replace(d, n=None, df_seeds=inf).is_clear
        ]
        if not few:
            return ""
        n_seeds = min(n for group in self.groups if (n := len(group.entries)) > 1)
        more = "a third seed" if n_seeds == 2 else "another seed"
        return (
            " Intervals are wide where seeds are few: they leave as little as "
            f"{min(few):.1f} degrees of freedom, where 95 % needs {quantile(min(few)):.1f} times "
            f"the error over seeds; {more} of each (seed=) shortens them most."
        )


def _run(entry: Entry) -> dict[str, Any]:
    """Return one run as JSON holds it."""
    values = entry.evaluation.to_dict()
    names = [key for name in (*compared(), "bits_per_dim") for key in (name, f"{name}_stderr")]
    return {
        "name": entry.name,
        "variant": entry.variant,
        "training_seed": entry.seed,
        "seconds": entry.seconds,
        "parameters": entry.parameters,
        "scored": entry.scored,
        **{key: values[key] for key in (*names, "active_units", "latent_dim")},
    }


def _estimate(figure: Figure) -> dict[str, float | None]:
    """Return a figure and its errors as JSON holds them."""
    return {"value": figure.value, "stderr": figure.stderr, "stderr_seeds": figure.stderr_seeds}


def _table(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the lines of a table, of at most ``WIDTH`` columns: long names lose their start."""
    rows = [list(columns), *(list(row) for row in zip(*columns.values(), strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = WIDTH - sum(width + 2 for width in widths[1:])
    first = min(widths[0], max(room, 8))
    lines = []
    for name, *cells in rows:
        short = name if len(name) <= first else "…" + name[-(first - 1) :]
        lines.append("  ".join([short.ljust(first), *map(str.rjust, cells, widths[1:])]).rstrip())
    return lines


def _estimates(title: str, rows: Mapping[str, Mapping[str, Figure]], n_lines: int) -> list[str]:
    """Return the lines of a table of means or differences, with their errors.

    An error is beside its number, or below it where there is another error, over seeds.

    Arguments:
        title: The title of the first column.
        rows: The figures of every group.
        n_lines: The lines of a group with seeds: 3, or 4 with the 95 % interval.
    """
    names = [name for name in compared() if any(name in figures for figures in rows.values())]
    columns: dict[str, list[str]] = {title: [], **{name.replace("_", "-"): [] for name in names}}
    for group, figures in rows.items():
        found = [figures.get(name) for name in names]
        has_seeds = any(one is not None and one.stderr_seeds is not None for one in found)
        first = (group, "  over test points", "  over seeds", "  95 % interval")
        columns[title] += first[:n_lines] if has_seeds else first[:1]
        for column, one in zip(list(columns.values())[1:], found, strict=True):
            cells: tuple[str, ...] = ("",) * 4 if one is None else (str(one),)
            if has_seeds and one is not None:
                cells = formatted(one.value, one.stderr, one.stderr_seeds, one.margin)
            column += cells[: n_lines if has_seeds else 1]
    return _table(columns)


def _filled(text: str, indent: str = "") -> str:
    # On the command line the names of options become flags, which are longer.
    return fill(text, WIDTH - 4, subsequent_indent=indent, break_on_hyphens=False)


def _direction(name: str, difference: Figure) -> str:
    """Return the direction of a difference.

    >>> _direction("log_likelihood", Figure(-1.0, 0.1))
    'log-likelihood lower'
    """
    return f"{name.replace('_', '-')} {'higher' if difference.value > 0 else 'lower'}"


def _is_poor(evaluation: Evaluation) -> bool:
    """Return whether fewer than two draws of an example count."""
    share, n_samples = evaluation.effective_sample_size, evaluation.n_samples
    return share is not None and n_samples is not None and share * n_samples < 2


def _duration(seconds: float | None) -> str:
    """Return a duration.

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
    """Return a number of weights.

    >>> _count(812), _count(68_412), _count(2_400_000)
    ('812', '68.4k', '2.4M')
    """
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)
