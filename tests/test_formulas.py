"""Formulas of columns, against arithmetic by hand."""

import numpy as np
import pytest

from reparam.errors import OptionError
from reparam.formulas import Formula, compute, in_order, solve

TOTAL = Formula("sum", (("first", 1.0), ("second", 1.0)))
PRICE = Formula("product", (("price", 1.0), ("n", 1.0)))


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (TOTAL, "first + second"),
        (Formula("sum", (("C", 1.8),), 32.0), "1.8 * C + 32"),
        (Formula("sum", (("a", -1.0), ("b", -2.0)), 100.0), "100 - a - 2 * b"),
        (Formula("product", (("weight", 1.0), ("height", -2.0))), "weight / height^2"),
        (Formula("product", (("rate", -1.0),)), "1 / rate"),
        (Formula("product", (("share", 1.0), ("total", 1.0)), 0.01), "0.01 * share * total"),
    ],
)
def test_a_formula_is_written_as_people_write_it(formula: Formula, text: str) -> None:
    assert str(formula) == text
    assert Formula.from_dict(formula.to_dict()) == formula


def test_values_are_those_of_arithmetic() -> None:
    numbers = {"weight": np.array([80.0, np.nan]), "height": np.array([2.0, 1.0])}
    bmi = Formula("product", (("weight", 1.0), ("height", -2.0)))
    assert bmi.values(numbers)[0] == 20.0
    assert np.isnan(bmi.values(numbers)[1])
    assert np.isnan(bmi.values({"weight": np.ones(1), "height": np.zeros(1)}))[0]


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_formula_is_solved_for_its_terms(name: str) -> None:
    for formula in (TOTAL, Formula("product", (("first", 2.0), ("second", -1.0)), 3.0)):
        numbers = {"first": np.array([2.0, 5.0]), "second": np.array([3.0, 0.5])}
        result = {**numbers, "result": formula.values(numbers)}
        solved = formula.solved_for(name, "result")
        np.testing.assert_allclose(solved.values(result), numbers[name])


def test_results_of_results_are_computed_in_order_and_solved_backwards() -> None:
    invoice = {"sum": Formula("sum", (("cost", 1.0), ("tax", 1.0))), "cost": PRICE}
    ordered = in_order(invoice, ["price", "n", "tax"])
    assert list(ordered) == ["cost", "sum"]
    known = {"price": np.array([2.0]), "n": np.array([3.0]), "tax": np.array([1.0])}
    assert compute(known, ordered)["sum"].item() == 7.0
    lacking = {**known, "n": np.array([np.nan]), "sum": np.array([7.0])}
    found = solve(lacking, ordered)
    assert (found["cost"].item(), found["n"].item()) == (6.0, 3.0)


def test_two_open_terms_stay_open() -> None:
    numbers = {name: np.array([np.nan]) for name in ("first", "second")}
    found = solve({**numbers, "total": np.array([3.0])}, {"total": TOTAL})
    assert np.isnan(found["first"]).all()
    assert np.isnan(found["second"]).all()


def test_a_formula_of_itself_is_refused() -> None:
    with pytest.raises(OptionError, match="not from itself"):
        in_order({"first": TOTAL}, ["second"])


@pytest.mark.parametrize(
    "values",
    [
        {"operation": "sum", "terms": []},
        {"operation": "sum", "terms": [["a", 0]]},
        {"operation": "sum", "terms": [["a", 1], ["a", 2]]},
        {"operation": "sum", "terms": "a"},
        {"operation": "mean", "terms": [["a", 1]]},
        {"operation": "product", "terms": [["a", 1]], "constant": 0},
        {"operation": "sum", "terms": [["a", 1]], "constant": "x"},
        {"operation": "sum", "term": [["a", 1]]},
    ],
)
def test_what_is_no_formula_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Formula.from_dict(values)
