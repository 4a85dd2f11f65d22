"""The READMEs: their code runs, and their tables, commands and links are those of the project."""

import re
from pathlib import Path

import pytest

from reparam.variants import get, names
from tests.documents import check_command, commands, python_blocks, shortened
from tests.support import ROOT


def text_of(readme: Path) -> str:
    return readme.read_text(encoding="utf-8")


README = ROOT / "README.md"
READMES = [README, ROOT / "README.zh-CN.md"]
BLOCKS = [block for readme in READMES for block in python_blocks(text_of(readme))]
COMMANDS = sorted({command for readme in READMES for command in commands(text_of(readme))})


def test_code_begins_by_line_35() -> None:
    first = text_of(README).splitlines().index("```python") + 1
    assert first <= 35


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
@pytest.mark.parametrize("length", ["short", pytest.param("whole", marks=pytest.mark.slow)])
def test_code_runs(
    block: str, length: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(block if length == "whole" else shortened(block), {})  # noqa: S102
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_that_of_the_registry() -> None:
    found = [get(name) for name in names()]
    rows = [f"| `{v.name}` | {v.summary.rstrip('.')} | {v.paper} |" for v in found]
    assert "\n".join(["|---|---|---|", *rows, ""]) in text_of(README)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_every_file_that_it_names_exists(readme: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", text_of(readme)):
        assert (readme.parent / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_command(command, capsys)
