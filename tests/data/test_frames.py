"""DataFrames come back with the library and the types of their columns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from inspect import signature
from typing import Any
from zoneinfo import ZoneInfo

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import reparam as rp
from reparam.cli.main import main
from reparam.data.files import ReadOptions
from reparam.data.frames import FrameType, of_frame
from reparam.data.infer import schema_of
from reparam.data.mixed import decoded, filled, rows_of
from reparam.errors import DataError, OptionError
from reparam.estimators import VAE, VAEImputer
from reparam.schema import Column, Schema

N = 60
RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, 90, N)
WORDS = RNG.choice(["S", "M", "L"], N)
TIMES = pd.date_range("2021-03-27 21:00", periods=N, freq="h", tz="Europe/Berlin")

PANDAS: dict[str, Any] = {
    "int8": NUMBERS.astype(np.int8),
    "Int64 with missing values": pd.array([None, *NUMBERS[1:].tolist()], "Int64"),
    "float32": RNG.normal(size=N).astype(np.float32),
    "float with missing values": [None, *RNG.normal(size=N - 1).tolist()],
    "boolean with missing values": pd.array([None, *(NUMBERS[1:] > 40).tolist()], "boolean"),
    "bool": NUMBERS > 40,
    "text": pd.array(WORDS, "string"),
    "ordered": pd.Categorical(WORDS, ["S", "M", "L", "XL"], ordered=True),
    "unordered": pd.Categorical([None, *WORDS[1:]]),
    "classes that are numbers": pd.Categorical(NUMBERS % 3 + 7),
    "times of a zone": TIMES,
    "nanoseconds": pd.Series(TIMES.tz_localize(None)).astype("datetime64[ns]"),
    "days as text": [f"2021-{1 + n % 12:02}-{1 + n % 28:02}" for n in NUMBERS],
    "lengths of time": pd.to_timedelta(NUMBERS, unit="s"),
    "lengths of nanoseconds": pd.to_timedelta(137 * NUMBERS, unit="ns"),
}


def there_and_back(frame: Any) -> Any:
    """Return a frame after it was x of a model, by a type that was written as text."""
    table, kept = of_frame(frame), FrameType.of(frame)
    assert table is not None
    assert kept is not None
    kept = FrameType.from_text(kept.to_text())
    schema = schema_of(table)
    x = rows_of(table, schema).double().numpy()
    assert len(kept.frame(schema.decode(x[:7]))) == 7
    return kept.frame(schema.decode(x))


@pytest.mark.parametrize("name", PANDAS)
def test_a_column_of_pandas_keeps_its_type_and_its_values(name: str) -> None:
    frame = pd.DataFrame({"other": NUMBERS, name: PANDAS[name]})
    pd.testing.assert_frame_equal(there_and_back(frame), frame, check_exact=False, atol=1e-5)


def test_names_that_are_no_text_come_back() -> None:
    frame = pd.DataFrame(RNG.normal(size=(N, 2)).round(2), columns=[3, 7])
    pd.testing.assert_frame_equal(there_and_back(frame), frame)
    levels = pd.MultiIndex.from_tuples([("size", "width"), ("size", "height")])
    frame.columns = levels
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


def test_columns_of_polars_keep_their_types_and_their_values() -> None:
    frame = pl.DataFrame(
        {
            "count": pl.Series(NUMBERS, dtype=pl.UInt16),
            "part": pl.Series(["S", None, *WORDS[2:]], dtype=pl.Categorical),
            "size": pl.Series(WORDS, dtype=pl.Enum(["L", "M", "S", "XL"])),
            "day": pl.Series(TIMES.date.tolist()),
            "time": pl.Series(TIMES.tz_localize(None)).dt.replace_time_zone("UTC"),
            "missing": pl.Series([None, *NUMBERS[1:].tolist()], dtype=pl.Int32),
        }
    )
    found = there_and_back(frame)
    assert found.schema == frame.schema
    assert found.equals(frame)


def test_a_table_of_arrow_keeps_its_types() -> None:
    frame = pa.table({"n": pa.array(NUMBERS, pa.int16()), "day": pa.array(TIMES.date)})
    found = there_and_back(frame)
    assert found.schema == frame.schema
    assert found.equals(frame)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_the_order_of_a_class_is_that_of_its_type(make: Callable[..., Any]) -> None:
    ordered = pd.Categorical(WORDS, ["S", "M", "L", "XL"], ordered=True)
    values = ordered if make is pd.DataFrame else pl.Series(WORDS, dtype=pl.Enum(["S", "M", "L"]))
    table = of_frame(make({"size": values, "other": NUMBERS}))
    assert table is not None
    column = schema_of(table).column("size")
    # XL is in no row. An Enum of polars has an order that means nothing.
    assert column.values == ("S", "M", "L")
    assert column.kind == ("ordinal" if make is pd.DataFrame else "categorical")


def test_classes_of_identifiers_are_left_out() -> None:
    names = pd.Categorical([f"person {i}" for i in range(N)])
    table = of_frame(pd.DataFrame({"name": names, "other": NUMBERS}))
    assert table is not None
    assert [column.kind for column in schema_of(table).columns] == ["ignored", "count"]


def test_a_column_that_the_frame_does_not_have_gets_the_type_of_its_values() -> None:
    kept = FrameType.of(pl.DataFrame({"a": [1, 2]}))
    assert kept is not None
    found = kept.frame({"a": np.array([3.0]), "b": np.array([0.5])})
    assert nw.from_native(found).schema == {"a": nw.Int64(), "b": nw.Float64()}


def test_numbers_without_a_type_are_refused_by_their_own_reason() -> None:
    with pytest.raises(DataError, match=r"'a' of x holds values of type int that are not read"):
        of_frame(pd.DataFrame({"a": [2**70, 1]}))


def test_damaged_text_is_refused() -> None:
    kept = FrameType.of(pd.DataFrame({"a": [1, 2]}))
    assert kept is not None
    for text in ("", "pandas", "pandas:####", kept.to_text()[:60]):
        with pytest.raises(ValueError, match=r".+"):
            FrameType.from_text(text)


def test_classes_that_a_column_lacks_are_added_to_it() -> None:
    few = pd.DataFrame({"size": pd.Categorical(["S", None], ["S"])})
    kept = FrameType.of(few)
    assert kept is not None
    found = kept.frame({"size": np.array(["S", "L"], object)})
    assert found["size"].tolist() == ["S", "L"]
    assert found["size"].cat.categories.tolist() == ["S", "L"]
    enum = FrameType.of(pl.DataFrame({"size": pl.Series(["S"], dtype=pl.Enum(["S"]))}))
    assert enum is not None
    assert enum.frame({"size": np.array(["S", "L"], object)})["size"].to_list() == ["S", "L"]


@pytest.mark.parametrize(
    ("like", "values"),
    [
        (pl.Series([1], dtype=pl.Int8), [731.0, -3.0]),
        (pl.Series([1], dtype=pl.UInt8), [2.0, -0.6]),
        (pl.Series([True]), [2.0, -0.6]),
        (pl.Series(["a"]), [2.0, -0.6]),
    ],
)
def test_values_that_a_type_cannot_hold_keep_their_own(
    like: pl.Series, values: list[float]
) -> None:
    kept = FrameType.of(pl.DataFrame({"a": like}))
    assert kept is not None
    found = [float(v) for v in kept.frame({"a": np.array(values)})["a"]]
    assert np.allclose(found, values, atol=0.5)


def test_categories_of_dates_as_text_are_classes() -> None:
    days = pd.Categorical([f"2024-01-{1 + n % 9:02}" for n in NUMBERS])
    frame = pd.DataFrame({"day": days, "other": NUMBERS})
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


def test_categories_of_dates_come_back_as_dates() -> None:
    days = pd.to_datetime([f"2024-01-{1 + n % 9:02}" for n in NUMBERS])
    found = there_and_back(pd.DataFrame({"day": pd.Categorical(days), "other": NUMBERS}))
    assert found["day"].tolist() == days.tolist()


def test_decimals_of_float32_are_found() -> None:
    frame = pd.DataFrame({"a": (NUMBERS / 10 + 20).astype(np.float32), "b": WORDS})
    table = of_frame(frame)
    assert table is not None
    assert table.decimals["a"] == 1
    assert set(there_and_back(frame)["a"]) == set(frame["a"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pd.cut(NUMBERS, 4), r"'a' of x holds intervals: convert it to classes"),
        (pd.arrays.SparseArray(NUMBERS * 1.0), r"'a' of x is sparse: give x\.sparse\.to_dense"),
        (np.array(["300000-01-01"], "datetime64[s]"), "'a' of x has dates more than 290,000 years"),
    ],
)
def test_types_that_are_not_read_are_refused(values: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        of_frame(pd.DataFrame({"a": values}))


def test_drawn_dates_are_written_as_those_of_the_table(tmp_path: Any) -> None:
    days = np.datetime64("2020-01-01") + RNG.integers(0, 300, N)
    rows = pd.DataFrame(
        {"age": NUMBERS, "day": [f"{d.day}.{d.month}.{d.year}" for d in days.tolist()]}
    )
    rows.to_csv(tmp_path / "rows.csv", index=False)
    run = rp.fit(rp.variants.vae, tmp_path / "rows.csv", steps=5, out=tmp_path / "run")
    drawn = run.to_table(run.sample(20), like=rows)["day"]
    assert drawn.str.fullmatch(r"[1-9]\d?\.[1-9]\d?\.2020").all()
    path = tmp_path / "drawn.csv"
    main(["sample", str(tmp_path / "run"), "-n", "20", "--out", str(path)])
    assert pd.read_csv(path)["day"].str.fullmatch(r"[1-9]\d?\.[1-9]\d?\.2020").all()
    first = pd.DataFrame({"day": ["03/02/2024", "04/02/2024", "31/01/2024"] * 20, "age": NUMBERS})
    own = rp.fit(rp.variants.vae, first, steps=2)
    assert own.to_table(own.sample(9), like=first)["day"].str.fullmatch(r"\d\d/\d\d/2024").all()
    typed = rows.assign(day=pd.to_datetime(rows["day"], dayfirst=True))
    assert run.to_table(run.sample(20), like=typed)["day"].dtype == typed["day"].dtype


def test_nested_columns_are_left_out_beside_others(tmp_path: Any) -> None:
    rows = pd.DataFrame({"age": NUMBERS, "tags": [[i, 2] for i in range(N)]})
    rows.to_parquet(tmp_path / "rows.parquet")
    for source in (rows, tmp_path / "rows.parquet"):
        data = rp.data.read(source)
        assert [column.name for column in data.spec.schema.columns] == ["age"]
        assert any("left out: tags (each cell is a list" in note for note in data.notes)
    with pytest.warns(UserWarning, match="left out: tags"):
        VAE(steps=2, random_state=0).fit(rows)
    rows["size"] = np.where(np.arange(N) % 5, RNG.normal(size=N), np.nan)
    with pytest.warns(UserWarning, match="left out: tags"):
        imputer = VAEImputer(steps=2, random_state=0).set_output(transform="pandas").fit(rows)
    done = imputer.transform(rows)
    assert done.columns.tolist() == ["age", "tags", "size"]
    assert (done["tags"] == rows["tags"]).all()
    assert done["size"].notna().all()
    images = pd.DataFrame({"age": NUMBERS, "image": [{"bytes": b"x"}] * N})
    with pytest.raises(DataError, match=r"column 'image'.*binary"):
        rp.data.read(images)


def test_a_declared_order_holds_for_the_kind_that_a_user_names() -> None:
    sizes = pd.Categorical(WORDS, ["S", "M", "L"], ordered=True)
    table = of_frame(pd.DataFrame({"size": sizes, "other": NUMBERS}))
    assert table is not None
    found = schema_of(table, {"size": {"kind": "categorical"}}).column("size")
    assert (found.kind, found.values) == ("categorical", ("S", "M", "L"))


def test_many_numbers_in_categories_are_a_quantity() -> None:
    rng = np.random.default_rng(0)
    table = of_frame(pd.DataFrame({"code": pd.Categorical(rng.integers(0, 2000, 20_000) * 3.5)}))
    assert table is not None
    assert not schema_of(table).column("code").is_class


def test_text_stays_text_whatever_a_part_of_it_looks_like() -> None:
    words = ["2020-01-05", "unknown", "2020-02-01", "unknown"] * 15
    frame = pd.DataFrame({"when": words, "n": NUMBERS})
    run = rp.fit(rp.variants.vae, frame, steps=2, progress=False)
    x = run.examples(frame.iloc[[0, 2]]).x
    assert torch.equal(x, run.examples(frame).x[[0, 2]])


def test_numbers_in_categories_are_classes_of_a_fit() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(NUMBERS % 4), "n": NUMBERS})
    run = rp.fit(rp.variants.vae, frame, steps=2, progress=False)
    assert run.spec.schema is not None
    assert run.spec.schema.column("c").values == (0, 1, 2, 3)


def test_columns_without_values_are_missing() -> None:
    frame = pd.DataFrame({"c": WORDS, "day": TIMES.tz_localize(None), "ok": NUMBERS > 40})
    table = of_frame(frame)
    assert table is not None
    schema = schema_of(table)
    lacking = of_frame(pd.DataFrame({"c": [None], "day": [None], "ok": [None]}))
    assert lacking is not None
    assert bool(rows_of(lacking, schema).isnan().all())
    whole = filled(lacking, schema, rows_of(table, schema)[:1])
    assert whole["c"].tolist() == [WORDS[0]]
    # A file with one of the words alone has text.
    truths = schema.column("ok").encode(np.array(["True", None, "false"], object), "x")
    np.testing.assert_array_equal(truths, [1.0, np.nan, 0.0])


def test_a_column_of_one_date_is_left_out() -> None:
    days = np.array(["2020-02-02"] * N, "datetime64[us]")
    table = of_frame(pd.DataFrame({"day": days, "n": NUMBERS}))
    assert table is not None
    column = schema_of(table).columns[0]
    assert (column.kind, column.values) == ("ignored", ())


FRAMES = (pd.DataFrame, pl.DataFrame, pa.table)


@pytest.mark.parametrize("make", FRAMES)
def test_numbers_of_a_frame_are_a_table(make: Callable[..., Any]) -> None:
    """As the file of them would be: each column has a kind."""
    columns = {"age": NUMBERS.astype(float), "rooms": np.arange(N) % 3, "rent": RNG.normal(size=N)}
    data = rp.data.as_dataset(make(columns))
    assert data.spec.support == "mixed"
    assert [column.kind for column in data.spec.schema.columns] == ["count", "count", "real"]
    labels = rp.data.as_dataset((make(columns), np.arange(N) % 2))
    assert labels.spec.n_classes == 2


@pytest.mark.parametrize("as_levels", [False, True])
def test_pixels_of_a_frame_are_levels(as_levels: bool) -> None:
    pixels = RNG.integers(0, 256, (N, 64)).astype(np.uint8)
    frame = pd.DataFrame(np.float32(pixels / 255) if as_levels else pixels)
    assert rp.data.as_dataset(frame.set_axis(map(str, range(64)), axis=1)).spec.levels == 256
    few = pd.DataFrame(pixels[:, :5], columns=list("abcde"))
    assert rp.data.as_dataset(few).spec.support == "mixed"


def test_a_model_of_an_array_learns_the_numbers_of_a_frame() -> None:
    frame = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.normal(size=N)})
    recipe = rp.variants.vae(rp.data.from_arrays(frame).spec)
    assert rp.fit(recipe, frame, steps=1, progress=False).spec.support == "real"


def test_few_numbers_leave_a_probability_to_others() -> None:
    """A later row may have a number that no training row had."""
    frame = pd.DataFrame({"rent": RNG.normal(size=N), "rooms": np.arange(N) % 3 + 1})
    run = rp.fit(rp.variants.vae, frame, steps=50, progress=False)
    assert run.spec.schema.column("rooms").atoms == (1.0, 2.0, 3.0)
    usual, other = (run.log_likelihood(frame.assign(rooms=k).head()) for k in (2, 4))
    assert bool(other.isfinite().all())
    assert bool((other < usual).all())


def test_arrays_given_to_a_run_have_the_numbers_of_its_table() -> None:
    """Classes of an array are the numbers of the user, and not their places."""
    rooms = np.arange(N) % 2 * 3 + 5
    frame = pd.DataFrame({"rent": RNG.normal(size=N), "one": 4.0, "rooms": rooms})
    run = rp.fit(rp.variants.vae, frame, steps=1, progress=False)
    expected = run.examples(frame).x
    assert expected[:, 1].tolist() == (rooms > 5).tolist()
    assert torch.equal(run.examples(frame.to_numpy()).x, expected)
    assert torch.equal(run.examples(frame[["rent", "rooms"]].to_numpy()).x, expected)
    assert torch.equal(run.examples(expected).x, expected)  # a tensor is x itself
    with pytest.raises(DataError, match="column 'rooms' of x"):
        run.examples(frame.to_numpy() + 100)


def test_numbers_of_an_array_that_lacks_some_are_quantities() -> None:
    x = np.column_stack([RNG.normal(size=N), np.arange(N) % 3 + 5.0, np.full(N, 2.0)])
    x[3, 0] = np.nan
    run = rp.fit(rp.variants.vae, x, steps=1, progress=False)
    assert [column.kind for column in run.spec.schema.columns] == ["real", "real", "ignored"]
    assert run.examples(x).x[:, 1].tolist() == x[:, 1].tolist()


@pytest.mark.parametrize("make", FRAMES)
def test_a_frame_is_read_as_its_file_is(make: Callable[..., Any], tmp_path: Any) -> None:
    columns = {"age": NUMBERS + 0.5, "size": WORDS, "label": np.arange(N) % 2}
    pd.DataFrame(columns).to_csv(tmp_path / "data.csv", index=False)
    options = {"target": "label", "test_share": 0.25, "validation": 5, "seed": 3}
    frame, file = (
        rp.data.read(given, **options) for given in (make(columns), tmp_path / "data.csv")
    )
    assert frame.spec == file.spec
    for split in ("train", "validation", "test"):
        assert torch.equal(frame.split(split).x, file.split(split).x)
        assert torch.equal(frame.split(split).y, file.split(split).y)


def test_options_of_files_are_refused_for_a_frame() -> None:
    with pytest.raises(OptionError, match="delimiter=';': an option of files"):
        rp.data.read(pd.DataFrame({"a": NUMBERS}), delimiter=";")
    with pytest.raises(OptionError, match="did you mean 'target'"):
        rp.data.read(pd.DataFrame({"a": NUMBERS}), taget="a")


def test_arrays_are_not_read_but_told_where_to_go() -> None:
    with pytest.raises(DataError, match=r"data of type ndarray .* arrays to data.from_arrays"):
        rp.data.read(NUMBERS)


def test_read_has_the_options_of_load() -> None:
    """Those that name the place of data apart."""
    options = set(signature(rp.data.load).parameters) - {"name", "data_dir", "path"}
    assert set(ReadOptions.__annotations__) == options


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            pd.period_range("2020-01", periods=N, freq="M"),
            r"convert it to dates by .dt.to_timestamp\(\)",
        ),
        (pd.cut(NUMBERS, 3), r"convert it to classes by .astype\(str\)"),
    ],
)
def test_types_that_pandas_alone_has_are_refused_with_what_to_do(column: Any, said: str) -> None:
    frame = pd.DataFrame({"when": column, "n": NUMBERS})
    with pytest.raises(DataError, match=rf"column 'when' of x holds .*: {said}"):
        of_frame(frame)
    # What the message says helps.
    series = frame["when"]
    fixed = series.dt.to_timestamp() if hasattr(series, "dt") else series.astype(str)
    assert of_frame(frame.assign(when=fixed)) is not None


def test_a_frame_that_is_not_in_memory_yet_is_refused_with_what_to_do() -> None:
    frame = pl.DataFrame({"a": ["x", "y"] * 30, "n": NUMBERS}).lazy()
    entrances: list[Callable[[], object]] = [
        lambda: of_frame(frame),
        lambda: rp.fit(rp.variants.vae, frame),
        lambda: VAE().fit(frame),
        lambda: FrameType.of(frame),
        lambda: rp.data.from_arrays(np.zeros((N, 2)), covariates=frame),
    ]
    for entrance in entrances:
        with pytest.raises(DataError, match=r"is a LazyFrame, .* give \w+\.collect\(\)"):
            entrance()


ROME = ZoneInfo("Europe/Rome")
SEEN = [datetime(2024, 7, 1, 8, 0, tzinfo=ROME) + timedelta(minutes=m) for m in range(60)]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    "given",
    [
        datetime(2024, 7, 1, 8, 30),
        datetime(2024, 7, 1, 8, 30, tzinfo=ROME),
        datetime(2024, 7, 1, 6, 30, tzinfo=UTC),
        np.datetime64("2024-07-01T08:30"),
        pd.Timestamp("2024-07-01 08:30"),
        pd.Timestamp("2024-07-01 02:30", tz="America/New_York"),
        "2024-07-01 08:30",
        "2024-07-01T06:30Z",
    ],
)
def test_a_time_is_given_in_the_zone_of_its_column(make: Callable[..., Any], given: object) -> None:
    frame = make({"seen": SEEN, "other": np.arange(60) % 7})
    table = of_frame(frame)
    assert table is not None
    schema = schema_of(table)
    row = schema.encode_given({"seen": given})[:1]
    assert np.array_equal(row, schema.encode(table.columns)[30, :1])
    # It comes back at the same moment, in the zone.
    full = torch.tensor([[*row, 0.0]])
    found = decoded(full, schema).to_pylist()[0]["seen"]
    assert (found, found.utcoffset()) == (SEEN[30], timedelta(hours=2))
    with pytest.raises(DataError, match=r"from 2024-07-01T08:00\+02:00 to 2024-07-01T08:59\+02:00"):
        schema.encode_given({"seen": "2024-07-01 06:30"})


def test_a_time_of_a_zone_is_that_time_where_the_column_has_no_zone() -> None:
    column = Column("seen", "date", unit="m")
    assert column.encode_given("1970-01-01 01:00+01:00") == column.encode_given("1970-01-01") == 0


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    "given",
    [
        timedelta(minutes=90),
        np.timedelta64(90, "m"),
        pd.Timedelta("1h30m"),
        5400,
        "5400",
        "1h30m",
        "1.5 hours",
        "01:30:00",
        str(timedelta(minutes=90)),
        str(pd.Timedelta("1h30m")),
        pd.Timedelta("1h30m").isoformat(),
        str(np.timedelta64(90, "m")),
    ],
)
def test_a_duration_is_given_as_one(make: Callable[..., Any], given: object) -> None:
    lasted = [timedelta(minutes=m) for m in range(120)]
    table = of_frame(make({"lasted": lasted, "other": np.arange(120) % 7}))
    assert table is not None
    schema = schema_of(table)
    assert schema.encode_given({"lasted": given})[0] == 5400
    for wrong in ("soon", "1 parsec", None):
        with pytest.raises(DataError, match=r"a duration, such as 90 seconds"):
            schema.encode_given({"lasted": wrong})
    with pytest.raises(DataError, match="a number is needed"):
        schema.encode_given({"other": given if isinstance(given, timedelta) else "1h"})


NANOSECOND = np.timedelta64(1, "ns")
DAYS = np.timedelta64(20, "D").astype("timedelta64[ns]")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_known_durations_keep_their_nanoseconds(make: Callable[..., Any]) -> None:
    steps = DAYS + NUMBERS * NANOSECOND
    frame = make({"lasted": pl.Series(steps) if make is pl.DataFrame else steps, "n": NUMBERS})
    table, kept = of_frame(frame), FrameType.of(frame)
    assert table is not None
    assert kept is not None
    assert table.notes == ()
    schema = schema_of(table)
    found = kept.frame(filled(table, schema, rows_of(table, schema)))
    assert np.array_equal(found["lasted"].to_numpy(), steps)


def test_digits_of_times_that_are_lost_are_told_once() -> None:
    moments = np.datetime64("2024-01-01", "ns") + 500 * NUMBERS * NANOSECOND
    table = of_frame(pd.DataFrame({"lasted": 20 * DAYS + NUMBERS * NANOSECOND, "t": moments}))
    assert table is not None
    assert table.notes == (
        "column 'lasted' has durations with more digits than double precision has: the last ones "
        "are rounded",
        "column 't' has times below a microsecond, which are left out",
    )


def test_a_zone_is_kept_in_a_file_of_the_schema() -> None:
    column = Column("seen", "date", zone="Europe/Rome")
    assert Schema.from_list(Schema((column,)).to_list()).columns == (column,)


# ---------------------------------------------------------------- the same values in other types


def test_times_without_a_zone_are_those_of_the_zone_of_the_column() -> None:
    """Numbers are hours of the clock, also on the day on which clocks change."""
    known = pd.DataFrame({"seen": TIMES, "v": RNG.normal(size=N)})
    schema = schema_of(of_frame(known))
    local = known.assign(seen=TIMES.tz_localize(None))
    expected = ((local["seen"] - local["seen"][0]).dt.total_seconds() / 3600).tolist()
    for frame in (known, local):
        found = rows_of(of_frame(frame), schema)[:, 0]
        assert (found - found[0]).tolist() == pytest.approx(expected)
    table = of_frame(local)
    table.columns["seen"][3] = np.datetime64("NaT")
    again = filled(table, schema, rows_of(of_frame(known), schema))["seen"]
    assert again[3] == np.datetime64(local["seen"][3])


def test_times_with_a_zone_do_not_fit_a_column_without_one() -> None:
    known = pd.DataFrame({"seen": TIMES.tz_localize(None), "v": RNG.normal(size=N)})
    schema = schema_of(of_frame(known))
    with pytest.raises(DataError, match=r"'seen' .* the zone Europe/Berlin.*tz_localize"):
        rows_of(of_frame(known.assign(seen=TIMES)), schema)


def test_numbers_as_text_are_numbers_and_codes_stay_text() -> None:
    values = RNG.normal(size=N).round(2)
    frame = pd.DataFrame(
        {
            "price": [f"{v:.2f}" for v in values],
            "code": RNG.choice(["10115", "10117", "10119"], N),
            "n": NUMBERS,
        }
    )
    table = of_frame(frame)
    assert table.stored == {"price": "float", "code": "text", "n": "int"}
    np.testing.assert_array_equal(table.columns["price"], values)
    assert "'price' holds numbers as text" in " ".join(table.notes)
    untyped = of_frame(frame.astype(str))
    assert untyped.stored == {"price": "float", "code": "int", "n": "int"}
    schema = schema_of(table)
    later = pd.DataFrame({"price": ["3"], "code": [10117], "n": ["7"]})
    assert rows_of(of_frame(later, text_columns=schema.text_columns), schema).tolist() == [
        [3, 1, 7]
    ]
    with pytest.raises(DataError, match=r"'price' of x is 'dear' in row 0: a number is needed"):
        rows_of(of_frame(later.assign(price="dear")), schema)


def test_dates_whose_order_is_not_clear_have_that_of_the_training_data() -> None:
    days = pd.date_range("2024-01-01", periods=N)
    known = pd.DataFrame({"day": days.strftime("%d/%m/%Y"), "v": RNG.normal(size=N)})
    schema = schema_of(of_frame(known))
    assert (schema.columns[0].kind, schema.columns[0].order) == ("date", "day first")
    assert Schema.from_list(schema.to_list()) == schema
    later = known.head(1).assign(day="02/03/2024")
    assert rows_of(of_frame(later), schema)[0, 0] == (datetime(2024, 3, 2) - days[0]).days
    assert schema.column("day").encode_given("09/02/2024") == 39
    with pytest.raises(DataError, match=r"'03/30/2024' in row 0: a date with the day first"):
        schema.encode({"day": np.array(["03/30/2024"], object), "v": np.zeros(1)})


def test_midnights_of_a_zone_are_whole_days() -> None:
    """In summer they are at 22:00 of UTC, and in winter at 23:00."""
    days = pd.date_range("2024-01-01", periods=N, freq="7D", tz="Europe/Berlin")
    known = pd.DataFrame({"day": days, "v": RNG.normal(size=N)})
    schema = schema_of(of_frame(known))
    assert schema.columns[0].unit == "D"
    between = schema.decode(np.array([[10.3, 0.0], [180.4, 0.0]]))["day"]
    zone = ZoneInfo("Europe/Berlin")
    shown = [t.replace(tzinfo=UTC).astimezone(zone).isoformat() for t in between.tolist()]
    assert shown == ["2024-01-11T00:00:00+01:00", "2024-06-29T00:00:00+02:00"]
