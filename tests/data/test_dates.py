"""Dates in text: read as pandas reads them, and written as others are."""

import numpy as np
import pandas as pd
import pytest

from reparam.data.dates import dates_in, dates_like
from reparam.data.delimited import Cells, values_of

NOTATIONS = [
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %B %Y",
    "%b %d, %Y",
    "%a, %d %b %Y %H:%M:%S",
    "%A, %B %d, %Y",
    "%Y %b %d",
    "%Y%m%d",
    "%Y-%m",
    "%m/%Y",
    "%b %Y",
    "%B %Y",
]


def moments(n: int = 200) -> pd.DatetimeIndex:
    seconds = np.random.default_rng(0).integers(0, 50 * 365 * 86_400, n)
    return pd.DatetimeIndex(np.datetime64("1975-03-01", "s") + seconds.astype("timedelta64[s]"))


@pytest.mark.parametrize("notation", NOTATIONS)
def test_dates_are_read_as_pandas_reads_them(notation: str) -> None:
    words = moments().strftime(notation).tolist()
    expected = pd.to_datetime(words, format=notation).to_numpy("datetime64[us]")
    found = dates_in(words)
    assert found is not None
    np.testing.assert_array_equal(found.moments, expected)


@pytest.mark.parametrize("notation", NOTATIONS)
def test_dates_are_written_as_others_are(notation: str) -> None:
    words = moments().strftime(notation).tolist()
    new = moments(50) + pd.Timedelta(days=1)
    assert dates_like(words, new.to_numpy("datetime64[us]")) == new.strftime(notation).tolist()


@pytest.mark.parametrize(
    "words",
    [
        ("1.2.10", "1.3.11"),  # versions
        ("2009-10", "2012-13"),  # seasons
        ("12340131", "99990101"),
        ("1/31/2024 13:00 PM", "2/1/2024 1:00 PM"),
        ("31-Foo-2024", "1-Jan-2024"),
        ("30 Feb 2024", "1 Jan 2024"),
        ("May", "June"),
        ("1/2/24", "3/4/24"),  # which number is the day?
        ("Mary 2024", "Jane 2023"),
    ],
)
def test_other_words_are_no_dates(words: tuple[str, ...]) -> None:
    assert dates_in(words) is None


def test_a_time_with_an_offset_is_of_utc() -> None:
    words = ["Wed, 31 Jan 2024 10:00:00 +0100", "Thu, 1 Feb 2024 10:00:00 +0100"]
    found = dates_in(words)
    assert found is not None
    assert found.zone == "UTC"
    assert str(found.moments[0]) == "2024-01-31T09:00:00.000000"


def test_numbers_of_eight_digits_are_dates_where_all_are() -> None:
    def column(*numbers: int) -> str:
        words = [str(number) for number in numbers]
        return values_of(Cells("a", words, np.arange(len(words)), np.array(numbers, float))).stored

    assert column(20240131, 19991231) == "date"
    assert column(20240131, 20240132) == column(20240131) == "int"


def test_years_of_two_digits_are_told() -> None:
    read = values_of(Cells("a", ["1/31/69", "12/31/68"], np.arange(2)))
    assert read.values.astype("datetime64[Y]").astype(str).tolist() == ["1969", "2068"]
    assert "two digits" in read.notes[0]
