"""The README: its code runs, and its tables, commands and links are those of the project."""

import re
import shlex
from pathlib import Path

import pytest

from reparam.cli.main import main
from reparam.variants import get, names
from tests.support import ROOT

README = ROOT / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
FENCED = re.findall(r"^```(?:python)?\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(
    r"(?:^|&& )(reparam [^#&\n]+)", "\n".join(FENCED).replace("\\\n", " "), re.MULTILINE
)


def test_code_begins_by_line_35() -> None:
    first = README.read_text().splitlines().index("```python") + 1
    assert first <= 35


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
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
    assert "\n".join(["|---|---|---|", *rows, ""]) in README.read_text()


def test_every_file_that_it_names_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


@pytest.mark.parametrize("command", [" ".join(c.split()) for c in COMMANDS])
def test_every_option_of_a_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, verb, *words = shlex.split(command)
    variant = words[:1] if verb == "train" and not words[0].startswith("-") else []
    with pytest.raises(SystemExit, match=r"^0$"):
        main([verb, *variant, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known
