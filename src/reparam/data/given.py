"""Data given to a run: loaded like its own, prepared as in training, and held to its spec.

It also states what a run records of its training data, so that data which are given later, or when
the run goes on, can be compared with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from reparam.batch import Batch
from reparam.data.arrays import as_tensor
from reparam.data.batches import Batches
from reparam.data.checks import UNLABELED, as_labels, as_numbers, as_rows, check_values, fitted
from reparam.data.dataset import Dataset
from reparam.data.in_memory import read
from reparam.data.mixed import rows_given
from reparam.data.preparation import Preparation, fingerprint
from reparam.data.registry import SOURCES, current_name
from reparam.data.stream import Stream, StreamBatches
from reparam.errors import DataError, OptionError, ShapeError
from reparam.spec import DataSpec
from reparam.utils.files import as_path, stored_path


def prepared(
    data: object, known: Preparation, recorded: Mapping[str, Any], n_classes: int | None
) -> Dataset | Stream:
    """Return data prepared exactly as the training data were, and held to their spec.

    Arguments:
        data: Any data that ``fit`` takes. Bytes are scaled, binarized or dequantized as the bytes
            of the training data were; floats are x itself.
        known: The preparation of the training data.
        recorded: What the run recorded of its data.
        n_classes: The number of classes of a model that takes labels; None for other models.

    Raises:
        DataError: Values or labels that the training data could not have had.
        ShapeError: Examples of another shape, or with their axes in another order.
        OptionError: A data set that was prepared in another way.
    """
    if isinstance(data, DataLoader | Stream):
        loader = data.loader if isinstance(data, Stream) else data
        spec = replace(known.spec, condition=None, n_classes=n_classes)
        return under_condition(Stream(loader, spec, known.transform), known.spec, n_classes)
    if isinstance(data, Dataset):
        known.check_dataset(data)
        check_names(data, recorded, n_classes)
        return under_condition(data, known.spec, n_classes)
    x, y, covariates = read(data, known.spec)
    values = as_numbers(x) if known.spec.schema is None else rows_given(x, known.spec.schema)
    labels = None if y is None else as_labels(y, len(values))
    if labels is not None:
        _check_classes("data", int(labels.max()) + 1, n_classes)
    return under_condition(known.dataset(values, labels, covariates), known.spec, n_classes)


def renumbered(data: Dataset, names: Sequence[str]) -> Dataset:
    """Return data with the classes of the labels numbered as in a list of names.

    Arguments:
        data: The data, whose labels have names.
        names: The names of the classes of the training data, in order.

    Raises:
        DataError: A class that is not in the list.
    """
    if data.class_names == tuple(names):
        return data
    unseen = [name for name in data.class_names if name not in names]
    if unseen:
        raise DataError(
            f"{data.name!r} has the class {unseen[0]!r}, and the training data have "
            f"{', '.join(names)}: leave these rows out"
        )
    places = torch.tensor([*(list(names).index(name) for name in data.class_names), UNLABELED])
    splits = {
        key: split if split.y is None else replace(split, y=places[split.y])
        for key, split in data.splits.items()
    }
    spec = replace(data.spec, n_classes=len(names))
    return replace(data, splits=splits, class_names=tuple(names), spec=spec)


def under_condition(
    source: Dataset | Stream, spec: DataSpec, n_classes: int | None
) -> Dataset | Stream:
    """Return data under the condition of a model; they may lack some of its classes.

    Raises:
        OptionError: Labels that the model was not trained on.
    """
    known = source.spec.n_classes
    if n_classes is not None and known is not None and known != n_classes:
        _check_classes(source.name, known, n_classes)
        source = replace(source, spec=replace(source.spec, n_classes=n_classes))
    return source.conditioned(spec.condition)


def check_names(data: Dataset, recorded: Mapping[str, Any], n_classes: int | None) -> None:
    """Refuse data in which the numbers of characters or classes have another meaning.

    Arguments:
        data: The data set.
        recorded: What the run recorded of its data.
        n_classes: The number of classes of a model that takes labels; None for other models.

    Raises:
        OptionError: Another vocabulary, or other classes of a model that takes labels.
    """
    symbols = (recorded.get("data") or {}).get("symbols")
    if symbols is not None and (data.options or {}).get("symbols", symbols) != symbols:
        raise OptionError(
            f"{data.name!r} numbers its characters in another way than the text that the model "
            "was trained on: load it with the symbols of that text, or by run.dataset(path=...)"
        )
    names = recorded.get("class_names") or []
    if n_classes and names and list(data.class_names or names) != list(names):
        raise OptionError(
            f"{data.name!r} has the classes {', '.join(data.class_names)}, and the model was "
            f"trained on {', '.join(names)}: give data with the same classes in the same order"
        )


def _check_classes(name: str, n_classes: int, known: int | None) -> None:
    """Refuse labels that the model was not trained on, for a model that takes labels."""
    if known is not None and n_classes > known:
        raise OptionError(
            f"{name!r} has labels up to {n_classes - 1}, and the model was trained on labels from "
            f"0 to {known - 1}: leave the others out"
        )


def checked_batch(batch: Batch, spec: DataSpec, n_classes: int | None) -> Batch:
    """Return a batch, whose x is the input of the model, after checking that it fits the model.

    Raises:
        ShapeError: x or c of another shape.
        DataError: Values outside the support, or labels that are no classes of the model.
    """
    x = fitted(as_tensor(batch.x, "x"), spec.shape)
    check_values(x, spec)
    if spec.support == "tokens":
        x = x.long()
    elif not x.is_floating_point():
        x = x.float()
    y = None if batch.y is None else as_labels(batch.y, len(x), n_classes)
    c = None if batch.c is None else as_rows(batch.c, "c", len(x))
    if c is not None and c.shape[1:] != (spec.context,):
        raise ShapeError(
            f"c has the shape {tuple(c.shape)}: the condition of this model has {spec.context} "
            "numbers for each example"
        )
    return replace(batch, x=x, y=y, c=c)


def options_like(
    options: Mapping[str, Any],
    name: str | None = None,
    data_dir: str | Path | None = None,
    path: str | Path | None = None,
) -> dict[str, Any]:
    """Return the options of ``load`` for the data of a run, or for other data prepared alike.

    Arguments:
        options: The options that loaded the data of the run.
        name: The name of another data set; it keeps the binarization of the run, and not the
            numbers that follow from the size of its data.
        data_dir: The folder that holds the data set's folder now.
        path: Another file or folder of the same kind.
    """
    name = options["name"] if name is None else current_name(name)
    wanted = {**options, "name": name}
    if name != options.get("name"):  # data in memory have no name
        own_files = SOURCES[name].path is not None
        kept = ("name",) if own_files else ("name", "binarize", "dequantize")
        wanted = {key: value for key, value in wanted.items() if key in kept}
    if data_dir is not None:
        wanted["data_dir"] = str(data_dir)
    if path is not None and stored_path(as_path(path).absolute()) != wanted.get("path"):
        # The sizes of the splits are those of the other file, and a folder may contain splits.
        own = ("validation", "test_share") if name == "images" else ("validation",)
        wanted = {key: value for key, value in wanted.items() if key not in own}
        wanted["path"] = str(path)
    return wanted


def training_batches(
    source: Dataset | Stream,
    batch_size: int,
    *,
    device: torch.device,
    seed: int = 0,
    repeat_labeled: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Batches | StreamBatches:
    """Return the batches of the training split.

    Arguments:
        source: The data.
        batch_size: The number of examples of a batch; a loader has its own.
        device: The device of the batches.
        seed: The seed of their order and of the draws of x.
        repeat_labeled: Whether labeled examples are repeated in every batch.
        rank: The number of this process.
        world_size: The number of processes that share a batch.
    """
    if isinstance(source, Stream):
        return StreamBatches(source, device, seed, rank, world_size)
    return Batches(
        source.split("train"),
        source.transform,
        batch_size,
        device=device,
        seed=seed,
        spec=source.spec,
        repeat_labeled=repeat_labeled,
        rank=rank,
        world_size=world_size,
    )


def recorded_data(source: Dataset | Stream, *, with_fingerprint: bool) -> dict[str, Any]:
    """Return what a run records of its data, as plain values.

    Arguments:
        source: The training data.
        with_fingerprint: Whether to compute the fingerprint of the training examples, which tells
            whether a run goes on with the same data.
    """
    digest = extremes = None
    if isinstance(source, Stream):
        digest = source.first_sha256
    else:
        if with_fingerprint:
            digest = fingerprint(source.split("train"))
        if source.spec.support in ("real", "counts"):  # other supports tell their range
            extremes = list(source.split("train").range)
    return {
        "data": None if source.options is None else dict(source.options),
        "transform": Preparation(source.spec, source.transform).to_dict(),
        "class_names": list(source.class_names),
        "is_stream": isinstance(source, Stream),
        "range": extremes,
        "train_sha256": digest if with_fingerprint else None,
    }
