"""The Chinese pages: what they name in the code exists, and their links lead somewhere."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.support import ROOT

FOLDER = ROOT / "docs" / "zh"
PAGES = sorted(FOLDER.glob("*.md"))
SOURCES = ROOT / "src" / "reparam"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_of_the_code_exists(page: Path) -> None:
    named = re.findall(r"`([\w/]+)\.py(?:: ([\w.]+))?`", text_of(page))
    assert named
    for file, name in named:
        assert (SOURCES / f"{file}.py").is_file(), file
        if name:
            resolve_name(f"reparam.{file.replace('/', '.')}:{name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", text_of(page))
    # The build of the site checks the figures, which are those of the English pages.
    for target in (target for target in targets if not target.startswith("../theory/")):
        assert (page.parent / target).exists(), target


def test_the_index_names_every_page_in_order() -> None:
    linked = re.findall(r"^\| \[\d\d [^\]]+\]\((\S+)\)", text_of(FOLDER / "index.md"), re.MULTILINE)
    assert linked == [page.name for page in PAGES if page.stem != "index"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_titles_in_the_index_are_those_of_the_pages(page: Path) -> None:
    title = text_of(page).splitlines()[0].removeprefix("# ")
    index = text_of(FOLDER / "index.md")
    assert title in (index.splitlines()[0] if page.stem == "index" else index)
