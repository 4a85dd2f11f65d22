"""Arguments of any type: converted to the declared type where they have one meaning, else refused.

Hyperparameter searches and arrays produce NumPy numbers, tensors without dimensions and whole
floats. Every public argument that is a number is converted here, and so has the same meaning,
range and error sentence everywhere. ``as_declared`` converts a value to the type of an annotation;
``@numbers()`` does so for all arguments of a function.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf, isnan
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    runtime_checkable,
)

import numpy as np

from reparam.errors import OptionError, unknown

Checked = TypeVar("Checked", bound=Callable[..., Any])

LARGEST = 2**63 - 1
"""The largest whole number in a tensor, and so the largest size, count or seed."""


@runtime_checkable
class _Array(Protocol):
    """An array, tensor or NumPy number; torch is not imported for it."""

    @property
    def shape(self) -> Any:
        """The sizes of the axes."""

    def item(self) -> Any:
        """Return the only entry as a Python number."""

    def tolist(self) -> Any:
        """Return the entries as lists of Python numbers."""


def as_int(name: str, value: object, minimum: int = 0, maximum: int = LARGEST) -> int:
    """Return a whole number in a range.

    Arguments:
        name: The argument, as the message calls it.
        value: An int; a whole float; a NumPy number; an array or tensor without dimensions.
        minimum: The least value.
        maximum: The largest value.

    Raises:
        OptionError: The value is not a whole number, or is outside the range.

    Example:
        >>> as_int("latent_dim", np.float64(2.0), minimum=1)
        2
        >>> as_int("latent_dim", 2.5)
        Traceback (most recent call last):
        reparam.errors.OptionError: latent_dim=2.5: must be a whole number
    """
    number = scalar(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise OptionError(f"{name}={value!r}: must be a whole number")
    _check_range(name, value, int(number), minimum, maximum)
    return int(number)


def as_float(
    name: str,
    value: object,
    minimum: float = -inf,
    maximum: float = inf,
    *,
    open_ends: bool = False,
    finite: bool = True,
) -> float:
    """Return a number in a range.

    Arguments:
        name: The argument, as the message calls it.
        value: An int or float; a NumPy number; an array or tensor without dimensions.
        minimum: The lower end of the range.
        maximum: The upper end of the range.
        open_ends: Whether the ends themselves are outside the range.
        finite: Whether an infinite number is refused.

    Raises:
        OptionError: The value is not a number, is NaN or infinite, or is outside the range.

    Example:
        >>> as_float("lr", np.float32(0.5), minimum=0.0, open_ends=True)
        0.5
        >>> as_float("temperature", float("nan"))
        Traceback (most recent call last):
        reparam.errors.OptionError: temperature=nan: must be a finite number
    """
    number = scalar(value)
    if isinstance(number, bool) or not isinstance(number, Real):
        raise OptionError(f"{name}={value!r}: must be a number")
    try:
        number = float(number)
    except OverflowError:
        number = inf
    if isnan(number) or (finite and number in (inf, -inf)):
        raise OptionError(f"{name}={value}: must be a {'finite ' if finite else ''}number")
    _check_range(name, value, number, minimum, maximum, open_ends)
    return number


def as_sizes(name: str, value: object, minimum: int = 1) -> tuple[int, ...]:
    """Return sizes as a tuple; a single number is a tuple of one.

    Arguments:
        name: The argument, as the message calls it.
        value: A whole number, or a list, tuple, array or tensor of whole numbers.
        minimum: The least size.

    Raises:
        OptionError: The value is of another type, or a size is below the minimum.

    Example:
        >>> as_sizes("hidden", 400), as_sizes("hidden", np.array([400, 200]))
        ((400,), (400, 200))
    """
    if isinstance(value, str | bytes) or isinstance(scalar(value), Real):
        return (as_int(name, value, minimum),)
    given = _listed(value)
    if not isinstance(given, Sequence) or any(isinstance(v, Sequence) for v in given):
        raise OptionError(f"{name}={value!r}: must be a whole number or a list of whole numbers")
    sizes = tuple(as_int(name, size, -LARGEST) for size in given)
    if min(sizes, default=minimum) < minimum:
        raise OptionError(f"{name}={sizes}: every size must be {_at_least(minimum)}")
    return sizes


def as_bool(name: str, value: object) -> bool:
    """Return a truth value; 0 and 1 are truth values too.

    Arguments:
        name: The argument, as the message calls it.
        value: A bool, of Python or NumPy; 0 or 1.

    Raises:
        OptionError: The value is of another type.

    Example:
        >>> as_bool("jitter", np.bool_(False))
        False
    """
    truth = scalar(value)
    if not isinstance(truth, Real) or truth not in (0, 1):
        raise OptionError(f"{name}={value!r}: must be True or False")
    return bool(truth)


def as_declared(
    name: str,
    value: object,
    annotation: object,
    minimum: int | None = None,
    *,
    finite: bool = True,
    parse: bool = False,
) -> Any:
    """Return a value as the type that its annotation declares.

    Arguments:
        name: The argument, as the message calls it.
        value: The value as it was given.
        annotation: ``int``, ``float``, ``bool``, ``str``, a ``Literal``, a class; a ``Sequence`` or
            ``tuple`` of these; or a union of these, with or without None. Any other annotation
            accepts every value and returns it unchanged.
        minimum: The least number; None for any number, and for whole numbers of a sequence, which
            are sizes, 1.
        finite: Whether an infinite number is refused.
        parse: Whether a number may be written as text; YAML reads ``1e-3`` as text.

    Raises:
        OptionError: A value that is not of the declared type.

    Example:
        >>> as_declared("hidden", np.array([8]), Sequence[int])
        (8,)
        >>> as_declared("n_components", None, int | None), as_declared("beta", 2, float | str)
        (None, 2.0)
        >>> as_declared("lr", "1e-3", float, parse=True)
        0.001
        >>> as_declared("precision", "half", Literal["float32", "bfloat16"] | None)
        Traceback (most recent call last):
        reparam.errors.OptionError: precision='half': must be one of float32, bfloat16 or None
    """
    kinds = _kinds(annotation)
    sequences = [kind for kind in kinds if get_origin(kind) in (Sequence, tuple)]
    numbers = [kind for kind in (bool, int, float) if kind in kinds]
    others = [kind for kind in kinds if kind not in (*sequences, *numbers, NoneType)]
    if parse and float in numbers and str not in others and isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    is_number = isinstance(scalar(value), Real) or (bool(sequences) and _is_sequence(value))
    is_number = is_number and bool(numbers or sequences)
    is_other = not is_number and any(_is_a(value, kind) for kind in others)
    if is_other or (value is None and NoneType in kinds):
        return value
    if others and not is_number:
        raise OptionError(f"{name}={value!r}: must be {in_words(annotation)}")
    if sequences:
        return _sequence(name, value, get_args(sequences[0]), minimum, finite, parse)
    if bool in numbers:
        return as_bool(name, value)
    if int in numbers and (float not in numbers or isinstance(scalar(value), Integral)):
        return as_int(name, value, -LARGEST if minimum is None else minimum)
    return as_float(name, value, -inf if minimum is None else minimum, finite=finite)


def in_words(annotation: object) -> str:
    """Return the values of a type in words, for messages.

    >>> in_words(tuple[int, ...]), in_words(float | None)
    ('a list of whole numbers', 'a number or None')
    >>> in_words(Literal["auto", "cpu"] | int)
    'one of auto, cpu or a whole number'
    """
    return " or ".join(_in_words(kind) for kind in _kinds(annotation))


_WORDS: Mapping[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "truth values"),
    str: ("text", "texts"),
    NoneType: ("None", "None"),
}
"""The values of a type, as one and as several."""


def _in_words(kind: Any) -> str:
    if kind in _WORDS:
        return _WORDS[kind][0]
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) in (Sequence, tuple):
        item = get_args(kind)[0]
        return f"a list of {_WORDS[item][1] if item in _WORDS else 'values'}"
    kind = get_origin(kind) or kind
    return f"a {kind.__name__ if isinstance(kind, type) else kind}"


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_a(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type; a type that is neither a class nor a Literal is any."""
    if get_origin(kind) is Literal:
        return isinstance(value, str | int) and value in get_args(kind)
    kind = get_origin(kind) or kind
    return isinstance(value, kind) if isinstance(kind, type) and kind is not Any else True


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence | _Array) and not isinstance(value, str | bytes)


