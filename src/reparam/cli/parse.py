"""From a dataclass and the words of a command line to options."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from reparam.errors import unknown

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
        OptionError: An option that does not exist, with the nearest one.
    """
    known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    for word in arguments:
        name = word.partition("=")[0].replace("_", "-")
        if word.startswith("--") and name not in [*known, "--help"]:
            raise unknown(f"option of 'reparam {verb}'", name, known)
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        options,
        prog=f"reparam {verb}",
        args=list(arguments),
        description=description,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        **keywords,
    )
