"""Arrays of the user's own in files of NumPy: values, and sparse matrices of counts.

A large file ``.npy`` is mapped instead of read: see ``mapped.py``. One pass in chunks checks its
values, and finds their support and their checksum.
"""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.arrays import as_tensor
from reparam.data.checks import (
    UNLABELED,
    as_values,
    check_digits,
    check_finite,
    check_support,
    stored_type,
)
from reparam.data.columns import rows_seen
from reparam.data.dataset import Dataset, Split, check_share, validation_size, with_few_held
from reparam.data.facts import Facts, facts_of, joined
from reparam.data.in_memory import KNOWN, from_arrays
from reparam.data.infer import as_quantities
from reparam.data.mapped import checked, header_of, is_large
from reparam.data.mixed import from_table, numbered
from reparam.data.preparation import described
from reparam.data.registry import SOURCES, OwnFiles, told
from reparam.data.tables import table_of_numbers
from reparam.data.transforms import Identity, transform_of
from reparam.errors import DataError, unknown
from reparam.schema import Schema
from reparam.spec import DataSpec, Support
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, reason, stored_path
from reparam.utils.seeding import random_rows

TEST_SHARE = 0.1
"""The default fraction of the examples that is the test split."""

X_KEYS, Y_KEYS = ("x", "X", "data", "counts", "images"), ("y", "Y", "labels", "target")
"""The names of examples and labels in a file with several arrays, the first that is there first."""

_MAGIC = b"\x93NUMPY"
"""The first bytes of a file ``.npy``."""

_SPARSE = ("data", "indices", "indptr", "shape")
"""The arrays of a matrix in compressed rows, as SciPy writes them."""


def is_sparse(path: Path) -> bool:
    """Return whether a file holds a matrix in compressed rows, as SciPy writes it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {f"{name}.npy" for name in _SPARSE} <= {*archive.namelist()}


def read_arrays(path: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any] | None, bool]:
    """Return the examples and labels in a file, and whether they are a sparse matrix of counts.

    Arguments:
        path: A file ``.npy`` with x, or ``.npz`` with x and y or with a matrix in compressed rows.

    Raises:
        DataError: A file that is missing or damaged, or has no x.
    """
    file = as_path(path)
    try:
        with file.open("rb") as opened:
            stored = np.load(opened, allow_pickle=False)
            is_one = isinstance(stored, np.ndarray)
            found = {"x": stored} if is_one else {key: stored[key] for key in stored}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = reason(error)
        if "allow_pickle" in why:
            is_array = file.read_bytes().startswith(_MAGIC) or zipfile.is_zipfile(file)
            why = "objects are not loaded" if is_array else "it is in no format of NumPy"
        raise DataError(f"{file} cannot be read as arrays of NumPy ({why}): replace it") from error
    y = next((found[key] for key in Y_KEYS if key in found), None)
    if all(key in found for key in _SPARSE):
        from scipy.sparse import csr_matrix

        parts = (found["data"], found["indices"], found["indptr"])
        try:
            x = csr_matrix(parts, shape=tuple(found["shape"])).toarray()
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{file} holds no matrix in compressed rows ({reason(error)})"
            ) from error
        return x, y, bool((x >= 0).all() and (x == x.round()).all())
    x = next((found[key] for key in X_KEYS if key in found), None)
    if x is None:
        raise DataError(
            f"{file} has the arrays {', '.join(found) or 'of nothing'}: name the examples x, and "
            "the labels y"
        )
    return x, y, False


def labels_of(
    y: NDArray[Any], n: int, name: str, known: Sequence[str] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels as the numbers of their classes, -1 for NaN and -1, and the names of these.

    Arguments:
        y: Whole numbers or text, with shape (N,).
        n: The number N of examples.
        name: The name of the labels in messages.
        known: The names of the classes in order; those of y when empty.

    Raises:
        DataError: Another number of labels, numbers that are not whole, or a class that is not
            known.

    Example:
        >>> labels_of(np.array([3.0, 1.0, np.nan]), 3, "y")
        (array([ 1,  0, -1]), ('1', '3'))
    """
    if y.shape != (n,):
        raise DataError(
            f"{name} has shape {y.shape} beside {n} examples: one label per example is needed"
        )
    values = y if y.dtype.kind == "U" else as_tensor(y, name).numpy()
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(n, bool)
    if values.dtype.kind != "U":
        missing |= values == UNLABELED
        odd = ~missing & (values != np.round(values)) | np.isinf(values)
        if odd.any():
            row = int(odd.argmax())
            raise DataError(
                f"{name} is {values[row]:g} in row {row}: labels are one of several classes, as "
                "text or whole numbers, so leave y out"
            )
    distinct, codes = np.unique(values[~missing], return_inverse=True)
    names = tuple(str(v) if values.dtype.kind == "U" else str(int(v)) for v in distinct)
    classes = tuple(known) or names
    unseen = [each for each in names if each not in classes]
    if unseen:
        raise DataError(
            f"{name} has the class {unseen[0]!r}, and the training data have {', '.join(classes)}: "
            "leave these rows out"
        )
    found = np.full(n, UNLABELED)
    found[~missing] = np.array([classes.index(each) for each in names], int)[codes]
    return found, classes


