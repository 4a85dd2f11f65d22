"""``reparam data``: list the data sets, or inspect a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.parse import parse
from reparam.cli.table import print_table
from reparam.data import SOURCES, ImageSet, read_table
from reparam.data.files import kind_of_file
from reparam.data.infer import read_schema, schema_of
from reparam.data.inspect import inspect
from reparam.data.relations import with_relations
from reparam.errors import OptionError
from reparam.schema import Schema


@dataclass(frozen=True)
class Options:
    """List the data sets: their size, how they are prepared, and where they come from.

    reparam data inspect FILE shows what would be understood of a table.
    """


@dataclass(frozen=True)
class InspectOptions:
    """Show what is understood of a table: kinds, ranges, missing values, suspicious columns.

    Arguments:
        file: The table: CSV, TSV, Parquet or Arrow.
        target: The column that holds the labels; columns that reveal it are named.
        schema: A YAML file with the kinds of some columns, such as 'age: count'.
        delimiter: The character between the cells of a table of text; found by default.
        header: Whether the first line of a table of text names the columns; found by default.
        encoding: The encoding of a table of text; UTF-8 by default.
        skip_damaged: Leave out rows with another number of cells, or with a cell that does not fit
            its column.
        na_values: Further cells of a table of text that are missing values, such as unknown.
        decimal: The mark before decimals in a table of text, '.' or ','; found by default.
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    target: str | None = None
    schema: Path | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    skip_damaged: bool | None = None
    na_values: tuple[str, ...] = ()
    decimal: str | None = None


def preparation(images: ImageSet) -> str:
    """Return the default preparation of a data set of images."""
    if images.binarize == "none":
        return f"{images.levels} levels"
    return f"binarize {images.binarize}"


def main(arguments: Sequence[str]) -> None:
    """List the data sets, or inspect a table."""
    words = list(arguments)
    if words[:1] == ["inspect"]:
        return print_report(parse(InspectOptions, "data inspect", words[1:]))
    parse(Options, "data", words)
    return print_sources()


def print_report(options: InspectOptions) -> None:
    """Print what is understood of a table.

    Raises:
        OptionError: A file of another kind, or a folder.
    """
    kind = kind_of_file(options.file)
    if kind not in ("table", "text"):
        what = {"array": "holds an array", "images": "is a folder"}.get(kind, "is no table")
        raise OptionError(
            f"{options.file} {what}: 'reparam doctor' examines arrays, AnnData and folders of "
            "images; give a table here"
        )
    table = read_table(
        options.file,
        delimiter=options.delimiter,
        header=options.header,
        encoding=options.encoding,
        skip_damaged=bool(options.skip_damaged),
        na_values=options.na_values,
        decimal=options.decimal,
    )
    overrides = None if options.schema is None else read_schema(options.schema)
    schema = schema_of(table, overrides)
    # The target is no part of x.
    features = Schema(tuple(c for c in schema.columns if c.name != options.target))
    found = with_relations(features, table, overrides)
    schema = schema.with_columns({column.name: column for column in found.columns})
    report = inspect(table, schema, options.target)
    print_table(
        ("column", "kind", "values", "missing", "remarks"),
        [
            (c.name, c.kind, c.values, f"{c.n_missing:,}", "; ".join(c.remarks))
            for c in report.columns
        ],
    )
    print(f"\n{report.n_rows:,} rows, {report.n_duplicates:,} of them equal to an earlier one")
    for text in report.notes:
        print(text)


def print_sources() -> None:
    """Print the table of data sets."""
    print_table(
        ("data set", "what it is", "train + test", "shape", "by default", "where from"),
        [
            (
                name,
                source.description,
                f"{source.n_train:,} + {source.n_test:,}",
                " × ".join(map(str, source.shape)),
                preparation(source),
                source.where,
            )
            for name, source in SOURCES.items()
            if isinstance(source, ImageSet)
        ],
    )
    print(
        "\nEach is read from a folder of its name under --data-dir; without it, under "
        "$REPARAM_DATA_DIR\nor from the cache, and is downloaded if it is in neither. "
        "digits needs no file.\n\nOther data, as --data NAME:"
    )
    for name, source in SOURCES.items():
        if not isinstance(source, ImageSet):
            place = "" if source.path is None else f" --path {source.path}"
            print(f"  {name}{place}: {source.description}")
