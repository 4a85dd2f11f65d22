"""Parse the words of a command line into a dataclass of options, with tyro.

tyro reads names, types, defaults and help from the dataclass. This module adds the nearest name of
an unknown option, refuses empty words, and turns tyro's boxes into one sentence.
"""

import dataclasses
import functools
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from itertools import takewhile
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from reparam.errors import OptionError, unknown
from reparam.utils.arguments import LARGEST, as_int
from reparam.utils.files import as_path
from reparam.utils.terminal import NARROWEST, wide_enough

T = TypeVar("T")
REGISTRY = ConstructorRegistry()
HELP = ("-h", "--help")


@REGISTRY.primitive_rule
def optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Return how an option that may be None is typed: as the other type, or as the word None."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1 or NoneType not in get_args(info.type):
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    return dataclasses.replace(
        spec,
        instance_from_str=lambda w: None if w == ["None"] else spec.instance_from_str(w),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda v: ["None"] if v is None else spec.str_from_instance(v),
        choices=None if spec.choices is None else (*spec.choices, "None"),
    )


def verb(function: Callable[[T], None]) -> Callable[[Sequence[str]], None]:
    """Return the function of a verb's words, for a function of its options.

    The options are the dataclass that annotates the argument of the function, and the verb has the
    name of its module.
    """
    options: type[T] = get_type_hints(function)["options"]
    name = function.__module__.rpartition(".")[2].replace("_", "-")

    @functools.wraps(function)
    def of_words(arguments: Sequence[str]) -> None:
        function(parse(options, name, arguments))

    return of_words


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
        options: A dataclass with a field for each option, or for each group of options.
        verb: The verb that the options belong to.
        arguments: The words after the verb.
        description: The description of the verb for ``--help``; the dataclass's docstring by
            default.
        default: The values of options that are not given.

    Raises:
        OptionError: An unknown option, with the nearest one, an impossible value, or an empty word.
    """
    known = [as_flag(name) for name in option_types(options)]
    for before, word in zip(["", *arguments], arguments, strict=False):
        name, equals, value = word.partition("=")
        is_flag = word.startswith("--")
        if is_flag and as_flag(name) not in [*known, "--help"]:
            raise unknown(f"option of 'reparam {verb}'", as_flag(name), known)
        # To Path an empty word would be the current folder.
        if word == "" or (is_flag and equals and value == ""):
            place = name if is_flag else before
            place = f"{place} has" if place.startswith("--") else f"reparam {verb} was given"
            raise OptionError(f"{place} an empty value: give one, or leave it out")
    found, others = _parsed(options, verb, arguments, description, default)
    if others:
        raise OptionError(f"reparam {verb} does not take {' '.join(others)!r}: leave it out")
    return found


def parse_known(options: type[T], verb: str, arguments: Sequence[str]) -> T:
    """Return the options of a dataclass from words that give other options too."""
    return _parsed(options, verb, [word for word in arguments if word not in HELP])[0]


def _parsed(
    options: type[T],
    verb: str,
    words: Sequence[str],
    description: str | None = None,
    default: T | None = None,
) -> tuple[T, list[str]]:
    """Return the options that the words give, and the words that give none."""
    complaint = io.StringIO()
    # On a wide terminal a message is one line; help is laid out for the real one.
    columns = 100_000 if set(HELP).isdisjoint(words) else NARROWEST
    try:
        with redirect_stderr(complaint), wide_enough(columns):
            found, others = tyro.cli(
                options,
                prog=f"reparam {verb}",
                args=list(words),
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
                registry=REGISTRY,
                return_unknown_args=True,
            )
    except SystemExit as end:
        if not end.code:  # --help
            raise
        raise OptionError(f"{sentence(complaint.getvalue())}; see reparam {verb} --help") from None
    return checked(found), others


def option_types(options: type) -> dict[str, Any]:
    """Return the types of the options of a dataclass, those of its groups among them."""
    types: dict[str, Any] = {}
    for name, kind in get_type_hints(options).items():
        is_group = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        types |= option_types(kind) if is_group else {name: kind}
    return types


def as_flag(name: str) -> str:
    """Return an option as it is typed.

    >>> as_flag("n_samples"), as_flag("n"), as_flag("--n_samples")
    ('--n-samples', '--n', '--n-samples')
    """
    return f"--{name.removeprefix('--').replace('_', '-')}"


def checked(value: T, name: str = "value") -> T:
    """Return options whose whole numbers have 64 bits, and whose paths have a home folder for ~.

    Raises:
        OptionError: A whole number beyond 64 bits, or an impossible path.
    """
    found: Any = value
    match value:
        case bool():
            pass
        case int():
            found = as_int(name, value, minimum=-LARGEST)
        case Path():
            found = as_path(value, name)
        case tuple():
            found = tuple(checked(item, name) for item in value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changed = {name: checked(item, name) for name, item in vars(value).items()}
            found = dataclasses.replace(value, **changed)
    return cast(T, found)


def sentence(box: str) -> str:
    """Return the message of one of tyro's boxes, in one line.

    >>> sentence("Value error\\n----\\nError parsing --n: could not convert string to float: 'x'")
    "--n: 'x' is no number"
    """
    lines = [" ".join(line.strip(" │|╭╮╰╯─-").split()) for line in box.splitlines()]
    title, *rest = [line for line in lines if line] or ["these options have no meaning"]
    said = " ".join(takewhile(lambda line: not line.startswith("Argument helptext"), rest))
    said = said.partition("For full helptext")[0].strip() or title
    for pattern, words in (
        # A group of options has checked itself.
        (r"Error parsing [a-z]+: ", ""),
        (r"Error parsing (\S+): ", r"\1: "),
        (r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is no whole number"),
        (r"Exceeds the limit .* to increase the limit", "too many digits"),
        (r"could not convert string to float: ('.*')", r"\1 is no number"),
    ):
        said = re.sub(pattern, words, said)
    return said.rstrip(".")
