"""The plain command of the library, without options, on tables, text and counts; and the oracle."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from math import inf
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas
from scipy.sparse import csr_array

import reparam as rp
from experiments.defaults.cells import Floats
from experiments.defaults.rows import Stored
from experiments.defaults.sets import Table
from reparam.errors import DataError
from reparam.models.latent import standardization_of

N_TABLE_SAMPLES = 500
"""Importance samples for each test row of a table."""

N_SAMPLES = 100
"""Importance samples for each image, window or cell, and where the oracle is chosen."""

FOR_TEXT = 20
"""Importance samples for each window of text, whose decoder is slow."""

MOST_TEST = 2000
"""The largest number of images, windows or cells that are evaluated."""

NARROW = 0.05
"""The width of a narrow cell in standard deviations, over which a density is about constant."""

GRID: dict[str, tuple[Any, ...]] = {
    "lr": (1e-3, 3e-3),
    "hidden": ((64, 64), (128, 128), (256, 256)),
    "latent_dim": (5, 20),
}
"""The settings of the oracle."""

HELD_OUT = 0.2
"""The share of the training rows that the oracle is chosen on."""

SHORT, KEPT = 2_000, 2
"""The steps in which all settings of the oracle are compared, and how many of them are trained to
their full length."""


def on_table(contender: str, data: Table, seed: int) -> tuple[Floats, Stored]:
    """Return the scores of the test rows in nats, with shape (M,), and what else was found.

    Arguments:
        contender: ``ours``, on a DataFrame, as a file goes in; ``ours-array``; ``ours-scaled``, on
            an array of columns of mean 0 and variance 1; or ``oracle``.
        data: The table.
        seed: The seed of the fit.

    Raises:
        DataError: The model has found other cells than the competitors are scored by, or has left
            columns out.
    """
    mean, scale = np.zeros_like(data.widths), np.ones_like(data.widths)
    if contender == "ours-scaled":
        mean, scale = data.train.mean(0), data.train.std(0)
    best: dict[str, Any] = {}
    more: Stored = {}
    if contender == "oracle":
        best, scores = oracle(data, seed)
        more = {"chosen": best, "held_out": scores}
    train, test = (data.train - mean) / scale, (data.test - mean) / scale
    is_frame = contender in ("ours", "oracle")
    given = dataset(train, test) if is_frame else rp.data.from_arrays(train, test=test)
    began = time.perf_counter()
    run = fit(rp.variants.vae, given, seed, **best)
    more |= {"fit_seconds": time.perf_counter() - began, **facts(run)}
    correction = cell_correction(run, data.widths / scale, data.train.std(0) / scale)
    found = run.evaluate(split="test", n_samples=N_TABLE_SAMPLES, seed=seed, train=False)
    # Cells have probabilities, which are the same in any units.
    log_jacobian = np.log(scale[data.widths == 0]).sum()
    return found.per_example["log_likelihood"].numpy() - log_jacobian + correction, more


def dataset(train: Floats, test: Floats) -> rp.data.Dataset:
    """Return training and test rows as the data set of a DataFrame.

    Arguments:
        train: The training rows, with shape (N, D).
        test: The test rows, with shape (M, D).
    """
    rows = np.concatenate([train, test])
    names = [f"x{i}" for i in range(rows.shape[1])]
    table = cast(rp.data.Table, rp.data.of_frame(pandas.DataFrame(rows, columns=names)))
    places = np.split(np.arange(len(rows)), [len(train)])
    return rp.data.from_table(table, splits=dict(zip(("train", "test"), places, strict=True)))


def cell_correction(run: rp.Run, widths: Floats, spread: Floats) -> float:
    """Return what the scores of a run lack for cells of these widths, in nats.

    The probability of a narrow cell is a density times its width. The resolution that is found may
    depend on the units, near the precision of float32. The value of a column of classes has a
    probability already.

    Arguments:
        run: The run.
        widths: The widths that all contenders are scored by, in the units of the run; 0 for none.
        spread: The standard deviations of the columns in these units.

    Raises:
        DataError: The model has other cells, which are not narrow, classes in place of a continuous
            column, or fewer columns.
    """
    spec = run.spec
    if spec.schema is not None:
        names = spec.schema.names
        lacking = [column.name for column in spec.schema.columns if column.name not in names]
        if lacking:
            raise DataError(f"columns {lacking} are left out, and have no score")
    layer = standardization_of(run.model)
    found = widths.copy()
    if layer is not None:
        found[spec.quantities] = layer.width.double().numpy()
    classes = np.setdiff1d(np.arange(len(widths)), spec.quantities)
    if (widths[classes] == 0).any():
        raise DataError(f"columns {classes.tolist()} are classes, with cells of {widths[classes]}")
    others = ~np.isclose(found, widths, rtol=1e-2, atol=0)
    wide = np.flatnonzero(others & (np.maximum(found, widths) > NARROW * spread))
    if len(wide):
        raise DataError(f"columns {wide.tolist()}: cells of {found[wide]}, not {widths[wide]}")
    found, widths = (np.where(w > 0, w, 1.0)[others] for w in (found, widths))
    return float(np.log(widths / found).sum())


def oracle(table: Table, seed: int) -> tuple[dict[str, Any], list[float]]:
    """Return the settings of the grid with the best likelihood of held-out rows, and all scores.

    All settings are trained for a few steps, and the best of them to their full length.

    Arguments:
        table: The table, of whose training rows some are held out.
        seed: The seed of the choice of these rows, and of the fits.
    """
    data = dataset(table.train, table.test).with_validation(HELD_OUT, seed)

    def held_out(options: Mapping[str, Any], **length: Any) -> float:
        run = fit(rp.variants.vae, data, seed, **options, **length)
        found = run.evaluate(split="validation", n_samples=N_SAMPLES, seed=seed, train=False)
        return found.log_likelihood if found.log_likelihood is not None else -inf

    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    scores = [held_out(options, steps=SHORT) for options in grid]
    kept = sorted(range(len(grid)), key=lambda i: scores[i], reverse=True)[:KEPT]
    final = {i: held_out(grid[i]) for i in kept}
    return grid[max(final, key=lambda i: final[i])], scores


def fit(variant: Callable[..., rp.Recipe], data: object, seed: int, **options: Any) -> rp.Run:
    """Return the run of a variant; the options are those of the oracle, and none by default."""
    training = {name: options.pop(name) for name in ("lr", "steps") if name in options}
    model = partial(variant, **options) if options else variant
    return rp.fit(model, data, seed=seed, progress=False, **training)


def facts(run: rp.Run) -> Stored:
    """Return the settings that the run chose, and what the doctor finds."""
    found = rp.doctor.examine(run)
    # Where the data lie is a matter of the machine.
    left_out = ("recorded", "path", "data_dir")
    settings = {k: v for k, v in run.config.items() if k not in left_out and v is not None}
    return {
        "settings": settings | {"support": run.spec.support},
        "steps": run.rows[-1]["step"] if run.rows else 0,
        "problems": [finding.name for finding in found.of("problem")],
        "advice": [finding.name for finding in found.of("advice")],
    }


def shakespeare(folder: Path) -> tuple[Any, rp.data.Dataset, Any]:
    """Return the variant, the windows of characters, and no other examples to evaluate."""
    path = folder / "tinyshakespeare" / "input.txt"
    return rp.variants.text_vae, rp.data.load_text(path), None


def pbmc4k(folder: Path) -> tuple[Any, rp.data.Dataset, Any]:
    """Return the variant, the counts of genes in cells, and the cells that are held out."""
    with np.load(folder / "pbmc4k" / "pbmc4k.npz", allow_pickle=False) as stored:
        parts = (stored["data"], stored["indices"], stored["indptr"])
        counts = csr_array(parts, shape=stored["shape"]).toarray().astype(np.float32)
    held = np.zeros(len(counts), bool)
    held[np.load(folder / "pbmc4k" / "validation.npy", allow_pickle=False)] = True
    data = rp.data.from_arrays(counts[~held], support="counts")
    return rp.variants.vae, data, counts[held]


OTHER: Mapping[str, Callable[[Path], tuple[Any, rp.data.Dataset, Any]]] = {
    "tiny-shakespeare": shakespeare,
    "pbmc4k": pbmc4k,
}


def on_other(name: str, seed: int, folder: Path) -> Stored:
    """Return the row of the plain command on text or counts."""
    variant, data, held = OTHER[name](folder)
    began = time.perf_counter()
    run = fit(variant, data, seed)
    seconds = time.perf_counter() - began
    return figures(run, held, seed) | {"fit_seconds": seconds, **facts(run)}


def figures(run: rp.Run, held: object, seed: int) -> Stored:
    """Return the score of a run, in bits per dimension for levels and tokens, and its figures.

    Arguments:
        run: The run.
        held: The examples; None for the test split of its data.
        seed: The seed of the draws.
    """
    n_samples = FOR_TEXT if run.spec.support == "tokens" else N_SAMPLES
    batch = run.examples(held, seed=seed, limit=MOST_TEST)
    found = run.evaluate(batch, n_samples=n_samples, seed=seed).to_dict()
    names = ("elbo", "kl", "log_likelihood", "log_likelihood_stderr", "bits_per_dim")
    shown = {name: found[name] for name in names}
    in_bits = found["bits_per_dim"] is not None and run.spec.support != "counts"
    score = found["bits_per_dim" if in_bits else "log_likelihood"]
    stderr = None if in_bits else found["log_likelihood_stderr"]
    unit = "bits per dimension" if in_bits else "nats"
    return {"unit": unit, "score": score, "stderr": stderr, "figures": shown}
