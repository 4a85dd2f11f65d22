r"""Sums and products of columns of numbers, such as a total and its parts.

.. math:: y = c + \sum_k a_k x_k \quad\text{or}\quad y = c \prod_k x_k^{a_k}
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reparam.errors import OptionError, unknown

Operation = Literal["sum", "product"]

Numbers = Mapping[str, NDArray[np.float64]]
"""The numbers of columns, by name."""


@dataclass(frozen=True)
class Formula:
    r"""A number that is computed from numbers of other columns.

    Arguments:
        operation: A ``sum`` or a ``product``.
        terms: The names of the columns, and the factor of each one in a sum, or its power in a
            product.
        constant: What is added to a sum, or the factor of a product.
        decimals: The decimals that the result is rounded to; None for all of them.

    Raises:
        OptionError: No term, a column that occurs twice, a factor or power of zero, or an
            operation that does not exist.

    Example:
        >>> total = Formula("sum", (("first", 1.0), ("second", 1.0)))
        >>> print(total)
        first + second
        >>> total.values({"first": np.array([1.0]), "second": np.array([2.0])})
        array([3.])
    """

    operation: Operation
    terms: tuple[tuple[str, float], ...]
    constant: float | None = None
    decimals: int | None = None

    def __post_init__(self) -> None:
        if self.operation not in get_args(Operation):
            raise unknown("operation of a formula", str(self.operation), get_args(Operation))
        if not self.terms or len(set(self.names)) < len(self.terms):
            raise OptionError(
                f"a formula of {list(self.names)}: name one column or more, and each once"
            )
        if any(number == 0 for _, number in self.terms):
            raise OptionError(f"the formula {self} has a factor or power of 0: leave it out")
        if self.operation == "product" and self.constant is not None and self.constant <= 0:
            raise OptionError(
                f"a formula is a product with the constant {self.constant:g}: give one above zero"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(name for name, _ in self.terms)

    @property
    def offset(self) -> float:
        """The constant: 0 in a sum and 1 in a product where none is given."""
        if self.constant is not None:
            return self.constant
        return 0.0 if self.operation == "sum" else 1.0

    def values(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return the computed numbers, rounded, NaN where a number of a term is missing.

        Arguments:
            numbers: The numbers of the columns, by name, each with shape (N,).
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            each = [
                numbers[k] * a if self.operation == "sum" else numbers[k] ** a
                for k, a in self.terms
            ]
            stacked = np.stack(each)
            found = (
                self.offset + stacked.sum(axis=0)
                if self.operation == "sum"
                else self.offset * stacked.prod(axis=0)
            )
        found = np.where(np.isfinite(found), found, np.nan)
        return found if self.decimals is None else found.round(self.decimals)

    def solved_for(self, name: str, result: str) -> "Formula":
        """Return the formula of one of its terms.

        Arguments:
            name: The name of the term.
            result: The name of the column that this formula computes.

        Example:
            >>> total = Formula("sum", (("first", 1.0), ("second", 1.0)))
            >>> print(total.solved_for("first", "total"))
            total - second
        """
        of_term = dict(self.terms)[name]
        others = [(key, -a / of_term) for key, a in self.terms if key != name]
        constant = None
        if self.constant is not None:
            is_sum = self.operation == "sum"
            constant = -self.constant / of_term if is_sum else self.constant ** (-1 / of_term)
        return Formula(self.operation, ((result, 1 / of_term), *others), constant)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML."""
        return {
            "operation": self.operation,
            "terms": [list(term) for term in self.terms],
            "constant": self.constant,
            "decimals": self.decimals,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Formula":
        """Return the formula that ``to_dict`` wrote.

        Raises:
            OptionError: Anything else.

        Example:
            >>> half = Formula("product", (("whole", 1.0),), 0.5)
            >>> Formula.from_dict(half.to_dict()) == half
            True
        """
        for key in values:
            if key not in _KEYS:
                raise unknown("key of a formula", str(key), _KEYS)
        terms, constant = values.get("terms"), values.get("constant")
        is_right = isinstance(terms, list | tuple) and all(map(_is_term, terms))
        if not is_right or not isinstance(constant, int | float | NoneType):
            raise OptionError(
                f"formula {dict(values)!r}: needs pairs of a column and a number as its terms, and "
                "a number or nothing as its constant"
            )
        decimals = values.get("decimals")
        if not isinstance(decimals, int | NoneType):
            raise OptionError(f"formula {dict(values)!r}: decimals must be a whole number")
        pairs = tuple((name, float(number)) for name, number in terms or ())
        return cls(values.get("operation", "sum"), pairs, constant, decimals)

    def __str__(self) -> str:
        """Return the formula as people write it."""
        if self.operation == "sum":
            parts = [
                (a, name if abs(a) == 1 else f"{_short(abs(a))} * {name}") for name, a in self.terms
            ]
            if self.constant:
                parts.append((self.constant, _short(abs(self.constant))))
            parts.sort(key=lambda part: part[0] < 0)  # those that are added come first
            words = [word for a, text in parts for word in ("-" if a < 0 else "+", text)]
            return ("-" if words[0] == "-" else "") + " ".join(words[1:])
        above = [_power(name, a) for name, a in self.terms if a > 0]
        if self.constant not in (None, 1.0) or not above:
            above.insert(0, _short(self.offset))
        below = [_power(name, -a) for name, a in self.terms if a < 0]
        return " / ".join([" * ".join(above), *below])


def _short(number: float) -> str:
    return f"{number:.6g}"


def _power(name: str, power: float) -> str:
    return name if power == 1 else f"{name}^{_short(power)}"


def last_digit(decimals: int | None) -> float:
    """Return the unit of the last digit of numbers of some decimals; 0 for numbers of any.

    >>> last_digit(2), last_digit(None)
    (0.01, 0.0)
    """
    return 0.0 if decimals is None else 10.0**-decimals


def in_order(formulas: Mapping[str, Formula], known: Collection[str]) -> dict[str, Formula]:
    """Return formulas in an order in which each can be computed.

    Arguments:
        formulas: The formulas, by the names of the columns that they compute.
        known: The names of the other columns.

    Raises:
        OptionError: A formula of itself, or of a column that does not exist.
    """
    found: dict[str, Formula] = {}
    while len(found) < len(formulas):
        ready = {
            name: formula
            for name, formula in formulas.items()
            if name not in found and all(key in known or key in found for key in formula.names)
        }
        if not ready:
            name = next(name for name in formulas if name not in found)
            raise OptionError(
                f"column {name!r} is {formulas[name]}: a formula has quantities of x, and columns "
                "that are computed from them, and not from itself"
            )
        found |= ready
    return found


def compute(numbers: Numbers, formulas: Mapping[str, Formula]) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of columns, with the results of formulas where they are not known.

    Arguments:
        numbers: The numbers of the columns, by name, NaN for a missing one, each with shape (N,).
        formulas: The formulas in their order.

    Example:
        >>> total = {"total": Formula("sum", (("first", 1.0), ("second", 1.0)))}
        >>> compute({"first": np.array([1.0]), "second": np.array([2.0])}, total)["total"]
        array([3.])
    """
    found = dict(numbers)
    for name, formula in formulas.items():
        values = formula.values(found)
        if name in found:
            values = np.where(np.isnan(found[name]), values, found[name])
        found[name] = values
    return found


def solve(numbers: Numbers, formulas: Mapping[str, Formula]) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of columns, with those that follow from the results of formulas.

    A number follows where it is the only one that its formula lacks.

    Arguments:
        numbers: The numbers of the columns and of the results, by name, NaN for a missing one, each
            with shape (N,).
        formulas: The formulas in their order.

    Example:
        >>> total = {"total": Formula("sum", (("first", 1.0), ("second", 1.0)))}
        >>> known = {"first": [1.0, 1.0], "second": [np.nan, 5.0], "total": [3.0, np.nan]}
        >>> found = solve({name: np.array(values) for name, values in known.items()}, total)
        >>> found["second"], found["total"]
        (array([2., 5.]), array([3., 6.]))
    """
    found = compute(numbers, formulas)
    # From the last one on: a number that follows may be the result of an earlier formula.
    for result, formula in reversed(list(formulas.items())):
        n_missing = np.sum([np.isnan(found[name]) for name in formula.names], axis=0)
        for name in formula.names:
            rows = np.isnan(found[name]) & (n_missing == 1)
            if rows.any():
                values = formula.solved_for(name, result).values(found)
                found[name] = np.where(rows, values, found[name])
    return found


_KEYS = ("operation", "terms", "constant", "decimals")


def _is_term(term: object) -> bool:
    """Return whether a value of a file is a name and a number."""
    match term:
        case [str(), int() | float()]:
            return True
        case _:
            return False
