"""Sections that every run has: what was trained, the figures, the curves, and the findings."""

from collections.abc import Iterator
from html import escape

from reparam.diagnostics import Diagnosis
from reparam.errors import DataError
from reparam.evaluation.figure import formatted
from reparam.evaluation.metric import quantities
from reparam.plots import kl_per_dimension, loss_curves
from reparam.report.facts import facts
from reparam.report.section import Section, svg, table
from reparam.report.view import View

SHOWN = (
    *("log_likelihood", "elbo", "reconstruction", "kl", "bits_per_dim", "iwae", "active_units"),
    *("mutual_information", "marginal_kl", "linear_probe", "knn", "fid", "kid"),
)
"""The figures at the top, where they exist; all others are in the table below them."""

MEANING = {
    "log_likelihood": "How probable the model finds new examples. Higher is better.",
    "elbo": "The lower bound on log p(x) that training maximizes. Higher is better.",
    "reconstruction": "How well an example is described given its own code. Higher is better.",
    "kl": "The information that a code carries about its example.",
    "bits_per_dim": "The bits that an entry costs when the model compresses it. Lower is better.",
}
"""The most important figures in words."""


def overview(view: View) -> Iterator[Section]:
    """Yield what was trained, on what and how."""
    body = table(("", ""), facts(view.run), "facts")
    command = _command(view)
    body += f"<p>The command that repeats it:</p><pre>{escape(command)}</pre>"
    meaning = "What was trained, on what, and how."
    yield Section("overview", "The run", meaning, body)


def _command(view: View) -> str:
    folder = view.run.folder
    if folder is None or not view.run.config.get("variant"):
        return str(view.run.config.get("recorded", {}).get("command") or "trained in Python")
    return f"reparam train {view.variant} --config {folder.path}/config.yaml"


def figures(view: View) -> Iterator[Section]:
    """Yield the figures with their errors and their meaning."""
    found, known = view.evaluation, quantities()
    tiles = []
    for name in SHOWN:
        figure = found.figures.get(name)
        if figure is None or not figure.is_finite:
            continue
        number = " ".join(formatted(figure.value, figure.stderr)).strip()
        meaning = MEANING.get(name) or known[name].described(found.facts, found.figures)
        tiles.append(
            f'<div class="tile"><b>{escape(name.replace("_", " "))}</b>'
            f'<span class="number">{escape(number)}</span> '
            f'<span class="unit">{escape(figure.unit)}</span><p>{escape(meaning)}</p></div>'
        )
    whole = f"<details><summary>All figures</summary>{found._repr_html_()}</details>"
    n = f"{found.facts.n_examples:,}"
    yield Section(
        "figures",
        "Figures",
        f"Means over {n} examples of the split {found.facts.split!r}, which training did not see"
        f" unless it is 'train', with their standard errors.",
        f'<div class="tiles">{"".join(tiles)}</div>{whole}',
    )


def curves(view: View) -> Iterator[Section]:
    """Yield the curves of training, and the KL of every dimension."""
    try:
        drawing = svg(loss_curves(view.run.rows), "Curves of the ELBO, reconstruction and KL")
    except DataError:
        return
    yield Section(
        "curves",
        "Training",
        "Where the curve of validation turns down while that of training rises, the model learns "
        "its examples by heart.",
        drawing,
    )


def dimensions(view: View) -> Iterator[Section]:
    """Yield the KL of every latent dimension."""
    values = view.evaluation.kl_per_dimension
    if not values:
        return
    yield Section(
        "dimensions",
        "Latent dimensions",
        "A dimension with a high KL carries much information about its example; one without KL is "
        "not used.",
        svg(kl_per_dimension(values), "The KL of each latent dimension"),
    )


def findings(view: View) -> Iterator[Section]:
    """Yield what the doctor finds."""
    found = view.diagnosis
    if not isinstance(found, Diagnosis):
        yield Section("doctor", "Diagnosis", "The checks could not be made.", escape(found))
        return
    parts = []
    for severity in ("problem", "advice"):
        for one in found.of(severity):
            fix = f"<p>Change: <code>{escape(one.fix)}</code></p>" if one.fix else ""
            parts.append(
                f'<div class="finding {severity}"><b>{severity}: {escape(one.name)}</b>'
                f"<p>{escape(one.message)}.</p><p>{escape(one.evidence)}</p>{fix}</div>"
            )
    fine = ", ".join(f"{one.name} ({one.message})" for one in found.of("fine"))
    parts.append(f"<p>Fine: {escape(fine)}.</p>" if fine else "")
    said = "No problem was found." if not found.of("problem") else "There are problems."
    yield Section("doctor", "Diagnosis", said, "".join(parts))