@numbers(seed=0)
def load_array(
    path: str | os.PathLike[str],
    *,
    support: Support | None = None,
    validation: int | float | None = None,
    test_share: float | None = None,
    mapped: bool | None = None,
    schema: Schema | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of the arrays in a file of NumPy.

    Labels, whole numbers or text, are numbered from 0 without gaps in their order, and keep their
    names; NaN and -1 are unknown. A sparse
    matrix of whole numbers is counts.

    A mapped file stays on the disk. Training reads it in blocks in random order, each row once in
    an epoch; at most 10,000 rows each are held out as test and validation splits.

    Arguments:
        path: A file ``.npy`` with x, or ``.npz`` with x and y or with a matrix in compressed rows
            (``data``, ``indices``, ``indptr``, ``shape``).
        support: The set that contains every entry of x: see ``from_arrays``.
        validation: The number of examples that are held out for validation, or as a float their
            fraction of those outside test; none when None, so that ``fit`` chooses.
        test_share: The fraction of the examples that is the test split; 0.1 when None.
        mapped: Whether a file ``.npy`` is mapped instead of read; when None it is if it is larger
            than a quarter of the free memory.
        schema: The columns of x where rows lack values; inferred when None.
        seed: The seed of the choice of examples.

    Raises:
        DataError: A file that cannot be read, or values that ``from_arrays`` refuses.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "data.npz"
        ...     np.savez(file, x=np.random.default_rng(0).normal(size=(50, 3)), y=[1, 2] * 25)
        ...     load_array(file)
        Dataset('data', real of shape (3,): train 45, test 5)
    """
    share = TEST_SHARE if test_share is None else test_share
    check_share(share)
    if support is not None and support not in KNOWN:
        raise unknown("support", str(support), KNOWN)
    file = as_path(path)
    options: dict[str, Any] = {
        "name": "array",
        "path": stored_path(file.absolute()),
        "support": support,
        "test_share": share,
        "seed": seed,
    }
    if mapped is None:
        mapped = file.suffix == ".npy" and file.is_file() and is_large(file.stat().st_size)
    if mapped:
        data = mapped_array(file, support, validation, share, seed)
        options["validation"] = len(data.splits["validation"]) if "validation" in data.splits else 0
        return told(data, options | {"mapped": True})
    x, y, are_counts = read_arrays(path)
    if x.ndim == 0 or len(x) < 2:
        raise DataError(f"{file} has x of shape {x.shape}: give two examples or more")
    is_table = schema is not None or is_incomplete(x, support)
    if not is_table:
        values = as_values(x, f"x of {file}")
        if support is not None:
            check_support(values, support, f"x of {file}")
    classes: tuple[str, ...] = ()
    if y is not None:
        y, classes = labels_of(y, len(x), f"y of {file}")
    support = support or ("counts" if are_counts else None)
    try:
        if is_table:
            data, n_validation = _table_with_test(x, y, schema, file.stem, validation, share, seed)
        else:
            data, n_validation = with_test(
                x,
                y,
                support=support,
                name=file.stem,
                validation=validation,
                test_share=share,
                seed=seed,
                n_classes=len(classes) or None,
            )
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    data = replace(data, class_names=classes)
    options |= {"support": support, "validation": n_validation, "mapped": False}
    return told(data, options)


def with_test(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    covariates: Mapping[str, NDArray[Any]] | None = None,
    *,
    support: Support | None,
    name: str,
    validation: int | float | None,
    test_share: float,
    seed: int,
    n_classes: int | None = None,
) -> tuple[Dataset, int]:
    """Return arrays in memory as data with a random test split, and the number of validation rows.

    Arguments:
        x: The examples, with shape (N, *shape).
        y: Their labels, with shape (N,).
        covariates: Their covariates by name, each with shape (N,).
        support: See ``from_arrays``.
        name: The name of the data.
        validation: See ``load_array``.
        test_share: The fraction of the examples that is the test split.
        seed: The seed of the choice of examples.
        n_classes: The number of classes; that of the labels when None.
    """
    order, n_test, n_validation = _division(len(x), validation, test_share, seed)

    def rows(places: NDArray[Any]) -> dict[str, Any]:
        beside = None if covariates is None else {k: v[places] for k, v in covariates.items()}
        return {"x": x[places], "y": None if y is None else y[places], "covariates": beside}

    data = from_arrays(
        **rows(np.sort(order[n_test:])),
        test=rows(np.sort(order[:n_test])) if n_test else None,
        support=support,
        name=name,
        validation=n_validation,
        seed=seed,
        n_classes=n_classes,
    )
    return data, n_validation


def _table_with_test(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    schema: Schema | None,
    name: str,
    validation: int | float | None,
    test_share: float,
    seed: int,
) -> tuple[Dataset, int]:
    """Return rows of numbers with missing values as ``with_test`` returns others.

    Arguments:
        x: The rows, with shape (N, D), NaN for a missing value.
        y: Their labels, with shape (N,).
        schema: The columns; inferred when None.
        name: The name of the data.
        validation: See ``load_array``.
        test_share: The fraction of the rows that is the test split.
        seed: The seed of the choice of rows.
    """
    order, n_test, n_validation = _division(len(x), validation, test_share, seed)
    test, held, train = np.split(order, [n_test, n_test + n_validation])
    splits = {"train": train, "validation": held, "test": test}
    table = table_of_numbers(x.astype(np.float64), numbered(x.shape[1]), name)
    data = from_table(
        table,
        y=y,
        schema=schema,
        overrides=as_quantities(table),
        splits={key: np.sort(places) for key, places in splits.items()},
        name=name,
    )
    return data, n_validation


def _division(
    n: int, validation: int | float | None, test_share: float, seed: int
) -> tuple[NDArray[np.int64], int, int]:
    """Return a random order of n examples, and how many of them are for test and validation.

    Arguments:
        n: The number of examples.
        validation: See ``load_array``.
        test_share: The fraction of the examples that is the test split.
        seed: The seed of the order.
    """
    n_test = int(n * test_share)
    order = np.random.default_rng(seed).permutation(n)
    return order, n_test, validation_size(validation, n - n_test)


def is_incomplete(x: NDArray[Any], support: Support | None = None) -> bool:
    """Return whether examples are rows of numbers of which some are NaN, and so missing.

    Arguments:
        x: The examples, with shape (N, *shape).
        support: The support that is declared; None for none.

    Example:
        >>> is_incomplete(np.array([[1.0, np.nan]])), is_incomplete(np.array([[1.0, 2.0]]))
        (True, False)
    """
    if x.ndim != 2 or x.dtype.kind != "f" or support not in (None, "real"):
        return False
    missing = np.isnan(x)
    return bool(missing.any() and not missing.all())


def mapped_array(
    file: Path, support: Support | None, validation: int | float | None, share: float, seed: int
) -> Dataset:
    """Return a data set whose training examples stay in a file.

    Arguments:
        file: A file ``.npy``.
        support: See ``from_arrays``.
        validation: See ``load_array``.
        share: The fraction of the examples that is the test split.
        seed: The seed of the choice of held-out examples.

    Raises:
        DataError: A file that cannot be mapped, or values that ``from_arrays`` refuses.
    """
    found = header_of(file)
    if len(found) < 2:
        raise DataError(f"{file} has {len(found)} row: give two examples or more")
    name = f"x of {file.name}"
    whole = Split(found.tensor(), mapped=found)
    as_values(whole.x[:1].clone(), name)
    parts: list[Facts] = []

    def see(x: Tensor, start: int) -> None:
        if x.is_floating_point():
            check_finite(x.float(), name, x, start)
        if support is not None:
            check_support(x, support, name, start=start)
        parts.append(facts_of(x, support, name))

    found = checked(found, see)
    facts = joined(parts)
    found = replace(found, low=facts.low, high=facts.high)
    some = random_rows(len(whole), rows_seen(whole.x[0].numel()), seed)
    check_digits(whole.take(some).x, name)
    declared = DataSpec(found.shape, "real", name=file.stem)
    spec = described(facts, declared, support)
    # Booleans are bytes, which are mapped as they are; other types are converted batch by batch.
    stored = stored_type(facts.dtype, spec.support)
    is_stored = stored == torch.uint8 or facts.dtype == stored
    found = found.reshaped(spec.shape, stored if is_stored else facts.dtype)
    transform = transform_of(stored, spec.support) if is_stored else Identity(stored)
    data = Dataset(file.stem, spec, {"train": Split(found.tensor(), mapped=found)}, transform)
    return with_few_held(data, validation, share, seed)


SOURCES.add("array", OwnFiles("the arrays in a file of NumPy, .npy or .npz", "FILE", load_array))
