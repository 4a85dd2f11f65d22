"""The preparation of data that a model is given after training: the same as of its training data.

A ``Preparation`` holds the spec of x and the transform that made x of stored values. It is recorded
in a run folder and read again from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from torch import Generator, Tensor

from reparam.data.checks import (
    as_support,
    check_row_values,
    check_support,
    check_top,
    fitted,
    stored_type,
)
from reparam.data.condition import covariates_for
from reparam.data.dataset import Dataset, Split
from reparam.data.facts import Facts, facts_of, joined
from reparam.data.image_set import ImageSet
from reparam.data.registry import SOURCES
from reparam.data.transforms import Identity, Pixels, Transform
from reparam.errors import DataError, OptionError
from reparam.spec import Condition, DataSpec, Support, listed_names

FAR = 10.0
"""Values further outside the training range than this multiple of it have another scale."""

NEAR, N_FOR_SCALE = 0.01, 100
"""So have at least 100 values that span less than 1 % of the training range."""

FEWEST_PIXELS = 64
"""The least number of entries without names that are taken for the pixels of an image."""

_HASHED_BYTES = 2**29
"""Of larger data only evenly spaced rows of this many bytes in all are hashed."""


@dataclass(frozen=True)
class Unknown:
    """The transform of a run that was trained with a user's own, which is not stored."""

    def __call__(self, raw: Tensor, generator: Generator | None = None) -> Tensor:
        """Refuse bytes, with shape (B, *shape).

        Raises:
            DataError: Always.
        """
        raise DataError(
            "the run was trained with a transform of your own, which is not stored: apply it, and "
            "give x itself as floats"
        )


@dataclass(frozen=True)
class Preparation:
    """The spec of the x of a model, and the transform that made x of stored training values.

    Arguments:
        spec: The shape and support of x, and the condition.
        transform: The map from stored values to x: ``Pixels`` if the training data were bytes.

    Example:
        >>> grey = Preparation(DataSpec((2,), "unit", levels=256), Pixels(256))
        >>> stored, transform = grey.stored(torch.tensor([[0, 255]], dtype=torch.uint8))
        >>> transform(stored)
        tensor([[0., 1.]])
    """

    spec: DataSpec
    transform: Transform

    def stored(self, values: Tensor, name: str = "x") -> tuple[Tensor, Transform]:
        """Return values as they are stored, with shape (N, *spec.shape), and their map to x.

        Bytes are prepared like the bytes of the training data. If the training data were floats,
        bytes are numbers; for data in [0, 1] they are 256 grey levels. Floats and booleans are x
        itself.

        Arguments:
            values: uint8, int64 or float32, with shape (N, *spec.shape), or flattened, or without
                axes of size one.
            name: The name of the values in messages.

        Raises:
            ShapeError: Examples of another shape.
            DataError: Values that no training data could have had.
        """
        values, spec = fitted(values, self.spec.shape, name), self.spec
        if spec.schema is not None:
            check_row_values(values, spec.schema, name)
            return values, Identity()
        levels = self.transform.levels if isinstance(self.transform, Pixels) else 256
        if values.dtype == torch.uint8 and not isinstance(self.transform, Identity):
            if isinstance(self.transform, Pixels):
                fix = "give bytes of the same scale, or x itself as floats"
                check_top(values, levels, name, fix)
                if spec.support == "binary" and levels > 2:
                    _refuse_two_darkest(values, levels, name)
            return values, self.transform
        if values.dtype == torch.uint8 and spec.support == "unit":
            _refuse_two_darkest(values, levels, name)
            return values, Pixels(256)
        values = as_support(values, spec.support, name, levels)
        values = values if spec.support == "tokens" else values.float()
        if spec.support in ("categorical", "tokens") and spec.levels is not None:
            check_top(values, spec.levels, name, "number the values as in training")
        return values, Identity()

    def dataset(self, x: Tensor, y: Tensor | None = None, covariates: object = None) -> Dataset:
        """Return examples, their labels and their covariates as a data set with one split.

        Arguments:
            x: The examples, as ``stored`` takes them.
            y: Their labels, with shape (N,).
            covariates: Their covariates, with shape (N, C) or as a table.
        """
        stored, transform = self.stored(x)
        split = Split(stored, y, covariates_for(self.spec, covariates, len(x)))
        return Dataset("x", replace(self.spec, name="x"), {"train": split}, transform)

    def check_dataset(self, data: Dataset) -> None:
        """Refuse a data set whose x or covariates differ in kind from those of the model.

        Raises:
            OptionError: Another shape, other columns or covariates, or bytes that are prepared
                otherwise.
            DataError: Values outside the support.
        """
        theirs, own = data.spec, self.spec
        kinds = [(s.support, s.shape, s.levels, s.dequantized_from) for s in (own, theirs)]
        # Another binarization gives other draws of the same kind of x. Floats are x itself; those
        # of a narrower support are also in a wider one.
        if theirs.shape != own.shape or (
            isinstance(data.transform, Pixels) and len(set(kinds)) > 1
        ):
            raise OptionError(
                f"the model was trained on {_kind(own)}, but {data.name!r} is "
                f"{_kind(theirs)}: give data of the same kind"
            )
        if own.given_covariates and theirs.covariates not in ((), own.covariates):
            raise OptionError(
                f"{data.name!r} has the covariates {', '.join(theirs.covariates)}, and the model "
                f"was trained on {', '.join(own.covariates)}: give the same in the same order"
            )
        if () != theirs.columns != own.columns != ():
            raise OptionError(
                f"{data.name!r} has the columns {listed_names(theirs.columns)}, and the model was "
                f"trained on {listed_names(own.columns)}: give the same in the same order"
            )
        if isinstance(data.transform, Identity):
            for split, part in data.splits.items() if own.schema is None else ():
                check_support(part.x, own.support, f"{split} x of {data.name!r}")

    def to_dict(self) -> dict[str, Any] | None:
        """Return the transform as plain values: None for the identity, ``{}`` for a user's own."""
        if isinstance(self.transform, Identity):
            return None
        return asdict(self.transform) if isinstance(self.transform, Pixels) else {}


