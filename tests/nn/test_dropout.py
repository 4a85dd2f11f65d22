"""Dropout that falls with the number of training examples."""

from copy import deepcopy

import pytest
import torch

from reparam.nn import Dropout

X = torch.ones(1000, 50)


@pytest.mark.parametrize(("n", "n_columns"), [(100, 10), (1000, 10), (10_000, 2)])
def test_drops_its_share_and_keeps_the_mean(n: int, n_columns: int) -> None:
    layer = Dropout(0.3)
    layer.set_examples(n, n_columns)
    share = 0.3 * min(1.0, 32 * n_columns / n) ** 3
    torch.manual_seed(0)
    y = layer(X)
    error = 4 * (share * (1 - share) / X.numel()) ** 0.5
    assert float((y == 0).float().mean()) == pytest.approx(share, abs=error)
    assert float(y.mean()) == pytest.approx(1.0, abs=error / (1 - share))
    assert torch.equal(layer.eval()(X), X)


def test_copies_and_loaded_layers_have_the_share() -> None:
    layer = Dropout(0.3)
    layer.set_examples(3000, 2)
    loaded = Dropout(0.3)
    loaded.load_state_dict(layer.state_dict())
    torch.manual_seed(0)
    expected = layer(X)
    for other in (deepcopy(layer), loaded):
        torch.manual_seed(0)
        assert torch.equal(other(X), expected)
