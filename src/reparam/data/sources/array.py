"""Arrays of the user's own in files of NumPy: values, and sparse matrices of counts."""

import os
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from reparam.data.dataset import Dataset, check_share, validation_size
from reparam.data.in_memory import from_arrays
from reparam.data.registry import SOURCES, OwnFiles
from reparam.errors import DataError
from reparam.spec import Support
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, reason, stored_path
from reparam.utils.terminal import note

TEST_SHARE = 0.1
"""The default fraction of the examples that is the test split."""

X_KEYS, Y_KEYS = ("x", "X", "data", "counts", "images"), ("y", "Y", "labels", "target")
"""The names of examples and labels in a file with several arrays, the first that is there first."""

_SPARSE = ("data", "indices", "indptr", "shape")
"""The arrays of a matrix in compressed rows, as SciPy writes them."""


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
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        why = "objects are not loaded" if "allow_pickle" in str(error) else reason(error)
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


@numbers(seed=0)
def load_array(
    path: str | os.PathLike[str],
    *,
    support: Support | None = None,
    validation: int | float | None = None,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of the arrays in a file of NumPy.

    Labels that are not numbered from 0 without gaps get such numbers, in their order. A sparse
    matrix of whole numbers is counts.

    Arguments:
        path: A file ``.npy`` with x, or ``.npz`` with x and y or with a matrix in compressed rows
            (``data``, ``indices``, ``indptr``, ``shape``).
        support: The set that contains every entry of x: see ``from_arrays``.
        validation: The number of examples that are held out for validation, or as a float their
            fraction of those outside test; none when None, so that ``fit`` chooses.
        test_share: The fraction of the examples that is the test split; 0.1 when None.
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
    x, y, are_counts = read_arrays(path)
    file = as_path(path)
    if x.ndim == 0 or len(x) < 2:
        raise DataError(f"{file} has x of shape {x.shape}: give two examples or more")
    if y is not None and y.shape == (len(x),):
        _, y = np.unique(y, return_inverse=True)
    support = support or ("counts" if are_counts else None)
    order = np.random.default_rng(seed).permutation(len(x))
    n_test = int(len(x) * share)
    test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
    n_validation = validation_size(validation or 0, len(train))
    given: dict[str, Any] = {"support": support, "name": file.stem, "validation": n_validation}
    held = (x[test], y[test]) if y is not None else x[test]
    data = from_arrays(
        x[train], None if y is None else y[train], test=held if n_test else None, seed=seed, **given
    )
    options = {
        "name": "array",
        "path": stored_path(file.absolute()),
        "support": support,
        "validation": n_validation,
        "test_share": share,
        "seed": seed,
    }
    for text in data.notes:
        note(text)
    return data.with_options({k: v for k, v in options.items() if v is not None})


SOURCES.add("array", OwnFiles("the arrays in a file of NumPy, .npy or .npz", "FILE", load_array))
