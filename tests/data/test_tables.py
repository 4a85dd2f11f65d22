"""Tables from files: what is understood of them, and one sentence for every damaged one."""

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from pyarrow import feather, parquet

import reparam as rp
from reparam.data.delimited import delimiter_of, is_header
from reparam.data.files import kind_of_file
from reparam.data.frames import FrameType, of_frame
from reparam.data.infer import read_schema, schema_of
from reparam.data.inspect import inspect
from reparam.data.mixed import filled, from_table, rows_of
from reparam.data.tables import Table, read_table
from reparam.errors import DataError, OptionError, ReparamError
from reparam.schema import Column, Schema

ROWS = 60


def people(n: int = ROWS) -> pd.DataFrame:
    """Return a table with a column of every kind, and with missing values."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "height": rng.normal(1.7, 0.1, n).round(2),
            "sex": rng.choice(["F", "M"], n),
            "city": rng.choice(["Bonn", "Köln", "Ulm"], n),
            "member": rng.random(n) < 0.3,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
        }
    )
    frame.loc[3, "height"] = np.nan
    frame.loc[5, "city"] = None
    return frame


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in schema_of(table).columns}


EXPECTED = {
    "age": "count",
    "height": "positive",
    "sex": "binary",
    "city": "categorical",
    "member": "binary",
    "since": "date",
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "feather"])
def test_a_file_of_any_kind_has_the_same_schema(tmp_path: Path, ending: str) -> None:
    place = tmp_path / f"people.{ending}"
    frame = people()
    if ending in ("csv", "tsv"):
        frame.to_csv(place, index=False, sep="," if ending == "csv" else "\t")
    elif ending == "parquet":
        parquet.write_table(pa.Table.from_pandas(frame), place)
    else:
        feather.write_feather(pa.Table.from_pandas(frame), place)
    table = read_table(place)
    assert kinds(table) == EXPECTED
    schema = schema_of(table)
    assert [c.name for c in schema.features if c.has_missing] == ["height", "city"]
    x = rows_of(table, schema)
    assert x.shape == (ROWS, 6)
    assert x.isnan().sum() == 2
    assert x[:, 0].tolist() == frame["age"].tolist()


def test_dataframes_of_two_libraries_have_the_same_rows() -> None:
    frame = people()
    first, second = of_frame(frame), of_frame(pl.from_pandas(frame))
    assert first is not None
    assert second is not None
    one, two = (rows_of(table, schema_of(table)) for table in (first, second))
    np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_decoding_returns_the_table(tmp_path: Path) -> None:
    frame = people()
    table = of_frame(frame)
    assert table is not None
    schema = schema_of(table)
    kept = FrameType.of(frame)
    assert kept is not None
    found = kept.frame(schema.decode(rows_of(table, schema).double().numpy()))
    assert list(found.columns) == list(frame.columns)
    assert found["age"].tolist() == frame["age"].tolist()
    assert found["sex"].tolist() == frame["sex"].tolist()
    assert found["member"].tolist() == frame["member"].tolist()
    assert found["since"].dt.date.tolist() == frame["since"].dt.date.tolist()
    np.testing.assert_allclose(found["height"], frame["height"], atol=1e-9)
    assert found["city"].isna().tolist() == frame["city"].isna().tolist()


def test_a_schema_survives_yaml() -> None:
    table = of_frame(people())
    assert table is not None
    schema = schema_of(table)
    assert Schema.from_list(schema.to_list()) == schema


def test_a_run_is_rebuilt_with_its_schema(tmp_path: Path) -> None:
    people(200).to_csv(tmp_path / "people.csv", index=False)
    data = rp.data.read(tmp_path / "people.csv")
    run = rp.fit(
        rp.variants.vae(data.spec, hidden=(8,)),
        data,
        steps=5,
        out=tmp_path / "run",
        progress=False,
    )
    again = rp.load(tmp_path / "run")
    assert again.spec == run.spec
    frame = people(20)
    np.testing.assert_array_equal(again.encode(frame).numpy(), run.encode(frame).numpy())
    table = again.to_table(again.sample(7))
    assert table.num_rows == 7
    assert set(table.column("city").to_pylist()) <= {"Bonn", "Köln", "Ulm"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;2\n3,5;4\n", [1.5, 3.5]),
        ("a,b\n1.5,2\n3.5,4\n", [1.5, 3.5]),
        ("a\tb\n1.5\t2\n3.5\t4\n", [1.5, 3.5]),
        ("a|b\n1.5|2\n3.5|4\n", [1.5, 3.5]),
        ("a  b\n1.5   2\n 3.5  4\n", [1.5, 3.5]),
        ('a,b\n"1,500",2\n"3,500",4\n', [1500.0, 3500.0]),
        ("a;b\n1.500,25;2\n3.500,75;4\n", [1500.25, 3500.75]),
        ("1.5,2\n3.5,4\n", [1.5, 3.5]),
        ("a,b\n1.5 , 2\n3.5 , 4\n", [1.5, 3.5]),
        ("a,b\n1.5,2\n?,4\n", [1.5, np.nan]),
        ("a,b\nNA,2\n3.5,4\n", [np.nan, 3.5]),
        ("\ufeffa,b\n1.5,2\n3.5,4\n", [1.5, 3.5]),
        ("a,b\r\n1.5,2\r\n3.5,4\r\n", [1.5, 3.5]),
        ("a,b\n1e3,2\n-2.5E-1,4\n", [1000.0, -0.25]),
        ("a;b\n0,513;51,3\n1,487;48,7\n", [0.513, 1.487]),
        ("a;b\n1,513;51\n2,487;48\n", [1.513, 2.487]),
        ("a;b\n2.562;51,26\n1.100;48,68\n", [2562.0, 1100.0]),
        ('a,b\n"$1,234.50",2\n$99,3\n', [1234.5, 99.0]),
        ("a,b\n53.6%,2\n7%,3\n", [53.6, 7.0]),
        ("a,b\n56 131,2\n1'000,3\n", [56131.0, 1000.0]),
        ("a,b\n(44.14),2\n\u22123,3\n", [-44.14, -3.0]),
        ('a,b\n"1,23,456.50",2\n"12,34,567",3\n', [123456.5, 1234567.0]),
        ("a;b\n1.234,50-;2\n99,30;3\n", [-1234.5, 99.3]),
        ("0,1\n1.5,2\n3.5,4\n", [1.5, 3.5]),
        ("\n\na,b\n1.5,2\n3.5,4\n", [1.5, 3.5]),
    ],
)
def test_numbers_of_spreadsheets(tmp_path: Path, text: str, expected: list[float]) -> None:
    place = tmp_path / "x.csv"
    place.write_bytes(text.encode())
    np.testing.assert_array_equal(next(iter(read_table(place).columns.values())), expected)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (("2024-01-31", "2024-02-01"), date(2024, 1, 31)),
        (("31.1.2024", "1.2.2024"), date(2024, 1, 31)),
        (("1/31/2024", "2/1/2024"), date(2024, 1, 31)),
        (("31/1/2024", "1/2/2024"), date(2024, 1, 31)),
        (("2024-01-31T10:30", "2024-02-01T11:00"), date(2024, 1, 31)),
        (("2024-01-31 23:30:00+02:00", "2024-02-01 00:00:00Z"), date(2024, 1, 31)),
    ],
)
def test_dates(tmp_path: Path, cells: tuple[str, str], first: date) -> None:
    place = tmp_path / "x.csv"
    place.write_text("when,b\n" + "".join(f"{cell},1\n" for cell in cells))
    table = read_table(place)
    assert table.stored["when"] == "date"
    assert table.columns["when"][0].astype("datetime64[D]").item() == first


def test_dates_of_an_unknown_order_are_text(tmp_path: Path) -> None:
    place = tmp_path / "x.csv"
    place.write_text("when,b\n1/2/2024,1\n3/4/2024,2\n")
    assert read_table(place).stored["when"] == "text"


def test_a_time_has_the_unit_that_float32_holds() -> None:
    first = np.datetime64("2024-01-01", "s")
    seconds = first + np.arange(0, 3 * 86_400, 7).astype("timedelta64[s]")
    years = first + (np.arange(100) * 86_400 * 365).astype("timedelta64[s]")
    for moments, unit in ((seconds, "s"), (years, "D")):
        table = Table("x", {"t": moments.astype("datetime64[us]")}, {"t": "date"}, {})
        schema = schema_of(table)
        assert schema.columns[0].unit == unit
        found = schema.decode(rows_of(table, schema).double().numpy())["t"]
        np.testing.assert_array_equal(found, moments)


def test_a_column_far_from_zero_keeps_its_digits() -> None:
    values = 1.7e9 + np.random.default_rng(0).permutation(1000) * 0.5
    table = Table("x", {"t": values}, {"t": "float"}, {"t": 1})
    schema = schema_of(table)
    found = schema.decode(rows_of(table, schema).double().numpy())["t"]
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("values", "stored", "kind"),
    [
        (np.arange(100.0), "int", "ignored"),
        (np.arange(100.0) % 3, "int", "count"),
        (np.arange(100.0) % 30, "int", "count"),
        (np.arange(100.0) % 30 - 5, "int", "real"),
        (np.arange(100.0) / 7 + 0.1, "float", "positive"),
        (np.arange(100.0) / 7 - 1, "float", "real"),
        (np.arange(100.0) % 2, "float", "binary"),
        (np.full(100, 5.0), "float", "ignored"),
        (np.full(100, np.nan), "float", "ignored"),
        (np.array([f"id{i}" for i in range(100)], object), "text", "ignored"),
        (np.array(["a", "b"] * 50, object), "text", "binary"),
        (np.array(["a", "b", None, "c"] * 25, object), "text", "categorical"),
    ],
)
def test_kinds(values: Any, stored: Any, kind: str) -> None:
    other = np.random.default_rng(0).normal(size=100)
    table = Table("x", {"a": values, "b": other}, {"a": stored, "b": "float"}, {})
    assert kinds(table)["a"] == kind


def test_a_schema_file_overrides_kinds(tmp_path: Path) -> None:
    place = tmp_path / "schema.yaml"
    place.write_text("age: real\ncity: {kind: ordinal, values: [Ulm, Bonn, Köln]}\nsex: ignored\n")
    table = of_frame(people())
    assert table is not None
    schema = schema_of(table, read_schema(place))
    assert schema.column("age").kind == "real"
    assert schema.column("city").values == ("Ulm", "Bonn", "Köln")
    assert "sex" not in schema.names


def test_a_constant_returns_in_samples_and_an_identifier_does_not() -> None:
    columns = {
        "one": np.full(50, 3.0),
        "id": np.arange(50.0),
        "x": np.random.default_rng(0).normal(size=50),
    }
    table = Table("x", columns, {"one": "int", "id": "int", "x": "float"}, {"one": 0})
    schema = schema_of(table)
    found = schema.decode(np.zeros((2, 1)))
    assert found["one"].tolist() == [3, 3]
    assert "id" not in found


def test_labels_are_a_column(tmp_path: Path) -> None:
    place = tmp_path / "people.csv"
    people().to_csv(place, index=False)
    data = rp.data.load("table", path=place, target="city", test_share=0)
    assert data.class_names == ("Bonn", "Köln", "Ulm")
    assert "city" not in data.spec.columns
    assert data.labels is not None
    assert (data.labels == -1).sum() == 1


def test_a_report_names_duplicates_and_leaks() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300).astype(float)
    columns = {"y": y, "leak": 10 * y + rng.normal(size=300), "x": rng.normal(size=300).round()}
    table = Table("x", columns, dict.fromkeys(columns, "float"), {})
    report = inspect(table, schema_of(table), target="y")
    by_name = {column.name: column for column in report.columns}
    assert "reveals y" in " ".join(by_name["leak"].remarks)
    assert "reveals" not in " ".join(by_name["x"].remarks)
    twice = table.take(np.array([0, 0, 1, 2]))
    assert inspect(twice, schema_of(table)).n_duplicates == 1


def test_prose_is_text_and_numbers_are_a_table(tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text("To be, or not to be,\nthat is the question.\n" * 20)
    (tmp_path / "numbers.txt").write_text("1.0 2.0\n3.0 4.5\n" * 20)
    assert kind_of_file(tmp_path / "prose.txt") == "text"
    assert kind_of_file(tmp_path / "numbers.txt") == "table"
    (tmp_path / "words").write_text("alpha\nbeta\n" * 20)
    assert kind_of_file(tmp_path / "words") == "text"
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="ends in nothing"):
        kind_of_file(tmp_path / "bytes")
    assert kind_of_file(tmp_path) == "images"
    (tmp_path / "matrix.mtx.gz").write_bytes(b"")
    for place in (tmp_path, tmp_path / "matrix.mtx.gz"):
        with pytest.raises(DataError, match="in the format Matrix Market"):
            kind_of_file(place)


def test_the_same_rows_are_held_out_for_a_seed(tmp_path: Path) -> None:
    place = tmp_path / "people.csv"
    people().to_csv(place, index=False)
    first, second, third = (rp.data.read(place, seed=seed) for seed in (0, 0, 1))
    assert first.splits["test"] == second.splits["test"]
    assert first.splits["test"] != third.splits["test"]


def test_sparse_counts_and_labels_of_an_array_file(tmp_path: Path) -> None:
    from scipy.sparse import csr_matrix

    x = np.random.default_rng(0).poisson(0.3, (40, 7))
    matrix = csr_matrix(x)
    parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    np.savez(tmp_path / "counts.npz", shape=x.shape, y=np.arange(40) % 3 + 1, **parts)
    data = rp.data.read(tmp_path / "counts.npz", test_share=0)
    assert data.support == "counts"
    np.testing.assert_array_equal(data.images.numpy(), x)
    assert data.spec.n_classes == 3


GOOD = "a,b\n" + "".join(f"{n / 7:.4f},{'xy'[n % 2]}\n" for n in range(30))
NUMBERS = "a,b\n" + "".join(f"{n / 7:.4f},{n % 5}\n" for n in range(30))


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


DAMAGED: list[tuple[str, str | bytes, dict[str, Any], list[str]]] = [
    ("empty.csv", "", {}, ["empty.csv", "no rows"]),
    ("blank.csv", "\n\n\n", {}, ["blank.csv", "no rows"]),
    ("header.csv", "a,b\n", {}, ["header.csv", "no rows"]),
    ("ragged.csv", GOOD + "1.0,x,3\n", {}, ["line 32", "3 cells", "skip_damaged=True"]),
    ("short.csv", NUMBERS + "1.0\n2.0,3\n", {}, ["line 32", "1 cells"]),
    ("twice.csv", "a,a\n1,2\n", {}, ["two columns 'a'"]),
    ("latin.csv", "a,b\n1,caf\xe9\n".encode("latin-1"), {}, ["line 2", "0xe9", "encoding="]),
    ("zeros.csv", b"a,b\n1,\0\0\n", {}, ["zeros.csv", "no text"]),
    ("excel.xlsx", b"PK\x03\x04\0\0\0\0", {}, ["excel.xlsx"]),
    ("encoding.csv", GOOD, {"encoding": "utf-99"}, ["encoding='utf-99'"]),
    ("mark.csv", GOOD, {"delimiter": ",,"}, ["delimiter=',,'"]),
    (
        "mixed.csv",
        NUMBERS + "abc,1\n",
        {},
        ["column 'a'", "'abc'", "line 32", "na_values=['abc']"],
    ),
    ("infinite.csv", NUMBERS + "inf,1\n", {}, ["column 'a'", "infinite", "row 30"]),
    ("missing.csv", "a,b\n" + ",\n" * 20, {}, ["no column to learn from"]),
    ("constant.csv", "a,b\n" + "1,2\n" * 20, {}, ["no column to learn from", "one value"]),
    ("ids.csv", "a\n" + "".join(f"id{n}\n" for n in range(30)), {}, ["identifiers"]),
    ("one.csv", "a,b\n1.5,2.5\n", {}, ["no column to learn from"]),
    ("target.csv", GOOD, {"target": "bb"}, ["unknown column", "'bb'", "'b'"]),
    ("quantity.csv", GOOD, {"target": "a"}, ["target='a'", "30 different values"]),
    ("validation.csv", GOOD, {"validation": 50}, ["validation=50"]),
    ("share.csv", GOOD, {"test_share": 1.5}, ["test_share=1.5"]),
    ("missing-option.csv", GOOD, {"missing": "drop"}, ["missing", "'drop'", "left-out"]),
    ("option.csv", GOOD, {"window": 5}, ["window=5"]),
    ("binarize.csv", GOOD, {"binarize": "static"}, ["binarize='static'"]),
    ("bad.parquet", b"PAR1 no", {}, ["bad.parquet", "cannot be read"]),
    ("bad.arrow", b"ARROW1", {}, ["bad.arrow", "cannot be read"]),
    ("bad.feather", b"", {}, ["bad.feather", "cannot be read"]),
    ("bad.npy", b"\x93NUMPY", {}, ["bad.npy", "cannot be read"]),
    ("empty.npy", b"", {}, ["empty.npy", "cannot be read"]),
    ("bad.npz", b"PK\x05\x06", {}, ["bad.npz"]),
    ("file.json", "{}", {}, ["file.json", ".json", "tables"]),
    ("file", "a,b\n", {}, ["file has 4 characters"]),
    ("quote.csv", 'a,b\n"1,2\n3,4\n', {}, ["quote.csv", "line 2", "not closed"]),
    ("decimal.csv", GOOD, {"decimal": ";"}, ["decimal=';'"]),
    ("large.csv", NUMBERS + "1e40,1\n", {"test_share": 0}, ["column 'a'", "1e+40", "scale"]),
]


@pytest.mark.parametrize(
    ("name", "content", "options", "said"), DAMAGED, ids=[d[0] for d in DAMAGED]
)
def test_a_damaged_file_is_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], said: list[str]
) -> None:
    place = tmp_path / name
    place.write_bytes(_bytes(content))
    with pytest.raises(ReparamError) as found:
        rp.data.read(place, **options)
    message = str(found.value)
    assert "\n" not in message
    for words in said:
        assert words in message


SCHEMAS: list[tuple[str, list[str]]] = [
    ("c: real", ["'c'"]),
    ("a: number", ["'number'"]),
    ("a: count", ["column 'a'", "cannot be count"]),
    ("b: real", ["column 'b'", "holds text"]),
    ("a: date", ["column 'a'", "holds numbers"]),
    ("b: {kind: binary, values: [x]}", ["'b'", "two or more"]),
    ("b: {kind: binary, values: [x, y, z]}", ["'b'", "binary with 3 classes"]),
    ("b: {kind: categorical, values: x}", ["values of column 'b'"]),
    ("b: {kind: categorical, values: [x, z]}", ["column 'b'", "'y'"]),
    ("b: {kind: categorical, values: [x, x, y]}", ["class twice"]),
    ("b: {kinds: binary}", ["'kinds'"]),
    ("a: [1, 2]", ["column 'a'"]),
    ("a: ignored\nb: ignored", ["no column to learn from"]),
    ("- a", ["schema.yaml"]),
    ("a: {", ["schema.yaml"]),
    ("", ["schema.yaml"]),
]


@pytest.mark.parametrize(("text", "said"), SCHEMAS, ids=[s[0] for s in SCHEMAS])
def test_a_damaged_schema_is_one_sentence(tmp_path: Path, text: str, said: list[str]) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "schema.yaml").write_text(text)
    with pytest.raises(ReparamError) as found:
        rp.data.read(tmp_path / "good.csv", schema=tmp_path / "schema.yaml")
    for words in said:
        assert words in str(found.value)


FRAMES: list[tuple[pd.DataFrame, list[str]]] = [
    (people().assign(city="Rom"), ["column 'city'", "'Rom'", "row 0", "Bonn"]),
    (people().drop(columns="age"), ["lacks the column 'age'"]),
    (people().assign(age="forty"), ["column 'age'", "'forty'", "a number is needed"]),
    (people().assign(since=1.0), ["column 'since'", "no dates"]),
    (people().assign(age=np.inf), ["column 'age'", "infinite"]),
    (people().assign(sex=np.arange(ROWS)), ["column 'sex'", "row"]),
    (people().assign(age=pd.Timestamp("2020-01-01")), ["column 'age'", "dates"]),
    (people().assign(age=[[1]] * ROWS), ["column 'age'", "list"]),
    (people().iloc[:0], ["0 rows"]),
]


@pytest.mark.parametrize(("frame", "said"), FRAMES, ids=[" ".join(f[1]) for f in FRAMES])
def test_rows_that_no_training_data_have_are_refused(frame: pd.DataFrame, said: list[str]) -> None:
    table = of_frame(people())
    assert table is not None
    data = from_table(table)
    run = rp.fit(rp.variants.vae(data.spec, hidden=(4,)), data, steps=1, progress=False)
    with pytest.raises(DataError) as found:
        run.encode(frame)
    for words in said:
        assert words in str(found.value)


def test_known_cells_keep_their_values() -> None:
    frame = people()
    table = of_frame(frame)
    assert table is not None
    schema = schema_of(table)
    new = frame.assign(age=120, note="kept")
    other = of_frame(new)
    assert other is not None
    kept = FrameType.of(new)
    assert kept is not None
    full = kept.frame(filled(other, schema, torch.zeros(ROWS, 6)), new)
    assert full["age"].tolist() == [120] * ROWS
    assert full["note"].tolist() == ["kept"] * ROWS
    known = frame["height"].notna()
    assert full["height"][known].tolist() == frame["height"][known].tolist()
    assert full["height"].notna().all()
    assert full["city"].notna().all()


def test_kinds_and_ranges_are_those_of_training_rows() -> None:
    frame = people()
    frame.loc[0, "age"] = 1000
    frame.loc[1, "city"] = "Rom"
    table = of_frame(frame)
    assert table is not None
    splits = {"train": np.arange(2, ROWS), "test": np.arange(2)}
    schema = from_table(table, splits=splits).spec.schema
    assert schema is not None
    assert schema.column("age").high is not None
    assert schema.column("age").high < 1000  # type: ignore[operator]
    assert "Rom" in schema.column("city").values


def test_labels_of_another_file_are_numbered_as_in_training(tmp_path: Path) -> None:
    frame = people(200)
    frame["city"] = frame["city"].fillna("Ulm")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame[frame["city"] != "Köln"].to_csv(tmp_path / "b.csv", index=False)
    data = rp.data.load("table", path=tmp_path / "a.csv", target="city")
    run = rp.fit(rp.variants.vae(data.spec, hidden=(4,)), data, steps=1, progress=False)
    other = run.dataset(path=tmp_path / "b.csv")
    assert other.class_names == ("Bonn", "Köln", "Ulm")
    assert other.labels is not None
    assert set(other.labels.tolist()) == {0, 2}


def test_text_stays_text_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "a,b\n" + "".join(f"{'12x'[n % 3]},{n / 7}\n" for n in range(60))
    )
    (tmp_path / "b.csv").write_text("a,b\n1,2.5\n2,3.5\n")
    data = rp.data.read(tmp_path / "a.csv")
    run = rp.fit(rp.variants.vae(data.spec, hidden=(4,)), data, steps=1, progress=False)
    assert run.encode(run.table(tmp_path / "b.csv")).shape[0] == 2


def test_a_column_of_numbers_and_text_is_categorical_on_request(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        "a,b\n" + "".join(f"{n % 5},{n / 7}\n" for n in range(60)) + "5b,1\n"
    )
    (tmp_path / "schema.yaml").write_text("a: categorical")
    data = rp.data.read(tmp_path / "x.csv", schema=tmp_path / "schema.yaml")
    assert data.spec.schema is not None
    assert "5b" in data.spec.schema.column("a").values


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["9", "10", "11", "12"] * 20 + ["other"] + ["9"] * 5, "categorical"),  # levels
        ([str(n % 60) for n in range(150)] + ["58A", "59B", "7"], "categorical"),  # codes
        ([str(n) for n in range(150)] + ["58A", "59B", "151"], "ignored"),  # identifiers
        ([str(n % 60) for n in range(150)] + [".", "..", "7"], "count"),  # missing
    ],
)
def test_words_beside_whole_numbers(tmp_path: Path, cells: list[str], kind: str) -> None:
    rows = [f"{cell},{i % 7 / 10}" for i, cell in enumerate(cells)]
    (tmp_path / "a.csv").write_text("\n".join(["grade,b", *rows]))
    data = rp.data.read(tmp_path / "a.csv")
    assert data.spec.schema is not None
    column = data.spec.schema.columns[0]
    assert column.kind == kind


@pytest.mark.parametrize(
    "cells",
    [
        ["units"] + ["9", "10"] * 20,  # a second header
        ["9", "10"] * 20 + ["total"],  # a footer
        [str(n % 60) for n in range(150)] + ["oops", "7"],  # a mistake among many numbers
        ["1.5", "2.5"] * 40 + ["high", "1.5"],  # quantities
    ],
)
def test_a_word_among_numbers_is_a_mistake(tmp_path: Path, cells: list[str]) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["a,b", *(f"{cell},1" for cell in cells)]))
    with pytest.raises(DataError, match="in column 'a'"):
        rp.data.read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("cells", "stored", "decimals"),
    [
        (["0.1", "1E5"], "float", 1),
        (["-0", "1"], "int", 0),
        (["1e-400", "2"], "float", 0),
        (["12345678.5", "1e3", "0.25"], "float", 2),
        (["1.", ".5", "2"], "float", 1),  # not in Arrow's notation
    ],
)
def test_numbers_are_those_of_python(
    tmp_path: Path, cells: list[str], stored: str, decimals: int | None
) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *(f"{cell},a" for cell in cells)]))
    table = read_table(tmp_path / "a.csv")
    assert table.columns["x"].tolist() == list(map(float, cells))
    assert (table.stored["x"], table.decimals["x"]) == (stored, decimals)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_text_that_is_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    text = b"a,b\n" + b"1.5,2\n" * 1000
    (tmp_path / f"large{ending}").write_bytes(gzip.compress(text) if "gz" in ending else text)
    monkeypatch.setattr("reparam.data.delimited.available", lambda: 10_000.0)
    with pytest.raises(DataError, match=r"takes about 66 kB .* 10 kB of memory is free: .*Parquet"):
        rp.data.read(tmp_path / f"large{ending}")


def test_empty_lines_and_marks_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\n\na,b\n1,2\n3,x\n")
    assert list(read_table(tmp_path / "x.csv").columns) == ["a", "b"]
    (tmp_path / "y.csv").write_bytes("\ufeffa,b\n1,2\n".encode())
    assert list(read_table(tmp_path / "y.csv", encoding="utf-8").columns) == ["a", "b"]


def test_an_index_is_no_feature(tmp_path: Path) -> None:
    frame = people(40)
    frame.to_csv(tmp_path / "x.csv")
    schema = schema_of(read_table(tmp_path / "x.csv"))
    assert schema.names == tuple(frame.columns)
    table = of_frame(frame.set_index(pd.Index([f"g{i}" for i in range(40)])))
    assert table is not None
    assert list(table.columns) == list(frame.columns)


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    people().to_csv(tmp_path / "people.csv.gz", index=False)
    assert kinds(read_table(tmp_path / "people.csv.gz")) == EXPECTED
    assert kind_of_file(tmp_path / "people.csv.gz") == "table"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"age": 1000}, "range from"),
        ({"age": 40.5}, "0 decimals"),
        ({"age": np.nan}, "a value is needed"),
        ({"since": "yesterday"}, "a date"),
        ({"city": "Rom"}, "Bonn"),
    ],
)
def test_values_to_condition_on_are_those_of_the_data(given: dict[str, Any], said: str) -> None:
    table = of_frame(people())
    assert table is not None
    with pytest.raises(ReparamError, match=said):
        schema_of(table).encode_given(given)


def test_bad_rows_are_left_out_on_request_and_counted(tmp_path: Path) -> None:
    place = tmp_path / "ragged.csv"
    place.write_text(GOOD + "1.0,x,3\n" + "2.5,y\n")
    table = read_table(place, skip_damaged=True)
    assert len(table) == 31
    assert "left out 1 of 32 rows as damaged (line 32)" in " ".join(table.notes)


def test_a_folder_or_nothing_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="is no file or folder"):
        rp.data.read(tmp_path / "nowhere.csv")


def test_columns_check_themselves() -> None:
    with pytest.raises(OptionError, match="kind of column 'a'"):
        Column("a", "number")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="two columns 'a'"):
        Schema((Column("a", "real"), Column("a", "count")))


def test_delimiters_and_headers() -> None:
    assert delimiter_of(["a,b;c", "1,2;3", "4,5;6"]) in (",", ";")
    assert delimiter_of(["name", "Anna Maria", "Otto"]) == ","
    assert is_header([["a", "a"], ["1", "2"]])
    assert not is_header([["a", "a"], ["b", "c"]])


@pytest.mark.parametrize(("n", "held"), [(400, 0), (1000, 90), (30_000, 2000)])
def test_a_tenth_of_the_training_rows_is_held_out(n: int, held: int, tmp_path: Path) -> None:
    """By default, so that a run on a file stops as one on an array does."""
    np.savetxt(tmp_path / "rows.csv", np.random.default_rng(0).normal(size=(n, 2)), delimiter=",")
    data = rp.data.read(tmp_path / "rows.csv")
    assert len(data.splits.get("validation", ())) == held
    assert "validation" not in rp.data.read(tmp_path / "rows.csv", validation=0).splits


def test_the_header_of_pandas_and_years_are_names(tmp_path: Path) -> None:
    place = tmp_path / "a.csv"
    numbers = np.random.default_rng(0).normal(size=(60, 3)) + 100
    pd.DataFrame(numbers).to_csv(place)
    assert [*read_table(place).columns][1:] == ["0", "1", "2"]
    assert len(read_table(place)) == 60
    rows = "".join(f"c{i},{i * 3.5},{i * 2.5}\n" for i in range(40))
    place.write_text(f"country,2019,2020\n{rows}")
    assert [*read_table(place).columns] == ["country", "2019", "2020"]
    spans = "".join(f"c{i},{1900 + i},{1901 + i}\n" for i in range(40))
    place.write_text(spans)  # no header
    assert len(read_table(place)) == 40


def test_a_point_stays_a_point_beside_lists(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = [f"{i % 4 + 1},{i % 3 + 1}" for i in range(60)]
    lengths = [f"{abs(v):.3f}" for v in rng.normal(size=60)]
    pd.DataFrame({"tags": tags, "length": lengths}).to_csv(tmp_path / "a.csv", index=False)
    found = read_table(tmp_path / "a.csv").columns["length"]
    assert found.tolist() == [float(length) for length in lengths]


@pytest.mark.parametrize("word", ["na", "n.a.", "--", "#DIV/0!", "\\N", "Unknown"])
def test_words_beside_numbers_are_missing(word: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=60).round(3)
    cells = [word if i % 4 == 0 else str(value) for i, value in enumerate(values)]
    words = [["red", word][i % 2] for i in range(60)]
    pd.DataFrame({"a": cells, "b": words}).to_csv(tmp_path / "a.csv", index=False)
    table = read_table(tmp_path / "a.csv")
    assert np.isnan(table.columns["a"]).sum() == 15
    assert table.columns["a"][1:4].tolist() == values[1:4].tolist()
    assert set(table.columns["b"]) == {"red", word}  # a class
    assert any(f"has {word!r} beside numbers" in text for text in table.notes)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sep=;\na;b\n" + "".join(f"{n / 7:.3f};{n % 4}\n" for n in range(40)), ["a", "b"]),
        ("SEP=\t\r\na\tb\r\n" + "".join(f"{n}.5\t{n % 4}\r\n" for n in range(40)), ["a", "b"]),
        (
            '"length\n(cm)","b"\n' + "".join(f"{n / 7:.3f},{n % 4}\n" for n in range(40)),
            ["length (cm)", "b"],
        ),
    ],
)
def test_headers_of_spreadsheets(tmp_path: Path, text: str, names: list[str]) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(text.encode())
    table = read_table(file)
    assert list(table.columns) == names
    assert len(table) == 40
    file.write_bytes((text + "1;2;3,4,5\t6\t7\n").encode())
    with pytest.raises(DataError, match=r"line 4[23] of"):
        read_table(file)


def test_times_of_text_keep_their_zone(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    rows = [f"2024-01-{n + 1:02}T10:00+02:00,{n / 7:.3f}" for n in range(30)]
    file.write_text("\n".join(["t,v", *rows, ""]))
    schema = schema_of(read_table(file))
    assert schema.columns[0].zone == "+02:00"
    moments = schema.decode(schema.encode(read_table(file).columns))["t"]
    assert moments[0] == np.datetime64("2024-01-01T08:00")


def test_rows_of_an_array_file_may_lack_values(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[::7, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    data = rp.data.read(tmp_path / "x.npy", validation=6)
    assert data.spec.schema is not None
    assert data.spec.schema.names == ("x0", "x1", "x2")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }
    run = rp.fit(rp.variants.vae, data, steps=5, progress=False, out=tmp_path / "run")
    loaded = rp.load(tmp_path / "run")
    known = data.examples("test").x
    torch.testing.assert_close(loaded.dataset().examples("test").x, known, equal_nan=True)
    rows = loaded.read(tmp_path / "x.npy").examples("train").x
    np.testing.assert_allclose(rows.numpy(), x, rtol=1e-6)
    np.testing.assert_array_equal(run.table(tmp_path / "x.npy").columns["x1"], x[:, 1])


def test_names_of_rows_as_r_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cars.txt"
    rows = [f'"car {n}" {20 + n / 7:.1f} {100 + 3 * n}' for n in range(30)]
    file.write_text("\n".join(['"mpg" "hp"', *rows, ""]))
    table = read_table(file)
    assert list(table.columns) == ["row", "mpg", "hp"]
    assert table.columns["row"][:2].tolist() == ["car 0", "car 1"]
    assert table.columns["hp"].tolist() == [100.0 + 3 * n for n in range(30)]


def test_a_later_file_may_have_another_mark_before_decimals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    known = pd.DataFrame({"a": rng.normal(size=60).round(2), "g": rng.choice(["x", "y"], 60)})
    known.to_csv(tmp_path / "a.csv", index=False)
    known.to_csv(tmp_path / "b.csv", index=False, sep=";", decimal=",")
    run = rp.fit(rp.variants.vae, rp.data.read(tmp_path / "a.csv"), steps=3, progress=False)
    for name in ("a.csv", "b.csv"):
        np.testing.assert_array_equal(run.table(tmp_path / name).columns["a"], known["a"])
