"""The page of a report: its sections in one self-contained HTML file."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, Template

from reparam.errors import OptionError, ReparamError
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import default_modes
from reparam.report import codes, common, counts, explorer, images, memory, rows, several, texts
from reparam.report.section import Section, sentence
from reparam.report.view import View
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, write_atomic
from reparam.version import __version__


@dataclass(frozen=True)
class Part:
    """A part of a report.

    Arguments:
        make: A function of a view, or of several, that yields its sections, as far as they apply.
        what: Its content, in a sentence on what is missing.
        needs_data: Whether it needs the examples of the run.
    """

    make: Callable[[Any], Iterator[Section]]
    what: str
    needs_data: bool = True


PARTS = (
    Part(common.overview, "the run", needs_data=False),
    Part(common.findings, "the diagnosis"),
    Part(common.figures, "the figures", needs_data=False),
    Part(images.samples, "samples", needs_data=False),
    Part(images.reconstructions, "reconstructions"),
    Part(texts.texts, "samples of text", needs_data=False),
    Part(texts.passages, "passages"),
    Part(rows.marginals, "columns"),
    Part(counts.counts, "counts"),
    Part(codes.reconstructed_rows, "reconstructed rows"),
    Part(explorer.latent_map, "the latent space"),
    Part(images.traversals, "traversals"),
    Part(codes.effects, "effects of dimensions"),
    Part(images.interpolations, "interpolations"),
    Part(common.curves, "the curves", needs_data=False),
    Part(common.dimensions, "latent dimensions", needs_data=False),
    Part(memory.memory, "distances to training examples"),
)
"""What makes the sections, in their order."""

TOGETHER = (
    Part(several.figures, "all runs"),
    Part(several.curves, "training of all runs"),
    Part(several.samples, "samples of all runs"),
)
"""What makes the sections on several runs."""

STYLES = ("style.css", "report.css")
"""The style that other pages share, and that of reports."""

SCRIPTS = ("decoder.js", "likelihoods.js", "controls.js", "explorer.js", "page.js")
"""The scripts of a page, in their order."""


@dataclass(frozen=True)
class Report:
    """A report as a page.

    Arguments:
        title: Its title.
        html: The page, which needs no other file.

    Example:
        >>> Report("a run", "<html></html>").save  # doctest: +ELLIPSIS
        <bound method Report.save of Report('a run', 13 characters)>
    """

    title: str
    html: str

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self.html):,} characters)"

    def save(self, path: str | Path) -> Path:
        """Write the page, and return its path.

        Raises:
            RunError: The file cannot be written.
        """
        place = as_path(path)
        write_atomic(place, self.html)
        return place

    def _repr_html_(self) -> str:
        """Return the page in a frame, for a notebook; it is loaded when it is scrolled to."""
        # In single quotes, for the page has many double ones.
        page = self.html.replace("&", "&amp;").replace("'", "&#39;")
        return (
            f'<iframe srcdoc=\'{page}\' title="{escape(self.title, quote=True)}" loading="lazy" '
            'sandbox="allow-scripts" width="100%" height="800" style="border:0"></iframe>'
        )


@default_modes()
@numbers(n_samples=1, seed=0)
def report(*runs: TrainedRun, data: object = None, n_samples: int = 100, seed: int = 0) -> Report:
    """Return a report on trained runs: figures, pictures, the latent space, and findings.

    Several runs are compared first, and then have a part each. Where the data of a run are gone, a
    sentence stands in place of what needs them.

    Arguments:
        runs: The runs.
        data: The data, where the runs cannot load them by name.
        n_samples: The number of importance samples of figures that are not stored yet.
        seed: The seed of every draw.

    Raises:
        OptionError: No run, or one that is given twice.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=20, progress=False, early_stopping=0)
        >>> report(run, n_samples=2).title
        'vae on digits'
    """
    if not runs:
        raise OptionError("report() got no run: give one run or more")
    views = [_view(run, data, n_samples, seed, len(runs)) for run in runs]
    if len(views) == 1:
        titles = [f"{views[0].name} on {views[0].run.spec.name}"]
        title, together = titles[0], []
    else:
        titles = several.run_titles(views)
        title = f"{len(runs)} runs"
        together = [one for part in TOGETHER for one in _made(part.make, views, part.what)]
    page = _template().render(
        title=title,
        version=__version__,
        date=date.today().isoformat(),
        together=together,
        parts=[(name, _sections(view)) for name, view in zip(titles, views, strict=True)],
        style="\n".join(_file(name) for name in STYLES),
        script="\n".join(_file(name) for name in SCRIPTS),
    )
    return Report(title, page)


def _view(run: TrainedRun, data: object, n_samples: int, seed: int, n_runs: int) -> View:
    """Return the view of a run, with the data that are given or can be loaded."""
    if data is not None:
        source = run.prepared(data)
        run = copy(run)  # the user's run keeps its own data
        run.data = source
        return View(run, source, "", n_samples, seed, n_runs)
    try:
        # Data in memory may be a stream, which ``dataset`` does not return.
        source = run.dataset() if run.data is None else run.data
    except ReparamError as error:
        return View(run, None, str(error), n_samples, seed, n_runs)
    return View(run, source, "", n_samples, seed, n_runs)


def _sections(view: View) -> list[Section]:
    """Return the sections of a run; where its data are gone, one says what is missing."""
    parts = [part for part in PARTS if view.source is not None or not part.needs_data]
    found = [one for part in parts for one in _made(part.make, view, part.what)]
    if view.source is None:
        found.insert(1, _missing(view))
    return found


def _made(make: Callable[[Any], Iterator[Section]], of: object, what: str) -> list[Section]:
    """Return the sections of a part; one that fails says so in its place."""
    try:
        return list(make(of))
    except ReparamError as error:
        name = what.removeprefix("the ")
        return [
            Section(name.replace(" ", "-"), name.capitalize(), "It could not be made.", _p(error))
        ]


def _missing(view: View) -> Section:
    """Return the section on the parts that need data which are gone."""
    left_out = [part.what for part in PARTS if part.needs_data]
    if view.evaluation is None:
        left_out.insert(0, "the figures")
    meaning = "The data of this run are gone, and with them the parts that need examples."
    body = f"{_p(view.gone)}<p>Left out, as far as they apply: {', '.join(left_out)}.</p>"
    return Section("missing", "What is missing", meaning, body)


def _p(said: object) -> str:
    return f"<p>{escape(sentence(str(said)))}</p>"


def _file(name: str) -> str:
    return (files("reparam.report") / "static" / name).read_text(encoding="utf-8")


def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