def _refuse_two_darkest(values: Tensor, levels: int, name: str) -> None:
    """Refuse bytes that could be black and white, or the two darkest of more levels."""
    if int(values.max()) == 1:
        raise DataError(
            f"{name} has the bytes 0 and 1 only, which could be black and white or the two darkest "
            f"of {levels} grey levels: give x itself as floats in [0, 1], or as booleans"
        )


def preparation_of(spec: DataSpec, recorded: Mapping[str, Any]) -> Preparation:
    """Return the preparation of a run from its record.

    Arguments:
        spec: The shape and support of x.
        recorded: ``transform``, as ``Preparation.to_dict`` wrote it; in older runs ``data``, the
            options of the data.

    >>> preparation_of(DataSpec((2,), "binary"), {"transform": {"levels": 2}}).transform
    Pixels(levels=2, binarize='none', dequantize=False)
    """
    if "transform" in recorded:
        values = recorded["transform"]
        if values is None:
            return Preparation(spec, Identity())
        return Preparation(spec, Pixels(**values) if values else Unknown())
    options = recorded.get("data") or {}
    source = SOURCES[options["name"]] if options.get("name") in SOURCES else None
    if isinstance(source, ImageSet):
        return Preparation(spec, source.transform(options["binarize"], options["dequantize"]))
    levels = spec.dequantized_from or (spec.levels if spec.support == "unit" else None)
    is_noisy = spec.dequantized_from is not None
    return Preparation(spec, Pixels(levels, dequantize=is_noisy) if levels else Identity())


def is_short(spec: DataSpec) -> bool:
    """Return whether examples are vectors too short to be the pixels of an image.

    The bytes of such examples are whole numbers, as ages are, and k / 255 may be a share, as 0.2
    is.

    Arguments:
        spec: The shape of the examples.

    Example:
        >>> is_short(DataSpec((9,), "unit")), is_short(DataSpec((3, 3), "unit"))
        (True, False)
    """
    return len(spec.shape) == 1 and spec.dim < FEWEST_PIXELS


