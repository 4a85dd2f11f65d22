"""The page of a report: its sections in one self-contained HTML file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, Template

from reparam.errors import OptionError, ReparamError
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import default_modes
from reparam.report import common, images, latents, rows
from reparam.report.section import Section, table
from reparam.report.view import View
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, write_atomic
from reparam.version import __version__

PARTS: tuple[Callable[[View], Iterator[Section]], ...] = (
    common.overview,
    common.figures,
    images.samples,
    images.reconstructions,
    images.texts,
    rows.marginals,
    rows.counts,
    latents.latent_map,
    images.walks,
    common.curves,
    common.dimensions,
    latents.memory,
    common.findings,
)
"""What makes the sections, in their order. Each yields those that apply to a run."""

COMPARED = ("log_likelihood", "elbo", "reconstruction", "kl", "bits_per_dim", "active_units")
"""The figures of the table of several runs."""


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
        """Return the page in a frame, for a notebook."""
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" width="100%" height="800" '
            'style="border:0"></iframe>'
        )


@default_modes()
@numbers(n_samples=1, seed=0)
def report(*runs: TrainedRun, data: object = None, n_samples: int = 100, seed: int = 0) -> Report:
    """Return a report on trained runs: figures, pictures, the latent space, and findings.

    Several runs have a table of their figures first, and then a part each.

    Arguments:
        runs: The runs.
        data: The data, where the runs cannot load them by name.
        n_samples: The number of importance samples of figures that are not stored yet.
        seed: The seed of every draw.

    Raises:
        OptionError: No run.
        RunError: The data came from memory, and are not there any more.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=20, progress=False, early_stopping=0)
        >>> report(run, n_samples=2).title
        'vae on digits'
    """
    if not runs:
        raise OptionError("report() got no run: give one run or more")
    views = []
    for run in runs:
        source = run.dataset() if data is None else run.prepared(data)
        views.append(View(run, source, n_samples, seed))
    titles = [f"{view.name} on {view.run.spec.name}" for view in views]
    title = titles[0] if len(runs) == 1 else f"{len(runs)} runs"
    parts = [(name, _sections(view)) for name, view in zip(titles, views, strict=True)]
    page = _template().render(
        title=title,
        version=__version__,
        date=date.today().isoformat(),
        summary="" if len(runs) == 1 else _summary(views),
        parts=parts,
        style=_file("style.css"),
        script=_file("map.js") + _file("script.js"),
    )
    return Report(title, page)


def _sections(view: View) -> list[Section]:
    """Return the sections of a run; one that fails says so in its place."""
    found: list[Section] = []
    for part in PARTS:
        try:
            found += part(view)
        except ReparamError as error:
            name = part.__name__.strip("_")
            said = f"This part could not be made: {error}."
            found.append(Section(name, name.capitalize(), said, ""))
    return found


def _summary(views: Sequence[View]) -> str:
    """Return a table of the figures of several runs."""
    known = [name for name in COMPARED if any(name in v.evaluation.figures for v in views)]
    lines = []
    for view in views:
        found = view.evaluation.figures
        cells = [str(found[name]) if name in found else "" for name in known]
        lines.append([view.name, view.run.spec.name, *cells])
    return table(["run", "data", *(name.replace("_", " ") for name in known)], lines)


def _file(name: str) -> str:
    return (files("reparam.report") / "static" / name).read_text(encoding="utf-8")


def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
