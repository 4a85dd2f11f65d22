"""The registry of data sources, and ``load``, which makes a data set by the name of its source.

A source is one file under ``reparam.data.sources`` that registers itself. Its ``load`` declares by
its arguments which of the options of ``reparam.data.load`` it takes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, Protocol

from reparam.data.dataset import Dataset
from reparam.data.download import StrPath
from reparam.data.image_set import Binarize
from reparam.data.vocabulary import Unit
from reparam.errors import DataError, OptionError, folded, nearest
from reparam.isolation import default_modes
from reparam.schema import Schema
from reparam.spec import Support
from reparam.utils.arguments import known_options, numbers
from reparam.utils.registry import Registry

Frame = Any
"""A DataFrame of pandas, polars or Arrow."""

Missing = Literal["left-out", "as-value"]
"""What missing values of a table are: left out of the likelihood, or values of their own."""


class Source(Protocol):
    """A kind of data that ``load`` makes by name."""

    @property
    def description(self) -> str:
        """One line on the data."""

    @property
    def path(self) -> Literal["FILE", "FOLDER", "NAME"] | None:
        """The kind of place that the option ``path`` names; None for data that have no path."""

    @property
    def load(self) -> Callable[..., Dataset]:
        """The function from options to the data set; its parameters are the options it takes."""


@dataclass(frozen=True)
class OwnFiles:
    """Data in files of the user's own.

    Arguments:
        description: One line on the data.
        path: What the option ``path`` names: a file, a folder, or a data set of the hub.
        load: The function from ``path`` and further options to the data set.
    """

    description: str
    path: Literal["FILE", "FOLDER", "NAME"]
    load: Callable[..., Dataset]


SOURCES: Registry[Source] = Registry("data set")
"""All sources by name: data sets that are embedded or downloaded, and kinds of own files."""

RENAMED: Mapping[str, str] = {"faces": "images"}
"""The sources whose names in older run folders and configurations differ from those of today."""


def current_name(name: str) -> str:
    """Return the name of a source today.

    >>> current_name("faces"), current_name("Digits")
    ('images', 'digits')
    """
    return RENAMED.get(folded(name), folded(name))


@known_options
@default_modes()
@numbers()
def load(
    name: str,
    *,
    data_dir: StrPath | None = None,
    binarize: Binarize | None = None,
    dequantize: bool | None = None,
    validation: int | float | None = None,
    labels_per_class: int | None = None,
    seed: int | None = None,
    path: StrPath | Frame | None = None,
    unit: Unit | None = None,
    window: int | None = None,
    stride: int | None = None,
    symbols: str | None = None,
    test_share: float | None = None,
    size: int | str | None = None,
    image_channels: int | None = None,
    target: str | None = None,
    schema: Schema | StrPath | None = None,
    missing: Missing | None = None,
    support: Support | None = None,
    na_values: Sequence[str] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    skip_damaged: bool | None = None,
    decimal: str | None = None,
    mapped: bool | None = None,
    cache: bool | None = None,
    layer: str | None = None,
    covariates: Sequence[str] | None = None,
) -> Dataset:
    """Return a data set by the name of its source; an option that is None has its default.

    Data sets with a name of their own are searched in a folder of this name: in ``data_dir`` and
    there only; without it in ``$REPARAM_DATA_DIR``, then in the cache, and else downloaded into
    the cache. ``digits`` is embedded and needs no files.

    Arguments:
        name: One of ``SOURCES``.
        data_dir: The folder that contains the folder of the data set.
        binarize: ``dynamic``: drawn at each use of an image. ``static``: drawn once, from
            ``seed``. ``threshold``: 1 from half the range on. ``none``: grey values in [0, 1].
            Each image data set has its own default.
        dequantize: Whether uniform noise makes the levels of pixels continuous; it does not by
            default.
        validation: The number of training examples that are held out for validation, or as a float
            their fraction; by default 5 % of named data sets, of images at most 5,000.
        labels_per_class: The number of random training images of each class that keep their label,
            to learn from few labels; all by default. Those of other splits stay.
        seed: The seed of the choice of validation images and labels, and of static binarization;
            0 by default.
        path: The file or folder of the data, for sources of own files; or a DataFrame for
            ``table``.
        unit: The token of a text: ``characters`` (default) or ``bytes``.
        window: The number of tokens of one example of a text; 64 by default.
        stride: The distance from one training window to the next; ``window`` by default.
        symbols: The characters of the vocabulary; those of the training part by default.
        test_share: The fraction of the user's own data that is the test split; 0.1 by default.
        size: The height and the width of the images of a folder, such as ``64`` or ``28x20``; by
            default their own where all have one of 8 to 64 pixels a side, else their usual shorter
            side for both.
        image_channels: 1 for grey and 3 for RGB images of a folder; the images' own by default.
        target: The column of a table, or of ``obs`` of AnnData, that holds the labels; none by
            default.
        schema: A YAML file with the kinds of some columns of a table: see ``load_table``.
        missing: ``left-out`` (default) or ``as-value``: what missing values of a table are.
        support: The set that contains every entry of arrays or of AnnData: see ``from_arrays``.
        na_values: Further cells of a table of text that are missing values, such as ``unknown``.
        delimiter: The character between the cells of a table of text; found by default.
        header: Whether the first line of a table of text names the columns; found by default.
        encoding: The encoding of a table of text; UTF-8 by default.
        skip_damaged: Whether damaged examples are left out, at most half, and named in a note:
            images that cannot be read, and rows of a table of text with another number of cells or
            with a cell that does not fit its column. They are an error by default.
        decimal: The mark before decimals in a table of text, ``.`` or ``,``; found by default.
        mapped: Whether an array in a file ``.npy`` stays on the disk and is read in blocks; by
            default if it is larger than a quarter of the free memory.
        cache: Whether the images of a folder, or the rows of a Parquet or Arrow file, are encoded
            once into a file of the cache, which stays on the disk and is read in blocks; by default
            only a table whose numbers take more than a quarter of the free memory.
        layer: The layer of AnnData that holds raw counts; X by default.
        covariates: The columns of ``obs`` of AnnData that the model is conditioned on, such as the
            batch; none by default.

    Raises:
        OptionError: An unknown name, an option that the source does not have, or a value out of
            its range.
        DataError: Files that are missing or damaged, or cannot be downloaded.

    Example:
        >>> data = load("digits")
        >>> data.shape, data.support, len(data.split("train")), len(data.split("test"))
        ((1, 8, 8), 'unit', 1366, 360)
    """
    options = {
        "data_dir": data_dir,
        "binarize": binarize,
        "dequantize": dequantize,
        "validation": validation,
        "labels_per_class": labels_per_class,
        "seed": seed,
        "path": path,
        "unit": unit,
        "window": window,
        "stride": stride,
        "symbols": symbols,
        "test_share": test_share,
        "size": size,
        "image_channels": image_channels,
        "target": target,
        "schema": schema,
        "missing": missing,
        "support": support,
        "na_values": na_values,
        "delimiter": delimiter,
        "header": header,
        "encoding": encoding,
        "skip_damaged": skip_damaged,
        "decimal": decimal,
        "mapped": mapped,
        "cache": cache,
        "layer": layer,
        "covariates": covariates,
    }
    given = {option: value for option, value in options.items() if value is not None}
    source = SOURCES[current_name(name)]
    taken = _options(source)
    for option, value in given.items():
        if option not in taken:
            owners = ", ".join(repr(n) for n, one in SOURCES.items() if option in _options(one))
            close = nearest(option, taken)
            hint = f"; did you mean {close}?" if close else ""
            raise OptionError(
                f"{option}={value!r}: an option of data {owners} and not of {name!r}, so drop it"
                f"{hint}"
            )
    if source.path is not None and path is None:
        raise DataError(
            "data 'hub' needs the name of a data set: give it as path='hf:OWNER/NAME'"
            if source.path == "NAME"
            else f"data {name!r} is a {source.path.lower()} of your own: give its place as path="
        )
    return source.load(**given)


def told(data: Dataset, options: Mapping[str, object]) -> Dataset:
    """Return data with the options that load them again, and print the remarks on them.

    Arguments:
        data: The data of a source.
        options: The options; those that are None are left out.
    """
    data.print_notes()
    return data.with_options({k: v for k, v in options.items() if v is not None})


def _options(source: Source) -> list[str]:
    """Return the names of the options that a source takes."""
    return list(signature(source.load).parameters)
