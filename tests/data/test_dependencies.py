"""Columns that are functions of others: found where they are, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import reparam as rp
from reparam.data.dependencies import depends, with_dependencies
from reparam.data.infer import schema_of
from reparam.errors import DataError, OptionError
from reparam.estimators import VAEImputer, VAEOutlier, VAESampler
from reparam.schema import Column, Schema

CITIES = ("Bern", "Milan", "Rome", "Vienna")
COUNTRIES = ("CH", "IT", "IT", "AT")
N = 400


def people(**others: Any) -> pd.DataFrame:
    """Return rows in which the country, and a code, are functions of the city."""
    rng = np.random.default_rng(0)
    city = rng.integers(0, 4, N)
    rows = pd.DataFrame({"age": rng.integers(18, 90, N), "city": np.array(CITIES)[city]})
    rows["country"] = np.array(COUNTRIES)[city]
    rows["code"] = np.array([30.5, 10, 20, 40.5])[city]
    rows["sex"] = rng.choice(["F", "M"], N)
    return rows.assign(**others)


def schema(rows: pd.DataFrame) -> Schema:
    table = rp.data.of_frame(rows)
    assert table is not None
    return with_dependencies(schema_of(table), table)


def kinds(rows: pd.DataFrame) -> dict[str, str]:
    return {column.name: column.kind for column in schema(rows).columns}


def test_functions_of_a_column_of_classes_are_found() -> None:
    found = schema(people())
    assert [c.name for c in found.dependent] == ["country", "code"]
    assert found.columns[2].values == COUNTRIES
    assert found.columns[3].values == (30.5, 10, 20, 40.5)
    assert {c.source for c in found.dependent} == {"city"}
    assert found.names == ("age", "city", "sex")
    assert Schema.from_list(found.to_list()) == found


def test_of_two_equal_columns_the_first_stays() -> None:
    rows = people()
    rows["again"] = rows["sex"].map({"F": "female", "M": "male"})
    assert kinds(rows)["sex"] == "binary"
    assert kinds(rows)["again"] == "dependent"


def test_a_single_exception_is_no_function() -> None:
    rows = people()
    rows.loc[7, "country"] = "AT" if rows.loc[7, "country"] != "AT" else "CH"
    assert kinds(rows)["country"] == "categorical"


def test_values_that_agree_by_chance_are_no_function() -> None:
    """Three rows of each of 50 classes, and a rare value: nothing shows that it is a function."""
    classes = np.repeat(np.arange(50), 3)
    rare = np.zeros(150, np.int64)
    rare[:3] = 1
    assert not depends(rare, classes)
    assert depends(np.repeat(np.arange(25), 6), classes)


@pytest.mark.parametrize("seed", range(5))
def test_independent_columns_are_no_functions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({f"x{i}": rng.integers(0, 2 + i, 150).astype(str) for i in range(12)})
    rows["rare"] = np.where(np.arange(150) < 2, "yes", "no")
    assert "dependent" not in kinds(rows).values()


def test_a_column_whose_missing_values_say_something_stays() -> None:
    """The country is known where the city is not, and two cities have it."""
    rows = people()
    rows.loc[rows["country"] == "IT", "city"] = rows["city"].where(rows["age"] > 40)
    assert kinds(rows.drop(columns="code"))["country"] == "categorical"
    assert kinds(rows)["country"] == "dependent"  # the code tells the city


def test_drawn_rows_obey_the_rule() -> None:
    drawn = VAESampler("mixture", steps=5, random_state=0).fit(people()).sample(300, random_state=0)
    assert list(drawn.columns) == list(people().columns)
    pairs = {*zip(drawn["city"], drawn["country"], drawn["code"], strict=True)}
    assert pairs <= {*zip(CITIES, COUNTRIES, (30.5, 10, 20, 40.5), strict=True)}
    assert (drawn["country"].dtype, drawn["code"].dtype) == (
        people()["country"].dtype,
        np.dtype(float),
    )


def test_missing_cells_follow_the_rule_both_ways() -> None:
    rows = people()
    lacking = rows.copy()
    lacking.loc[::3, "country"] = None
    lacking.loc[1::3, "city"] = None
    filled = VAEImputer(steps=5, random_state=0).fit(lacking).transform(lacking)
    assert (filled["country"] == rows["country"]).all()
    # The code tells the city.
    assert (filled["city"] == rows["city"]).all()


def test_a_row_that_breaks_the_rule_is_an_outlier() -> None:
    rows = people(country=people()["country"].where(np.arange(N) != 5, "AT"))
    rows.loc[5, "city"] = "Bern"
    detector = VAEOutlier(steps=300, random_state=0, novelty=True).fit(people())
    scores = detector.score_samples(rows)
    assert scores.argmin() == 5


def test_a_given_value_counts_for_its_source(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people().to_csv(file, index=False)
    run = rp.fit(rp.variants.vae, file, steps=5)
    assert run.spec.schema is not None
    row: NDArray[Any] = run.spec.schema.encode_given({"country": "CH"})
    assert row[1] == 0
    drawn = run.to_table(run.sample_given({"code": 40.5}, 20)).to_pandas()
    assert {*drawn["city"]} == {"Vienna"}
    with pytest.raises(DataError, match="is a function of 'city'"):
        run.spec.schema.encode_given({"country": "IT"})


def test_a_schema_of_the_user_counts(tmp_path: Path) -> None:
    file, said = tmp_path / "people.csv", tmp_path / "schema.yaml"
    people().to_csv(file, index=False)
    said.write_text("country: categorical\n")
    data = rp.data.read(file, schema=said)
    assert data.spec.schema is not None
    assert data.spec.schema.column("country").kind == "categorical"
    said.write_text("country: dependent\n")
    with pytest.raises(OptionError, match="'dependent'"):
        rp.data.read(file, schema=said)


def test_a_class_in_other_rows_alone_has_a_value_too() -> None:
    table = rp.data.of_frame(people())
    assert table is not None
    vienna = (people()["city"] == "Vienna").to_numpy()
    splits = {"train": np.flatnonzero(~vienna), "test": np.flatnonzero(vienna)}
    data = rp.data.from_table(table, splits=splits)
    assert data.spec.schema is not None
    assert data.spec.schema.dependent[0].values == COUNTRIES


def test_the_parts_of_a_dependent_column_are_checked() -> None:
    with pytest.raises(OptionError, match="a dependent column has one"):
        Column("country", "dependent", ("CH",))
    city = Column("city", "binary", ("Bern", "Rome"))
    with pytest.raises(OptionError, match="one value for each"):
        Schema((city, Column("country", "dependent", ("CH",), source="city")))
    with pytest.raises(OptionError, match="unknown column"):
        Schema((city, Column("country", "dependent", ("CH", "IT"), source="town")))


def test_truths_are_functions_too() -> None:
    rows = people(abroad=people()["country"] != "CH")
    found = schema(rows)
    assert found.columns[-1].values == (False, True, True, True)
    x = found.encode({k: v.to_numpy() for k, v in rows.items()})  # type: ignore[misc]
    decoded = found.decode(x)["abroad"]
    assert decoded.dtype == bool
    assert (decoded == rows["abroad"]).all()