def _listed(value: Any) -> Any:
    """Return the entries of an array or tensor as a list; any other value unchanged."""
    return value.tolist() if isinstance(value, _Array) else value


def _sequence(
    name: str, value: Any, items: tuple[Any, ...], minimum: int | None, finite: bool, parse: bool
) -> tuple[Any, ...]:
    """Return a tuple of items of a declared type; whole numbers are sizes."""
    declared = items[0]
    if declared is int:
        return as_sizes(name, value, 1 if minimum is None else minimum)
    given = _listed(value)
    if not _is_sequence(given):
        raise OptionError(f"{name}={value!r}: must be a list")
    if items[-1] is not Ellipsis and len(items) > 1 and len(given) != len(items):
        raise OptionError(f"{name}={value!r}: must be a list of {len(items)}")
    return tuple(
        as_declared(name, item, declared, minimum, finite=finite, parse=parse) for item in given
    )


def is_about_numbers(annotation: object) -> bool:
    """Return whether an annotation declares numbers: one, several, or one among other types.

    >>> is_about_numbers(float | str), is_about_numbers(Sequence[int]), is_about_numbers(str)
    (True, True, False)
    """
    return any(
        kind in (bool, int, float)
        or (get_origin(kind) in (Sequence, tuple) and is_about_numbers(get_args(kind)[0]))
        for kind in _kinds(annotation)
    )


