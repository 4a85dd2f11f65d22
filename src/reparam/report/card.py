"""A model card: what a trained model is, how good it is and what it is not for, in Markdown.

Its head has the metadata of model cards as YAML, as the Hugging Face Hub reads them.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.data.registry import SOURCES, OwnFiles
from reparam.errors import OptionError
from reparam.evaluation import Evaluation
from reparam.evaluation.figure import Figure, formatted
from reparam.evaluation.metric import quantities
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import default_modes
from reparam.pictures import grid, is_picturable, save
from reparam.report.facts import facts, generates, variant_of
from reparam.utils.files import as_path, write_atomic, yaml_text
from reparam.variants import get

if TYPE_CHECKING:
    from PIL.Image import Image

CARD, PICTURE = "README.md", "samples.png"
"""The files of a card in its folder."""

N_SAMPLES = 64
"""The number of samples in the picture."""

LIBRARY = "reparam"


@dataclass(frozen=True)
class Card:
    """A model card.

    Arguments:
        text: The card, in Markdown.
        picture: Samples of the model, which the text shows; None where samples are no images.
    """

    text: str
    picture: "Image | None" = None

    def __repr__(self) -> str:
        return f"Card({len(self.text):,} characters)"

    def save(self, folder: str | Path) -> Path:
        """Write README.md and the picture beside it into a folder, and return the folder.

        Raises:
            WriteError: A file cannot be written.
        """
        place = as_path(folder, "folder")
        write_atomic(place / CARD, self.text)
        if self.picture is not None:
            save(self.picture, place / PICTURE)
        return place


@default_modes()
def card(
    run: TrainedRun,
    *,
    license: str,
    name: str | None = None,
    repository: str | None = None,
    evaluation: Evaluation | None = None,
) -> Card:
    """Return the model card of a trained run.

    Arguments:
        run: The run.
        license: The license of the model, such as ``apache-2.0``, ``cc-by-4.0`` or ``other``.
        name: The title; the name of the repository or of the run's folder by default.
        repository: The repository that holds the model, such as ``me/digits-vae``; None for a
            folder.
        evaluation: The figures; by default those that the folder of the run keeps.

    Raises:
        OptionError: A license that is no identifier.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=20, progress=False, early_stopping=0)
        >>> print(card(run, license="mit", name="digits").text[:38])
        ---
        license: mit
        library_name: reparam
    """
    check_license(license)
    found = run.kept_evaluation() if evaluation is None else evaluation
    place = variant_of(run) if run.folder is None else run.folder.path.name
    title = _one_line(name or (repository or place).rpartition("/")[2])
    picture = _picture(run)
    parts = [
        f"---\n{yaml_text(_metadata(run, license, title, found))}---",
        f"# {_plain(title)}",
        _summary(run),
        *([_shown(run)] if picture is not None else []),
        f"## Load it\n\n{_loading(run, title, repository)}",
        f"## Model, data and training\n\n{_table(('what', 'value'), facts(run))}",
        f"## Figures\n\n{_figures(found)}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(run, found)),
        f"## Repeat it\n\n{_repeating(run)}",
    ]
    return Card("\n\n".join(parts) + "\n", picture)


def check_license(license: str) -> None:
    """Refuse a license that is no identifier, such as an empty one.

    Raises:
        OptionError: Another text.
    """
    if not isinstance(license, str) or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise OptionError(
            f"license={license!r}: give the identifier of the model's license in lower case, such "
            "as apache-2.0, cc-by-4.0 or other"
        )


def _metadata(
    run: TrainedRun, license: str, title: str, evaluation: Evaluation | None
) -> dict[str, Any]:
    """Return the head of the card, with the keys of the Hub."""
    variant = variant_of(run)
    tags = ["variational-autoencoder", "generative-model", *([variant] if _is_known(run) else [])]
    head: dict[str, Any] = {"license": license, "library_name": LIBRARY, "tags": tags}
    is_images = is_picturable(run.spec) and run.spec.condition is None and generates(run)
    task = "unconditional-image-generation" if is_images else "density-estimation"
    if is_images:
        head["pipeline_tag"] = task
    data = (run.config.get("recorded") or {}).get("data") or {}
    if data and not isinstance(SOURCES[data["name"]], OwnFiles):
        head["datasets"] = [data["name"]]
    main = _main(evaluation)
    if evaluation is not None and main:
        metrics = [
            {"type": name, "value": figure.value, "name": f"{name}: {_described(figure)}"}
            for name, figure in main.items()
        ]
        data_name = _one_line(run.spec.name)
        dataset = {"name": data_name, "type": data_name, "split": evaluation.facts.split}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
        head["metrics"] = list(main)
        head["model-index"] = [{"name": title, "results": [result]}]
    return head


def _main(evaluation: Evaluation | None) -> dict[str, Figure]:
    """Return the figures that models are compared by."""
    if evaluation is None:
        return {}
    known = quantities()
    return {
        name: figure
        for name, figure in evaluation.items()
        if figure.is_finite and (known[name].is_compared or known[name].is_likelihood)
    }


def _described(figure: Figure) -> str:
    """Return the unit, the error and the meaning of a figure in a line."""
    error = "" if figure.stderr is None else f", standard error {figure.stderr:.3g}"
    return f"{figure.description} ({figure.unit or 'no unit'}{error})"


def _summary(run: TrainedRun) -> str:
    """Return a sentence on the model and its data."""
    version = (run.config.get("recorded") or {}).get("reparam", "")
    made = f"with reparam {version}".strip()
    if not _is_known(run):
        return f"A model that was composed by hand, trained on {_plain(run.spec.name)} {made}."
    variant = get(run.config["variant"])
    return (
        f"{variant.summary.rstrip('.')} (`{variant.name}`; {variant.paper}), trained on "
        f"{_plain(run.spec.name)} {made}."
    )


def _is_known(run: TrainedRun) -> bool:
    return run.config.get("variant") is not None


def _picture(run: TrainedRun) -> "Image | None":
    """Return a picture of samples, of a model that draws images without being told a condition."""
    if not is_picturable(run.spec) or run.spec.given_covariates or not generates(run):
        return None
    return grid(run.sample(N_SAMPLES, mean=True).cpu())


def _shown(run: TrainedRun) -> str:
    of = "" if run.spec.condition is None else ", under the labels in turn"
    text = f"{N_SAMPLES} samples: means of p(x | z) for z drawn from the prior{of}"
    return f"![{text}]({PICTURE})\n\n*{text}; no example of the data is shown.*"


def _loading(run: TrainedRun, title: str, repository: str | None) -> str:
    """Return the lines of Python that load the model and use it."""
    place = repr(title) if repository is None else f"rp.hub.pull({repository!r})"
    known = _is_known(run)
    lines = [
        "import reparam as rp",
        "",
        *([] if known else ["model = ...  # made by the code that made the trained one"]),
        f"run = rp.load({place}{'' if known else ', model=model'})",
    ]
    if generates(run) and not run.spec.given_covariates:
        lines.append("x = run.sample(16)  # draws from the model")
        if run.spec.schema is not None:
            lines.append("rows = run.to_table(x)  # as a table, with the columns of the data")
        if run.spec.condition is None:
            lines.append("z = run.encode(x)  # means of q(z | x)")
    lines.append("print(run.kept_evaluation())  # the figures below")
    extra = "reparam" if repository is None else "'reparam[hub]'"
    where = f"{_plain(title)} is the folder that holds this file. " if repository is None else ""
    code = "\n".join(lines)
    return (
        f"`pip install {extra}`\n\n```python\n{code}\n```\n\n{where}Loading executes nothing that "
        "the files hold."
    )


def _figures(evaluation: Evaluation | None) -> str:
    """Return the table of figures, with what each is, and the notes on them."""
    if evaluation is None:
        return (
            "None were stored with the run: `reparam evaluate RUN` measures it on held-out "
            "examples, with standard errors."
        )
    of, known = evaluation.facts, quantities()
    given = "" if of.condition is None else " given c"
    rows = [
        (
            name,
            # A space at which no line is broken, since the error belongs to the value.
            "\N{NO-BREAK SPACE}".join(formatted(figure.value, figure.stderr))
            .strip()
            .replace("± ", "±\N{NO-BREAK SPACE}"),
            figure.unit,
            figure.description,
            "yes" if of.is_likelihood and known[name].is_likelihood else "no",
        )
        for name, figure in evaluation.items()
        if figure.is_finite and known[name].is_shown(of, evaluation.figures)
    ]
    head = ("figure", "value", "unit", "what it is", f"a likelihood of x{given}?")
    draws = f", by {of.n_samples:,} draws of z for each" if of.n_samples else ""
    said = [
        f"Means over {of.n_examples:,} examples of the split {of.split!r}{draws}, ± the standard "
        "error over the examples.",
        _table(head, rows),
        *([f"Note: {_plain(of.note)}."] if of.note else []),
        *(f"Warning: {_plain(warning)}." for warning in of.warnings),
    ]
    return "\n\n".join(said)


def _limits(run: TrainedRun, evaluation: Evaluation | None) -> Iterator[str]:
    """Yield what the model was not tested for, and what its samples do not promise."""
    data = _plain(run.spec.name)
    if evaluation is not None:
        of = "" if evaluation.facts.data is None else f" of {_plain(evaluation.facts.data)}"
        yield (
            f"The figures hold for examples such as those of the split "
            f"{evaluation.facts.split!r}{of}. Other data, groups within the data and data that "
            "change with time were not measured."
        )
    yield f"The model repeats what is unbalanced, wrong or missing in {data}."
    if run.spec.schema is not None or len(run.spec.shape) == 1:
        yield (
            "Rows that are sampled are not private by themselves: a model can repeat rows of its "
            "training data, and training had no differential privacy."
        )
    elif generates(run):
        yield "Samples can resemble training examples; training had no differential privacy."
    if run.spec.schema is not None:
        yield (
            "`config.yaml` holds the names of the columns, their classes and the least and "
            "largest value of each quantity."
        )
    text = inspect.getdoc(get(run.config["variant"]).builder) if _is_known(run) else None
    own = re.search(r"^Limits: (.+?)(?:\n\n|\Z)", text or "", re.MULTILINE | re.DOTALL)
    if own is not None:
        said = " ".join(own[1].split()).replace("``", "`")
        yield f"Of the variant `{variant_of(run)}`: {said}"


def _repeating(run: TrainedRun) -> str:
    """Return the commands that train the model again."""
    data = (run.config.get("recorded") or {}).get("data") or {}
    if not _is_known(run) or not data:
        return (
            "The model was trained in Python, on data in memory: `rp.fit` with the options in "
            "`config.yaml` repeats it."
            if _is_known(run)
            else "The model was trained in Python: `config.yaml` has the options of its training."
        )
    lines = [f"reparam train {variant_of(run)} --config config.yaml --out again"]
    fitted = run.config.get("fitted_prior")
    if fitted and not run.config["recorded"].get("chooses_prior"):
        seed = f"--seed {fitted.get('seed', 0)}"
        lines.append(f"reparam refit-prior again --prior {fitted['prior']} {seed} --out refitted")
    code = "\n".join(lines)
    where = f", beside {_plain(Path(data['path']).name)}" if data.get("path") else ""
    return f"In the folder of `config.yaml`{where}:\n\n```\n{code}\n```"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ("---",) * len(head), *(tuple(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return a text on one line, whose signs Markdown and HTML do not interpret.

    >>> print(_plain("a|b <i>*c*"))
    a\\|b &lt;i&gt;\\*c\\*
    """
    line = escape(_one_line(text), quote=False)
    return re.sub(r"([\\`*_|\[\]#])", r"\\\1", line)


def _one_line(text: str) -> str:
    return " ".join(text.split())
