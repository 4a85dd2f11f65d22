"""Quantities with atoms against the mixture by hand, their own draws, and a model that is known."""

from math import log, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch.distributions import Normal

import reparam as rp
from reparam.data.columns import atoms_of
from reparam.distributions import Heaped, RoundedNormal
from reparam.schema import Column, Schema

SHARES = [0.5, 0.2, 0.3]


def heaped() -> Heaped:
    """Whole numbers with atoms at 0 and 3, a continuous column, and one with an atom at 7."""
    width = torch.tensor([1.0, 0.0, 2.0])
    rest = RoundedNormal(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([2.0, 1.0, 3.0]), width)
    logits = torch.tensor([SHARES, [0.9, 0.1, 1e-30]]).log()
    atoms, entries = torch.tensor([[0.0, 3.0], [7.0, nan]]), torch.tensor([0, 2])
    return Heaped(rest, logits, atoms, width[entries], entries)


def test_the_probability_is_that_of_the_mixture() -> None:
    found = heaped().log_prob(torch.tensor([[3.0, 0.5, 7.0], [2.0, 0.0, 5.0]])).exp()
    mass = [norm.cdf(x + 0.5, 1, 2) - norm.cdf(x - 0.5, 1, 2) for x in (3, 2)]
    assert found[0, 0].item() == pytest.approx(0.3 + 0.5 * mass[0], rel=1e-5)
    assert found[1, 0].item() == pytest.approx(0.5 * mass[1], rel=1e-5)
    torch.testing.assert_close(
        found[:, 1], Normal(0.0, 1.0).log_prob(torch.tensor([0.5, 0.0])).exp()
    )
    wide = [norm.cdf(x + 1, 1, 3) - norm.cdf(x - 1, 1, 3) for x in (7, 5)]
    assert found[0, 2].item() == pytest.approx(0.1 + 0.9 * wide[0], rel=1e-5)
    assert found[1, 2].item() == pytest.approx(0.9 * wide[1], rel=1e-5)


def test_the_masses_sum_to_one() -> None:
    whole = torch.arange(-60.0, 61.0)
    values = torch.stack([whole, torch.zeros_like(whole), 1 + 2 * whole], 1)
    sums = heaped().log_prob(values).exp().sum(0)
    assert sums[[0, 2]].tolist() == pytest.approx([1, 1], abs=1e-5)


def test_a_column_that_is_not_rounded_has_no_atoms() -> None:
    """A probability and a density do not add up."""
    rest = Normal(torch.zeros(1), torch.ones(1))
    p = Heaped(rest, torch.zeros(1, 2), torch.zeros(1, 1), torch.zeros(1), torch.tensor([0]))
    x = torch.tensor([0.0])
    torch.testing.assert_close(p.log_prob(x), rest.log_prob(x))
    assert (p.mean, p.variance) == (0, 1)
    assert bool((p.sample(torch.Size([100])) != 0).all())


def test_draws_have_the_moments_of_the_mixture() -> None:
    torch.manual_seed(0)
    p = heaped()
    draws = p.sample(torch.Size([60_000]))
    torch.testing.assert_close(draws.mean(0), p.mean, atol=0.04, rtol=0)
    torch.testing.assert_close(draws.var(0), p.variance, atol=0.15, rtol=0)
    share = 0.3 + 0.5 * (norm.cdf(3.5, 1, 2) - norm.cdf(2.5, 1, 2))
    assert (draws[:, 0] == 3).float().mean().item() == pytest.approx(share, abs=0.01)


def test_many_draws_of_z_have_a_probability_each() -> None:
    """The logits have an axis more than the rows, as under several draws of z."""
    logits = torch.randn(5, 4, 1, 3)
    rest = RoundedNormal(torch.randn(5, 4, 2), torch.ones(5, 4, 2), torch.ones(2))
    atoms, entries = torch.tensor([[0.0, 3.0]]), torch.tensor([1])
    p = Heaped(rest, logits, atoms, torch.ones(1), entries)
    x = torch.tensor([[1.0, 3.0], [1.0, 0.0], [1.0, 2.0], [3.0, 3.0]])
    found = p.log_prob(x)
    alone = rest.log_prob(x)
    shares = logits.log_softmax(-1)[..., 0, :]
    expected = torch.logaddexp(shares[:, 1, 1], shares[:, 1, 0] + alone[:, 1, 1])
    torch.testing.assert_close(found[:, 1, 1], expected)
    torch.testing.assert_close(found[:, 2, 1], shares[:, 2, 0] + alone[:, 2, 1])
    torch.testing.assert_close(found[..., 0], alone[..., 0])
    wider = p.expand(torch.Size([3, 5, 4, 2]))
    torch.testing.assert_close(wider.log_prob(x)[2], found)


