"""Damaged data of users: read as its writer meant it, or refused in one sentence.

Each table of this file has a name, a function that makes the input, and what is said or read. More
inputs are elsewhere: ``DAMAGED``, ``SCHEMAS`` and ``FRAMES`` of ``test_tables.py`` (empty files,
headers alone, twin names, text in latin-1, infinite cells, targets, schemas, later DataFrames),
``test_numbers_of_spreadsheets`` (delimiters, decimal commas, thousands, a byte order mark),
``test_images.py`` (damaged images, links, modes, levels, folders of splits), ``test_in_memory.py``
(arrays), ``test_mapped.py`` (files that change), ``cli/test_bad_input.py`` (the named data sets).
"""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

import reparam as rp
from reparam.data import Dataset
from reparam.data.frames import of_frame
from reparam.data.tables import Table, read_table
from reparam.errors import DataError, OptionError, ReparamError
from reparam.estimators import VAEImputer
from tests.support import contents, refused, reparam, sentence

Make = Callable[[Path], Path]

N = 30
A, B = np.arange(N) / 8, np.arange(N) % 5
NUMBERS = "a,b\n" + "".join(f"{a},{b}\n" for a, b in zip(A, B, strict=True))
DATES = "a,b\n" + "".join(f"2024-02-{n + 1:02d},{n % 5}\n" for n in range(29))


def text(name: str, content: str | bytes) -> Make:
    """Return a function that writes a file."""

    def make(folder: Path) -> Path:
        place = folder / name
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return place

    return make


def array(**arrays: Any) -> Make:
    """Return a function that writes arrays, one as ``.npy`` and several as ``.npz``."""

    def make(folder: Path) -> Path:
        if [*arrays] == ["x"]:
            np.save(folder / "x.npy", arrays["x"], allow_pickle=True)
            return folder / "x.npy"
        np.savez(folder / "x.npz", **arrays)
        return folder / "x.npz"

    return make


