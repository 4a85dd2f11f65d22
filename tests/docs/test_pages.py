"""The pages in ``docs``: their code runs in its order, and their commands and links are real."""

import re
from pathlib import Path

import pytest

from reparam.variants import registry
from tests.documents import check_command, commands, python_blocks, shortened
from tests.support import ROOT

DOCS = ROOT / "docs"
WRITTEN = ("_build", "api", "examples", "variants")  # by the build of the site
PAGES = {
    path.relative_to(DOCS).as_posix(): path
    for path in sorted(DOCS.rglob("*.md"))
    if path.relative_to(DOCS).parts[0] not in WRITTEN
}
SLOW = {
    "get-started.md",
    "how-to/imputing.md",
    "how-to/reading-a-report.md",
}
"""Pages whose code takes longer than 3 s."""

RUNNING = [
    pytest.param(path, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name, path in PAGES.items()
    if python_blocks(path.read_text(encoding="utf-8"))
    # test_theory.py also holds the printed numbers of these pages.
    if not name.startswith("theory/")
]


@pytest.mark.parametrize("page", RUNNING)
def test_code_runs_in_its_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A page may register a variant, which other tests must not find.
    monkeypatch.setattr(registry.VARIANTS, "_entries", dict(registry.VARIANTS._entries))
    names: dict[str, object] = {"__name__": "page"}
    for i, block in enumerate(python_blocks(page.read_text(encoding="utf-8"))):
        exec(compile(shortened(block), f"{page.name}, block {i}", "exec"), names)  # noqa: S102


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_command_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page.read_text(encoding="utf-8")):
        if "..." not in command:
            check_command(command, capsys)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        place = (page.parent / target).resolve()
        is_written = place.is_relative_to(DOCS) and place.relative_to(DOCS).parts[0] in WRITTEN
        assert place.exists() or is_written, target
