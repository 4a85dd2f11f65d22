"""Copies are found, and samples of the distribution of the data are no copies."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import reparam as rp
from reparam.batch import Batch
from reparam.evaluation.copies import copies, distances, drawn_like, means_of, repeated
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.spec import DataSpec
from tests.support import Function

NUMBERS = DataSpec((3,), "real")


def normal(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_unseen", [10, 40, 300])
def test_samples_of_the_distribution_are_no_copies(n_unseen: int) -> None:
    found = [
        copies(normal(200, 3 * k), normal(n_unseen, 3 * k + 1), normal(500, 3 * k + 2), NUMBERS)
        for k in range(200)
    ]
    # By the bound of a hundredth: two of 200 are expected, and nine or more of them in 1 of 5,000.
    assert sum(one.share > one.by_chance for one in found) < 9
    # The share of near samples is r / (M + 1) on average.
    r = max(1, round(n_unseen / 100))
    error = 3 * (r / (n_unseen + 1) ** 2 / 200) ** 0.5
    assert abs(np.mean([one.share for one in found]) - r / (n_unseen + 1)) < error


@pytest.mark.parametrize("n_copies", [30, 200])
def test_copies_are_found(n_copies: int) -> None:
    train = normal(500, 0)
    drawn = torch.cat([train[:n_copies] + 1e-3, normal(200 - n_copies, 1)])
    found = copies(drawn, normal(300, 2), train, NUMBERS)
    assert found.are_likely
    assert found.nearest[:n_copies].tolist() == list(range(n_copies))
    assert abs(found.share - n_copies / 200) < 0.03


def test_data_with_copies_say_nothing() -> None:
    train = normal(50, 0)
    found = copies(train[:20], train[:30], train, NUMBERS)
    assert not found.is_known
    assert not found.are_likely


def test_rows_are_compared_as_they_are_read() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"dollars": rng.normal(5e4, 1e4, 200), "sex": rng.choice(["F", "M"], 200)})
    rows.loc[0, "dollars"] = np.nan
    run = rp.fit(rp.variants.vae, rows, steps=2, progress=False)
    x = run.examples(rows).x
    found = distances(x, x, run.spec, run.latent_model)
    scale = rows["dollars"].std(ddof=0)
    # A class that differs is two entries of a one-hot code, and a missing number is the mean.
    apart = rows["dollars"].fillna(rows["dollars"].mean()).to_numpy()
    other = rows["sex"].to_numpy() != rows["sex"].to_numpy()[:, None]
    expected = np.sqrt(np.square((apart - apart[:, None]) / scale) + 2 * other)
    lacking = rows["dollars"].isna().to_numpy()
    expected = np.sqrt(np.square(expected) + (lacking != lacking[:, None]))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-3)


def test_tokens_are_compared_by_the_share_that_differs() -> None:
    spec = DataSpec((4,), "tokens")
    x = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 1], [1, 2, 0, 2]])
    assert distances(x[:1], x, spec).tolist() == [[0.0, 0.25, 1.0]]


def test_covariates_of_draws_are_those_of_examples_in_turn() -> None:
    assert repeated(None, 3) is None
    x = normal(60, 0)
    data = rp.data.from_arrays(x, covariates=x[:, :1] * 2).conditioned("covariates")
    run = rp.fit(rp.variants.cvae(data.spec, latent_dim=1), data, steps=2, progress=False)
    c = data.examples().c
    drawn = [drawn_like(run.latent_model, data.spec, n, c, mean=True, seed=0) for n in (60, 120)]
    assert drawn[0].shape == (60, 3)
    assert drawn[1].shape == (120, 3)


def test_means_are_compared_with_means_of_unseen_examples() -> None:
    """Images of one shade and noise: their means are nearer to each of them than others are."""
    model = LatentModel(
        Function(lambda x, c=None: Independent(Normal(x.mean((1, 2, 3))[:, None], 0.125), 1)),
        Function(
            lambda z, c=None: Independent(Normal(z[..., None, None].expand(*z.shape, 8, 8), 1.0), 3)
        ),
        StandardNormal(1),
    )
    spec = DataSpec((1, 8, 8), "real")
    torch.manual_seed(0)
    x = torch.randn(1500, 1, 1, 1) + torch.randn(1500, 1, 8, 8)
    train, unseen = x[:1200], Batch(x[1200:])
    drawn = drawn_like(model, spec, 300, None, mean=True, seed=0)
    assert copies(drawn, unseen.x, train, spec).are_likely
    means = means_of(model, spec, unseen, seed=0)
    torch.testing.assert_close(means[:, 0, 0, 0], unseen.x.mean((1, 2, 3)))
    assert not copies(drawn, unseen.x, train, spec, means=means).are_likely


def test_a_decoder_that_gives_back_training_examples_is_found() -> None:
    """Both samples and reconstructions of unseen examples are training examples."""
    train, unseen = normal(500, 0), normal(100, 1)
    found = copies(train[:100], unseen, train, NUMBERS, means=train[100:200] + 1e-3)
    assert found.twins == 1
    assert found.are_likely


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_equal_distances_are_no_copies(share: float) -> None:
    """Rows of which some are of a few values have many equal distances, some of them zero."""

    def some(n: int, seed: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed)
        is_discrete = torch.rand(n, 1, generator=draw) < share
        x = normal(n, seed)
        return torch.where(is_discrete, (2 * x).round(), x)

    found = [
        copies(some(200, 3 * k), some(100, 3 * k + 1), some(300, 3 * k + 2), NUMBERS)
        for k in range(60)
    ]
    assert sum(one.are_likely for one in found) <= 3
    letters = torch.Generator().manual_seed(0)
    texts = torch.randint(3, (60, 600, 12), generator=letters)
    tokens = DataSpec((12,), "tokens")
    likely = [copies(t[:200], t[200:300], t[300:], tokens).are_likely for t in texts]
    assert sum(likely) <= 3
