"""Numbers and sizes as people give them: accepted where they have one meaning, else refused.

NumPy and zero-dimensional numbers, whole floats and single sizes are what searches for
hyperparameters, arrays and hurried hands produce. Every public option that is a number goes
through here, so that it has one meaning, one range and one sentence wherever it is given.
"""

from collections.abc import Sequence
from math import inf, isnan
from numbers import Integral, Real
from typing import Any

import numpy as np

from reparam.errors import OptionError

LARGEST = 2**63 - 1
"""The largest whole number that a tensor can hold, and so the largest size, count or seed."""


def as_int(name: str, value: Any, minimum: int = 0, maximum: int = LARGEST) -> int:
    """Return a whole number in a range.

    Arguments:
        name: The argument, as the message calls it.
        value: An int; a whole float; a NumPy number; an array or tensor without dimensions.
        minimum: The least value.
        maximum: The largest value.

    Raises:
        OptionError: No whole number, or one outside the range.

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
    number = int(number)
    if number < minimum:
        raise OptionError(f"{name}={value}: must be {_at_least(minimum)}")
    if number > maximum:
        most = "below 2^63" if maximum == LARGEST else f"at most {maximum}"
        raise OptionError(f"{name}={value}: must be {most}")
    return number


def as_float(
    name: str, value: Any, minimum: float = -inf, maximum: float = inf, *, open_ends: bool = False
) -> float:
    """Return a finite number in a range.

    Arguments:
        name: The argument, as the message calls it.
        value: An int or float; a NumPy number; an array or tensor without dimensions.
        minimum: The lower end of the range.
        maximum: The upper end of the range.
        open_ends: Whether the ends themselves are outside the range.

    Raises:
        OptionError: No number, NaN, an infinite number, or one outside the range.

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
    if isnan(number) or number in (inf, -inf):
        raise OptionError(f"{name}={value}: must be a finite number")
    if number < minimum or (open_ends and number == minimum):
        said = f"above {minimum:g}" if open_ends else _at_least(minimum)
        raise OptionError(f"{name}={value}: must be {said}")
    if number > maximum or (open_ends and number == maximum):
        said = f"below {maximum:g}" if open_ends else f"at most {maximum:g}"
        raise OptionError(f"{name}={value}: must be {said}")
    return number


def as_sizes(name: str, value: Any, minimum: int = 1) -> tuple[int, ...]:
    """Return a list of sizes; a single number is a list of one.

    Arguments:
        name: The argument, as the message calls it.
        value: A whole number, or a list, tuple, array or tensor of whole numbers.
        minimum: The least size.

    Raises:
        OptionError: Something else, or a size below the minimum.

    Example:
        >>> as_sizes("hidden", 400), as_sizes("hidden", np.array([400, 200]))
        ((400,), (400, 200))
    """
    if isinstance(value, str | bytes) or isinstance(scalar(value), Real):
        return (as_int(name, value, minimum),)
    given = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(given, Sequence) or any(isinstance(v, Sequence) for v in given):
        raise OptionError(f"{name}={value!r}: must be a whole number or a list of whole numbers")
    return tuple(as_int(name, size, minimum) for size in given)


def scalar(value: Any) -> Any:
    """Return the Python number that a NumPy number or an array without dimensions holds.

    Everything else is returned as it is.

    >>> scalar(np.int64(3)), scalar(np.array(2.5)), scalar("x")
    (3, 2.5, 'x')
    """
    is_number = isinstance(value, np.generic)
    if is_number or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        return value.item()
    return value


def _at_least(minimum: float) -> str:
    return "0 or more" if minimum == 0 else f"at least {minimum:g}"
