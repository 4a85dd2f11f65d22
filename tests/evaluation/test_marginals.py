"""How far apart two tables are, against scipy, and what the doctor says of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ks_2samp, spearmanr

import reparam as rp
from reparam.diagnostics import samples
from reparam.diagnostics.context import diagnostic_context
from reparam.evaluation.marginals import by_chance, distance, rank_correlations, shares
from reparam.priors import StandardNormal
from tests.support import quick_fit

RNG = np.random.default_rng(0)


def test_the_distance_of_quantities_is_that_of_kolmogorov_and_smirnov() -> None:
    x, y = RNG.normal(size=300), RNG.normal(0.3, 1, 200)
    found = ks_2samp(x, y, method="exact")
    assert distance(x, y) == pytest.approx(found.statistic)
    assert (found.pvalue < 0.05) == (distance(x, y) > by_chance(x, y))


def test_chance_makes_a_larger_distance_in_five_cases_of_a_hundred() -> None:
    pairs = [(RNG.integers(0, 4, 200), RNG.integers(0, 4, 100)) for _ in range(400)]
    share = np.mean([distance(x, y, 4) > by_chance(x, y, 4) for x, y in pairs])
    assert share == pytest.approx(0.05, abs=0.035)
    assert shares(np.array([1, 1, 3]), 4).tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3])


def test_values_that_all_are_missing_are_far_from_others() -> None:
    """What chance makes is smaller, and two columns without values are alike."""
    x, none = RNG.normal(size=50), np.zeros(0)
    assert distance(x, none) > by_chance(x, none)
    assert distance(none, none) == by_chance(none, none) == 0
    assert by_chance(x, x, level=0.001) > by_chance(x, x)


def test_rank_correlations_are_those_of_spearman() -> None:
    x = RNG.normal(size=(100, 3))
    x[:, 1] += x[:, 0]
    np.testing.assert_allclose(rank_correlations(x), spearmanr(x).statistic, atol=1e-12)
    x[::5, 2] = np.nan
    both = x[~np.isnan(x[:, 2])]
    found = rank_correlations(x)
    assert found[0, 2] == pytest.approx(spearmanr(both[:, 0], both[:, 2]).statistic)
    x[:, 1] = 1.0
    assert np.isnan(rank_correlations(x)[1]).all()


def test_the_doctor_names_columns_and_pairs_that_drawn_rows_do_not_have() -> None:
    """Codes that carry all, and a prior that draws elsewhere."""
    size = RNG.normal(size=600)
    rows = pd.DataFrame({"size": size, "price": size + RNG.normal(0, 0.2, 600)})
    rows["city"] = np.where(size > 0, "Bern", "Rome")
    run = quick_fit(rp.variants.vae, rows, latent_dim=2, epochs=40, lr=5e-3)
    context = diagnostic_context(run, rp.data.read(rows))
    assert samples.unlike(context).severity == "fine"
    model = run.latent_model

    class Apart(StandardNormal):
        """A prior whose codes are those of one place."""

        def forward(self, c: torch.Tensor | None = None) -> torch.distributions.Distribution:
            normal = torch.distributions.Normal(torch.full((2,), 3.0), 1e-3)
            return torch.distributions.Independent(normal, 1)

    kept, model.prior = model.prior, Apart(2)
    try:
        found = samples.unlike(replace(context))
    finally:
        model.prior = kept
    assert found.severity == "advice"
    assert found.figures["n_columns"] >= 2
    assert found.figures["n_pairs"] == 1
    assert "size and price" in str(found) or "price and size" in str(found)