def test_the_gradient_of_logits_is_that_of_the_mixture() -> None:
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    rest = RoundedNormal(torch.zeros(1).double(), torch.ones(1).double(), torch.ones(1).double())
    atoms, x = torch.tensor([[0.0, 3.0]]).double(), torch.tensor([3.0]).double()

    def of(logits: torch.Tensor) -> torch.Tensor:
        width, entries = torch.ones(1).double(), torch.tensor([0])
        return Heaped(rest, logits, atoms, width, entries).log_prob(x)

    assert torch.autograd.gradcheck(of, (logits,))


class TestAtoms:
    """Which values of a column have a probability of their own."""

    rng = np.random.default_rng(0)

    def found(self, values: NDArray[Any]) -> list[float]:
        return sorted(values[atoms_of(values)].tolist())

    def test_smooth_columns_have_none(self) -> None:
        assert self.found(self.rng.poisson(100, 5000).astype(float)) == []
        assert self.found(self.rng.normal(size=5000)) == []
        assert self.found(self.rng.normal(0, 1, 5000).round(2)) == []
        assert self.found(np.exp(self.rng.normal(3, 1, 20_000)).round()) == []

    def test_heaps_are_found_among_smooth_values(self) -> None:
        weight = self.rng.normal(75, 12, 5000).round()
        of_ten = self.rng.random(5000) < 0.3
        weight[of_ten] = (weight[of_ten] / 10).round() * 10
        found = self.found(weight)
        assert {60, 70, 80, 90} <= {*found}
        assert all(value % 10 == 0 for value in found)

    def test_prices_that_are_asked_for_often_are_atoms(self) -> None:
        prices = self.rng.choice([9.99, 19.99, 24.5, 49.99, 99.0], 2000)
        others = self.rng.uniform(1, 120, 1000).round(2)
        found = self.found(np.concatenate([prices, others]))
        assert found == [9.99, 19.99, 24.5, 49.99, 99.0]

    def test_a_spike_is_an_atom(self) -> None:
        money = np.where(self.rng.random(3000) < 0.6, 0, self.rng.exponential(900, 3000).round())
        assert self.found(money) == [0]

    def test_every_value_of_a_column_of_few_is_one(self) -> None:
        years = self.rng.integers(1, 17, 5000).astype(float)
        assert self.found(years) == list(range(1, 17))


def test_a_trained_model_learns_the_probability_of_each_atom() -> None:
    """The entropy of the column given another one is known, and so is that of the rows."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 4000)
    shares = np.array([[0.6, 0.1, 0.3], [0.1, 0.8, 0.1]])
    hours = np.array([rng.choice([20.0, 40.0, 60.0], p=shares[k]) for k in kind])
    smooth = rng.normal(0, 1, 4000).round(1)
    is_rest = rng.random(4000) < 0.25
    hours[is_rest] = rng.integers(1, 100, is_rest.sum())
    rows = pd.DataFrame({"hours": hours, "kind": np.array(["a", "b"])[kind], "smooth": smooth})
    table = rp.data.of_frame(rows)
    assert table is not None
    splits = {"test": np.arange(1000), "train": np.arange(1000, 4000)}
    data = rp.data.from_table(table, splits=splits)
    assert data.spec.schema is not None
    assert data.spec.schema.column("hours").atoms == (20.0, 40.0, 60.0)
    options = {"steps": 600, "lr": 5e-3, "early_stopping": 0}
    run = rp.fit(rp.variants.vae(data.spec), data, **options, progress=False)
    entropy = log(2)
    uniform = np.full(99, 0.25 / 99)
    for k in range(2):
        p = uniform.copy()
        p[[19, 39, 59]] += 0.75 * shares[k]
        entropy -= 0.5 * (p * np.log(p)).sum()
    cells = np.arange(-60, 61) / 10
    mass = norm.cdf(cells + 0.05) - norm.cdf(cells - 0.05)
    entropy -= (mass[mass > 0] * np.log(mass[mass > 0])).sum()
    found = run.evaluate(n_samples=100, train=False)["log_likelihood"].value
    assert found == pytest.approx(-entropy, abs=0.25)
    drawn = run.sample(5000, seed=0)[:, 0]
    for value, expected in ((20, 0.265), (40, 0.34), (60, 0.153)):
        assert (drawn == value).float().mean().item() == pytest.approx(expected, abs=0.04)


def test_a_schema_with_atoms_is_stored_and_checked() -> None:
    schema = Schema((Column("hours", "count", atoms=(20.0, 40.0)), Column("x", "real")))
    assert Schema.from_list(schema.to_list()) == schema
    assert schema.input_size == 4
    with pytest.raises(rp.errors.OptionError, match="has the atoms"):
        Column("sex", "binary", ("F", "M"), atoms=(1.0,))
    with pytest.raises(rp.errors.OptionError, match="an atom twice"):
        Column("hours", "count", atoms=(1.0, 1.0))