def is_row_of_table(spec: DataSpec) -> bool:
    """Return whether numbers in [0, 1] that are no levels are columns, each of its own scale.

    Columns that are scaled to their least and largest value are real numbers; pixels are
    intensities.

    Arguments:
        spec: The shape of the examples, and the names of their columns.

    Example:
        >>> is_row_of_table(DataSpec((9,), "unit")), is_row_of_table(DataSpec((784,), "unit"))
        (True, False)
    """
    return is_short(spec) or (len(spec.shape) == 1 and bool(spec.columns))


def spec_of(
    parts: Mapping[str, Split],
    declared: DataSpec,
    support: Support | None,
    n_named: int,
    condition: Condition | None = None,
    as_images: bool = True,
) -> tuple[DataSpec, dict[str, Tensor]]:
    """Return the spec of examples of the user's own, and their x in the type that is stored.

    Bytes, and floats that are all k / 255, have 256 levels. Examples of bytes or of levels with two
    axes are images and get an axis of one channel. Other floats in [0, 1] are intensities. In a
    table bytes and floats in [0, 1] are real numbers: see ``is_short`` and ``is_row_of_table``.

    Arguments:
        parts: Examples of one shape and type, by the name of their x in messages.
        declared: The shape, the names and, if it is known, the number of classes.
        support: The set that contains every entry of x; when None the smallest that does.
        n_named: The number of classes that have a name, 0 if none has. If ``declared`` has no
            number of classes, it is this one, or the largest label + 1.
        condition: The condition; None for the covariates if there are some.
        as_images: Whether examples with two axes can be images.

    Raises:
        DataError: Values outside the support, or integers whose support is not clear.
    """
    found = joined(facts_of(split.x, support, name) for name, split in parts.items())
    declared = described(found, declared, support, as_images)
    stored = {
        name: as_support(split.x, declared.support, name).reshape(len(split.x), *declared.shape)
        for name, split in parts.items()
    }
    tops = [int(split.y.max()) + 1 for split in parts.values() if split.y is not None]
    # Without any known label there are no classes.
    n_classes = (n_named if tops else 0) or max(tops, default=0) or None
    spec = replace(
        declared,
        n_classes=n_classes if declared.n_classes is None else declared.n_classes,
        condition=condition or ("covariates" if declared.covariates else None),
    )
    return spec, stored


def described(
    found: Facts, declared: DataSpec, support: Support | None, as_images: bool = True
) -> DataSpec:
    """Return the spec of values, with their shape, support and levels: see ``spec_of``.

    Arguments:
        found: What is known of all values.
        declared: The shape and the names.
        support: The set that was declared to contain every entry; None where it was found.
        as_images: Whether examples with two axes can be images.

    Example:
        >>> described(facts_of(torch.tensor([[0.0, 0.2]])), DataSpec((2,), "real"), None).support
        'real'
    """
    chosen, levels = found.support, None
    # What is declared to be in [0, 1] stays there.
    is_table = is_short(declared) if found.on_grid else is_row_of_table(declared)
    if chosen == "unit" and support is None and is_table:
        chosen = "real"
    elif chosen == "unit" and found.on_grid:
        levels = 256
    elif chosen in ("categorical", "tokens"):
        levels = int(found.high) + 1
    are_pixels = levels == 256 or stored_type(found.dtype, chosen) == torch.uint8
    is_image = as_images and are_pixels and len(declared.shape) == 2
    shape = (1, *declared.shape) if is_image else declared.shape
    return replace(declared, shape=shape, support=chosen, levels=levels)


def _kind(spec: DataSpec) -> str:
    """Return the support, shape and levels of data in words."""
    levels = "" if spec.levels is None else f" with {spec.levels} levels"
    n = spec.dequantized_from
    noise = "" if n is None else f" with noise over {n} levels"
    return f"{spec.support} data of shape {spec.shape}{levels}{noise}"


