"""Sections that every run has: what was trained, the figures, the curves, and the findings."""

import shlex
from collections.abc import Iterator
from html import escape

from reparam.diagnostics import Diagnosis
from reparam.errors import DataError
from reparam.evaluation.figure import formatted
from reparam.evaluation.latents.activity import kl_from_standard_normal
from reparam.evaluation.metric import quantities
from reparam.plots import kl_per_dimension, loss_curves
from reparam.priors import Standardized
from reparam.report.facts import facts
from reparam.report.section import Section, details, sentence, svg, table
from reparam.report.view import View
from reparam.utils.terminal import reworded

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
    commands = _commands(view)
    if commands:
        text = escape("\n".join(commands))
        body += f'<p>This repeats it:</p><pre tabindex="0">{text}</pre>'
    else:
        body += "<p>It was trained in Python without a folder, so that no command repeats it.</p>"
    yield Section("overview", "The run", "What was trained, on what, and how.", body)


def _commands(view: View) -> list[str]:
    """Return the commands that repeat the run; none for one without a folder or a variant."""
    folder, config = view.run.folder, view.run.config
    if folder is None or not config.get("variant"):
        return []
    out = folder.path.with_name(f"{folder.path.name}-again")
    file = folder.path / "config.yaml"
    command = ["reparam", "train", view.variant, "--config", str(file), "--out", str(out)]
    return [shlex.join(command)]


def figures(view: View) -> Iterator[Section]:
    """Yield the figures with their errors and their meaning."""
    found, known = view.evaluation, quantities()
    if found is None:
        return
    tiles = []
    for name in SHOWN:
        figure = found.figures.get(name)
        if figure is None or not figure.is_finite:
            continue
        number = " ".join(formatted(figure.value, figure.stderr)).strip()
        meaning = MEANING.get(name) or known[name].described(found.facts, found.figures)
        tiles.append(
            f'<div class="tile"><h3>{escape(name.replace("_", " "))}</h3>'
            f'<span class="number">{escape(number)}</span> '
            f'<span class="unit">{escape(figure.unit)}</span><p>{escape(meaning)}</p></div>'
        )
    n = f"{found.facts.n_examples:,}"
    seen = ", which training saw" if found.facts.split == "train" else ""
    warnings = "".join(
        f'<p class="warning">{escape(sentence(w))}</p>' for w in found.facts.warnings
    )
    yield Section(
        "figures",
        "Figures",
        f"Means over {n} examples, of the split {found.facts.split!r}{seen}, with their standard "
        "errors.",
        f'<div class="tiles">{"".join(tiles)}</div>{warnings}'
        + details("All figures", found._repr_html_()),
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
    """Yield the KL of every latent dimension, and of every layer of a hierarchy."""
    found = view.evaluation
    if found is None:
        return
    values, errors = found.facts.kl_per_dimension, found.facts.kl_per_dimension_stderr
    of_what = ""
    # From a prior that was fitted to the codes, single dimensions have no KL.
    if not values and view.latent is not None and isinstance(view.latent.prior, Standardized):
        parts = kl_from_standard_normal(view.latent, view.shown)
        if parts is not None and len(parts) > 1:
            values = tuple(parts.mean(0).tolist())
            errors = tuple((parts.std(0) / len(parts) ** 0.5).tolist())
            of_what = (
                " The KL is that from a standard normal: from the prior, which was fitted to the "
                "codes after training, single dimensions have none."
            )
    if values:
        some = [0.0 if v is None else v for v in values]
        bars = None if errors is None else [0.0 if e is None else e for e in errors]
        yield Section(
            "dimensions",
            "Latent dimensions",
            "A dimension with a high KL carries much information about its example; one without "
            f"KL is not used.{of_what} The lines are standard errors.",
            svg(kl_per_dimension(some, bars), "The KL of each latent dimension"),
        )
    layers = found.facts.kl_groups
    if layers and len(layers) > 1:
        of = found.facts.kl_groups_stderr or {}
        rows = [(k, " ".join(formatted(v, of.get(k))).strip()) for k, v in layers.items()]
        yield Section(
            "layers",
            "Latent layers",
            "The KL of each layer. A layer without KL is not used: it has the distribution that "
            "the prior gives it.",
            table(("layer", "KL in nats"), rows),
        )


def findings(view: View) -> Iterator[Section]:
    """Yield what the doctor finds."""
    found = view.diagnosis
    meaning = "What reparam doctor says of the run: problems first, each with what to change."
    if not isinstance(found, Diagnosis):
        yield Section(
            "doctor",
            "Diagnosis",
            "The checks could not be made.",
            f"<p>{escape(sentence(found))}</p>",
        )
        return
    parts = []
    for severity in ("problem", "advice"):
        for one in found.of(severity):
            fix, typed = escape(one.fix), escape(reworded(one.fix))
            also = "" if typed == fix else f" On the command line: <code>{typed}</code>"
            fix = f"<p>Change: <code>{fix}</code>{also}</p>" if fix else ""
            parts.append(
                f'<div class="finding {severity}"><h3>{severity}: {escape(one.name)}</h3>'
                f"<p>{escape(one.message)}.</p><p>{escape(one.evidence)}</p>{fix}</div>"
            )
    fine = ", ".join(f"{one.name} ({one.message})" for one in found.of("fine"))
    parts.append(f"<p>Fine: {escape(fine)}.</p>" if fine else "")
    said = "" if found.of("problem") else " No problem was found."
    yield Section("doctor", "Diagnosis", meaning + said, "".join(parts))
