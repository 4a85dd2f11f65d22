"""From a dataclass and the words of a command line to options."""

import dataclasses
import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import tyro

from reparam.errors import OptionError, unknown
from reparam.utils.arguments import LARGEST, as_int
from reparam.utils.files import as_path
from reparam.utils.terminal import wide_enough

T = TypeVar("T")


def parse(
    options: type[T],
    verb: str,
    arguments: Sequence[str],
    *,
    description: str | None = None,
    default: T | None = None,
) -> T:
    """Return the options that the words give.

    Arguments:
        options: A dataclass, a field for each option.
        verb: What the options belong to.
        arguments: The words after the verb.
        description: What ``--help`` says of the verb; the dataclass's docstring by default.
        default: The values of options that are not given.

    Raises:
        OptionError: An option that does not exist, with the nearest one, a value it cannot have,
            or an empty word.
    """
    known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    for word in arguments:
        name = word.partition("=")[0].replace("_", "-")
        if word.startswith("--") and name not in [*known, "--help"]:
            raise unknown(f"option of 'reparam {verb}'", name, known)
    for before, word in zip(["", *arguments], arguments, strict=False):
        # A bare --resume is followed by an empty word; to Path an empty one is the current folder.
        is_both = word.startswith("--") and "=" in word
        option, _, value = word.partition("=") if is_both else (before, "", word)
        if value == "" and option != "--resume":
            place = f"{option} has" if option.startswith("--") else f"reparam {verb} was given"
            raise OptionError(f"{place} an empty value: give one, or leave it out")
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint), wide_enough():
            found = tyro.cli(
                options,
                prog=f"reparam {verb}",
                args=list(arguments),
                description=description,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
                **keywords,
            )
    except SystemExit as end:
        if not end.code:  # --help
            raise
        raise OptionError(f"{sentence(complaint.getvalue())}; see reparam {verb} --help") from None
    check_sizes(found)
    return with_paths(found)


def with_paths(options: T) -> T:
    """Return options whose paths have the home folder in the place of ``~``.

    Raises:
        OptionError: A path that is none, or a home folder that is not known.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if isinstance(value, Path):
            changed[field.name] = as_path(value, field.name)
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changed[field.name] = tuple(as_path(path, field.name) for path in value)
    return dataclasses.replace(options, **changed)  # type: ignore[type-var]


def check_sizes(options: Any) -> None:
    """Refuse whole numbers that no tensor can hold, whatever they are for.

    Raises:
        OptionError: One beyond 64 bits.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not isinstance(number, bool):
                as_int(field.name, number, minimum=-LARGEST)


def metavar(kind: Any) -> str | None:
    """Return what ``--help`` calls the value of an option that may be missing; None for others.

    >>> metavar(float | None), metavar(int)
    ('FLOAT', None)
    """
    kinds = [one for one in get_args(kind) if one is not type(None)]
    if len(kinds) != 1 or len(get_args(kind)) != 2:
        return None
    if get_origin(kinds[0]) is Literal:
        return "{" + ",".join(get_args(kinds[0])) + "}"
    return str(getattr(kinds[0], "__name__", kinds[0])).upper()


def sentence(box: str) -> str:
    """Return what one of tyro's boxes complains of, in one line.

    >>> sentence("Value error\\n----\\nError parsing --n: could not convert string to float: 'x'")
    "--n: 'x' is no number"
    """
    lines = [" ".join(line.strip(" │|╭╮╰╯─-").split()) for line in box.splitlines()]
    title, *rest = [line for line in lines if line] or ["these options make no sense"]
    said = " ".join(takewhile(lambda line: not line.startswith("Argument helptext"), rest))
    said = said.partition("For full helptext")[0].strip() or title
    said = re.sub(r"Error parsing (\S+): ", r"\1: ", said)
    said = re.sub(
        r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is no whole number", said
    )
    said = re.sub(r"Exceeds the limit .* to increase the limit", "too many digits", said)
    said = re.sub(r"could not convert string to float: ('.*')", r"\1 is no number", said)
    return said.rstrip(".")
