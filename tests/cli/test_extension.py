"""What an extension costs: the parts that are one file each, added in a test as a user would."""

from pathlib import Path

import pytest

import reparam.cli
from reparam.cli.main import main, verbs

VERB = '''"""``reparam double``: print twice a number."""

from dataclasses import dataclass

from reparam.cli.parse import verb
from reparam.errors import OptionError


@dataclass(frozen=True)
class Options:
    """Print twice a number.

    Arguments:
        number: The number.
    """

    number: int = 4


@verb
def main(options: Options) -> None:
    """Print it."""
    if options.number < 0:
        raise OptionError(f"number={options.number}: must be 0 or more")
    print(2 * options.number)
'''


def test_a_verb_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "double.py").write_text(VERB)
    monkeypatch.setattr(reparam.cli, "__path__", [*reparam.cli.__path__, str(tmp_path)])
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert verbs()["double"] == "print twice a number"
    assert main(["--help"]) == 0
    assert "  double       print twice a number\n" in capsys.readouterr().out
    assert main(["double", "--number", "21"]) == 0
    assert capsys.readouterr().out == "42\n"
    assert main(["double", "--number", "-1"]) == 2
    assert capsys.readouterr().err == "reparam: --number -1: must be 0 or more\n"
    assert main(["double", "--numbr", "1"]) == 2
    assert "did you mean '--number'" in capsys.readouterr().err
    assert main(["dobule"]) == 2
    assert "did you mean 'double'" in capsys.readouterr().err
