"""Pages that are written at every build: one for each variant, and one for each public module.

They follow from the registry of variants and from ``__all__`` of the modules, so that neither can be
forgotten. They are no part of the repository.
"""

import inspect
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

import reparam as rp
from reparam import comparison, errors, report, schema
from reparam.variants import Variant, get, names, options_of
from reparam.variants.description import Symbol

NEED_LABELS = {"class-prior-vae", "cvae", "cvae-gan", "ss-vae", "ss-vae-stacked"}
FIGURES = {
    "vae": ("jaanli-samples.png", "Samples after a run on binarized MNIST"),
    "iwae": ("better-bound-samples.png", "Samples of the VAE and of the IWAE"),
    "gumbel-vae": ("gumbel-vae-samples.png", "Samples, decoded from drawn codes"),
    "ladder-vae": ("ladder-vae-samples.png", "Samples"),
    "cluster-vae": ("cluster-vae-clusters.png", "Samples of each cluster, one row for each"),
    "conv-ladder-vae": ("cifar10-ladder-conv-pictures.png", "Samples on CIFAR-10"),
    "dae": ("autoencoders-denoised.png", "Corrupted digits, and what the autoencoders make of them"),
    "iaf-vae": ("flow-posterior-samples.png", "Samples"),
}
"""A figure of ``docs/reproduced`` for a variant, and what it shows."""

MODULES = (
    "reparam",
    "reparam.data",
    "reparam.variants",
    "reparam.estimators",
    "reparam.evaluation",
    "reparam.comparison",
    "reparam.diagnostics",
    "reparam.report",
    "reparam.plots",
    "reparam.training",
    "reparam.schedules",
    "reparam.families",
    "reparam.distributions",
    "reparam.priors",
    "reparam.nn",
    "reparam.objectives",
    "reparam.errors",
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    cells = [tuple(head), *(tuple(row) for row in rows)]
    cells.insert(1, ("---",) * len(cells[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def code(text: str) -> str:
    """Return a docstring's prose with the code of Markdown, one backquote in place of two."""
    return text.replace("``", "`")


def formula(tex: str) -> str:
    """Return a formula of Markdown, on lines of its own."""
    return f"```{{math}}\n{tex}\n```"


def symbol_row(symbol: Symbol, known: Iterable[str]) -> tuple[str, str, str]:
    """Return the row of a symbol: its name, its meaning and its argument."""
    argument = f"`{symbol.argument}`" if symbol.argument in known else ""
    name = symbol.name.replace("|", r"\mid ")
    return f"${name}$", code(symbol.meaning).replace("|", r"\|"), argument


def data_of(name: str) -> str:
    """Return the words of ``reparam train`` that name data which a variant can be trained on."""
    if name == "text-vae":
        return "text --path FILE.txt"
    return "people.csv" if name == "not-miwae" else "mnist"


def variant_page(found: Variant, figures: Path) -> str:
    """Return the page of a variant.

    Arguments:
        found: The variant.
        figures: The folder of the figures of experiments.
    """
    said, known, function = found.description, options_of(found.name), found.name.replace("-", "_")
    own = [
        (f"`{key}`", f"`{option.default}`", code(" ".join(known[key].help.split())).replace("|", r"\|"))
        for key, option in found.options.items()
    ]
    parts = [
        f"# {found.name}",
        code(said.summary),
        f"**Paper:** {found.paper}.",
        "## When to use it",
        code(said.use),
        *([code(said.notes)] if said.notes else []),
        "## Limits",
        code(said.limits[:1].upper() + said.limits[1:]),
        "## Generative process",
        formula(said.process),
        *(["## Posterior", formula(said.posterior)] if said.posterior else []),
        "## Objective",
        formula(said.objective),
        "## Symbols",
        table(
            ("symbol", "meaning", "argument"),
            (symbol_row(symbol, known) for symbol in said.symbols),
        ),
        "## How to train it",
        f"```console\nreparam train {found.name} --data {data_of(found.name)}\n```",
    ]
    name, words = FIGURES.get(found.name, ("", ""))
    if name and (figures / name).exists():
        where = name.rpartition("-")[0]
        parts += ["## A figure", f"![{words}](../reproduced/{name})", f"*{words}; from an experiment.*"]
    parts += [
        "## Options",
        table(("option", "default", "what it is"), own),
        f"In Python this is [`rp.variants.{function}`](#reparam.variants.{function}). Posterior, "
        "prior, likelihood and objective can be replaced where the variant is made of such parts: "
        f"`reparam models` lists them, and `reparam train {found.name} --help` shows every option.",
    ]
    return "\n\n".join(parts) + "\n"


def variants_index() -> str:
    """Return the page with the table of all variants."""
    found = [get(name) for name in names()]
    rows = ((f"[{v.name}]({v.name}.md)", code(v.summary.rstrip(".")), v.paper) for v in found)
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *(v.name for v in found), "```"])
    return "\n\n".join(
        [
            "# Variants",
            "A variant is a name for a model and its objective. `vae` is the one to begin with; "
            "each page says when another one is better, and what it costs.",
            table(("variant", "what it is", "paper"), rows),
            toctree,
            "",
        ]
    )


def module_of(path: str) -> ModuleType:
    """Return a public module by its name."""
    special: dict[str, ModuleType] = {
        "reparam": rp,
        "reparam.comparison": comparison,
        "reparam.errors": errors,
        "reparam.report": report,
        "reparam.schema": schema,
    }
    return special[path] if path in special else getattr(rp, path.rpartition(".")[2])


def exported(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the public functions, classes and constants of a module, with their names."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        own = (n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__)
        listed = [n for n in own if not n.startswith("_")]
    for name in listed:
        value = getattr(module, name)
        if not inspect.ismodule(value) and not name.startswith("__"):
            yield name, value


def module_page(path: str) -> str:
    """Return the page of a public module: a table of its names, then the entry of each."""
    module = module_of(path)
    found = list(exported(module))
    said = (inspect.getdoc(module) or "").replace("\n\n", "\n\n")
    short = path.replace("reparam", "rp", 1)
    lines = [path, "=" * len(path), "", said, "", f".. currentmodule:: {path}", ""]
    lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name, _ in found), ""]
    for name, value in found:
        is_class = inspect.isclass(value)
        kind = "autoclass" if is_class else "autofunction" if inspect.isroutine(value) else "autodata"
        lines += [f".. {kind}:: {path}.{name}"]
        lines += ["   :members:"] if is_class else []
        lines += ["   :no-value:"] if kind == "autodata" else []
        lines += [""]
    return "\n".join(lines).replace("``rp``", f"``{short}``")


def api_index() -> str:
    """Return the page with the list of all public modules."""
    rows = (
        (f"[{path}]({path}.rst)", code((inspect.getdoc(module_of(path)) or "").partition("\n")[0]))
        for path in MODULES
    )
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *MODULES, "```"])
    return "\n\n".join(
        [
            "# Python reference",
            "`import reparam as rp` gives access to all of it; a module is imported when it is "
            "first used.",
            table(("module", "what is there"), rows),
            toctree,
            "",
        ]
    )


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write pages into a folder that holds nothing else; what has not changed stays untouched."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def write_pages(app: Sphinx) -> None:
    """Write all of these pages into the source of the site."""
    source = Path(app.srcdir)
    variants = {f"{name}.md": variant_page(get(name), source / "reproduced") for name in names()}
    write(source / "variants", {"index.md": variants_index(), **variants})
    modules = {f"{path}.rst": module_page(path) for path in MODULES}
    write(source / "api", {"index.md": api_index(), **modules})


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