def numbers(**minimum: int) -> Callable[[Checked], Checked]:
    """Return a decorator that converts the numeric arguments of a function or class.

    Every argument whose annotation declares numbers is converted by ``as_declared``, so that the
    function gets Python numbers and tuples of them.

    Arguments:
        minimum: The least values of arguments that are whole numbers or sizes, by name.

    Example:
        >>> @numbers(latent_dim=1)
        ... def sizes(latent_dim: int, hidden: Sequence[int] = ()) -> tuple[int, ...]:
        ...     return (latent_dim, *hidden)
        >>> sizes(np.int64(2), 400)
        (2, 400)
        >>> sizes(0)
        Traceback (most recent call last):
        reparam.errors.OptionError: latent_dim=0: must be at least 1
    """

    def decorated(target: Checked) -> Checked:
        made: Any = target
        if not isinstance(target, type):
            made = _converting(target, minimum)
        else:
            made.__init__ = _converting(made.__init__, minimum)
        return made

    return decorated


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _converting(function: Callable[..., Any], minimum: Mapping[str, int]) -> Callable[..., Any]:
    parameters = inspect.signature(function).parameters
    about = {n: p for n, p in parameters.items() if is_about_numbers(p.annotation)}
    names = [n for n, p in parameters.items() if p.kind in _POSITIONAL]
    of_keywords = {n: p for n, p in about.items() if p.kind in _KEYWORD}
    of_rest = next((p for p in about.values() if p.kind is inspect.Parameter.VAR_POSITIONAL), None)

    def converted(given: Mapping[str, inspect.Parameter], name: str, value: Any) -> Any:
        parameter = given.get(name)
        return value if parameter is None else _argument(parameter, value, minimum)

    @functools.wraps(function)
    def converting(*args: Any, **kwargs: Any) -> Any:
        # Arguments that do not exist are an error of the function, with its own name.
        first = [converted(about, name, value) for name, value in zip(names, args, strict=False)]
        rest: tuple[Any, ...] = args[len(names) :]
        if rest and of_rest is not None:
            rest = _argument(of_rest, rest, minimum)
        named = {name: converted(of_keywords, name, value) for name, value in kwargs.items()}
        return function(*first, *rest, **named)

    return converting


def _argument(parameter: inspect.Parameter, value: Any, minimum: Mapping[str, int]) -> Any:
    least, finite = minimum.get(parameter.name), parameter.default != inf
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        # One list of sizes is accepted in place of several arguments.
        several = len(value) == 1 and _is_sequence(value[0])
        return as_sizes(parameter.name, value[0] if several else value, least or 1)
    return as_declared(parameter.name, value, parameter.annotation, least, finite=finite)


def scalar(value: object) -> Any:
    """Return the Python number in a NumPy number or an array without dimensions.

    A float of 32 or 16 bits becomes the shortest decimal that rounds to it. Any other value is
    returned unchanged.

    >>> scalar(np.int64(3)), scalar(np.array(2.5)), scalar(np.float32(0.1)), scalar("x")
    (3, 2.5, 0.1, 'x')
    """
    # The check below takes longer than all others.
    if value is None or type(value) in (int, float, bool, str, tuple, list):
        return value
    if not isinstance(value, _Array) or value.shape != () or isinstance(value, np.ma.MaskedArray):
        return value
    try:
        number = value.item()
    except (RuntimeError, NotImplementedError):
        return value  # a tensor on the device "meta" has no value
    kind = str(value.dtype).removeprefix("torch.")  # type: ignore[attr-defined]
    short = {"float32": np.float32, "float16": np.float16} if isinstance(number, float) else {}
    return float(str(short[kind](number))) if kind in short else number


def _check_range(
    name: str, value: Any, number: float, low: float, high: float, open_ends: bool = False
) -> None:
    """Refuse a number outside a range."""
    if number < low or (open_ends and number == low):
        rule = f"above {low:g}" if open_ends else _at_least(low)
    elif number > high or (open_ends and number == high):
        rule = f"below {high:g}" if open_ends else f"at most {high:g}"
        rule = "below 2^63" if high == LARGEST else rule
    else:
        return
    raise OptionError(f"{name}={value}: must be {rule}")


def _at_least(minimum: float) -> str:
    return "0 or more" if minimum == 0 else f"at least {minimum:g}"


Given = ParamSpec("Given")
Found = TypeVar("Found")


def known_options(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """Let a function refuse an unknown option with the nearest name.

    Raises:
        OptionError: An unknown option.

    Example:
        >>> known_options(lambda epochs: epochs)(epoch=3)
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown option of <lambda> 'epoch': did you mean 'epochs'? ...
    """
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args: Given.args, **options: Given.kwargs) -> Found:
        for name in options:
            if name not in known:
                raise unknown(f"option of {function.__name__}", name, known)
        return function(*args, **options)

    return checked
