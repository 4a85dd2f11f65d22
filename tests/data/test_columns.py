"""The resolution of columns against columns that were rounded to a known one."""

import numpy as np
import pytest
import torch

from reparam.data.columns import (
    columns,
    kind_of,
    resolution,
    span_of,
    transform_of,
    variance_inflation,
)

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(400)


@pytest.mark.parametrize("step", [1e-3, 0.01, 0.25, 1.0, 5.0, 1000.0])
@pytest.mark.parametrize("offset", [0.0, 0.003, 20_000.0])
def test_the_step_of_a_grid_is_found_in_float32(step: float, offset: float) -> None:
    grid = np.float32((NORMAL * 30).round() * step + offset).astype(float)
    if step < 1e-6 * offset * 10:
        pytest.skip("float32 has no such steps at this offset")
    width, origin = resolution(grid)
    assert width == pytest.approx(step, rel=1e-2)
    assert (origin - offset) / step == pytest.approx(round((origin - offset) / step), abs=0.3)


def test_continuous_columns_have_no_cells() -> None:
    for values in (NORMAL, np.exp(3 * NORMAL), NORMAL + 50.0, RNG.random(400)):
        assert resolution(np.float32(values).astype(float))[0] == 0


def test_a_column_with_many_repeated_values_is_rounded_to_their_smallest_difference() -> None:
    values = RNG.choice([0.1, 0.25, 0.777, 2.0], 400)
    assert resolution(values) == pytest.approx((0.15, 0.1))


@pytest.mark.parametrize("n", [300, 2000, 20_000])
@pytest.mark.parametrize("step", [0.01, 0.05, 1 / 3, 2.0])
def test_the_step_of_a_grid_with_long_gaps_is_found(n: int, step: float) -> None:
    """In float32 the gaps between large values are thousands of steps, and not exact."""
    values = np.random.default_rng(n).lognormal(3, 1, n)
    rounded = (np.round(values / step) * step).astype(np.float32).astype(float)
    assert resolution(rounded)[0] == pytest.approx(step, rel=1e-5)
    scaled = ((rounded - rounded.mean()) / rounded.std()).astype(np.float32).astype(float)
    assert resolution(scaled)[0] * rounded.std() == pytest.approx(step, rel=1e-4)


@pytest.mark.parametrize("sentinel", [-999_999.0, 1e9, 1e15])
def test_a_sentinel_does_not_change_the_resolution(sentinel: float) -> None:
    assert resolution(np.append(NORMAL.astype(np.float32), sentinel))[0] == 0
    whole = np.append(np.round(10 * NORMAL), sentinel)
    assert resolution(whole)[0] == 1


def test_whole_numbers_far_from_zero_are_not_constant() -> None:
    values = 1e7 + RNG.integers(0, 10, 300)
    found = columns(torch.from_numpy(values)[:, None])
    assert (found.is_constant.tolist(), found.width.tolist()) == ([False], [1.0])


@pytest.mark.parametrize(("n", "n_flags"), [(7_000, 1), (50_000, 5)])
def test_a_rare_flag_has_a_transform_or_none(n: int, n_flags: int) -> None:
    flag = torch.zeros(n, 1)
    flag[:n_flags] = 1
    found = columns(flag, transform=True)
    assert float(found.width) == 1
    assert bool(found.scale.isfinite())


def test_a_spike_makes_a_column_rounded() -> None:
    width, _ = resolution(np.where(NORMAL < 0.5, 0.0, NORMAL))
    assert 0 < width < 0.01


def test_constant_columns_get_a_scale_that_is_not_zero() -> None:
    found = columns(torch.tensor([[7.0, 0.0, 1.0], [7.0, 0.0, 2.0], [7.0, 0.0, 5.5]]))
    assert found.is_constant.tolist() == [True, True, False]
    assert found.scale[:2].tolist() == pytest.approx([7.0, 1.0])
    assert found.width[:2].tolist() == [7.0, 1.0]