def damaged(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """Return a function that writes a file and changes its bytes."""

    def made(folder: Path) -> Path:
        place = make(folder)
        place.write_bytes(change(place.read_bytes()))
        return place

    return made


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def columnar(name: str, **columns: Any) -> Make:
    """Return a function that writes a file of typed columns."""

    def make(folder: Path) -> Path:
        place = folder / name
        frame = pd.DataFrame(columns)
        if place.suffix == ".parquet":
            parquet.write_table(pa.Table.from_pandas(frame), place, write_page_checksum=True)
        else:
            frame.to_feather(place)
        return place

    return make


def twins(folder: Path) -> Path:
    columns = [pa.array(A), pa.array(B)]
    parquet.write_table(pa.table(columns, names=["a", "a"]), folder / "x.parquet")
    return folder / "x.parquet"


def images(n: int = 6, change: Callable[[Path], object] = lambda folder: None) -> Make:
    """Return a function that makes a folder of colored images, and changes it."""

    def make(folder: Path) -> Path:
        place = folder / "images"
        place.mkdir()
        for number in range(n):
            Image.new("RGB", (9, 8), (40 * number, 7, 0)).save(place / f"{number}.png")
        change(place)
        return place

    return make


def broken(*numbers: int) -> Make:
    """Return a function that makes a folder of six images, some of which do not decode."""

    def change(folder: Path) -> None:
        for number in numbers:
            (folder / f"{number}.png").write_bytes(b"no image")

    return images(6, change)


def folder_named(name: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return make


def link(target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / "x.csv").symlink_to(folder / target)
        return folder / "x.csv"

    return make


def closed(folder: Path) -> Path:
    place = text("x.csv", NUMBERS)(folder)
    place.chmod(0)
    return place


def named(make: Make, name: str) -> Make:
    """Return a function that makes a file and gives it another name."""
    return lambda folder: make(folder).rename(folder / name)


STRIPES = {"a": A, "b": B.astype(float), "s": ["x", "y"] * (N // 2)}
IDS = 2**53 + 1 + np.arange(N) // 3
X = np.random.default_rng(0).normal(size=(N, 3))
HOLE = np.where(np.arange(N)[:, None] == 3, np.nan, X)
ZIPPED = gzip.compress(NUMBERS.encode() * 50)


# What is refused: a name, a function that makes it, parts of the sentence, and options.
REFUSED: list[tuple[str, Make, list[str], dict[str, Any]]] = [
    (
        "a footer",
        text("x.csv", NUMBERS + "Total,60\n"),
        ["line 32", "x.csv", "footer", "'Total'", "column 'a'", "skip_damaged=True"],
        {},
    ),
    (
        "a footer of one cell",
        text("x.csv", NUMBERS + "Source: Bonn\n"),
        ["line 32", "1 cells", "footer", "skip_damaged=True"],
        {},
    ),
    (
        "units",
        text("x.csv", NUMBERS.replace("a,b\n", "a,b\nm,kg\n")),
        ["line 2", "first row (units", "'m'", "skip_damaged=True"],
        {},
    ),
    (
        "a title",
        text("x.csv", "Of 2024\n" + NUMBERS),
        ["line 1 of", "1 cells", "31 of the 31 lines", "delete it"],
        {},
    ),
    (
        "a header that lacks a name",
        text("x.csv", NUMBERS.replace("a,b", "a")),
        ["line 1 of", "30 of the 30 lines", "names every column"],
        {},
    ),
    (
        "delimiters at the ends of rows",
        text("x.csv", NUMBERS.replace("\n", ",\n").replace("a,b,", "a,b")),
        ["line 1 of", "have 3"],
        {},
    ),
    (
        "a header without a name in the middle",
        text("x.csv", "a,,c\n" + "".join(f"{n / 7:.3f},{n % 5},{n % 7}\n" for n in range(N))),
        ["line 1 of", "'a'", "header=True"],
        {},
    ),
    ("two files in one", text("x.csv", NUMBERS + NUMBERS), ["line 32", "'a' in column 'a'"], {}),
    (
        "a ragged row below empty lines",
        text("x.csv", NUMBERS.replace("\n", "\n\n") + "1\n1,2\n"),
        ["line 63", "1 cells"],
        {},
    ),
    (
        "a ragged row below a cell of two lines",
        text("x.csv", 'a,b\n"x\ny",1\n' + "x,2\n" * 20 + "x,2,3\n" + "y,3\n"),
        ["line 24", "3 cells"],
        {},
    ),
    (
        "several damaged rows",
        text("x.csv", NUMBERS + "1\nx,2\n3,4\n"),
        ["line 32", "1 more rows are damaged"],
        {},
    ),
    (
        "a cell of a spreadsheet's error",
        text("x.csv", NUMBERS + "#SPILL!,2\n1.5,3\n"),
        ["line 32", "na_values=['#SPILL!']"],
        {},
    ),
    (
        "a cell of a megabyte",
        text("x.csv", NUMBERS + "x" * 1_000_000 + ",2\n1.5,3\n"),
        ["line 32", "column 'a'", "…"],
        {},
    ),
    (
        "a date that does not exist",
        text("x.csv", DATES + "2024-02-30,1\n"),
        ["line 31", "'2024-02-30'", "29 of its 30 values are dates"],
        {},
    ),
    (
        "a word among dates",
        text("x.csv", DATES + "yesterday,1\n"),
        ["line 31", "'yesterday'", "dates"],
        {},
    ),
    (
        "a decimal comma between commas",
        text("x.csv", NUMBERS.replace(".", ",")),
        ["line 1 of", "2 cells", "have 3"],
        {},
    ),
    (
        "a wrong delimiter",
        text("x.csv", NUMBERS),
        ["delimiter=';'", "','", "leave delimiter out"],
        {"delimiter": ";"},
    ),
    (
        "a page of HTML",
        text("x.csv", "<!DOCTYPE html>\n<p>Not found\n"),
        ["x.csv", "HTML", "download"],
        {},
    ),
    (
        "UTF-16 without a mark",
        text("x.csv", NUMBERS.encode("utf-16-le")),
        ["x.csv", "encoding='utf-16-le'"],
        {},
    ),
    (
        "another encoding",
        text("x.csv", "a,b\n1,\xe9\n".encode("latin-1")),
        ["line 2", "0xe9"],
        {"encoding": "ascii"},
    ),
    (
        "a number beyond doubles",
        text("x.csv", NUMBERS + "1e400,2\n"),
        ["x.csv", "column 'a'", "infinite", "row 30"],
        {},
    ),
    (
        "Parquet named CSV",
        named(columnar("x.parquet", **STRIPES), "x.csv"),
        ["x.csv", "no text"],
        {},
    ),
    (
        "CSV named Parquet",
        text("x.parquet", NUMBERS),
        ["x.parquet", "cannot be read as a table"],
        {},
    ),
    (
        "a table of constants",
        text(
            "x.csv", ",".join(f"c{i}" for i in range(99)) + "\n" + (",".join("1" * 99) + "\n") * 9
        ),
        ["no column to learn from", "and 93 more"],
        {},
    ),
    (
        "a target of one class",
        text("x.csv", NUMBERS.replace("\n", ",k\n").replace("b,k", "b,c")),
        ["target='c'", "x.csv", "another column"],
        {"target": "c"},
    ),
    (
        "a target of missing values",
        text("x.csv", NUMBERS.replace("\n", ",\n").replace("b,", "b,c")),
        ["target='c'", "0 different values"],
        {"target": "c"},
    ),
    (
        "a target of quantities",
        text("x.csv", NUMBERS),
        ["target='a'", "30 different values", "categorical in a schema"],
        {"target": "a"},
    ),
    ("gzip cut off", text("x.csv.gz", half(ZIPPED)), ["x.csv.gz", "cannot be read"], {}),
    (
        "gzip with a wrong sum",
        text("x.csv.gz", flipped(ZIPPED)),
        ["x.csv.gz", "cannot be read"],
        {},
    ),
    (
        "compressed Parquet",
        text("x.parquet.gz", ZIPPED),
        ["x.parquet.gz", "compressed", "gunzip"],
        {},
    ),
    ("a compressed array", text("x.npy.gz", ZIPPED), ["x.npy.gz", "gunzip"], {}),
    (
        "Parquet cut off",
        damaged(columnar("x.parquet", **STRIPES), half),
        ["x.parquet", "cannot be read"],
        {},
    ),
    (
        "Parquet with a wrong sum",
        damaged(
            columnar("x.parquet", a=np.random.default_rng(0).normal(size=9000)),
            lambda b: flipped(b[:40_000]) + b[40_000:],
        ),
        ["x.parquet", "cannot be read"],
        {},
    ),
    (
        "Feather cut off",
        damaged(columnar("x.feather", **STRIPES), half),
        ["x.feather", "cannot be read"],
        {},
    ),
    ("twin columns of Parquet", twins, ["x.parquet", "two columns 'a'"], {}),
    (
        "nested values",
        columnar("x.parquet", a=[[1], [2]] * 9),
        ["column 'a'", "x.parquet", "list"],
        {},
    ),
    (
        "bytes in a column",
        columnar("x.parquet", a=[b"1", b"2"] * 9),
        ["column 'a'", "binary", "convert"],
        {},
    ),
    ("Parquet without rows", columnar("x.parquet", a=np.zeros(0)), ["x.parquet", "0 rows"], {}),
    ("Parquet of one row", columnar("x.parquet", a=[1.5], s=["x"]), ["x.parquet", "one value"], {}),
    (
        "a pickled array",
        array(x=np.array([{"a": 1}, 2], object)),
        ["x.npy", "objects are not loaded"],
        {},
    ),
    (
        "a pickle named .npy",
        text("x.npy", pickle.dumps({"a": 1})),
        ["x.npy", "in no format of NumPy"],
        {},
    ),
    (
        "objects in .npz",
        array(x=np.array([[None, 1]] * 5, object), y=np.arange(5)),
        ["x.npz", "objects are not loaded"],
        {},
    ),
    (".npz cut off", damaged(array(x=X, y=B), half), ["x.npz", "cannot be read"], {}),
    (
        ".npz with a wrong sum",
        damaged(array(x=X, y=B), lambda b: flipped(b[:600]) + b[600:]),
        ["x.npz", "cannot be read"],
        {},
    ),
    (
        ".npz without examples",
        array(a=X, b=B),
        ["x.npz", "the arrays a, b", "name the examples x"],
        {},
    ),
    ("complex numbers", array(x=X * 1j), ["x.npy", "complex"], {}),
    ("an array of text", array(x=np.array([["a", "b"]] * 9)), ["x.npy", "text"], {}),
    (
        "an array of dates",
        array(x=np.arange(9).astype("datetime64[D]")[:, None]),
        ["x.npy", "dates", "days"],
        {},
    ),
    (
        "a structured array",
        array(x=np.zeros(9, [("u", "f4"), ("v", "i4")])),
        ["x.npy", "fields u, v"],
        {},
    ),
    (
        "NaN in images",
        array(x=HOLE.reshape(-1, 1, *HOLE.shape[1:])),
        ["x.npy", "index (3, 0, 0)", "finite"],
        {},
    ),
    (
        "infinite in an array",
        array(x=np.where(np.isnan(HOLE), np.inf, HOLE)),
        ["x.npy", "index (3, 0)", "finite"],
        {},
    ),
    (
        "negative counts",
        array(x=np.array([[1, 2], [3, -4], [5, 6]])),
        ["x.npy", "index (1, 1)", "counts"],
        {"support": "counts"},
    ),
    (
        "integers of no declared meaning",
        array(x=np.arange(60).reshape(20, 3) + 2**53),
        ["x.npy", "support='counts'"],
        {},
    ),
    (
        "integers beyond 64 bits",
        array(x=np.full((9, 2), 2**63 + 5, np.uint64)),
        ["x.npy", "2^63"],
        {},
    ),
    ("one axis", array(x=np.arange(9.0)), ["x.npy", "(9,)", "(N, 1)"], {}),
    ("no axis", array(x=np.float64(3)), ["x.npy", "two examples"], {}),
    ("one example", array(x=X[:1]), ["x.npy", "two examples"], {}),
    (
        "fewer labels than examples",
        array(x=X, y=B[:-1]),
        ["y of", "x.npz", "(29,)", "30 examples"],
        {},
    ),
    (
        "labels that are quantities",
        array(x=X, y=A),
        ["y of", "x.npz", "0.125 in row 1", "leave y out"],
        {},
    ),
    ("one-hot labels", array(x=X, y=np.eye(5)[B]), ["y of", "(30, 5)"], {}),
    ("an unknown support", array(x=X), ["support 'number'"], {"support": "number"}),
    ("an image as a file", text("x.png", b"\x89PNG"), ["x.png", "folders of images"], {}),
    ("a folder named as a table", folder_named("x.csv"), ["x.csv", "0 images"], {}),
    ("an empty folder", folder_named("images"), ["images", "0 images", "at least 3"], {}),
    ("a folder of one image", images(1), ["1 image", "at least 3"], {}),
    ("an image that does not decode", broken(2), ["2.png", "skip_damaged=True"], {}),
    (
        "an image cut off",
        images(6, lambda f: damaged(lambda f: f / "3.png", half)(f)),
        ["3.png", "cannot be read"],
        {},
    ),
    (
        "most images damaged",
        broken(0, 1, 2, 3),
        ["6 images", "4 of them", "0.png, 1.png, 2.png, …", "at most half"],
        {"skip_damaged": True},
    ),
    (
        "most rows damaged",
        text("x.csv", "a,b\n" + "1,2\n" * 3 + "1\n" * 9),
        ["line 1 of", "9 of the 12 lines"],
        {"skip_damaged": True},
    ),
    ("a broken link", link("nowhere.csv"), ["x.csv", "no file or folder"], {}),
    ("a link to itself", link("x.csv"), ["x.csv", "no file or folder"], {}),
    ("an option of other data", text("x.csv", NUMBERS), ["size=8", "'images'"], {"size": 8}),
]

IDS_OF_REFUSED = [name for name, *_ in REFUSED]


@pytest.mark.parametrize(("name", "make", "said", "options"), REFUSED, ids=IDS_OF_REFUSED)
def test_damaged_data_are_refused_in_one_sentence(
    tmp_path: Path, name: str, make: Make, said: list[str], options: dict[str, Any]
) -> None:
    place = make(tmp_path)
    with pytest.raises(ReparamError) as found:
        rp.data.read(place, **options)
    message = sentence(found)
    assert len(message) < 700
    for words in said:
        assert words in message


@pytest.mark.parametrize(("name", "make", "said", "options"), REFUSED, ids=IDS_OF_REFUSED)
def test_the_command_line_refuses_them_and_leaves_nothing(
    tmp_path: Path, name: str, make: Make, said: list[str], options: dict[str, Any]
) -> None:
    place = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    flags = "".join(f" --{key.replace('_', '-')} {value!r}" for key, value in options.items())
    code = None if options else 1
    message = refused(f"train vae --data {place} --out {tmp_path}/run{flags}", code=code)
    assert "skip_damaged" not in message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv cannot be read \(Permission denied\)"):
        rp.data.read(closed(tmp_path))


SOURCES: list[tuple[str, str, Make, str]] = [
    ("a folder as a table", "table", folder_named("x"), "is a folder"),
    ("a folder as arrays", "array", folder_named("x"), "Is a directory"),
    ("a folder as text", "text", folder_named("x"), "not a regular file"),
    ("a file as images", "images", text("x.png", b""), "is a file"),
    ("nothing as images", "images", lambda folder: folder / "none", "does not exist"),
    ("nothing as arrays", "array", lambda folder: folder / "none.npy", "No such file"),
    ("nothing as text", "text", lambda folder: folder / "none.txt", "No such file"),
]


@pytest.mark.parametrize(("name", "kind", "make", "said"), SOURCES, ids=[s[0] for s in SOURCES])
def test_a_place_of_another_kind_is_named(
    tmp_path: Path, name: str, kind: str, make: Make, said: str
) -> None:
    place = make(tmp_path)
    with pytest.raises(DataError, match=said) as found:
        rp.data.load(kind, path=place)
    assert place.name in sentence(found)


# What is read: a name, a function that makes it, options, and the expected columns.
READ: list[tuple[str, Make, dict[str, Any], dict[str, Any]]] = [
    (
        "a footer left out",
        text("x.csv", NUMBERS + "Total,60\n"),
        {"skip_damaged": True},
        {"a": A, "b": B},
    ),
    (
        "units left out",
        text("x.csv", NUMBERS.replace("a,b\n", "a,b\nm,kg\n")),
        {"skip_damaged": True},
        {"a": A, "b": B},
    ),
    (
        "ragged rows left out",
        text("x.csv", "a,b\n1\n" + NUMBERS[4:] + "1,2,3\n"),
        {"skip_damaged": True},
        {"a": A, "b": B},
    ),
    (
        "a footer as missing",
        text("x.csv", NUMBERS + "Total,60\n"),
        {"na_values": ["Total"]},
        {"a": [*A, np.nan], "b": [*B, 60]},
    ),
    (
        "a title above a header",
        text("x.csv", "a,,c\n1.5,2,3\n2.5,3,4\n"),
        {"header": True},
        {"a": [1.5, 2.5], "unnamed1": [2, 3], "c": [3, 4]},
    ),
    ("gzip in name only", text("x.csv.gz", NUMBERS), {}, {"a": A, "b": B}),
    ("gzip without the name", text("x.csv", gzip.compress(NUMBERS.encode())), {}, {"a": A, "b": B}),
    ("UTF-16 with a mark", text("x.csv", NUMBERS.encode("utf-16")), {}, {"a": A, "b": B}),
    (
        "UTF-16 that is named",
        text("x.csv", NUMBERS.encode("utf-16-le")),
        {"encoding": "utf-16-le"},
        {"a": A, "b": B},
    ),
    ("lines of old computers", text("x.csv", NUMBERS.replace("\n", "\r")), {}, {"a": A, "b": B}),
    (
        "empty lines between rows",
        text("x.csv", NUMBERS.replace("\n", "\n\n")),
        {},
        {"a": A, "b": B},
    ),
    ("spaces around cells", text("x.csv", NUMBERS.replace(",", " , ")), {}, {"a": A, "b": B}),
    (
        "an empty last column",
        text("x.csv", NUMBERS.replace("\n", ",\n")),
        {},
        {"a": A, "b": B, "unnamed2": [None] * N},
    ),
    (
        "a cell of two lines",
        text("x.csv", 'a,b\n"x\ny",1.5\nz,2.5\n'),
        {},
        {"a": ["x\ny", "z"], "b": [1.5, 2.5]},
    ),
    (
        "booleans in three spellings",
        text("x.csv", "a,b\ntrue,1\nFalse,2\nTRUE,3\n"),
        {},
        {"a": [1, 0, 1], "b": [1, 2, 3]},
    ),
    (
        "numbers with leading zeros",
        text("x.csv", "a,b\n007,1\n010,2\n"),
        {},
        {"a": ["007", "010"], "b": [1, 2]},
    ),
    ("names that differ by case", text("x.csv", "a,A\n1,2\n3,4\n"), {}, {"a": [1, 3], "A": [2, 4]}),
    (
        "integers beyond doubles",
        text("x.csv", "a,b\n" + "".join(f"{n},{n % 7}\n" for n in IDS)),
        {},
        {"a": list(map(str, IDS)), "b": IDS % 7},
    ),
    ("typed integers beyond doubles", columnar("x.parquet", a=IDS), {}, {"a": list(map(str, IDS))}),
    (
        "large integers that are exact",
        text("x.csv", "a,b\n9007199254740992,1\n-9007199254740994,2\n"),
        {},
        {"a": [2.0**53, -(2.0**53) - 2], "b": [1, 2]},
    ),
    (
        "a missing integer beyond doubles",
        columnar("x.parquet", a=pd.array([None, 2**53 + 1], "Int64")),
        {},
        {"a": [None, str(2**53 + 1)]},
    ),
    (
        "text with numbers in it",
        text("x.csv", "a,b\n" + "".join(f"{'x' if n % 2 else n},1\n" for n in range(12))),
        {},
        {"a": ["x" if n % 2 else str(n) for n in range(12)], "b": [1] * 12},
    ),
]


@pytest.mark.parametrize(
    ("name", "make", "options", "columns"), READ, ids=[name for name, *_ in READ]
)
def test_unusual_tables_are_read_as_they_were_meant(
    tmp_path: Path, name: str, make: Make, options: dict[str, Any], columns: dict[str, Any]
) -> None:
    table = read_table(make(tmp_path), **options)
    assert list(table.columns) == list(columns)
    for key, values in columns.items():
        expected: NDArray[Any] = np.array(values)
        assert table.columns[key].dtype.kind == ("f" if expected.dtype.kind in "if" else "O")
        np.testing.assert_array_equal(table.columns[key], expected)


def noted(notes: Table | Dataset) -> str:
    return " ".join(notes.notes)


def test_rows_that_are_left_out_are_counted_and_named(tmp_path: Path) -> None:
    place = text("x.csv", NUMBERS + "1\nx,2\n3,4\n1,2,3\n\nu,v\n")(tmp_path)
    data = rp.data.read(place, skip_damaged=True, test_share=0)
    assert len(data.split("train")) == N + 1
    assert "left out 4 of 35 rows as damaged (line 32, line 33, line 35, …)" in noted(data)
    said = reparam(f"data inspect {place} --skip-damaged True").out
    assert "left out 4 of 35 rows as damaged" in said
    assert data.options is not None
    assert data.options["skip_damaged"] is True


@pytest.mark.parametrize("cache", [False, True])
def test_images_that_are_left_out_are_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: bool
) -> None:
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    folder = broken(1, 4)(tmp_path)
    options: dict[str, Any] = {"size": 8, "validation": 0, "test_share": 0}
    for _ in range(2):  # the second time from the cache
        data = rp.data.read(folder, skip_damaged=True, cache=cache, **options)
        assert data.images[:, 0, 0, 0].tolist() == [0, 80, 120, 200]
        assert "left out 2 of 6 images as damaged (1.png, 4.png)" in noted(data)
    assert data.options is not None
    assert rp.data.load(**data.options).splits["train"] == data.splits["train"]


def test_labels_stay_beside_their_images(tmp_path: Path) -> None:
    for name, level in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.new("L", (4, 4), level).save(tmp_path / name / f"{number}.png")
    for place in (tmp_path / "cat" / "3.png", tmp_path / "dog" / "0.png"):
        place.write_bytes(b"")
    data = rp.data.read(tmp_path, size=4, skip_damaged=True)
    assert sum(len(split) for split in data.splits.values()) == 38
    for split in data.splits.values():
        assert split.y is not None
        assert torch.equal(split.x[:, 0, 0, 0] // 255, split.y.to(torch.uint8))


def test_a_split_without_images_is_named(tmp_path: Path) -> None:
    for name in ("train", "test"):
        images(4)(tmp_path).rename(tmp_path / name)
    for place in (tmp_path / "test").iterdir():
        place.write_bytes(b"")
    with pytest.raises(DataError, match="none of 4 images of one split can be read"):
        rp.data.read(tmp_path, skip_damaged=True, validation=0)


def test_labels_of_arrays_keep_their_names(tmp_path: Path) -> None:
    y = np.where(B > 3, np.nan, 10 * B + 1)
    data = rp.data.read(array(x=X, y=y)(tmp_path), test_share=0)
    assert data.class_names == ("1", "11", "21", "31")
    assert data.labels is not None
    assert data.labels.tolist() == np.where(B > 3, -1, B).tolist()
    words = rp.data.read(array(x=X, y=np.array(["u", "v"] * 15))(tmp_path), test_share=0)
    assert words.class_names == ("u", "v")
    run = rp.fit(rp.variants.vae(data.spec, hidden=(4,)), data, steps=1, progress=False)
    other = tmp_path / "other.npz"
    np.savez(other, x=X[:2], y=[21, 11])
    found = run.read(other).labels
    assert found is not None
    assert found.tolist() == [2, 1]
    np.savez(other, x=X[:2], y=[22, 11])
    with pytest.raises(DataError, match=r"other\.npz has the class '22'"):
        run.read(other)


SCHEMAS: list[tuple[str, str, list[str]]] = [
    ("a key twice", "a: real\na: count", ["'a' twice"]),
    ("a nested key twice", "a: {kind: real, kind: count}", ["'kind' twice"]),
    ("no truth value", "a: {missing_as_value: maybe}", ["column 'a'", "'maybe'", "true or false"]),
    ("a class that is a list", "b: {kind: ordinal, values: [[0], 1]}", ["'b'", "[0] is no class"]),
    ("classes of a quantity", "a: {kind: real, values: [0, 1]}", ["'a'", "a quantity has none"]),
    ("fewer classes than values", "b: {kind: ordinal, values: [0, 1]}", ["'b'", "2.0 in row 2"]),
    ("an unknown column", "c: real", ["x.csv", "'c'", "a, b"]),
]


@pytest.mark.parametrize(("name", "content", "said"), SCHEMAS, ids=[s[0] for s in SCHEMAS])
def test_a_schema_that_makes_no_sense(
    tmp_path: Path, name: str, content: str, said: list[str]
) -> None:
    schema = text("schema.yaml", content)(tmp_path)
    with pytest.raises(OptionError if "2.0" not in said[-1] else DataError) as found:
        rp.data.read(text("x.csv", NUMBERS)(tmp_path), schema=schema)
    for words in said:
        assert words in str(found.value)


FRAMES: list[tuple[str, pd.DataFrame, list[str]]] = [
    ("values of several types", pd.DataFrame({"m": [1, "a"] * 9}), ["column 'm'", "int, str"]),
    ("objects of a class", pd.DataFrame({"m": [Path("a")] * 9}), ["column 'm'", "PosixPath"]),
    ("complex numbers", pd.DataFrame({"m": [1j] * 9}), ["column 'm'", "complex"]),
    ("twin columns", pd.DataFrame(np.zeros((3, 2)), columns=["a", "a"]), ["'a' 2 times"]),
]


@pytest.mark.parametrize(("name", "frame", "said"), FRAMES, ids=[f[0] for f in FRAMES])
def test_a_frame_that_cannot_be_read(name: str, frame: pd.DataFrame, said: list[str]) -> None:
    with pytest.raises(DataError) as found:
        of_frame(frame)
    message = sentence(found)
    for words in said:
        assert words in message


# Use of a run on a table: its training file is a,b,s with 60 rows.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ``table.csv``, with the column s as label."""
    folder = tmp_path_factory.mktemp("damaged")
    good(60).to_csv(folder / "table.csv", index=False)
    line = "train vae --hidden 4 --steps 4 --pictures-every 0 --target s --condition label"
    reparam(f"{line} --data {folder}/table.csv --checkpoint-every 2 --out", folder / "run")
    return folder


def good(n: int = 8) -> pd.DataFrame:
    """Return rows of the table that the run was trained on."""
    places = np.arange(n)
    return pd.DataFrame(
        {"a": places / 7, "b": places % 3 + 0.5, "k": ["u", "v"][:2] * (n // 2), "s": "xyzx"[0]}
    ).assign(s=[("x", "y", "z")[i % 3] for i in range(n)])


LATER: list[tuple[str, str | bytes, list[str]]] = [
    ("without a column", good().drop(columns="b").to_csv(index=False), ["lacks the column 'b'"]),
    (
        "a column of text",
        good().assign(a="old").to_csv(index=False),
        ["column 'a'", "'old'", "row 0", "a number"],
    ),
    (
        "a class never seen",
        good().assign(k=["u"] * 7 + ["w"]).to_csv(index=False),
        ["column 'k'", "'w'", "row 7", "u, v"],
    ),
    (
        "a column of dates",
        good().assign(a="2024-01-31").to_csv(index=False),
        ["column 'a'", "dates"],
    ),
    ("a ragged row", good().to_csv(index=False) + "1,2\n", ["line 10", "2 cells"]),
    ("infinite", good().assign(a=np.inf).to_csv(index=False), ["column 'a'", "infinite", "row 0"]),
    ("header only", "a,b,k,s\n", ["no rows"]),
    ("empty", "", ["no rows"]),
    ("no text", b"a,b\n\0\0", ["no text"]),
]


@pytest.mark.parametrize(("name", "content", "said"), LATER, ids=[each[0] for each in LATER])
def test_later_rows_that_do_not_fit_are_refused_and_the_run_stays(
    run: Path, tmp_path: Path, name: str, content: str | bytes, said: list[str]
) -> None:
    place = text("later.csv", content)(tmp_path)
    before = contents(run / "run")
    for verb in ("evaluate", "encode", "score", "impute"):
        refused(f"{verb} {run}/run --data {place}", *said, code=1)
    assert contents(run / "run") == before


def test_labels_never_seen_are_refused(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "later.csv"
    good().assign(s="w").to_csv(place, index=False)
    known = rp.load(run / "run")
    with pytest.raises(
        DataError, match="'later' has the class 'w', and the training data have x, y, z"
    ):
        known.dataset(path=place)
    good().assign(s="y").to_csv(place, index=False)
    found = known.dataset(path=place)
    assert found.labels is not None
    assert set(found.labels.tolist()) == {1}


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("without a column", lambda frame: frame.drop(columns="b"), "column 'b' is not there now"),
        (
            "other text",
            lambda frame: frame.assign(b=["u", "v"] * 30),
            "column 'b' has the kind positive",
        ),
        (
            "a class more",
            lambda frame: frame.assign(k=["u", "v", "w", "v", "u"] * 12),
            "column 'k' has the kind",
        ),
        ("fewer rows", lambda frame: frame.iloc[:40], "column 'a' has the high 8.4"),
        ("other values", lambda frame: frame.assign(k=frame["k"][::-1].to_numpy()), "other values"),
        ("a ragged row", None, "line 62"),
    ],
)
def test_a_run_does_not_go_on_with_other_rows(
    run: Path,
    name: str,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None,
    said: str,
) -> None:
    table, before = run / "table.csv", contents(run / "run")
    whole = table.read_bytes()
    try:
        if change is None:
            table.write_bytes(whole + b"1\n")
        else:
            change(good(60)).to_csv(table, index=False)
        err = reparam(f"train --resume {run}/run --steps 8", code=1).err
        assert said in err.splitlines()[-1]
        assert "Traceback" not in err
    finally:
        table.write_bytes(whole)
    assert contents(run / "run") == before


# Estimators


def frame(n: int = 40) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame({"u": draw.normal(size=n), "s": draw.choice(["x", "y"], n)})


def test_a_column_without_values_stays_empty_and_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = X.copy()
    x[:, 1], x[3, 0] = np.nan, np.nan
    filled = VAEImputer(n_samples=10, steps=5, random_state=0).fit_transform(x)
    assert "columns without any value stay empty: x1; drop them" in capsys.readouterr().err
    assert np.isnan(filled).sum(0).tolist() == [0, N, 0]
    rows = frame().assign(z=None, u=lambda f: f["u"].where(f.index > 2))
    table = VAEImputer(n_samples=10, steps=5, random_state=0).fit_transform(rows)
    assert "stay empty: z" in capsys.readouterr().err
    assert table["u"].notna().all()


def test_a_constant_column_is_filled_with_its_value() -> None:
    x = X.copy()
    x[:, 1], x[3, 1] = 7.0, np.nan
    filled = VAEImputer(n_samples=10, steps=5, random_state=0).fit_transform(x)
    assert filled[:, 1].tolist() == [7.0] * N


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("a column of text", lambda f: f.assign(u="old"), ["column 'u'", "'old'", "a number"]),
        ("infinite", lambda f: f.assign(u=np.inf), ["column 'u'", "infinite"]),
        ("values of several types", lambda f: f.assign(u=[1, "a"] * 20), ["'u'", "int, str"]),
    ],
)
def test_an_imputer_names_what_does_not_fit(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], said: list[str]
) -> None:
    imputer = VAEImputer(n_samples=10, steps=2, random_state=0).fit(frame())
    with pytest.raises(DataError) as found:
        imputer.transform(change(frame()))
    message = sentence(found)
    for words in said:
        assert words in message


def test_inspect_takes_the_options_of_reading(tmp_path: Path) -> None:
    place = text("x.csv", "a;b\n1,5;2\nlost;3\n" + "2,5;4\n" * 20)(tmp_path)
    said = reparam(f"data inspect {place} --na-values lost --decimal ,").out
    assert "2.5 95%, 1.5 5%" in said
    refused(f"data inspect {place}", "--na-values 'lost'", "--skip-damaged True", code=1)
