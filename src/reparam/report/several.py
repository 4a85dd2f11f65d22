"""Sections on several runs: their figures, paired differences, curves in one plot, and samples."""

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite
from typing import Any

from reparam.comparison import Comparison, compare_evaluations
from reparam.comparison.names import run_names
from reparam.errors import OptionError
from reparam.evaluation.metric import compared
from reparam.pictures import is_picturable
from reparam.plots import differences
from reparam.plots.figure import COLORS, class_colors, new_axes, new_figure
from reparam.report.images import sample_grid
from reparam.report.section import Section, captioned, picture, sentence, svg, table
from reparam.report.view import View

SHOWN = ("log_likelihood", "elbo", "reconstruction", "kl", "bits_per_dim", "active_units")
"""The figures of the table of several runs."""

N_SAMPLES = 25
"""The number of samples of each run."""


def run_titles(views: Sequence[View]) -> list[str]:
    """Return a name for every run."""
    return run_names([view.run for view in views])


def figures(views: Sequence[View]) -> Iterator[Section]:
    """Yield the figures of all runs, and their differences."""
    titles = run_titles(views)
    found = [view.evaluation for view in views]
    known = [name for name in SHOWN if any(e and name in e.figures for e in found)]
    rows = []
    for view, title, evaluation in zip(views, titles, found, strict=True):
        of = {} if evaluation is None else evaluation.figures
        rows.append([title, view.run.spec.name, *(str(of[k]) if k in of else "" for k in known)])
    yield Section(
        "all",
        "All runs",
        "Figures of every run, with standard errors. Higher is better for the log-likelihood and "
        "the elbo.",
        table(["run", "data", *(name.replace("_", " ") for name in known)], rows),
    )
    compared_runs = _compared(views)
    if isinstance(compared_runs, str):
        meaning = "The runs are not compared example by example."
        body = f"<p>{escape(sentence(compared_runs))}</p>"
        yield Section("differences", "Differences", meaning, body)
    elif compared_runs.differences:
        yield _differences(compared_runs)


def _compared(views: Sequence[View]) -> Comparison | str:
    """Return the comparison of runs on the same examples, or why there is none.

    Figures in the folders of the runs are used where they are of the same examples and draws.
    """
    runs = [view.run for view in views]
    kept = [e for view in views if (e := view.evaluation) is not None]
    try:
        if len(kept) == len(runs):
            return compare_evaluations(runs, kept)
        return "The data of a run are gone, and its folder keeps no figures"
    except OptionError as error:
        if any(view.source is None for view in views):
            return str(error)
    try:
        return compare_evaluations(runs, [view.measured for view in views])
    except OptionError as error:
        return str(error)


def _differences(found: Comparison) -> Section:
    """Return the differences to the reference, clear ones in bold."""
    reference = found.reference.name
    known = [k for k in compared() if any(k in one.figures for one in found.differences)]
    titles = "".join(f'<th scope="col">{escape(k.replace("_", "-"))}</th>' for k in known)
    lines = []
    for one in found.differences:
        cells = []
        for name in known:
            text = escape(str(one.figures[name])) if name in one.figures else ""
            cells.append(f"<td><b>{text}</b></td>" if name in one.clear else f"<td>{text}</td>")
        lines.append(f'<tr><th scope="row">{escape(one.name)}</th>{"".join(cells)}</tr>')
    notes = "".join(f"<p>{escape(sentence(note))}</p>" for note in found.notes)
    first = f'<th scope="col">minus {escape(reference)}</th>'
    return Section(
        "differences",
        "Differences",
        f"A run's figure minus that of {reference} on the same example, in nats, averaged over "
        "examples. Bold: zero is outside the 95 % interval. The errors do not contain what another "
        "seed of training would change, unless runs differ in the seed only.",
        f'<div class="wide"><table><thead><tr>{first}{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{notes}"
        + svg(differences(found.differences, reference), f"Differences to {reference}"),
    )


def curves(views: Sequence[View]) -> Iterator[Section]:
    """Yield the curves of all runs in one plot."""
    titles = run_titles(views)
    figure = new_figure(8.5, 4.2)
    axes = new_axes(figure)
    splits = set()
    colors = class_colors(len(views), COLORS[:-1])
    for view, title, color in zip(views, titles, colors, strict=True):
        for split, style in (("validation", "-"), ("train", ":")):
            points = _points(view.run.rows, split)
            if points:
                splits.add(split)
                x, y = zip(*points, strict=True)
                axes.plot(x, y, style, color=color, label=title if split == _first(view) else None)
    if not splits:
        return
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("ELBO in nats per example")
    axes.legend(frameon=False, fontsize=8)
    yield Section(
        "all-curves",
        "Training of all runs",
        "The ELBO of each run, step by step: of validation examples the whole lines, of training "
        "examples the dotted ones. Curves of other likelihoods, or of other data, are not "
        "comparable.",
        svg(figure, "The ELBO of every run"),
    )


def _first(view: View) -> str:
    """Return the split whose curve names a run."""
    return "validation" if _points(view.run.rows, "validation") else "train"


def _points(rows: Sequence[dict[str, Any]], split: str) -> list[tuple[float, float]]:
    """Return the steps and the ELBOs of a split."""
    return [
        (float(row["step"]), float(row["elbo"]))
        for row in rows
        if row.get("split", "train") == split
        and "step" in row
        and isinstance(row.get("elbo"), float)
        and isfinite(row["elbo"])
    ]


def samples(views: Sequence[View]) -> Iterator[Section]:
    """Yield samples of each run beside each other."""
    able = [
        (view, title)
        for view, title in zip(views, run_titles(views), strict=True)
        if view.generates
        and is_picturable(view.run.spec)
        and not (view.source is None and view.run.spec.given_covariates)
    ]
    if len(able) < 2:
        return
    pictures = [
        captioned(picture(sample_grid(view, N_SAMPLES), f"Samples of {title}"), title)
        for view, title in able
    ]
    yield Section(
        "all-samples",
        "Samples of all runs",
        "Decoded means of codes that are drawn from the prior of each run.",
        f'<div class="beside">{"".join(pictures)}</div>',
    )