def far_from(x: Tensor, trained: Sequence[float] | None) -> str:
    """Return a remark on x of another scale than the training data; "" for the same scale.

    Arguments:
        x: Values of any shape.
        trained: The least and the largest training value; None if the support defines the range.

    >>> far_from(torch.tensor([900.0]), [-3.0, 4.0])
    'x ranges from 900 to 900, and the training data from -3 to 4: prepare x as they were prepared'
    >>> far_from(torch.tensor([5.0]), [-3.0, 4.0])
    ''
    """
    if trained is None:
        return ""
    (low, high), (least, largest) = trained, (float(value) for value in x.aminmax())
    room = FAR * max(high - low, abs(low), abs(high))
    is_narrow = x.numel() >= N_FOR_SCALE and largest - least < NEAR * (high - low)
    if low - room <= least and largest <= high + room and not is_narrow:
        return ""
    return (
        f"x ranges from {least:.4g} to {largest:.4g}, and the training data from {low:.4g} to "
        f"{high:.4g}: prepare x as they were prepared"
    )


def spec_mismatch(recipe: DataSpec, data: DataSpec) -> str | None:
    """Return why a model built for one kind of data cannot learn from another; None if it can.

    >>> spec_mismatch(DataSpec((2,), "unit"), DataSpec((2,), "real"))
    "it was built for unit data, and 'data' is real"
    >>> spec_mismatch(DataSpec((2,), "unit"), DataSpec((2,), "binary"))
    """
    if recipe.shape != data.shape:
        shapes = f"{recipe.shape}, and {data.name!r} has {data.shape}"
        return f"it was built for examples of shape {shapes}"
    if data.support not in holding(recipe.support):
        return f"it was built for {recipe.support} data, and {data.name!r} is {data.support}"
    pairs = (("levels", recipe.levels, data.levels), ("classes", recipe.n_classes, data.n_classes))
    for what, own, theirs in pairs:
        is_wider = what == "classes" and own is not None and theirs is not None and theirs <= own
        if own is not None and theirs is not None and own != theirs and not is_wider:
            return f"it was built for data of {own} {what}, and {data.name!r} has {theirs}"
    if data.schema is not None and data.schema != recipe.schema:
        return (
            f"it was built for other columns, or classes of columns, than {data.name!r} has: "
            "encode the table with the schema of the model"
        )
    if () != data.columns != recipe.columns != ():
        return (
            f"it was built for the columns {listed_names(recipe.columns)}, and {data.name!r} has "
            f"{listed_names(data.columns)}"
        )
    if recipe.given_covariates and data.covariates != recipe.covariates:
        own_names, names = (", ".join(spec.covariates) or "none" for spec in (recipe, data))
        return f"it was built for the covariates {own_names}, and {data.name!r} has {names}"
    return None


def holding(support: str) -> tuple[str, ...]:
    """Return the supports that are subsets of a support, itself included.

    >>> holding("unit")
    ('binary', 'unit')
    """
    if support in ("unit", "real"):
        ordered = ("binary", "unit", "real")
        return ordered[: ordered.index(support) + 1]
    return (support,)


def fingerprint(split: Split) -> str:
    """Return the SHA-256 of the stored values of examples, which identifies training data.

    Example:
        >>> fingerprint(Split(torch.zeros(3, 2))) == fingerprint(Split(torch.zeros(4, 2)))
        False
    """
    x, mapped = split.x, split.mapped
    digest = sha256(f"{x.dtype} {tuple(x.shape)}".encode())
    if mapped is not None:  # it was read once, when it was loaded
        digest.update(f"{mapped.sha256} {mapped.moved}".encode())
    few = None if mapped is not None else x[:: -(-x.nbytes // _HASHED_BYTES)]
    for values in (few, split.y, split.covariates):
        if values is not None:
            # As bytes, since NumPy does not have all types of torch.
            plain = values.detach().cpu().contiguous()
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()
