"""Optimizers, against torch's own."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from reparam import variants
from reparam.errors import OptionError
from reparam.spec import DataSpec
from reparam.training.optimizers import Adam, linear_weights, make_optimizers
from reparam.training.schedules import learning_rate

CPU = torch.device("cpu")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))


def take(model: nn.Module, optimizers: list[Any], n_steps: int, first: int = 0) -> None:
    for step in range(first, first + n_steps):
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        model(x).square().mean().backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (1 + step)
            optimizer.step()


def test_adam_is_torchs() -> None:
    ours, theirs = net(), net()
    take(ours, [Adam(list(ours.parameters()), 0.01)], 20)
    take(theirs, [torch.optim.Adam(theirs.parameters(), lr=0.01, foreach=False)], 20)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_adam_with_weight_decay_is_torchs_adamw_on_matrices_only() -> None:
    ours, theirs = net(), net()
    take(ours, [Adam(list(ours.parameters()), 0.01, weight_decay=0.3)], 20)
    groups = [
        {"params": [p for p in theirs.parameters() if p.dim() > 1], "weight_decay": 0.3},
        {"params": [p for p in theirs.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.01, foreach=False)
    take(theirs, [adamw], 20)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_adam_takes_up_the_states_of_torchs() -> None:
    """Runs from before there was ours go on."""
    theirs = net()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    take(theirs, [optimizer], 5)
    ours = net()
    ours.load_state_dict(theirs.state_dict())
    adam = Adam(list(ours.parameters()), 0.01)
    adam.load_state_dict(optimizer.state_dict())
    take(theirs, [optimizer], 5, first=5)
    take(ours, [adam], 5, first=5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_parameter_without_a_gradient_stays() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Adam([unused, used], 0.1)
    used.sum().backward()
    optimizer.step()
    assert torch.equal(unused, torch.ones(2))
    assert torch.allclose(used, torch.full((2,), 0.9))
    optimizer.zero_grad()
    optimizer.step()
    assert torch.allclose(used, torch.full((2,), 0.9))


def test_muon_moves_matrices_along_all_their_directions() -> None:
    """A first step has the singular vectors of the gradient, and about the same length for all."""
    weight, bias = nn.Parameter(torch.zeros(3, 6)), nn.Parameter(torch.zeros(3))
    optimizers = make_optimizers("muon", [weight, bias], 0.1, CPU, matrices=[weight])
    gradient = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    weight.grad, bias.grad = gradient.clone(), torch.ones(3)
    for optimizer in optimizers:
        optimizer.step()
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    along = u.T @ weight.detach() @ v.T / (-0.1 * 0.2 * 6**0.5)
    off = along - torch.diag(along.diag())
    assert off.abs().max() < 0.1
    # Newton's iteration brings the singular values near one, not to it.
    assert 0.5 < along.diag().min() <= along.diag().max() < 1.5
    assert torch.allclose(bias.detach(), torch.full((3,), -0.1))


def test_muon_leaves_what_maps_nothing_to_adam() -> None:
    """Rows of a mixture's means, or of a codebook, have nothing to do with each other."""
    model = variants.build("cluster-vae", DataSpec((1, 8, 8), "binary"), hidden=(16,)).model
    means = dict(model.named_parameters())["prior.loc"]
    assert means.dim() == 2
    assert all(weight is not means for weight in linear_weights(model))


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(OptionError, match="did you mean 'muon'"):
        make_optimizers("muom", [], 0.1, CPU)
    with pytest.raises(OptionError, match="did you mean 'cosine'"):
        learning_rate("cosin", 0.1, 0, 10)


def test_a_linear_rate_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    line = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 8)
    rate = learning_rate("linear", 0.3, warmup=2, steps=10)
    assert [rate(0), rate(1)] == pytest.approx([0.15, 0.3])
    for step in range(2, 10):
        assert rate(step) == pytest.approx(line.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        line.step()


def test_the_stages_take_the_sources_epochs() -> None:
    """1, 3, …, 2187 epochs at 10^(-i/7) of the first rate."""
    rate = learning_rate("stages", 1.0, warmup=0, steps=3280)
    epoch = 0
    for i in range(8):
        for at in (epoch, epoch + 3**i - 1):
            assert rate(at) == pytest.approx(10 ** (-i / 7)), (i, at)
        epoch += 3**i
    assert epoch == 3280


@pytest.mark.slow
def test_training_imports_neither_torchs_compiler_nor_the_evaluation() -> None:
    code = (
        "import sys, torch, reparam as rp; x = torch.rand(64, 4).round();"
        "rp.fit(rp.variants.vae, x, epochs=1, progress=False);"
        "sys.exit(bool({'torch._dynamo', 'reparam.evaluation'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
