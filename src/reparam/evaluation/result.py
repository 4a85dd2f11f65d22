"""The result of an evaluation: figures by name, their facts, and the table of both.

There is one rule for names. ``result["elbo"]`` is the ``Figure``; ``result.elbo`` is its value and
``result.elbo_stderr`` its standard error, both None where the figure does not exist or is not
finite. ``result.split`` and all other names are fields of ``Facts``. The keys of
``evaluation.json`` are the names of these attributes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from html import escape
from itertools import chain
from math import isfinite
from textwrap import fill
from typing import Any, Unpack, get_type_hints

from torch import Tensor

from reparam.errors import unknown
from reparam.evaluation.figure import FactChanges, Facts, Figure, formatted
from reparam.evaluation.metric import Quantity, metrics, quantities
from reparam.utils.files import has_type

WIDTH = 100
"""The columns of notes and warnings below the table."""


@dataclass(frozen=True, repr=False)
class Evaluation(Mapping[str, Figure]):
    """The figures of a model on one split, by name.

    Arguments:
        facts: The split, the draws, and the notes.
        figures: The figures that exist, by name; unit, direction and description are added.

    Raises:
        OptionError: A name that no metric declares.

    Example:
        >>> found = Evaluation(Facts("test", 2, True), {"elbo": Figure(-1.5, 0.5)})
        >>> found["elbo"].unit, found.elbo, found.elbo_stderr, found.kl, found.split
        ('nats', -1.5, 0.5, None, 'test')
        >>> print(found)
        2 examples of the split 'test'; means ± stderr; ↑ higher is better
        <BLANKLINE>
        Bound and likelihood
          elbo ↑  -1.50 ± 0.50  nats  lower bound of log p(x)
    """

    facts: Facts
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = quantities()
        for name in self.figures.keys() - known.keys():
            raise unknown("figure", name, known)
        complete = {
            name: replace(
                self.figures[name],
                unit=quantity.unit,
                higher_is_better=quantity.higher_is_better,
                description=quantity.described(self.facts, self.figures),
            )
            for name, quantity in known.items()
            if name in self.figures
        }
        object.__setattr__(self, "figures", complete)

    def __getitem__(self, name: str) -> Figure:
        """Return a figure by its name.

        Raises:
            KeyError: An unknown figure, with the nearest name, or one that the model lacks.
        """
        if name in self.figures:
            return self.figures[name]
        if name in quantities():
            raise KeyError(f"this model has no figure {name!r}: {self.facts.note or 'see table'}")
        raise KeyError(str(unknown("figure", name, self.figures)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def __getattr__(self, name: str) -> Any:
        if name in ("facts", "figures") or name.startswith("__"):
            raise AttributeError(name)
        values = _values(self.figures) | vars(self.facts)
        if name not in values:
            raise AttributeError(str(unknown("figure", name, values)))
        return values[name]

    def with_facts(self, **facts: Unpack[FactChanges]) -> "Evaluation":
        """Return the evaluation with other values of some facts."""
        return replace(self, facts=replace(self.facts, **facts))

    @property
    def per_example(self) -> dict[str, Tensor]:
        """The values of the examples, with shape (N,), of the figures that runs are compared by."""
        return {
            name: figure.per_example
            for name, figure in self.figures.items()
            if figure.per_example is not None and quantities()[name].is_compared
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them: no NaN, no infinity.

        >>> facts = Facts("test", 2, True, kl_per_dimension=(1.0,))
        >>> values = Evaluation(facts, {"elbo": Figure(float("nan"))}).to_dict()
        >>> values["elbo"], values["kl_per_dimension"]
        (None, [1.0])
        """
        return {k: _plain(v) for k, v in (asdict(self.facts) | _values(self.figures)).items()}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], per_example: Mapping[str, Tensor] | None = None
    ) -> "Evaluation":
        """Return the evaluation of which ``to_dict`` gave the values; other keys are left out.

        Arguments:
            values: Plain values.
            per_example: The values of the examples by figure, with shape (N,).

        Raises:
            TypeError: A value is missing, or has another type.

        >>> stored = Evaluation(Facts("test", 2, True), {"elbo": Figure(-1.5)}).to_dict()
        >>> Evaluation.from_dict(stored).elbo
        -1.5
        """
        types = get_type_hints(Facts)
        facts = {k: values[k] for k in types if k in values}
        facts = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
        numbers = {k: values[k] for k in _values({}) if values.get(k) is not None}
        for name, value in (facts | numbers).items():
            kind = types.get(name, float)
            if not has_type(value, kind):
                raise TypeError(f"{name}={value!r} is no {kind}")
        known = per_example or {}
        figures = {name: Figure.mean(known[name]) for name in quantities() if name in known}
        for name in quantities().keys() & numbers.keys():
            figures[name] = replace(
                figures.get(name, Figure(0.0)),
                value=numbers[name],
                stderr=numbers.get(f"{name}_stderr"),
                bias=numbers.get(f"{name}_bias"),
            )
        return cls(Facts(**facts), figures)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [row for _, some in self._sections() for row in some]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines = [self._head()]
        for title, some in self._sections():
            lines += ["", title]
            for name, value, error, unit, description in some:
                number = f"{value:>{widths[1]}} {error:<{widths[2]}}"
                cells = (f"{name:<{widths[0]}}", number, f"{unit:<{widths[3]}}", description)
                lines.append(("  " + "  ".join(cells)).rstrip())
        notes = self._notes()
        lines += [""] if notes else []
        return "\n".join(lines + [fill(note, WIDTH, subsequent_indent="  ") for note in notes])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        parts = [f"<p>{escape(self._head())}</p>", "<table>"]
        for title, rows in self._sections():
            parts.append(f'<tr><th colspan="4" style="text-align:left">{escape(title)}</th></tr>')
            for name, value, error, *texts in rows:
                cells = [name, f"{value} {error}".strip(), *texts]
                parts.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
        return "".join([*parts, "</table>", *(f"<p>{escape(note)}</p>" for note in self._notes())])

    def _head(self) -> str:
        draws = f", {self.n_samples:,} draws of z each" if self.n_samples else ""
        n, split = self.facts.n_examples, self.facts.split
        return f"{n:,} examples of the split {split!r}{draws}; means ± stderr; ↑ higher is better"

    def _sections(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Return the rows of every section that has any: name, value, error, unit, description."""
        sections: dict[str, list[tuple[str, ...]]] = {}
        for metric in metrics():
            for row in chain.from_iterable(map(self._rows, metric.quantities)):
                sections.setdefault(metric.section.value, []).append(row)
        return list(sections.items())

    def _rows(self, quantity: Quantity) -> list[tuple[str, ...]]:
        figure = self.figures.get(quantity.name)
        rows: list[tuple[str, ...]] = []
        if figure is not None and figure.is_finite and quantity.is_shown(self.facts, self.figures):
            mark = {True: " ↑", False: " ↓", None: ""}[figure.higher_is_better]
            number = formatted(figure.value, figure.stderr)
            rows.append((quantity.name + mark, *number, figure.unit, figure.description))
        if quantity.name == "kl":
            errors = self.facts.kl_groups_stderr or {}
            for name, value in (self.facts.kl_groups or {}).items():
                if value is not None:
                    number = formatted(value, errors.get(name))
                    rows.append((f"kl of {name}", *number, "nats", "the share of this layer"))
        return rows

    def _notes(self) -> list[str]:
        facts = self.facts
        notes = [f"note: {facts.note}"] if facts.note else []
        if facts.features is not None:
            weights = facts.features_sha256
            of = "" if weights is None else f" (weights {weights[:12]}…)"
            notes.append(f"note: the features of fid and kid are those of {facts.features}{of}")
        if facts.n_generated is not None and facts.n_generated == facts.n_examples:
            n = f"{facts.n_examples:,}"
            notes.append(f"note: all {n} examples of the split were compared with {n} samples")
        return notes + [f"warning: {warning}" for warning in facts.warnings]


def _values(figures: Mapping[str, Figure]) -> dict[str, float | None]:
    """Return value, standard error and bias of all declared figures, by their keys."""
    found: dict[str, float | None] = {}
    for name, quantity in quantities().items():
        figure = figures.get(name)
        there = figure if figure is not None and figure.is_finite else None
        found[name] = None if there is None else there.value
        if quantity.has_stderr:
            found[f"{name}_stderr"] = None if there is None else there.stderr
        if quantity.has_bias:
            found[f"{name}_bias"] = None if there is None else there.bias
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
