"""The resolution of columns against columns that were rounded to a known one."""

import numpy as np
import pytest
import torch

from reparam.data.columns import columns, resolution

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


def test_a_spike_makes_a_column_rounded() -> None:
    width, _ = resolution(np.where(NORMAL < 0.5, 0.0, NORMAL))
    assert 0 < width < 0.01


def test_constant_columns_get_a_scale_that_is_not_zero() -> None:
    found = columns(torch.tensor([[7.0, 0.0, 1.0], [7.0, 0.0, 2.0], [7.0, 0.0, 5.5]]))
    assert found.is_constant.tolist() == [True, True, False]
    assert found.scale[:2].tolist() == pytest.approx([0.07, 0.01])
    assert found.width[:2].tolist() == [7.0, 1.0]


def test_location_and_scale_are_those_of_numpy() -> None:
    x = torch.from_numpy(NORMAL.reshape(100, 4) * [1, 10, 1e5, 1e-5] + [0, 5, -1e5, 1])
    found = columns(x)
    np.testing.assert_allclose(found.loc, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.scale, x.std(0, correction=0), rtol=1e-4)
