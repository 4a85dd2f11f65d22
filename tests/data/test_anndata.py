"""Cells in files of AnnData: counts, gene names, labels and batches."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import reparam as rp
from reparam.data.files import kind_of_file
from reparam.errors import DataError, MissingPackageError, OptionError
from reparam.runs.run import Run
from tests.support import quick_fit, reparam

GENES = ["CD3", "CD8", "MS4A1", "CD3"]
UNIQUE = ("CD3", "CD8", "MS4A1", "CD3-1")


def cells(n: int = 60) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return counts of cells of two types from two batches, their types and their batches."""
    rng = np.random.default_rng(0)
    kind, batch = rng.integers(2, size=n), rng.integers(2, size=n)
    rates = np.array([[8.0, 2.0, 0.1, 3.0], [0.2, 0.5, 9.0, 3.0]])[kind] * (1 + 2 * batch[:, None])
    return (
        rng.poisson(rates),
        np.array(["T", "B"], object)[kind],
        np.array(["a", "b"], object)[batch],
    )


def write(place: Path, genes: Sequence[str] = GENES, order: Sequence[int] = (0, 1, 2, 3)) -> None:
    """Write the cells to a file: log(1 + x) as X, and the counts as a layer."""
    anndata = pytest.importorskip("anndata")
    pandas = pytest.importorskip("pandas")
    from scipy.sparse import csr_matrix

    counts, kind, batch = cells()
    x = csr_matrix(counts[:, order].astype(np.float32))
    # Of text anndata 0.12 writes objects alone, and no strings of pandas 3.
    obs, var = (
        pandas.DataFrame(index=pandas.Index(names, dtype=object))
        for names in ([f"cell-{i}" for i in range(len(kind))], genes)
    )
    for name, values in (("type", kind), ("batch", batch)):
        classes, codes = np.unique(values, return_inverse=True)
        classes = pandas.Index(classes, dtype=object)
        obs[name] = pandas.Categorical.from_codes(codes, categories=classes)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of genes of one name
        stored = anndata.AnnData(x.log1p(), obs=obs, var=var)
    stored.layers["counts"] = x
    stored.write_h5ad(place)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "cells.h5ad"
    write(place)
    return place


def test_cells_are_counts_with_gene_names_labels_and_batches(file: Path) -> None:
    counts, kind, batch = cells()
    data = rp.data.read(file, layer="counts", target="type", covariates=["batch"], test_share=0.0)
    assert isinstance(data, rp.data.Dataset)
    assert kind_of_file(file) == "anndata"
    assert data.spec.columns == UNIQUE
    assert (data.support, data.class_names) == ("counts", ("B", "T"))
    assert data.spec.covariates == ("batch=a", "batch=b")
    np.testing.assert_array_equal(data.images.numpy(), counts)
    assert data.labels is not None
    assert [data.class_names[k] for k in data.labels.tolist()] == kind.tolist()
    one_hot = data.examples().c
    assert one_hot is not None
    np.testing.assert_array_equal(one_hot.numpy(), np.stack([batch == b for b in "ab"], 1))


def test_values_that_were_normalized_are_no_counts(file: Path) -> None:
    with pytest.raises(DataError, match=r"X of cells\.h5ad holds .*raw counts .*layer='counts'"):
        rp.data.read(file)
    assert rp.data.read(file, support="real").support == "real"


def test_layers_and_columns_that_do_not_exist_are_named(file: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown layer of cells\.h5ad 'count': did you mean"):
        rp.data.read(file, layer="count")
    with pytest.raises(OptionError, match=r"unknown column of obs of cells\.h5ad 'batches'"):
        rp.data.read(file, layer="counts", covariates="batches")
    with pytest.raises(OptionError, match="layer='counts': an option of data 'anndata'"):
        rp.data.load("digits", layer="counts")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    place = tmp_path / "cells.h5ad"
    place.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="cannot be read as AnnData"):
        rp.data.read(place)


def test_without_anndata_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cells.h5ad"
    place.touch()
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(
        MissingPackageError, match=r"needs anndata: pip install 'reparam\[anndata\]'"
    ):
        rp.data.read(place)


def test_a_run_finds_genes_by_name_and_batches_of_another_file(file: Path, tmp_path: Path) -> None:
    options = {"layer": "counts", "target": "type", "covariates": ["batch"]}
    data = rp.data.read(file, **options)
    run: Run = quick_fit(rp.variants.vae, data, out=tmp_path / "run")
    assert run.spec.condition == "covariates"
    again = rp.load(tmp_path / "run")
    assert torch.equal(again.dataset().images, data.images)
    order = [2, 3, 1, 0]
    write(tmp_path / "other.h5ad", [UNIQUE[i] for i in order], order)
    everything = again.read(tmp_path / "other.h5ad")
    np.testing.assert_array_equal(everything.images.numpy(), cells()[0])
    assert again.evaluate(everything, split="train", n_samples=2).n_examples == 60


def test_the_command_line_trains_on_cells_given_their_batch(file: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    reparam(
        f"train vae --data {file} --layer counts --covariates batch --likelihood zinb "
        f"--latent-dim 2 --hidden 8 --epochs 1 --out {place}"
    )
    run = rp.load(place)
    assert run.spec.condition == "covariates"
    drawn = run.sample(3, covariates={"batch": ["a", "b", "b"]}, seed=0)
    assert drawn.shape == (3, 4)
    with pytest.raises(DataError, match="give one of the classes a, b"):
        run.sample(1, covariates={"batch": "c"})