def test_location_and_scale_are_those_of_numpy() -> None:
    x = torch.from_numpy(NORMAL.reshape(100, 4) * [1, 10, 1e5, 1e-5] + [0, 5, -1e5, 1])
    found = columns(x)
    np.testing.assert_allclose(found.loc, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.scale, x.std(0, correction=0), rtol=1e-4)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e5])
def test_a_lognormal_column_is_transformed_in_any_unit(sigma: float, unit: float) -> None:
    x = torch.from_numpy(np.exp(sigma * NORMAL) * unit).float()[:, None]
    found = columns(x, transform=True)
    assert float(found.linear_width) > 0
    y = found.linear_width * ((x - found.origin) / found.linear_width).asinh()
    standardized = (y - found.loc) / found.scale
    assert abs(float((standardized**3).mean())) < 1  # the skewness; that of x is 4 or more
    torch.testing.assert_close(standardized.var(correction=0), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert columns(x).linear_width.tolist() == [0.0]


@pytest.mark.parametrize("values", [NORMAL, RNG.random(400), (NORMAL * 3).round(), NORMAL + 100])
def test_columns_without_tails_are_not_transformed(values: np.ndarray) -> None:
    width, origin = resolution(values)
    assert transform_of(values, width, origin) == (origin, 0.0, 0.0)


def test_the_origin_of_a_rounded_column_stays_the_middle_of_a_cell() -> None:
    values = np.round(np.exp(2 * NORMAL)) * 5.0 + 3.0
    width, origin = resolution(values)
    place, linear_width, gain = transform_of(values, width, origin)
    assert gain > 0.05
    assert linear_width >= width == 5.0
    assert (place - 3.0) % 5.0 == 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.full(50, 2.0), "constant"),
        (np.arange(50.0) % 2, "binary"),
        (np.arange(200.0) % 7 * 0.3, "category"),
        (np.arange(100.0, 300.0)[::-1], "identifier"),
        (np.random.default_rng(0).poisson(9, 1000), "count"),
        (np.random.default_rng(0).integers(18, 80, 1000), None),
        (np.where(NORMAL > 0, NORMAL, 0), "spike"),
        (NORMAL, None),
        ((NORMAL * 10).round() / 10, None),
    ],
)
def test_what_a_column_is(values: np.ndarray, kind: str | None) -> None:
    assert kind_of(values) == kind


def test_a_span_is_in_orders_of_magnitude() -> None:
    assert span_of(10.0 ** np.linspace(-2, 5, 1000)) == pytest.approx(1e7, rel=0.2)
    assert span_of(NORMAL) < 1e4
    assert span_of(np.zeros(3)) == 1


def test_a_fine_grid_is_found_without_a_repeated_value() -> None:
    values = np.unique((RNG.random(60) * 6000).round()) / 100 + RNG.random()
    fine = values + 0.01 * RNG.random(len(values))
    assert resolution(np.float32(fine).astype(float))[0] == 0
    assert resolution(np.float32(values).astype(float))[0] == pytest.approx(0.01, rel=1e-3)


def test_a_total_is_not_transformed() -> None:
    """A total with a heavy tail is a linear function of its parts only in its own units."""
    parts = np.exp(RNG.standard_normal((300, 2)))
    rows = torch.from_numpy(np.column_stack([parts, parts.sum(1)]))
    alone = columns(rows[:, 2:], transform=True)
    together = columns(rows, transform=True)
    assert (alone.linear_width > 0).all()
    assert not (together.linear_width > 0).any()


def test_variance_inflation_is_that_of_regression() -> None:
    x = RNG.standard_normal((500, 3)) @ RNG.standard_normal((3, 3))
    for j in range(3):
        others = np.column_stack([np.delete(x, j, 1), np.ones(500)])
        rest = x[:, j] - others @ np.linalg.lstsq(others, x[:, j], rcond=None)[0]
        expected = x[:, j].var() / (rest @ rest / 497)
        found = float(variance_inflation(torch.from_numpy(x))[j])
        assert found == pytest.approx(expected, rel=1e-2)
    assert variance_inflation(torch.ones(5, 1)).tolist() == [1.0]
