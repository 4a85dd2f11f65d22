"""The theory pages: the code that they name exists, and their programs print what they quote."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import ROOT

FOLDER = ROOT / "docs" / "theory"
PAGES = sorted(FOLDER.glob("*.md"))
SOURCE = ROOT / "src" / "reparam"

# A file, and a function, class or method in it: `divergence.py: kl`, `models/latent.py: Draws.z`.
_NAMED = re.compile(r"`([a-z_/0-9]+\.py)(?:: ([\w.]+))?`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
_BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


TRAINS = tuple(p.name for p in PAGES if "rp.fit(" in _text(p) or "optimizer.step()" in _text(p))
"""The pages that train a model: they take seconds, and numbers differ a little between machines."""


def _defined(path: Path) -> set[str]:
    """Return the names of functions, classes, methods and fields of a file."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def _close(printed: str, quoted: str, relative: float, absolute: float) -> bool:
    """Return whether two outputs have the same words, and numbers within a tolerance."""
    if _NUMBER.sub("#", printed).split() != _NUMBER.sub("#", quoted).split():
        return False
    pairs = zip(_NUMBER.findall(printed), _NUMBER.findall(quoted), strict=True)
    return all(float(a) == pytest.approx(float(b), rel=relative, abs=absolute) for a, b in pairs)


def test_there_are_fourteen_pages_and_an_index() -> None:
    numbers = [page.name[:2] for page in PAGES if page.name != "index.md"]
    assert numbers == [f"{n:02}" for n in range(1, 15)]
    index = _text(FOLDER / "index.md")
    assert all(f"({page.name})" in index for page in PAGES if page.name != "index.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_named_file_and_function_exists(page: Path) -> None:
    for file, name in _NAMED.findall(_text(page)):
        assert (SOURCE / file).is_file(), file
        assert not name or name in _defined(SOURCE / file), f"{file}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_and_figure_exists(page: Path) -> None:
    for target in _LINK.findall(_text(page)):
        assert (FOLDER / target).exists(), target


def test_every_figure_is_on_a_page() -> None:
    shown = {Path(target).name for page in PAGES for target in _LINK.findall(_text(page))}
    assert {path.name for path in (FOLDER / "figures").iterdir()} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_formulas_and_blocks_are_closed(page: Path) -> None:
    text = _text(page)
    assert text.count("\n$$\n") % 2 == 0
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.name in TRAINS else [], id=page.stem)
        for page in PAGES
        if page.name != "index.md"
    ],
)
def test_programs_print_the_quoted_numbers(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = _BLOCK.findall(_text(page))
    assert blocks
    names: dict[str, object] = {"__name__": page.stem}
    tolerance = (0.3, 0.1) if page.name in TRAINS else (0.02, 0.02)
    for (kind, code), (after, quoted) in pairwise(blocks):
        if kind != "python":
            continue
        exec(compile(code, str(page), "exec"), names)  # noqa: S102
        if after == "text":
            assert _close(capsys.readouterr().out, quoted, *tolerance)
