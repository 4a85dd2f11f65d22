"""A table of the user's own: a file of delimited text, Parquet or Arrow."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from reparam.data.arrays import is_frame
from reparam.data.dataset import Dataset, check_share, validation_size, with_few_held
from reparam.data.encoded import Batched, batched, encoded_table
from reparam.data.frames import of_frame
from reparam.data.infer import GivenSchema, given_schema
from reparam.data.mapped import is_large
from reparam.data.mixed import from_table
from reparam.data.registry import SOURCES, Frame, Missing, OwnFiles, told
from reparam.data.sources.array import TEST_SHARE
from reparam.data.tables import COLUMNAR, Table, read_table
from reparam.errors import DataError, OptionError, unknown
from reparam.schema import CLASSES, Schema
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, stored_path


@numbers(seed=0)
def load_table(
    path: str | os.PathLike[str] | Frame,
    *,
    target: str | None = None,
    schema: Schema | str | os.PathLike[str] | None = None,
    missing: Missing = "left-out",
    validation: int | float | None = None,
    test_share: float | None = None,
    seed: int = 0,
    na_values: Sequence[str] = (),
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    skip_damaged: bool = False,
    decimal: str | None = None,
    cache: bool | None = None,
) -> Dataset:
    """Return a data set of the rows of a table in a file, or of a DataFrame.

    The kind of each column is inferred: see ``data.infer``. Columns that say nothing about other
    tables, such as identifiers and constants, are no part of x. Everything that was understood is
    in the ``notes`` of the data set, and is printed.

    Arguments:
        path: The file: delimited text such as CSV, Parquet or Arrow; or a DataFrame of pandas,
            polars or Arrow, which has no options of files.
        target: The column that holds the labels, which is then no part of x; None for none.
        schema: The columns of x; or a YAML file with the kinds of some columns, such as
            ``age: count``, or ``size: {kind: ordinal, values: [S, M, L]}``.
        missing: ``left-out``: missing values are left out of the likelihood, as if they were not
            known. ``as-value``: a missing value is a value, which samples have too.
        validation: The number of rows that are held out for validation, or as a float their
            fraction of the rows outside test; when None a tenth of them, at most 2,000, and none of
            fewer than 500, where ``fit`` chooses the number of steps by cross-fitting.
        test_share: The fraction of the rows that is the test split; 0.1 when None.
        seed: The seed of the choice of rows.
        na_values: Further cells of text that are missing values, such as ``unknown``.
        delimiter: The character between cells of text; found when None.
        header: Whether the first line of text names the columns; found when None.
        encoding: The encoding of text; UTF-8 when None.
        skip_damaged: Whether damaged rows of text are left out, at most half of all, and named in
            the notes: rows with another number of cells, or with a cell that is no number or date
            where nearly all of its column are.
        decimal: The mark before decimals in text, ``.`` or ``,``; found when None.
        cache: Whether a file of Parquet or Arrow is encoded once into a file of the cache, which is
            mapped; when None it is if its numbers take more than a quarter of the free memory. The
            kinds of its columns are then those of its first rows, with the extremes of all; at most
            10,000 rows each are held out as test and validation splits.

    Raises:
        DataError: A file that cannot be understood; the message names row and column.
        OptionError: A column or kind that does not exist, a fraction out of range, or an option of
            files for a DataFrame.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "people.csv"
        ...     rows = "".join(f"{age},{'FM'[age % 2]}\\n" for age in range(20, 70))
        ...     _ = file.write_text(f"age,sex\\n{rows * 2}")
        ...     load_table(file).spec.schema.names
        ('age', 'sex')
    """
    if missing not in get_args(Missing):
        raise unknown("missing", str(missing), get_args(Missing))
    share = TEST_SHARE if test_share is None else test_share
    check_share(share)
    given = given_schema(schema)
    options: dict[str, Any] = {
        "na_values": list(na_values),
        "delimiter": delimiter,
        "header": header,
        "encoding": encoding,
        "skip_damaged": skip_damaged,
        "decimal": decimal,
    }
    if is_frame(path):
        _refuse_options_of_files(options | {"cache": cache})
        frame = of_frame(path, "the DataFrame", _texts(given))
        data = _in_memory(
            cast(Table, frame), "data", target, given, missing, validation, share, seed
        )
        data.print_notes()
        return data
    file = as_path(path)
    recorded = {
        "name": "table",
        "path": stored_path(file.absolute()),
        "target": target,
        "schema": given.place,
        "missing": missing,
        "test_share": share,
        "seed": seed,
        **options,
        "na_values": list(na_values) or None,
    }
    source = _to_encode(file, cache)
    if source is not None:
        data = encoded_table(
            source,
            target=target,
            schema=given.known,
            overrides=given.overrides,
            missing_as_value=missing == "as-value",
            name=file.stem,
        )
        data = with_few_held(data, validation, share, seed)
        recorded["cache"] = True
    else:
        said = given.overrides or {}
        mixed = [name for name, fields in said.items() if fields.get("kind") in CLASSES]
        table = read_table(path, **options, text_columns=_texts(given), mixed_columns=mixed)
        data = _in_memory(table, file.stem, target, given, missing, validation, share, seed)
        recorded |= {"decimal": table.decimal, "cache": False}
    held = data.splits.get("validation")
    return told(data, recorded | {"validation": 0 if held is None else len(held)})


def _in_memory(
    table: Table,
    name: str,
    target: str | None,
    given: GivenSchema,
    missing: Missing,
    validation: int | float | None,
    test_share: float,
    seed: int,
) -> Dataset:
    """Return a data set of a table in memory, split at random: see ``load_table``.

    Raises:
        DataError: A table without rows to train on.
    """
    order = np.random.default_rng(seed).permutation(len(table))
    n_test = int(len(table) * test_share)
    n_validation = validation_size(validation, len(table) - n_test)
    parts = np.split(order, [n_test, n_test + n_validation])
    splits = dict(zip(("test", "validation", "train"), map(np.sort, parts), strict=True))
    if not len(splits["train"]):
        raise DataError(
            f"{table.name} has {len(table)} rows, and none is left to train on: give more"
        )
    return from_table(
        table,
        target=target,
        schema=given.known,
        overrides=given.overrides,
        missing_as_value=missing == "as-value",
        splits=splits,
        name=name,
    )


def _texts(given: GivenSchema) -> list[str]:
    """Return the columns that are text in a schema that is known."""
    return [] if given.known is None else list(given.known.text_columns)


def _refuse_options_of_files(options: Mapping[str, object]) -> None:
    """Refuse options of files for a DataFrame.

    Raises:
        OptionError: An option that is given.
    """
    for name, value in options.items():
        if value:
            raise OptionError(
                f"{name}={value!r}: an option of files, and a DataFrame has typed columns; leave "
                "it out, and convert the columns where needed"
            )


def _to_encode(file: Path, cache: bool | None) -> Batched | None:
    """Return the batches of a table that is encoded into the cache; None for one in memory.

    Raises:
        OptionError: ``cache=True`` for a file without batches of typed columns.
    """
    if cache is False:
        return None
    is_typed = file.suffix.lower() in COLUMNAR and file.is_file()
    source = batched(file) if is_typed else None
    if cache and source is None:
        raise OptionError(
            f"cache=True: {file} has no batches of typed columns; convert it to Parquet, or leave "
            "cache out"
        )
    n_bytes = 0 if source is None else 8 * source.n_rows * source.n_columns
    return source if cache or is_large(n_bytes) else None


SOURCES.add(
    "table", OwnFiles("the rows of a table: CSV, TSV, Parquet or Arrow", "FILE", load_table)
)
