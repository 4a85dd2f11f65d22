"""Figures: means, arithmetic, paired differences and their text."""

from math import log, sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from reparam.errors import OptionError, ShapeError
from reparam.evaluation import Figure
from reparam.evaluation.figure import formatted


def values(n: int = 50, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_mean_has_the_standard_error_of_scipy() -> None:
    v = values()
    figure = Figure.mean(v, "nats")
    assert figure.value == pytest.approx(v.numpy().mean())
    assert figure.stderr == pytest.approx(stats.sem(v.numpy()))
    assert (figure.n, figure.unit) == (50, "nats")
    assert torch.equal(figure.per_example, v)  # type: ignore[arg-type]


def test_a_single_value_and_an_infinite_one_have_no_error() -> None:
    assert Figure.mean(torch.tensor([2.0])).stderr is None
    infinite = Figure.mean(torch.tensor([1.0, -torch.inf]))
    assert not infinite.is_finite
    assert infinite.stderr is None


def test_a_linear_map_of_a_figure_is_the_figure_of_mapped_values() -> None:
    v = values()
    figure = Figure.mean(v)
    for mapped, exact in (
        (-figure, -v),
        (figure / log(2), v / log(2)),
        (3 * figure, 3 * v),
        (5.0 - figure, 5 - v),
        ((1.5 - figure) / 4, (1.5 - v) / 4),
    ):
        other = Figure.mean(exact)
        assert mapped.value == pytest.approx(other.value)
        assert mapped.stderr == pytest.approx(other.stderr)
        torch.testing.assert_close(mapped.per_example, exact)


def test_negation_turns_the_direction_and_the_bias() -> None:
    fid = Figure(2.0, 0.1, higher_is_better=False, bias=0.3)
    assert (-fid).higher_is_better is True
    assert (-fid).bias == -0.3
    assert (2 * fid).higher_is_better is False
    assert (-Figure(1.0)).higher_is_better is None


def test_a_difference_is_that_of_independent_figures() -> None:
    a, b = Figure.mean(values(60)), Figure.mean(values(40, seed=1))
    found = a - b
    theirs = stats.ttest_ind(a.per_example, b.per_example, equal_var=False)
    assert found.value / found.stderr == pytest.approx(theirs.statistic)  # type: ignore[operator]
    assert (a + b).stderr == pytest.approx(found.stderr)
    assert (Figure(1.0) - Figure(3.0, 0.5)).stderr == 0.5
    seeds = Figure(2.0, 0.3, stderr_seeds=3.0, df_seeds=4) - Figure(1.0, 0.4, stderr_seeds=4.0)
    assert (seeds.stderr, seeds.stderr_seeds, seeds.df_seeds) == (0.5, 5.0, 4)
    with pytest.raises(OptionError, match=r"figures in nats and in bits: convert"):
        Figure(1.0, unit="nats") + Figure(1.0, unit="bits")


def test_a_paired_difference_is_the_paired_t_test_of_scipy() -> None:
    hard = 5 * values(80)
    a, b = hard + values(80, 1), hard + values(80, 2)
    found = Figure.mean(a).paired_difference(Figure.mean(b))
    theirs = stats.ttest_rel(a.numpy(), b.numpy())
    assert found.value / found.stderr == pytest.approx(theirs.statistic)  # type: ignore[operator]
    low, high = theirs.confidence_interval(0.95)
    assert found.margin == pytest.approx((high - low) / 2)
    # What makes an example hard for both is in the error of the unpaired difference only.
    assert found.stderr < 0.5 * (Figure.mean(a) - Figure.mean(b)).stderr  # type: ignore[operator]


def test_a_paired_difference_needs_the_same_examples() -> None:
    with pytest.raises(OptionError, match="per_example="):
        Figure(1.0).paired_difference(Figure(2.0))
    with pytest.raises(ShapeError, match="of 3 and of 4 examples"):
        Figure.mean(values(3)).paired_difference(Figure.mean(values(4)))


def test_each_error_of_the_interval_has_its_own_quantile() -> None:
    figure = Figure(3.0, 0.5, n=10, stderr_seeds=0.4, df_seeds=2)
    exact = sqrt((stats.t.ppf(0.975, 9) * 0.5) ** 2 + (stats.t.ppf(0.975, 2) * 0.4) ** 2)
    assert figure.margin == pytest.approx(exact)
    assert figure.is_clear == (exact < 3.0)
    assert Figure(3.0).margin is None
    assert not Figure(3.0).is_clear


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (-97.0612, 0.283, "-97.06 ± 0.28"),
        (0.5, 0.00123, "0.5000 ± 0.0012"),
        (1234.5, 12.0, "1,234.50 ± 12.00"),
        (0.25, None, "0.2500"),
        (34.25, 0.0, "34.2 ± 0.0"),
        (7, None, "7"),
    ],
)
def test_text_has_two_digits_of_the_error(value: float, stderr: float | None, text: str) -> None:
    found = str(Figure(value, stderr))
    if stderr:
        assert float(found.split("± ")[1].replace(",", "")) == pytest.approx(stderr, rel=0.05)
    assert found.split(" ±")[0] == text.split(" ±")[0]


def test_columns_share_the_digits_of_the_smallest_error() -> None:
    value, points, seeds = formatted(2.4567, 0.047, 0.3)
    digits = {len(cell.rpartition(".")[2]) for cell in (value, points, seeds)}
    assert digits == {3}
    assert formatted(None, 0.1) == ("", "")


def test_a_figure_of_the_same_values_is_the_same() -> None:
    assert Figure.mean(values()) == Figure.mean(values())
    assert Figure.mean(values()) != Figure.mean(values(seed=1))
    assert np.isclose(float(Figure(1.5)), 1.5)
