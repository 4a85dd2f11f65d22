"""What a model must know of its data: shape, support and classes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from dataclasses import replace as with_changes
from math import prod
from typing import Any, Literal, get_args

from reparam.errors import DataError, OptionError, unknown
from reparam.utils.arguments import LARGEST, numbers

Support = Literal["binary", "unit", "real", "categorical", "counts", "tokens"]
Condition = Literal["label"]


@numbers(n_classes=1, levels=1, dequantized_from=1)
@dataclass(frozen=True)
class DataSpec:
    """The shape and support of one example x, and the number of classes of its label.

    Arguments:
        shape: The shape of x, for images (channels, height, width).
        support: The set that an entry of x lies in: ``binary`` {0, 1}, ``unit`` [0, 1], ``real``,
            ``categorical`` {0, …, levels - 1}, ``counts`` {0, 1, 2, …} or ``tokens``.
        n_classes: The number of classes of the labels; None without labels.
        levels: How many values an entry can take. With support ``unit`` the entries lie on the grid
            k / (levels - 1). None where x is continuous.
        dequantized_from: The number of levels before uniform noise made x continuous,
            x = (k + u) / levels with u ~ U[0, 1); what turns a density into bits per dimension.
        condition: What every part of a model is given beside its input: the ``label``, as one of K
            numbers that is one; None for nothing.
        name: What messages call the data.

    Raises:
        OptionError: A support or condition that does not exist, or a size or number that is none.
        DataError: A condition on labels that do not exist.

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

    def __post_init__(self) -> None:
        if self.condition is not None and self.condition not in get_args(Condition):
            raise unknown("condition", str(self.condition), get_args(Condition))
        if self.condition == "label" and self.n_classes is None:
            raise DataError(
                f"{self.name!r} has no labels to condition on: give labels, or drop the condition"
            )
        if self.support not in get_args(Support):
            raise unknown("support", str(self.support), get_args(Support))
        if not isinstance(self.name, str):
            raise OptionError(f"name={self.name!r}: must be text")
        if self.dim > LARGEST:
            raise OptionError(f"shape={self.shape}: has more entries than a tensor can hold")

    @property
    def dim(self) -> int:
        """The number of entries of one example."""
        return prod(self.shape)

    @property
    def context(self) -> int:
        """The size of the condition c; 0 without one."""
        return (self.n_classes or 0) if self.condition == "label" else 0

    def conditioned(self, condition: Condition | None) -> "DataSpec":
        """Return the spec of the same data under a condition.

        >>> DataSpec((1, 8, 8), "binary", n_classes=10).conditioned("label").context
        10
        """
        return with_changes(self, condition=condition)

    @property
    def is_image(self) -> bool:
        """Whether one example has the shape (channels, height, width) of an image."""
        return len(self.shape) == 3 and self.shape[0] in (1, 3)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and YAML hold them."""
        return asdict(self) | {"shape": list(self.shape)}

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
        return cls(**values)
