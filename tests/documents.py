"""What tests of the README and of the pages in ``docs`` share: their code blocks and commands."""

import re
import shlex

import pytest

from reparam.cli.main import main

_BLOCK = re.compile(r"^( *)```(\w*)[ \t]*\n(.*?)^ *```[ \t]*$", re.DOTALL | re.MULTILINE)
_TERMINAL = ("", "console", "bash", "sh", "shell")


def _blocks(text: str, *languages: str) -> list[str]:
    found = _BLOCK.findall(text)
    # A block in a list is indented.
    return [
        re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
        for indent, language, code in found
        if language in languages
    ]


def python_blocks(text: str) -> list[str]:
    """Return the blocks of Python of a page that run: all but those marked ``python no-run``."""
    return _blocks(text, "python")


def shortened(block: str) -> str:
    """Return a block of Python with so few steps and samples that it runs in a moment.

    >>> shortened("rp.fit(vae, data, steps=300); run.evaluate(n_samples=500)")
    'rp.fit(vae, data, steps=20); run.evaluate(n_samples=20)'
    """
    few = {"epochs": 2, "steps": 20, "n_samples": 20}
    return re.sub(
        r"\b(epochs|steps|n_samples)=([\d_]+)",
        lambda found: f"{found[1]}={min(few[found[1]], int(found[2]))}",
        block,
    )


def commands(text: str) -> list[str]:
    """Return the ``reparam`` commands of a page, each on one line, in their order."""
    lines = "\n".join(_blocks(text, *_TERMINAL)).replace("\\\n", " ")
    found = re.findall(r"(?:^|&& )\$? *(reparam [^#&\n>|]+)", lines, re.MULTILINE)
    return list(dict.fromkeys(" ".join(command.split()) for command in found))


def check_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that the verb, the variant and every option of a command exist."""
    _, verb, *words = shlex.split(command)
    # A verb may have a second word, such as the name of a variant.
    variant = words[:1] if verb == "train" and not words[0].startswith("-") else []
    inner = words[:1] if verb == "data" and words else []
    with pytest.raises(SystemExit, match=r"^0$"):
        main([verb, *variant, *inner, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, command
