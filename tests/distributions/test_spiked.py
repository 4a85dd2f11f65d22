"""Columns with a spike against the mixture by hand, and against their own draws."""

import pytest
import torch
from scipy.stats import norm
from torch.distributions import Normal

import reparam as rp
from reparam.data.columns import columns, spike_of
from reparam.distributions import RoundedNormal, Spiked


def spiked(logit: float = -1.0) -> Spiked:
    """A column with a spike at 3 over whole numbers, and a column without."""
    width = torch.tensor([1.0, 0.0])
    rest = RoundedNormal(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]), width)
    return Spiked(rest, torch.tensor([logit, 5.0]), torch.tensor([3.0, 0.0]), width)


def test_the_probability_is_that_of_the_mixture() -> None:
    share = torch.tensor(-1.0).sigmoid().item()
    found = spiked().log_prob(torch.tensor([[3.0, 0.0], [2.0, 0.5]])).exp()
    mass = [norm.cdf(x + 0.5, 1, 2) - norm.cdf(x - 0.5, 1, 2) for x in (3, 2)]
    assert found[0, 0].item() == pytest.approx(share + (1 - share) * mass[0], rel=1e-5)
    assert found[1, 0].item() == pytest.approx((1 - share) * mass[1], rel=1e-5)
    expected = Normal(0.0, 1.0).log_prob(torch.tensor([0.0, 0.5])).exp()
    torch.testing.assert_close(found[:, 1], expected)


def test_the_masses_sum_to_one() -> None:
    whole = torch.arange(-60.0, 61.0)
    values = torch.stack([whole, torch.zeros_like(whole)], 1)
    assert spiked().log_prob(values)[:, 0].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_draws_have_the_moments_of_the_mixture() -> None:
    torch.manual_seed(0)
    p = spiked()
    draws = p.sample(torch.Size([40_000]))
    assert torch.equal(draws[:, 0], draws[:, 0].round())
    torch.testing.assert_close(draws.mean(0), p.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(draws.var(0), p.variance, atol=0.05, rtol=0)


def test_a_spike_is_a_value_far_more_frequent_than_others() -> None:
    torch.manual_seed(0)
    money = torch.where(torch.rand(500) < 0.4, 0.0, torch.randn(500).exp() * 100).round()
    grades, flags = torch.randint(5, (500,)).float(), torch.randn(500)
    found = columns(torch.stack([money, grades, flags], 1))
    assert (found.spike_share > 0).tolist() == [True, False, False]
    assert found.spike[0] == 0
    share = (money == 0).float().mean().item()
    assert found.spike_share[0].item() == pytest.approx(share, abs=1e-6)
    assert spike_of(torch.arange(30).double().numpy())[1] == 0


def test_a_trained_model_knows_where_the_spike_is() -> None:
    """The spike is there exactly where another column is positive, which costs no further nats."""
    torch.manual_seed(0)
    other = torch.randn(2000, 1)
    money = torch.where(other > 0, 0.0, torch.randn(2000, 1).exp() * 100).round()
    x = torch.cat([other, money], 1)
    options = {"steps": 600, "lr": 5e-3, "early_stopping": 0}
    run = rp.fit(rp.variants.vae, x[:1000], **options, progress=False)
    draws = run.sample(4000)
    is_spike = draws[:, 1] == 0
    assert is_spike.float().mean().item() == pytest.approx(
        (money == 0).float().mean().item(), abs=0.05
    )
    assert (is_spike == (draws[:, 0] > 0)).float().mean() > 0.9


def test_fit_says_how_many_columns_have_a_spike(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    money = torch.where(torch.rand(100, 1) < 0.5, 0.0, torch.randn(100, 1).exp() * 100).round()
    rp.fit(rp.variants.vae, torch.cat([money, torch.randn(100, 1)], 1), steps=1)
    assert "1 columns rounded (cells), 0 constant, 1 with a spike" in capsys.readouterr().err
