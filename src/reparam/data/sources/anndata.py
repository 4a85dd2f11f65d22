"""Cells of the user's own in a file of AnnData (``.h5ad``): counts of genes, batches and labels."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import columns_of
from reparam.data.checks import numbered_classes
from reparam.data.condition import as_covariates
from reparam.data.dataset import Dataset, check_share
from reparam.data.registry import SOURCES, OwnFiles, told
from reparam.data.sources.array import TEST_SHARE, with_test
from reparam.errors import DataError, unknown
from reparam.spec import Support
from reparam.utils.arguments import numbers
from reparam.utils.extras import imported
from reparam.utils.files import as_path, reason, stored_path
from reparam.utils.memory import require_memory


class Cells(NamedTuple):
    """The contents of a file of AnnData.

    Arguments:
        x: The values of the genes, float32 with shape (N, D).
        genes: The names of the D genes.
        labels: The column of labels, as numbers, or as text with None where unknown; None without.
        covariates: The columns of covariates by name; None without any.
    """

    x: NDArray[np.float32]
    genes: tuple[str, ...]
    labels: NDArray[Any] | None
    covariates: dict[str, NDArray[Any]] | None


def read_cells(
    path: str | os.PathLike[str],
    layer: str | None = None,
    target: str | None = None,
    covariates: Sequence[str] = (),
) -> Cells:
    """Return the cells in a file of AnnData. Genes of one name are numbered, as AnnData does.

    Arguments:
        path: The file ``.h5ad``.
        layer: The name of the layer that holds the values; X when None.
        target: The column of ``obs`` that holds the labels; None for none.
        covariates: The columns of ``obs`` that hold the covariates.

    Raises:
        DataError: anndata is not installed, or a file that cannot be read.
        OptionError: A layer or a column that does not exist.
    """
    file = as_path(path)
    anndata = imported("anndata", "anndata", f"{file} is a file of AnnData, which", DataError)
    try:
        with warnings.catch_warnings():
            # Genes of one name are numbered below; old files are read with a remark of anndata.
            warnings.simplefilter("ignore")
            stored = anndata.read_h5ad(file)
            stored.var_names_make_unique()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{file} cannot be read as AnnData ({reason(error)}): replace it"
        ) from error
    if layer is not None and layer not in stored.layers:
        raise unknown(f"layer of {file.name}", layer, stored.layers)
    columns = [*([] if target is None else [target]), *covariates]
    for column in columns:
        if column not in stored.obs:
            raise unknown(f"column of obs of {file.name}", column, map(str, stored.obs.columns))
    values = stored.X if layer is None else stored.layers[layer]
    if values is None:
        raise DataError(f"{file} has no X: say which layer holds the counts, as layer='counts'")
    require_memory(4 * float(np.prod(stored.shape)), path=file)
    x = values if isinstance(values, np.ndarray) else values.toarray()
    found = columns_of(stored.obs[columns], "obs") or {}
    return Cells(
        np.asarray(x, np.float32),
        tuple(map(str, stored.var_names)),
        None if target is None else found[target],
        {name: found[name] for name in covariates} if covariates else None,
    )


@numbers(seed=0)
def load_cells(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    target: str | None = None,
    covariates: Sequence[str] = (),
    support: Support = "counts",
    validation: int | float | None = None,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of the cells in a file of AnnData.

    Arguments:
        path: The file ``.h5ad``.
        layer: The name of the layer that holds the raw counts; X when None.
        target: The column of ``obs`` that holds the labels; None for none.
        covariates: The columns of ``obs`` that the model is conditioned on, such as the batch; a
            column of text or categories is one-hot.
        support: ``counts`` for raw counts, or the support of values that were transformed.
        validation: The number of cells that are held out for validation, or as a float their
            fraction of those outside test; none when None, so that ``fit`` chooses.
        test_share: The fraction of the cells that is the test split; 0.1 when None.
        seed: The seed of the choice of cells.

    Raises:
        DataError: anndata is not installed, a file that cannot be read, or values that are no
            counts.
        OptionError: A layer or a column that does not exist.
    """
    share = TEST_SHARE if test_share is None else test_share
    check_share(share)
    file = as_path(path)
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    cells = read_cells(file, layer, target, names)
    if support == "counts":
        check_counts(cells.x, file, layer)
    y: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    if cells.labels is not None:
        y, classes = numbered_classes(cells.labels, (), str(target))
    rows = None
    if cells.covariates is not None:
        # The classes of a column are those of all cells, whichever split they are in.
        encoded, columns = as_covariates(cells.covariates, len(cells.x))
        rows = {name: encoded[:, i].numpy() for i, name in enumerate(columns)}
    data, n_validation = with_test(
        cells.x,
        y,
        rows,
        support=support,
        name=file.stem,
        validation=validation,
        test_share=share,
        seed=seed,
    )
    data = replace(data, spec=replace(data.spec, columns=cells.genes), class_names=classes)
    options = {
        "name": "anndata",
        "path": stored_path(file.absolute()),
        "layer": layer,
        "target": target,
        "covariates": names or None,
        "support": support,
        "validation": n_validation,
        "test_share": share,
        "seed": seed,
    }
    return told(data, options)


def given_cells(
    path: str | os.PathLike[str], options: Mapping[str, Any], class_names: Sequence[str]
) -> dict[str, object]:
    """Return all cells in a file as x, y and covariates, for a model that is trained.

    The columns of x have the names of the genes, so that those of the model are found by name.

    Arguments:
        path: The file ``.h5ad``.
        options: The options that loaded the training data.
        class_names: The names of the classes of the training data.

    Raises:
        DataError: A file that cannot be read, values that are no counts, or an unknown class.
        OptionError: A layer or a column that does not exist.
    """
    from pandas import DataFrame

    is_like = options.get("name") == "anndata"
    layer = options.get("layer") if is_like else None
    target = options.get("target") if is_like else None
    cells = read_cells(path, layer, target, options.get("covariates") or () if is_like else ())
    if options.get("support", "counts") == "counts":
        check_counts(cells.x, as_path(path), layer)
    found: dict[str, object] = {"x": DataFrame(cells.x, columns=list(cells.genes))}
    if cells.labels is not None:
        found["y"], _ = numbered_classes(cells.labels, class_names, str(target))
    if cells.covariates is not None:
        found["covariates"] = cells.covariates
    return found


def check_counts(x: NDArray[np.float32], file: Path, layer: str | None) -> None:
    """Refuse values that are no raw counts.

    Raises:
        DataError: Values below 0, or that are not whole.
    """
    bad = (x < 0) | (x != np.round(x))
    if bad.any():
        value = float(x[tuple(np.argwhere(bad)[0])])
        where = "X" if layer is None else f"layer {layer!r}"
        raise DataError(
            f"{where} of {file.name} holds {value:.4g}: raw counts are whole numbers from 0, so "
            "name the layer that holds them, as layer='counts', or give support='real' for values "
            "that were normalized"
        )


SOURCES.add(
    "anndata", OwnFiles("the cells in a file of AnnData, .h5ad (raw counts)", "FILE", load_cells)
)
