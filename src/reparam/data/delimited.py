r"""Files of delimited text (CSV, TSV): delimiter, header, numbers, dates and missing values.

Cells are read as text by Arrow. A column is numbers if every cell is one, in one of the notations
that spreadsheets write: ``1234.5``, ``1,234.5``, ``1234,5`` and ``1.234,5``.
"""

import gzip
import re
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from csv import reader
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.damaged import N_NAMED, left_out
from reparam.data.dates import Dates, dates_in
from reparam.errors import DataError, OptionError
from reparam.schema import Stored
from reparam.times import YEARS, written_date
from reparam.utils.files import reason
from reparam.utils.memory import available, of_memory

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = (
    *("", "?", "-", ".", "..", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN"),
    *("-nan", "null", "NULL", "None", "NaT"),
)
"""The cells that are missing values."""

NO_NUMBER = (
    *("na", "n.a.", "n.a", "n/a", "nan", "null", "(null)", "missing", "unknown", "not available"),
    *("--", "---", "\\n", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"),
)
"""The words, in any case, that are missing values in a column of numbers alone: in a column of text
they may be a class."""

DELIMITERS = (",", ";", "\t", "|", " ")
"""The characters that may separate cells, the first of several that fit first."""

ALMOST = 0.9
"""Of a column with such a share of numbers, or of dates, the other cells are mistakes."""

FEWEST_FITTING = 10
"""The least number of numbers or dates of such a column."""

MOST_LEVELS, ROWS_PER_LEVEL = 20, 5
"""The largest number of distinct cells of a column of classes that has words beside numbers, such
as grades 9 to 12 and "other", and the least number of rows for each."""

LARGEST_EXACT = 2**53
"""Whole numbers up to this one are exact in double precision."""

MOST_DECIMALS = 9
"""More decimals than this are rounding errors of binary numbers."""

_N_LINES, _N_BYTES, _N_CHARACTERS = 200, 1_000_000, 100_000
"""The number of lines and of bytes that delimiter and header are found from, and the characters of
each of these lines: the module csv refuses longer cells."""

MEMORY_OF_TEXT = 11
"""The bytes of memory that reading takes for each byte of a file of text, most for real numbers."""

_N_SHOWN = 40
"""The characters of a cell that a message shows."""

_MARKS: Mapping[bytes, str] = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""The first bytes of files of text, and their encodings."""

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
"""A number in the notation that Arrow reads, without zeros in front as codes have."""

_GROUPED = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d{1,2}(,\d{2})+,\d{3})(\.\d*)?")
"""Groups of three digits; or, as in India, of two before the last three."""

_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?")
_ZEROS = re.compile(r"[+-]?0\d+")
_DECLARED = re.compile(rb"sep=([\x20-\x7e\t])\r?\n", re.IGNORECASE)
"""The first line of a file for Excel, which names the character between cells."""

_OPEN_CELL = re.compile(rb'(?:^|[,;|\t])[ ]*"[^"]*\Z')
"""The end of a line with a quoted cell that goes on in the next one."""

_MOST_HEADER = 2**16
"""The largest number of bytes of a header."""

_CODE = re.compile(r"(?=.*\d)[\w.+/-]+")
"""A code with a digit, such as 136A or 98115-4820."""

_SIGNS = "$€£¥% \u00a0"
"""The signs of money and percent, and spaces, around a number."""


@dataclass
class Cells:
    """One column of text: its distinct cells, and which of them each row has.

    Arguments:
        name: The name of the column.
        distinct: The distinct cells, without spaces around them; missing ones are left out.
        codes: The place of each row's cell among them, -1 for a missing one, with shape (N,).
        numbers: The distinct cells as numbers, where all are written plainly, such as ``-1.5e3``;
            else None, and each cell is looked at, which takes ten times as long.
        decimals: The largest number of decimals of these numbers.
    """

    name: str
    distinct: list[str]
    codes: NDArray[np.int64]
    numbers: NDArray[np.float64] | None = None
    decimals: int = 0

    def without(self, rows: NDArray[np.bool_]) -> "Cells":
        """Return the column without some rows."""
        kept = self.codes[~rows]
        used = np.unique(kept[kept >= 0])
        new = np.full(len(self.distinct) + 1, -1)
        new[used] = np.arange(len(used))
        numbers = None if self.numbers is None else self.numbers[used]
        words = [self.distinct[i] for i in used]
        return Cells(self.name, words, new[kept], numbers, self.decimals)

    def spread(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Return a value for each row out of one for each distinct cell.

        Arguments:
            values: One value for each distinct cell.
            missing: The value of a missing cell.
        """
        return np.append(values, np.array([missing], values.dtype))[self.codes]


@dataclass
class Misfits:
    """The cells of a column that do not fit the others.

    Arguments:
        rows: Whether the cell of each row is one, with shape (N,).
        word: The first of them.
        others: What the other cells are, and how many they are.
    """

    rows: NDArray[np.bool_]
    word: str
    others: str


@dataclass
class Values:
    """One column of a file of text, with its type.

    Arguments:
        name: The name of the column.
        values: float64 with NaN, ``datetime64`` with NaT, or objects that are text or None.
        stored: Their type.
        decimals: The decimals of numbers, where there are few.
        notes: Remarks on how the cells were understood.
        misfits: The cells that do not fit the others; None without any.
        zone: The zone of times, which count from UTC; "" for none.
        order: The order of year, month and day in dates; "" for other values.
        written: A few of the dates, which show how all are written; () for other values.
    """

    name: str
    values: NDArray[Any]
    stored: Stored
    decimals: int | None = None
    notes: list[str] = field(default_factory=list)
    misfits: Misfits | None = None
    zone: str = ""
    order: str = ""
    written: tuple[str, ...] = ()


@dataclass
class Text:
    """What a file of delimited text contains.

    Arguments:
        columns: The columns in their order.
        decimal: The mark before decimals: a point or a comma.
        cells: The cells as they stand in the file; of rows that are left out, too.
        notes: Remarks on how the file was understood, and on rows that were left out.
    """

    columns: list[Values]
    decimal: str
    cells: "pa.Table"
    notes: list[str] = field(default_factory=list)


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    na_values: Sequence[str] = (),
    encoding: str | None = None,
    skip_damaged: bool = False,
    decimal: str | None = None,
    usual_decimal: str | None = None,
    text_columns: Collection[str] = (),
    mixed_columns: Collection[str] = (),
) -> Text:
    """Return the columns of a file of delimited text.

    A row is damaged if it has another number of cells than the header, or a cell that is no number
    or no date where nearly all of its column are.

    Arguments:
        path: The file.
        delimiter: The character between cells; when None the one that gives all rows the same
            number of cells.
        header: Whether the first line names the columns; when None it does if it has no numbers.
        na_values: Further cells that are missing values, beside ``MISSING``.
        encoding: The encoding, UTF-8 when None.
        skip_damaged: Whether damaged rows are left out, at most half of all.
        decimal: The mark before the decimals, a point or a comma; found in all columns when None.
        usual_decimal: The mark of a file whose cells do not tell it; None for none.
        text_columns: The columns that stay text, whatever their cells.
        mixed_columns: The columns that are text where some of their cells are no numbers.

    Raises:
        DataError: A file that is empty, no text or in another encoding, a damaged row, or columns
            with one name.
    """
    missing = (*MISSING, *na_values)
    if path.is_file():
        _check_memory(path, path.stat().st_size)
    data = decoded(path, encoding)
    _check_memory(path, len(data))  # more than the size of a file that is compressed
    n_empty = len(data) - len(data.lstrip(b"\r\n"))
    n_lines = data[:n_empty].count(b"\n")
    data = data[n_empty:]
    declared = _DECLARED.match(data)
    if declared is not None:
        delimiter, data = delimiter or declared[1].decode(), data[declared.end() :]
        n_lines += 1
    data, n_joined = _with_short_header(data)
    n_lines += n_joined
    _check_text(data, path, n_lines)
    lines = first_lines(data)
    if not lines:
        raise DataError(
            f"{path} has no rows: give a file with a header and one row for each example"
        )
    if delimiter is not None and len(delimiter) != 1:
        raise OptionError(f"delimiter={delimiter!r}: give one character, such as ',' or a tab")
    likely = delimiter_of(lines)
    mark = delimiter or likely
    if mark == " ":
        # Columns of fixed width have several spaces between them.
        data = re.sub(rb"[ \t]*\r?\n[ \t]*", b"\n", re.sub(rb"[ \t]+", b" ", data.strip()))
        lines = first_lines(data)
    elif likely in lines[0] and not any(mark in line for line in lines):
        raise OptionError(
            f"delimiter={mark!r}: no line of {path} has this character, and {likely!r} separates "
            "cells in all of them: leave delimiter out"
        )
    rows = list(reader(lines, delimiter=mark, skipinitialspace=True))
    has_header = header if header is not None else is_header(rows, missing)
    names = [cell.strip() for cell in rows[0]] if has_header else []
    names = [name or f"unnamed{i}" for i, name in enumerate(names)]
    names = names or [f"c{i}" for i in range(len(rows[0]))]
    if has_header and _have_row_names(rows):
        names = ["row" if "row" not in names else "row name", *names]
    check_names(names, path)
    if has_header and len(rows) < 2:
        raise DataError(f"{path} has a header and no rows: give one row for each example")
    if decimal not in (None, ".", ","):
        raise OptionError(f"decimal={decimal!r}: give '.' or ','")
    table, ragged = _parsed(data, mark, names, has_header, path)

    def line_of(record: int) -> int:
        return n_lines + _line_of(data, record)

    if len(ragged) > table.num_rows:
        n_cells, n = Counter(ragged.values()).most_common(1)[0]
        raise DataError(
            f"line {line_of(0)} of {path} has {len(names)} cells, and {n:,} of the "
            f"{table.num_rows + len(ragged):,} lines below it have {n_cells}: repair or delete it, "
            "so that the first line names every column, or give the delimiter"
        )
    notes = [] if delimiter else [f"cells are separated by {mark!r}"] if mark != "," else []
    if not has_header:
        notes.append(
            f"no header: the columns are {names[0]} to {names[-1]}; header=True if line 1 has names"
        )
    cells = [cells_of(name, table.column(i), missing) for i, name in enumerate(names)]
    unclear = [each.distinct for each in cells if each.numbers is None]
    found = decimal or decimal_mark(
        [word for words in unclear for word in words], mark, usual_decimal
    )
    columns = [values_of(each, each.name in text_columns, found) for each in cells]
    wrong = {
        v.name: v.misfits for v in columns if v.misfits is not None and v.name not in mixed_columns
    }
    is_wrong = np.zeros(table.num_rows, bool)
    for misfits in wrong.values():
        is_wrong |= misfits.rows
    n_before, n_rows = int(has_header), table.num_rows + len(ragged)
    kept = np.setdiff1d(np.arange(n_before, n_before + n_rows), [*ragged])
    damaged = sorted([*ragged, *kept[is_wrong].tolist()])
    if not damaged:
        return Text(columns, found, table, notes)
    if skip_damaged:
        lines_left = [f"line {line_of(record)}" for record in damaged[: N_NAMED + 1]]
        notes.append(left_out(lines_left, len(damaged), n_rows, "row", path))
        sound = [each.without(is_wrong) for each in cells]
        columns = [values_of(each, each.name in text_columns, found) for each in sound]
        return Text(columns, found, table, notes)
    first = damaged[0]
    where = f"line {line_of(first)} of {path}"
    if first == n_before:
        where += ", the first row (units, or a second header?),"
    elif first == n_before + n_rows - 1:
        where += ", the last row (a footer?),"
    more = f", and {len(damaged) - 1:,} more rows are damaged" if len(damaged) > 1 else ""
    skip = "leave such rows out with skip_damaged=True"
    if first in ragged:
        raise DataError(
            f"{where} has {ragged[first]} cells and the others have {len(names)}{more}: repair it "
            f"(a cell that contains {mark!r} needs quotes) or delete it, or {skip}"
        )
    row = int(np.searchsorted(kept, first))
    name, misfits = next((name, each) for name, each in wrong.items() if each.rows[row])
    shown = misfits.word if len(misfits.word) <= _N_SHOWN else f"{misfits.word[:_N_SHOWN]}…"
    as_names = "" if has_header or row > 0 else "set header=True if it names the columns, "
    raise DataError(
        f"{where} has {shown!r} in column {name!r}, and {misfits.others}{more}: {as_names}repair "
        f"or delete it, name it as missing by na_values=[{shown!r}], {skip}, or make the column "
        "categorical in a schema"
    )


def _have_row_names(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows begin with a name of their own, above which the header has no cell.

    R writes tables so. The names are text, or the numbers of the rows, and each is there once.

    Arguments:
        rows: The cells of the first lines; the first one is the header.

    Example:
        >>> _have_row_names([["mpg", "hp"], ["Mazda", "21", "110"], ["Fiat", "22.8", "93"]])
        True
        >>> _have_row_names([["mpg"], ["21", "110"], ["22.8", "93"]])
        False
    """
    header, *others = rows
    if len(others) < 2 or any(len(row) != len(header) + 1 for row in others):
        return False
    names = [row[0] for row in others]
    is_text = not any(is_number(name) for name in names)
    are_numbers = names == [str(i) for i in range(1, len(names) + 1)]
    is_filled = any(row[-1] for row in others)  # or lines only end in a delimiter
    return is_filled and len(set(names)) == len(names) and (is_text or are_numbers)


def _with_short_header(data: bytes) -> tuple[bytes, int]:
    r"""Return text with its header in one line, and how many line breaks its names had.

    >>> _with_short_header(b'"length\n(cm)",b\n1,2\n')
    (b'"length (cm)",b\n1,2\n', 1)
    """
    end = data.find(b"\n")
    if _OPEN_CELL.search(data[: max(end, 0)]) is None:
        return data, 0
    while end >= 0 and data[:end].count(b'"') % 2:
        end = data.find(b"\n", end + 1, _MOST_HEADER)
    if end < 0:  # a quote without its end
        return data, 0
    return re.sub(rb"\s*\n\s*", b" ", data[:end]) + data[end:], data[:end].count(b"\n")


def _check_memory(path: Path, n_bytes: int) -> None:
    """Refuse a file of text that is too large to be read at once.

    Arguments:
        path: The file.
        n_bytes: The bytes of its text.
    """
    needed, free = MEMORY_OF_TEXT * n_bytes, available()
    if needed > free:
        raise DataError(
            f"{path} takes about {of_memory(needed)} to read, and {of_memory(free)} is free: "
            "convert it to Parquet, which is read in batches, for example by "
            f"polars.scan_csv({path.name!r}).sink_parquet({path.stem + '.parquet'!r})"
        )


def _check_text(data: bytes, path: Path, n_lines: int) -> None:
    """Refuse a page of HTML, and a quotation mark that is not closed.

    Arguments:
        data: The text.
        path: The file.
        n_lines: The number of lines before the text.
    """
    if data[:20].lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{path} holds a page of HTML and no table: download the file itself")
    if data.count(b'"') % 2:
        parts = data.split(b"\n")
        line = next(i for i, part in enumerate(parts, 1) if part.count(b'"') % 2)
        raise DataError(
            f"{path} has a quotation mark in line {line + n_lines} that is not closed: close it, "
            "or take it out"
        )


def _parsed(
    data: bytes, mark: str, names: Sequence[str], has_header: bool, path: Path
) -> "tuple[pa.Table, dict[int, int]]":
    """Return the cells of a text, and the number of cells of each record that has another one.

    Arguments:
        data: The text.
        mark: The character between cells.
        names: The names of the columns.
        has_header: Whether the first record names the columns.
        path: The file in messages.
    """
    import pyarrow as pa
    from pyarrow import csv

    ragged: dict[int, int] = {}

    def left(row: csv.InvalidRow) -> str:
        ragged[row.number - 1] = row.actual_columns
        return "skip"

    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(
                column_names=names, skip_rows=int(has_header), use_threads=False
            ),
            parse_options=csv.ParseOptions(
                delimiter=mark, newlines_in_values=True, invalid_row_handler=left
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowException as error:
        raise DataError(
            f"{path} cannot be read as a table ({reason(error)}): repair the file"
        ) from error
    return table, ragged


def _line_of(data: bytes, record: int) -> int:
    r"""Return the number of the line that a record of a text begins in.

    Empty lines are no records, and a cell in quotation marks may have several lines.

    >>> _line_of(b'a,b\n\n"1\n",2\n3,4\n', 1), _line_of(b'a,b\n\n"1\n",2\n3,4\n', 2)
    (3, 5)
    """
    is_open, n_begun = False, 0
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines, start=1):
        n_begun += bool(line) and not is_open
        if n_begun > record:
            return number
        is_open ^= bool(line.count(b'"') % 2)
    return len(lines)


def decoded(path: Path, encoding: str | None = None) -> bytes:
    """Return the contents of a file of text in UTF-8, without a byte order mark.

    Arguments:
        path: The file.
        encoding: Its encoding; UTF-8, or that of its byte order mark, when None.

    Raises:
        DataError: A file that cannot be read, is no text, or is in another encoding.
        OptionError: An encoding that does not exist.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({reason(error)}): give another file") from error
    mark = next((mark for mark in _MARKS if data.startswith(mark)), None)
    name = encoding or (_MARKS[mark] if mark is not None else "utf-8")
    if mark is None and encoding is None and b"\0" in data[:_N_BYTES]:
        raise DataError(
            f"{path} holds bytes that are no text: give a file of text, or its encoding, such as "
            "encoding='utf-16-le'"
        )
    try:
        text = data.decode(name)
    except LookupError as error:
        raise OptionError(f"encoding={name!r}: no encoding of this name is known") from error
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is no {name} text: line {row} has the byte 0x{data[error.start]:02x}; save it "
            "as UTF-8, or give its encoding, such as encoding='latin-1'"
        ) from error
    is_plain = name == "utf-8" and not text.startswith("\ufeff")
    return data if is_plain else text.lstrip("\ufeff").encode()


def first_lines(data: bytes) -> list[str]:
    """Return the first lines of a text that are not empty; the last may be cut off elsewhere."""
    head = data[:_N_BYTES]
    if len(head) < len(data):
        head = head[: head.rfind(b"\n") + 1] or head
    lines = head.decode(errors="ignore").splitlines()
    return [line[:_N_CHARACTERS] for line in lines if line.strip()][:_N_LINES]


def delimiter_of(lines: Sequence[str]) -> str:
    r"""Return the character that separates the cells of lines.

    It is the one that gives most lines the same number of cells, at least two; of several the one
    with more cells. A single column has none, and a comma is returned.

    Example:
        >>> delimiter_of(["a;b", "1,5;2", "3,5;4"]), delimiter_of(["a", "1"])
        (';', ',')
    """
    found = []
    for mark in DELIMITERS:
        counts = Counter(len(row) for row in reader(lines, delimiter=mark, skipinitialspace=True))
        n_cells, n_lines = counts.most_common(1)[0]
        if n_cells > 1:
            # A space within cells separates nothing where another character does.
            found.append((n_lines / len(lines), mark != " ", n_cells, mark))
    return max(found)[-1] if found else ","


def is_header(rows: Sequence[Sequence[str]], missing: Sequence[str] = MISSING) -> bool:
    """Return whether the first of some rows names the columns.

    Names are no numbers, and none is missing. If one occurs twice, they are names only where other
    rows have numbers.

    Example:
        >>> is_header([["a", "b"], ["1", "2"]]), is_header([["1", "b"], ["2", "b"]])
        (True, False)
    """
    first = [cell.strip() for cell in rows[0]]
    if first == [str(i) for i in range(len(first))] and len(first) > 1:
        return True  # as pandas names the columns of an array
    if _numbers_columns(first, rows[1:]):
        return True
    # The index of pandas has no name, and neither has a column behind a trailing delimiter.
    first = [cell for i, cell in enumerate(first) if cell or 0 < i < len(first) - 1]
    if not first or any(cell in missing or is_number(cell) for cell in first):
        return False
    is_above_numbers = any(is_number(cell.strip()) for row in rows[1:] for cell in row)
    return len(set(first)) == len(first) or is_above_numbers


def _numbers_columns(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row numbers the columns behind the first one, as years do.

    The first cell is empty, as above the index of pandas, or names the rows below it.

    Arguments:
        first: The cells of the first row.
        rows: Other rows.

    Example:
        >>> _numbers_columns(["", "0", "1"], [["0", "3.2", "4"], ["1", "2.5", "7"]])
        True
        >>> _numbers_columns(["Ann", "2019", "2020"], [["Bob", "2018", "2019"]])
        False
    """
    name, *others = first
    if len(others) < 2 or not all(cell.isdigit() and len(cell) < 9 for cell in others):
        return False
    numbers = [int(cell) for cell in others]
    if any(b - a != 1 for a, b in pairwise(numbers)):
        return False
    below = [[cell.strip() for cell in row] for row in rows if len(row) == len(first)]
    if not name:
        return numbers[0] in (0, 1) and all(row[0] for row in below)
    # Rows of years, such as those of a beginning and an end, have no header.
    is_one_of_several = any(_are_years(row[1:]) for row in below)
    return not is_number(name) and _are_years(others) and not is_one_of_several


def _are_years(cells: Sequence[str]) -> bool:
    """Return whether cells are years that may be names of columns."""
    return all(cell.isdigit() and int(cell) in YEARS for cell in cells)


def check_names(names: Sequence[str], place: object) -> None:
    """Refuse columns that have one name, or none.

    Raises:
        DataError: Such columns.
    """
    for i, name in enumerate(names):
        if not name:
            raise DataError(
                f"column {i} of {place} has no name: give each column a name of its own"
            )
        if name in names[:i]:
            raise DataError(f"{place} has two columns {name!r}: give each column a name of its own")


def cells_of(name: str, column: "pa.ChunkedArray", missing: Sequence[str] = ()) -> Cells:
    """Return the distinct cells of a column of text.

    Arguments:
        name: The name of the column.
        column: The cells; null is a missing one.
        missing: Further cells that are missing values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pc.utf8_trim_whitespace(column).combine_chunks().dictionary_encode()
    words: list[str] = encoded.dictionary.to_pylist()
    places: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    absent = set(missing)
    kept = [i for i, word in enumerate(words) if word not in absent]
    new = np.full(len(words) + 1, -1)  # the last one is that of a cell without text
    new[kept] = np.arange(len(kept))
    cells = Cells(name, [words[i] for i in kept], new[places])
    there = encoded.dictionary.take(pa.array(kept, pa.int64()))
    if kept and pc.all(pc.match_substring_regex(there, _NUMBER)).as_py():
        cells.numbers = pc.cast(there, "float64").to_numpy()
        power = pc.any(pc.match_substring(there, "e", ignore_case=True)).as_py()
        point = pc.find_substring(there, ".")
        behind = pc.subtract(pc.subtract(pc.utf8_length(there), point), 1)
        most = pc.max(pc.if_else(pc.less(point, 0), 0, behind)).as_py()
        cells.decimals = decimals_of(cells.distinct) if power else most
    return cells


def values_of(cells: Cells, is_text: bool = False, decimal: str = ".") -> Values:
    """Return a column with its type.

    Arguments:
        cells: The column.
        is_text: Whether the column stays text, whatever its cells.
        decimal: The mark before decimals.

    Example:
        >>> values_of(Cells("a", ["1,5", "2"], np.array([0, 1, -1])), decimal=",").values
        array([1.5, 2. , nan])
    """
    words, name, notes = cells.distinct, cells.name, list[str]()
    if cells.numbers is not None and not is_text:
        is_as_written = decimal == "." or not cells.decimals
        # A point that separates no thousands is a decimal point in any file.
        if is_as_written or any("." in w and not _GROUPED_COMMA.fullmatch(w) for w in words):
            compact = dates_in(words) if _are_compact(cells.numbers) else None
            if compact is None:
                return _numbers(cells, cells.numbers, cells.decimals)
            return _dates(cells, compact)
    text = cells.spread(np.array(words, object), None)
    if is_text:
        return Values(name, text, "text")
    if {word.lower() for word in words} == {"true", "false"}:
        truth = np.array([word.lower() == "true" for word in words], float)
        return Values(name, cells.spread(truth, np.nan), "bool")
    dates = dates_in(words)
    if dates is not None:
        return _dates(cells, dates)
    seen = [written_date(word) for word in words]
    is_date = [date is not None and not date.is_vague for date in seen]
    if any(is_date):
        exists = [date is not None and not date.is_vague and date.exists for date in seen]
        misfits = _misfits(cells, exists, "dates")
        if misfits is not None:
            return Values(name, text, "text", misfits=misfits)
    if words and all(is_date):
        notes.append(
            f"column {name!r} has dates such as {words[0]!r}, whose day and month are not clear: "
            "it is text; write them as 2024-01-31"
        )
    read = [number_of(word, decimal) for word in words]
    is_number = [number is not None for number in read]
    if words and all(is_number) and not any(map(_ZEROS.fullmatch, words)):
        written = next((word for word in words if not _PLAIN.fullmatch(word)), None)
        if written is not None:
            number = number_of(written, decimal)
            notes.append(f"{written!r} in column {name!r} is read as {number:.10g}")
        found = np.array(read, float)
        return _numbers(cells, found, decimals_of(words, decimal), notes)
    plain, others = _apart(words, is_number)
    if _are_missing(cells, plain, others):
        new = np.full(len(words) + 1, -1)  # the last one is that of missing cells
        new[np.flatnonzero(is_number)] = np.arange(len(plain))
        numbers = values_of(Cells(name, plain, new[cells.codes]), decimal=decimal)
        listed = ", ".join(map(repr, others[:3]))
        said = f"column {name!r} has {listed} beside numbers: missing values"
        return replace(numbers, notes=[said, *numbers.notes])
    misfits = _misfits(cells, is_number, "numbers")
    if misfits is not None and _are_names(cells, is_number, misfits):
        notes.append(
            f"column {name!r} has {misfits.word!r} beside whole numbers: it is text; name it as "
            f"missing by na_values=[{misfits.word!r}] if it is no class and no code"
        )
        misfits = None
    return Values(name, text, "text", notes=notes, misfits=misfits)


def _dates(cells: Cells, dates: Dates) -> Values:
    """Return a column of dates.

    Arguments:
        cells: The column.
        dates: The date of each distinct cell.
    """
    values = cells.spread(dates.moments, np.datetime64("NaT"))
    notes = []
    if dates.short:
        notes.append(
            f"column {cells.name!r} has years of two digits, as in {dates.short!r}: they are read "
            "as 1969 to 2068"
        )
    return Values(
        cells.name,
        values,
        "date",
        zone=dates.zone,
        order=dates.order,
        written=dates.examples,
        notes=notes,
    )


def _are_compact(numbers: NDArray[np.float64]) -> bool:
    """Return whether several numbers have eight digits, as 20240131 has, and years of our times.

    >>> _are_compact(np.array([20240131.0, 20240201.0])), _are_compact(np.array([12345678.0, 1.0]))
    (True, False)
    """
    first, after = 10_000 * YEARS.start, 10_000 * YEARS.stop
    return len(numbers) > 1 and bool(((numbers >= first) & (numbers < after)).all())


def _apart(words: Sequence[str], is_number: Sequence[bool]) -> tuple[list[str], list[str]]:
    """Return the words that are numbers, and the others, in their order."""
    pairs = list(zip(words, is_number, strict=True))
    return [word for word, is_one in pairs if is_one], [
        word for word, is_one in pairs if not is_one
    ]


def _has_few(cells: Cells) -> bool:
    """Return whether a column has so few distinct cells for its rows as classes have."""
    n_rows = int((cells.codes >= 0).sum())
    return len(cells.distinct) <= min(MOST_LEVELS, n_rows / ROWS_PER_LEVEL)


def _are_missing(cells: Cells, numbers: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether the words beside numbers all say that there is none.

    Beside few whole numbers, which are classes, they are classes too.

    Arguments:
        cells: The column.
        numbers: Its distinct cells that are numbers.
        others: Its other distinct cells.
    """
    if not numbers or not others or any(word.casefold() not in NO_NUMBER for word in others):
        return False
    return not (_has_few(cells) and all(word.isdigit() for word in numbers))


def _numbers(
    cells: Cells, numbers: NDArray[np.float64], n_decimals: int, notes: Sequence[str] = ()
) -> Values:
    """Return a column of numbers; as text if it has whole numbers that double precision rounds.

    Arguments:
        cells: The column.
        numbers: The number of each distinct cell.
        n_decimals: The largest number of decimals.
        notes: Remarks on how they were understood.
    """
    name, words = cells.name, cells.distinct
    is_whole = all(word.lstrip("+-").isdigit() for word in words)
    rounded = next(filter(is_rounded, words), None) if is_whole else None
    if rounded is not None:
        text = cells.spread(np.array(words, object), None)
        return Values(name, text, "text", notes=[ROUNDED.format(name=name, value=rounded)])
    # A few cells may have digits of rounding errors, as 6.699999999999999 has.
    few = n_decimals if n_decimals <= MOST_DECIMALS else few_decimals(numbers)
    values = cells.spread(numbers, np.nan)
    return Values(name, values, "int" if is_whole else "float", few, list(notes))


def few_decimals(values: NDArray[np.float64]) -> int | None:
    """Return the number of decimals of numbers; None where it is large.

    >>> few_decimals(np.array([1.5, 2.25, np.nan])), few_decimals(np.array([1 / 3]))
    (2, None)
    """
    finite = np.unique(values[np.isfinite(values)])
    for n in range(MOST_DECIMALS + 1):
        if np.allclose(finite, finite.round(n), rtol=1e-12, atol=0):
            return n
    return None


def _are_names(cells: Cells, is_number: Sequence[bool], misfits: Misfits) -> bool:
    """Return whether whole numbers name classes or things, as the cells beside them do.

    They do where there are few distinct ones, or where several of the others are codes. A word in
    the first or the last row alone is a second header or a footer.

    Arguments:
        cells: The column.
        is_number: Whether each distinct cell is a number.
        misfits: The cells that are no numbers.
    """
    numbers, others = _apart(cells.distinct, is_number)
    if not all(word.isdigit() for word in numbers) or not misfits.rows[1:-1].any():
        return False
    return _has_few(cells) or (len(others) > 1 and all(map(_CODE.fullmatch, others)))


def _misfits(cells: Cells, fits: Sequence[bool], what: str) -> Misfits | None:
    """Return the cells that are not what nearly all are; None where most are not, or all are.

    Arguments:
        cells: The column.
        fits: Whether each distinct cell is what nearly all may be.
        what: What these are.
    """
    good = np.append(np.array(fits, bool), True)[cells.codes]
    n, n_wrong = int((cells.codes >= 0).sum()), int((~good).sum())
    if n_wrong == 0 or n - n_wrong < max(FEWEST_FITTING, ALMOST * n):
        return None
    word = cells.distinct[cells.codes[int(good.argmin())]]
    return Misfits(~good, word, f"{n - n_wrong:,} of its {n:,} values are {what}")


ROUNDED = (
    "column {name!r} has whole numbers such as {value}, which double precision rounds: it is text; "
    "write them as 1.5e18 to learn them as a quantity"
)
"""The remark on a column of numbers that are identifiers."""


def is_rounded(word: str) -> bool:
    """Return whether double precision rounds a whole number.

    >>> is_rounded("9007199254740993"), is_rounded("9007199254740994")
    (True, False)
    """
    if len(word) <= len(str(LARGEST_EXACT)) - 1:
        return False
    return len(word) > sys.float_info.max_10_exp or int(word) != float(word)


def is_number(cell: str) -> bool:
    """Return whether a cell is a number in one of the notations.

    >>> [is_number(cell) for cell in ("1e-3", "1.234,5", "1,5", "a")]
    [True, True, True, False]
    """
    return number_of(cell) is not None or number_of(cell, ",") is not None


def decimals_of(words: Sequence[str], decimal: str = ".") -> int:
    """Return the largest number of decimals of numbers in text.

    >>> decimals_of(["1.5", "2.25", "1e-3"])
    3
    """
    most = 0
    for word in words:
        digits, _, power = bare(word).lower().partition("e")
        n = len(digits.rpartition(decimal)[2]) if decimal in digits else 0
        most = max(most, n - int(power or 0))
    return most


def decimal_mark(words: Sequence[str], delimiter: str = ",", usual: str | None = None) -> str:
    """Return the mark before decimals in the cells of a file: a point, or a comma.

    A comma before other than three digits, or behind a zero, is a decimal comma; one before three
    digits and a point, or one of several, separates thousands. Where all are before three digits,
    a comma is decimal in files whose cells are separated by semicolons.

    Arguments:
        words: The distinct cells of the file.
        delimiter: The character between cells.
        usual: The mark of a file whose cells do not tell it; None for none.

    Example:
        >>> decimal_mark(["0,513", "x"]), decimal_mark(["1,234.5"]), decimal_mark(["1,234"], ";")
        (',', '.', ',')
    """
    n_decimal = n_thousands = n_unclear = 0
    for word in map(bare, words):
        if "," not in word:
            continue
        if _GROUPED.fullmatch(word) and ("." in word or word.count(",") > 1):
            n_thousands += 1
        elif _GROUPED_COMMA.fullmatch(word):
            n_decimal += 1
        elif _COMMA.fullmatch(word):
            whole, _, decimals = word.lstrip("+-").partition(",")
            is_clear = len(decimals) != 3 or whole in ("", "0") or len(whole) > 3
            n_decimal, n_unclear = n_decimal + is_clear, n_unclear + (not is_clear)
    if n_decimal == n_thousands:
        if usual is not None:
            return usual
        return "," if n_unclear and delimiter == ";" else "."
    return "," if n_decimal > n_thousands else "."


def bare(word: str) -> str:
    """Return a cell without signs of money and percent, and without spaces within a number.

    >>> bare("$1,234.50"), bare("56 131"), bare("(44.14)"), bare("53.6%"), bare("12.50-")
    ('1,234.50', '56131', '-44.14', '53.6', '-12.50')
    """
    if word.isascii() and word.replace(".", "").isalnum():
        return word  # as most cells
    found = word.replace("\u2212", "-").strip()
    if found.startswith("(") and found.endswith(")"):
        found = f"-{found[1:-1]}"
    found = found.strip(_SIGNS)
    # As accounts of SAP have it; 2- is a grade.
    if found.endswith("-") and found[:1].isdigit() and found[-4:-3] in (".", ","):
        found = f"-{found[:-1]}"
    return re.sub(r"(?<=\d)[ '\u2019\u00a0\u202f](?=\d{3}(?!\d))", "", found)


def number_of(word: str, decimal: str = ".") -> float | None:
    """Return the number in a cell; None for other text.

    Arguments:
        word: The cell.
        decimal: The mark before decimals.

    Example:
        >>> number_of("1.234,5", ","), number_of("1,234.5"), number_of("-3e2"), number_of("a")
        (1234.5, 1234.5, -300.0, None)
    """
    found = bare(word)
    thousands, other = (".", _GROUPED_COMMA) if decimal == "," else (",", _GROUPED)
    if thousands in found and other.fullmatch(found):
        return float(found.replace(thousands, "").replace(",", "."))
    if decimal == "," and _COMMA.fullmatch(found):
        return float(found.replace(",", "."))
    return float(found) if _PLAIN.fullmatch(found) else None
