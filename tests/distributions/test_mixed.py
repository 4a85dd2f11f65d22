"""Rows of several kinds against their parts by hand."""

from math import log, nan

import pytest
import torch
from scipy.stats import kstest, truncnorm
from torch.distributions import Categorical, Normal

from reparam.distributions import MixedPart, MixedRow, Region, mean_or_mode


def row(missing: bool = False) -> MixedRow:
    """Two Gaussians at places 0 and 2, and a class of three at place 1."""
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    parts = [
        MixedPart(
            torch.tensor([0, 2]), Normal(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 0.5]))
        ),
        MixedPart(torch.tensor([1]), Categorical(logits=logits)),
    ]
    if not missing:
        return MixedRow(parts)
    return MixedRow(parts, torch.tensor([log(0.25 / 0.75)]), torch.tensor([2]))


def test_the_log_probability_is_the_sum_of_the_observed_columns() -> None:
    x = torch.tensor([0.5, 2.0, -1.0])
    first = Normal(1.0, 2.0).log_prob(torch.tensor(0.5))
    last = Normal(-1.0, 0.5).log_prob(torch.tensor(-1.0))
    middle = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)[2]
    torch.testing.assert_close(row().log_prob(x), first + middle + last)
    for place, rest in ((0, middle + last), (1, first + last), (2, first + middle)):
        lacking = x.clone()
        lacking[place] = nan
        torch.testing.assert_close(row().log_prob(lacking), rest)


def test_columns_of_several_sizes_are_drawn_in_their_places() -> None:
    """The sizes of the columns of a part may come in any order."""
    never = -torch.inf
    logits = torch.tensor([[0.0, never, never], [never, never, 0.0], [never, 0.0, never]])
    p = MixedRow([MixedPart(torch.tensor([2, 0, 1]), Categorical(logits=logits), (2, 3, 2))])
    assert p.sample().tolist() == p.mean.tolist() == [2.0, 1.0, 0.0]
    assert [part.places.tolist() for part in p.parts] == [[2, 1], [0]]


def test_missing_values_have_no_gradient() -> None:
    loc = torch.zeros(2, requires_grad=True)
    p = MixedRow([MixedPart(torch.tensor([0, 1]), Normal(loc, 1.0))])
    p.log_prob(torch.tensor([nan, 2.0])).backward()
    assert loc.grad is not None
    assert loc.grad.tolist() == [0.0, 2.0]


def test_a_missing_value_may_be_a_value() -> None:
    x = torch.tensor([0.5, 2.0, -1.0])
    there = row().log_prob(x) + log(0.75)
    torch.testing.assert_close(row(missing=True).log_prob(x), there)
    x[2] = nan
    torch.testing.assert_close(row(missing=True).log_prob(x), row().log_prob(x) + log(0.25))


def test_missing_values_of_rows_under_many_draws_of_z() -> None:
    logits = torch.randn(5, 4, 1)
    loc = torch.randn(5, 4, 2)
    p = MixedRow([MixedPart(torch.tensor([0, 1]), Normal(loc, 1.0))], logits, torch.tensor([1]))
    x = torch.tensor([[0.0, 1.0], [0.0, nan], [1.0, nan], [2.0, 2.0]])
    found = p.log_prob(x)
    assert found.shape == (5, 4)
    of_missing = torch.nn.functional.logsigmoid(logits[:, 1, 0])
    expected = Normal(loc[:, 1, 0], 1.0).log_prob(torch.tensor(0.0)) + of_missing
    torch.testing.assert_close(found[:, 1], expected)
    torch.testing.assert_close(p.observed.log_prob(x)[:, 1], expected - of_missing)


def test_draws_have_the_shares_of_classes_and_of_missing_values() -> None:
    torch.manual_seed(0)
    draws = row(missing=True).sample(torch.Size([20_000]))
    shares = torch.tensor([0.0, 1.0, 2.0]).softmax(0)
    found = torch.stack([(draws[:, 1] == k).float().mean() for k in range(3)])
    torch.testing.assert_close(found, shares, atol=0.015, rtol=0)
    assert draws[:, 2].isnan().float().mean().item() == pytest.approx(0.25, abs=0.015)
    there = draws[:, 2][~draws[:, 2].isnan()]
    assert there.mean().item() == pytest.approx(-1.0, abs=0.02)


def test_the_point_has_means_and_modes() -> None:
    assert mean_or_mode(row()).tolist() == [1.0, 2.0, -1.0]
    assert row().expand(torch.Size([4])).sample().shape == (4, 3)


def test_draws_in_the_range_are_those_of_a_truncated_distribution() -> None:
    torch.manual_seed(0)
    loc, scale = torch.zeros(20_000, 1), torch.tensor([1.0])
    logits = torch.zeros(20_000, 1)
    parts = [MixedPart(torch.tensor([0]), Normal(loc, scale))]
    low, high = torch.tensor([-0.5]), torch.tensor([2.0])
    region = Region(low, high, torch.zeros(0, len(low)), torch.zeros(0))
    p = MixedRow(parts, logits, torch.tensor([0]), region)
    draws = p.sample_in_range()
    missing = draws.isnan()
    assert missing.float().mean() == pytest.approx(0.5, abs=0.02)
    expected = truncnorm(-0.5, 2.0)
    assert kstest(draws[~missing].numpy(), expected.cdf).pvalue > 0.01
    assert (p.sample()[~missing] < -0.5).any()
