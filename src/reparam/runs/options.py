"""The options of a run that are not those of training: its model, its data and its evaluation.

Each dataclass is the one place where its options are declared, as ``TrainingOptions`` and
``MachineOptions`` are for theirs. ``fit`` and ``Run.evaluate`` take the fields as arguments,
``config.yaml`` stores them, and the command line reads their names, types, defaults and
descriptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reparam import data as data_sets
from reparam.data import Dataset
from reparam.data.files import is_place
from reparam.data.image_set import Binarize
from reparam.data.registry import Missing
from reparam.data.vocabulary import Unit
from reparam.spec import Condition, Support

Proposal = Literal["posterior", "defensive", "tuned"]


@dataclass(frozen=True)
class ModelOptions:
    """The options of the model that every variant has.

    Arguments:
        condition: The condition of every part of the model: label, covariates or both; or none.
        beta: The weight of the KL, for an objective that has one.
    """

    condition: Condition | None = None
    beta: float | None = None


@dataclass(frozen=True)
class DataOptions:
    """The data set, and how it is prepared.

    Arguments:
        data: The name of a data set, which 'reparam data' lists; or the user's own file or folder:
            a table (CSV, TSV, Parquet, Arrow), arrays (.npy, .npz), cells (.h5ad), images or text.
        data_dir: The folder that holds the data set's folder; no other place is searched then.
        binarize: How grey images become binary; the default depends on the data set.
        dequantize: Whether uniform noise makes pixel levels continuous.
        validation: The training examples held out for validation: a number, or a share below 1.
        labels_per_class: The number of training examples of each class that keep their label; all
            by default.
        path: The user's own file or folder, where data is its kind, such as 'text' or 'images'.
        unit: The unit of a token of a text.
        window: The number of tokens of an example of a text; 64 by default.
        stride: The distance from one training window to the next; the window by default, so that
            none overlap.
        test_share: The share of the user's own file or folder that is held out as test; 0.1 by
            default.
        size: The height and the width that images of a folder are resized to, such as 64 or 28x20;
            their own by default where all have one of 8 to 64 pixels a side, else their usual
            shorter side for both.
        image_channels: The channels of images of a folder: 1 for grey, 3 for RGB; those of the
            files by default.
        target: The column of a table, or of obs of AnnData, that holds the labels; it is then no
            part of x.
        schema: A YAML file with the kinds of some columns of a table, such as 'age: count'.
        missing: What missing values of a table are: left-out of the likelihood (default), or
            as-value, values that samples have too.
        support: The set that contains every entry of arrays or of AnnData.
        na_values: Further cells of a table of text that are missing values, such as unknown.
        delimiter: The character between the cells of a table of text; found by default.
        header: Whether the first line of a table of text names the columns; found by default.
        encoding: The encoding of a table of text; UTF-8 by default.
        skip_damaged: Leave out damaged images, and rows of a table of text with another number of
            cells or with a cell that does not fit its column, at most half; an error by default.
        decimal: The mark before decimals in a table of text, '.' or ','; found by default.
        mapped: Whether an array in a file .npy stays on the disk and is read in blocks; by default
            if it is larger than a quarter of the free memory.
        cache: Whether the images of a folder, or the rows of a Parquet or Arrow file, are encoded
            once into a file of the cache, which stays on the disk and is read in blocks; by default
            only a large table.
        layer: The layer of AnnData that holds raw counts; X by default.
        covariates: The columns of obs of AnnData that the model is conditioned on, such as batch.
    """

    data: str = "digits"
    data_dir: str | None = None
    binarize: Binarize | None = None
    dequantize: bool | None = None
    validation: float | None = None
    labels_per_class: int | None = None
    path: str | None = None
    unit: Unit | None = None
    window: int | None = None
    stride: int | None = None
    test_share: float | None = None
    size: int | str | None = None
    image_channels: int | None = None
    target: str | None = None
    schema: str | None = None
    missing: Missing | None = None
    support: Support | None = None
    na_values: Sequence[str] | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    skip_damaged: bool | None = None
    decimal: str | None = None
    mapped: bool | None = None
    cache: bool | None = None
    layer: str | None = None
    covariates: Sequence[str] | None = None

    def load(self) -> Dataset:
        """Return the data set.

        Raises:
            OptionError: An unknown data set, or an option that it does not have.
            DataError: Files that are missing or damaged.
        """
        given: dict[str, Any] = {k: v for k, v in vars(self).items() if v is not None}
        if self.validation is not None and self.validation.is_integer():
            given["validation"] = int(self.validation)
        name = given.pop("data")
        if self.path is None and is_place(name):
            return data_sets.read(name, **given)
        return data_sets.load(name, **given)


@dataclass(frozen=True)
class EvaluationOptions:
    """The figures to measure, and the number of draws.

    Arguments:
        n_samples: The number of importance samples for each example.
        proposal: Their distribution: posterior is q(z|x); defensive mixes it with the prior; tuned
            fits a proposal to each example, which takes 3 to 4 times as long.
        annealed: The number of examples whose log p(x) is also estimated by annealed importance
            sampling, with bounds on its error; one to two seconds for each example of a small
            network.
        annealed_temperatures: The number of steps of annealing.
        probe: Also probe codes of more than 256 dimensions; smaller ones are always probed.
        sample_quality: The number of samples of the model to compare with as many examples; 0 for
            none.
        sample_means: Compare means of p(x | z), as pictures show them, instead of draws.
    """

    n_samples: int = 500
    proposal: Proposal = "posterior"
    annealed: int = 0
    annealed_temperatures: int = 100
    probe: bool = False
    sample_quality: int = 0
    sample_means: bool = False
