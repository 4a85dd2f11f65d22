"""The specification of data: the properties that a model is built for.

A ``DataSpec`` holds the shape and support of one example x, the number of classes of its label y,
the names of its covariates, and which of these make up the condition c that every part of a
conditional model p(x | c) is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from dataclasses import replace as with_changes
from math import prod
from typing import Any, Literal, get_args

from reparam.errors import DataError, OptionError, unknown
from reparam.schema import QUANTITIES, Schema
from reparam.utils.arguments import LARGEST, numbers

Support = Literal["binary", "unit", "real", "categorical", "counts", "tokens", "mixed"]
Condition = Literal["label", "covariates", "label+covariates"]

MOST_LISTED = 8
"""The largest number of columns in a message."""


def listed_names(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others.

    >>> listed_names([f"gene-{i}" for i in range(2000)])[-29:]
    'gene-6, gene-7 and 1,992 more'
    """
    n_more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {n_more:,} more" if n_more > 0 else "")


_NAMES = ("covariates", "columns")
"""The fields that hold names."""

_OPTIONAL = (*_NAMES, "schema")
"""The fields that are written only where there is something to write."""


@numbers(n_classes=1, levels=1, dequantized_from=1)
@dataclass(frozen=True)
class DataSpec:
    """The shape and support of one example x, its labels and its condition.

    Arguments:
        shape: The shape of x, for images (channels, height, width).
        support: The set that contains every entry of x: ``binary`` {0, 1}, ``unit`` [0, 1],
            ``real``, ``categorical`` {0, …, levels - 1}, ``counts`` {0, 1, 2, …}, ``tokens``, or
            ``mixed`` for the columns of a schema, where NaN is a missing value.
        n_classes: The number of classes of the labels; None without labels.
        levels: The number of values of an entry. With support ``unit`` the entries lie on the grid
            k / (levels - 1). None where x is continuous.
        dequantized_from: The number of levels before uniform noise made x continuous,
            x = (k + u) / levels with u ~ U[0, 1); it turns a density into bits per dimension.
        condition: The parts of c: the ``label``, one-hot; the ``covariates``, real numbers;
            ``label+covariates``, in this order; None for a model without a condition.
        name: The name of the data in messages.
        covariates: The names of the C covariates, in order. ``sex=F`` is an entry of the one-hot
            code of a categorical column ``sex``.
        columns: The names of the entries of x, in order, where they are the columns of a DataFrame.
        schema: The columns of a table with support ``mixed``.

    Raises:
        OptionError: An unknown support or condition, or an impossible size.
        DataError: A condition on labels or covariates that the data do not have.

    Example:
        >>> DataSpec((1, 28, 28), "binary", n_classes=10).dim
        784
    """

    shape: tuple[int, ...]
    support: Support
    n_classes: int | None = None
    levels: int | None = None
    dequantized_from: int | None = None
    condition: Condition | None = None
    name: str = "data"
    covariates: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    schema: Schema | None = None

    def __post_init__(self) -> None:
        if self.condition is not None and self.condition not in get_args(Condition):
            raise unknown("condition", str(self.condition), get_args(Condition))
        for is_given, known, what in (
            (self.given_label, self.n_classes, "labels"),
            (self.given_covariates, self.covariates, "covariates"),
        ):
            if is_given and not known:
                raise DataError(
                    f"{self.name!r} has no {what} to condition on: give {what}, or drop the "
                    "condition"
                )
        if self.support not in get_args(Support):
            raise unknown("support", str(self.support), get_args(Support))
        n_features = None if self.schema is None else len(self.schema.features)
        if (self.support == "mixed") != (n_features is not None and self.shape == (n_features,)):
            raise OptionError(
                f"support={self.support!r} of shape {self.shape} with "
                f"{'no schema' if n_features is None else f'a schema of {n_features} columns'}: "
                "rows of a table need both, so make the data by data.read or data.from_table"
            )
        if not isinstance(self.name, str):
            raise OptionError(f"name={self.name!r}: must be text")
        if self.dim > LARGEST:
            raise OptionError(f"shape={self.shape}: has more entries than a tensor can hold")

    @property
    def dim(self) -> int:
        """The number of entries of one example."""
        return prod(self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one x as an encoder reads it: of a mixed table see ``Schema``."""
        return self.shape if self.schema is None else (self.schema.input_size,)

    @property
    def given_label(self) -> bool:
        """Whether the label is a part of the condition c."""
        return self.condition in ("label", "label+covariates")

    @property
    def given_covariates(self) -> bool:
        """Whether the covariates are a part of the condition c."""
        return self.condition in ("covariates", "label+covariates")

    @property
    def label_context(self) -> int:
        """The number of first entries of the condition c that are the one-hot label."""
        return (self.n_classes or 0) if self.given_label else 0

    @property
    def context(self) -> int:
        """The size of the condition c; 0 without one."""
        return self.label_context + (len(self.covariates) if self.given_covariates else 0)

    def conditioned(self, condition: Condition | None) -> "DataSpec":
        """Return the spec of the same data under a condition.

        >>> DataSpec((1, 8, 8), "binary", n_classes=10).conditioned("label").context
        10
        """
        return with_changes(self, condition=condition)

    def listed(self, places: Sequence[int]) -> str:
        """Return the names of columns, or their numbers where they have none.

        >>> DataSpec((2,), "real", columns=("age", "pay")).listed([1])
        'pay'
        """
        return listed_names([self.columns[i] if self.columns else f"{i}" for i in places])

    @property
    def is_image(self) -> bool:
        """Whether one example has the shape (channels, height, width) of an image."""
        return len(self.shape) == 3 and self.shape[0] in (1, 3)

    @property
    def is_table(self) -> bool:
        """Whether one example is a row of columns, each of its own unit or kind."""
        return self.support in ("real", "mixed") and len(self.shape) == 1

    @property
    def has_rows(self) -> bool:
        """Whether one example is a row of columns: of a table, or of counts."""
        return self.is_table or (self.support == "counts" and len(self.shape) == 1)

    @property
    def words(self) -> str:
        """What the examples are, in words.

        >>> DataSpec((13,), "real").words, DataSpec((1, 28, 28), "binary").words
        ('rows of 13 columns of numbers', 'binary examples of shape 1 × 28 × 28')
        """
        if self.has_rows:
            kind = {"mixed": "columns of several kinds", "counts": "counts"}
            return f"rows of {self.dim} {kind.get(self.support, 'columns of numbers')}"
        if self.support == "tokens":
            return f"texts of {self.dim} tokens"
        return f"{self.support} examples of shape {' × '.join(map(str, self.shape))}"

    @property
    def quantities(self) -> list[int]:
        """The places of the entries of a row that are quantities, in order."""
        if self.schema is None:
            return list(range(self.dim))
        return self.schema.places(QUANTITIES)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML; names only where there are some."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in own.items()}
        if self.schema is not None:
            values["schema"] = self.schema.to_list()
        return {key: value for key, value in values.items() if key not in _OPTIONAL or value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSpec":
        """Return the spec that ``to_dict`` wrote.

        Raises:
            OptionError: A key that does not exist or is missing, or a value of another type.

        >>> spec = DataSpec((1, 8, 8), "unit", levels=17)
        >>> DataSpec.from_dict(spec.to_dict()) == spec
        True
        """
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown("key of a data spec", str(key), known)
        for key in ("shape", "support"):
            if key not in values:
                raise OptionError(f"the data spec has no {key}: give one")
        if not isinstance(values["shape"], list | tuple):
            raise OptionError(f"shape={values['shape']!r}: must be a list of whole numbers")
        lists = {key: values.get(key, ()) for key in _NAMES}
        for key, names in lists.items():
            if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
                raise OptionError(f"{key}={names!r}: must be a list of names")
        found = {**values, **{key: tuple(names) for key, names in lists.items()}}
        if found.get("schema") is not None:
            found["schema"] = Schema.from_list(found["schema"])
        return cls(**found)
