"""The READMEs: their code runs, and their tables, commands and links are those of the project."""

import re
import shlex
from pathlib import Path

import pytest

from reparam.cli.main import main
from reparam.variants import get, names
from tests.support import ROOT


def text_of(readme: Path) -> str:
    return readme.read_text(encoding="utf-8")


README = ROOT / "README.md"
READMES = [README, ROOT / "README.zh-CN.md"]
BLOCKS = [
    pytest.param(block, id=f"{readme.name}-{i}")
    for readme in READMES
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", text_of(readme), re.DOTALL))
]


def commands_of(readme: Path) -> list[str]:
    fenced = re.findall(r"^```(?:python)?\n(.*?)^```$", text_of(readme), re.DOTALL | re.MULTILINE)
    lines = "\n".join(fenced).replace("\\\n", " ")
    return re.findall(r"(?:^|&& )(reparam [^#&\n]+)", lines, re.MULTILINE)


COMMANDS = sorted({" ".join(c.split()) for readme in READMES for c in commands_of(readme)})


def test_code_begins_by_line_35() -> None:
    first = text_of(README).splitlines().index("```python") + 1
    assert first <= 35


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("length", ["short", pytest.param("whole", marks=pytest.mark.slow)])
def test_code_runs(
    block: str, length: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = re.sub(r"\b(epochs|n_samples)=\d+", r"\1=2", block)
    exec(block if length == "whole" else short, {})  # noqa: S102
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
    _, verb, *words = shlex.split(command)
    variant = words[:1] if verb == "train" and not words[0].startswith("-") else []
    with pytest.raises(SystemExit, match=r"^0$"):
        main([verb, *variant, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known
