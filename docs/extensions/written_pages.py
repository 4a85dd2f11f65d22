"""Pages that are written at every build: one for each variant, and one for each public module.

They follow from the registry of variants and from ``__all__`` of the modules, so that none can be
forgotten. They are no part of the repository.
"""

import inspect
import re
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

FIGURES = {
    "vae": (
        "tutorial-mnist",
        "samples",
        "Test images of MNIST, their reconstructions, and samples",
    ),
    "iwae": ("iwae-hour", "samples", "Test images of MNIST, their reconstructions, and samples"),
    "gumbel-vae": ("gumbel-vae", "samples", "Samples, decoded from drawn one-hot codes"),
    "ladder-vae": ("ladder-vae", "samples", "Samples of a VAE (left) and of a ladder VAE (right)"),
    "cluster-vae": (
        "cluster-vae",
        "clusters",
        "Found without labels, a cluster in each row: test images (left), samples (right)",
    ),
    "vq-vae": (
        "vq-vae",
        "samples",
        "Test images, their reconstructions, and draws of codes, decoded",
    ),
    "vmf-vae": ("vmf-vae", "samples", "Samples with a learned κ (left) and with κ = 20 (right)"),
    "ss-vae": ("ss-vae", "samples", "Samples of each class, from 100 labels"),
    "ss-vae-stacked": ("ss-vae-stacked", "samples", "Samples of each class, from 100 labels"),
    "cvae": (
        "tf-cvae",
        "samples",
        "Test images, their reconstructions, and samples under each label",
    ),
    "class-prior-vae": (
        "labels-asked-for",
        "samples",
        "A digit in each row, from models that were asked for it: cvae and class-prior-vae",
    ),
    "vamp-vae": (
        "vampprior-mlp",
        "samples",
        "Samples with the standard normal prior, and with this one",
    ),
    "flow-prior-vae": ("learned-priors", "samples", "Samples of vae, vamp-vae and flow-prior-vae"),
    "iaf-vae": ("flow-posterior", "samples", "Samples of a VAE (left) and of this one (right)"),
    "conv-ladder-vae": (
        "cifar10-mixture",
        "ladder-pictures",
        "Test images of CIFAR-10, their reconstructions, and samples",
    ),
    "naive-vae": ("kl-three-ways", "figure", "The penalty beside the KL that it resembles"),
    "dae": ("autoencoders", "denoised", "Corrupted digits, and what autoencoders make of them"),
}
"""For a variant: an experiment of ``docs/reproduced``, the kind of its figure, what it shows."""

ACCENTS = {"\u0302": r"\hat", "\u0303": r"\tilde"}

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
    name = re.sub("(.)([\u0302\u0303])", lambda m: f"{ACCENTS[m[2]]} {m[1]}", symbol.name)
    name = name.replace("|", r"\mid ")
    return f"${name}$", code(symbol.meaning).replace("|", r"\|"), argument


def data_of(name: str) -> str:
    """Return the words of ``reparam train`` that name data which a variant can be trained on."""
    if name == "text-vae":
        return "text --path FILE.txt"
    return "people.csv" if name == "not-miwae" else "mnist"


def variant_page(found: Variant) -> str:
    """Return the page of a variant."""
    said, known, function = found.description, options_of(found.name), found.name.replace("-", "_")
    own = [
        (
            f"`{key}`",
            f"`{option.default}`",
            code(" ".join(known[key].help.split())).replace("|", r"\|"),
        )
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
    if found.name in FIGURES:
        experiment, kind, words = FIGURES[found.name]
        parts += [
            "## A figure",
            f"![{words}](../reproduced/{experiment}-{kind}.png)",
            f"*{words}: [the experiment](../reproduced.md#{experiment}).*",
        ]
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
        own = (
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        )
        listed = [n for n in own if not n.startswith("_")]
    for name in listed:
        value = getattr(module, name)
        if not inspect.ismodule(value) and not name.startswith("__"):
            yield name, value


def module_page(path: str, entered: dict[int, str]) -> str:
    """Return the page of a public module: a table of its names, then the entry of each.

    Arguments:
        path: The name of the module.
        entered: Where what has an entry on another page has it; what gets one here is added.
    """
    module = module_of(path)
    found = list(exported(module))
    said = inspect.getdoc(module) or ""
    lines = [path, "=" * len(path), "", said, "", f".. currentmodule:: {path}", ""]
    own = [(name, value) for name, value in found if id(value) not in entered]
    entered |= {id(value): f"{path}.{name}" for name, value in own}
    places = {name: entered[id(value)] for name, value in found}
    rows = [f"   {name if at == f'{path}.{name}' else f'~{at}'}" for name, at in places.items()]
    lines += [".. autosummary::", "   :nosignatures:", "", *rows, ""]
    for name, value in own:
        is_class = inspect.isclass(value)
        kind = (
            "autoclass" if is_class else "autofunction" if inspect.isroutine(value) else "autodata"
        )
        lines += [f".. {kind}:: {path}.{name}"]
        lines += ["   :members:"] if is_class else []
        lines += ["   :no-value:"] if kind == "autodata" else []
        lines += [""]
    return "\n".join(lines)


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
    variants = {f"{name}.md": variant_page(get(name)) for name in names()}
    write(source / "variants", {"index.md": variants_index(), **variants})
    entered: dict[int, str] = {}
    modules = {f"{path}.rst": module_page(path, entered) for path in MODULES}
    write(source / "api", {"index.md": api_index(), **modules})


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
