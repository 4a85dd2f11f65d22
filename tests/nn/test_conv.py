"""Hierarchies of maps: where each part of z lies, what it reaches, what the bound is made of."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional

from reparam.batch import Batch
from reparam.errors import OptionError, ShapeError
from reparam.families import Gaussian
from reparam.nn import Downsample, Pyramid, Residual
from reparam.objectives import ELBO
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import BINARY, scrambled

F64 = torch.float64
SHAPES = [(2, 2, 3), (3, 4, 6)]
SPEC = DataSpec((3, 8, 12), "unit", n_classes=3, levels=256)


def test_a_gaussian_of_places_lists_them_row_by_row() -> None:
    raw = torch.arange(2 * 3 * 4 * 6.0).reshape(1, 2, 3, 4, 6) / 100
    q = Gaussian(72, places=(4, 6)).distribution(raw)
    for row, column, channel in ((0, 0, 0), (1, 2, 0), (3, 5, 2)):
        index = (row * 6 + column) * 3 + channel
        assert q.mean[0, index] == raw[0, 0, channel, row, column]
        assert q.stddev[0, index] == (0.5 * raw[0, 1, channel, row, column]).exp()


@pytest.mark.parametrize(("event", "places"), [(7, (2, 2)), ((2, 4), (2, 2))])
def test_an_event_without_a_part_for_each_place_is_refused(
    event: int | tuple[int, int], places: tuple[int, int]
) -> None:
    with pytest.raises(OptionError, match=r"at 2 × 2 places: it must have one axis"):
        Gaussian(event, places=places)


def test_a_ceiling_keeps_the_scale_and_its_gradient_finite() -> None:
    raw = torch.tensor([[[0.5], [1e4]]], requires_grad=True)
    q = Gaussian(1, min_scale=0.01, max_scale=10.0).distribution(raw)
    assert q.stddev.item() == pytest.approx(10.01)
    (gradient,) = torch.autograd.grad(q.log_prob(torch.zeros(1, 1)).sum(), raw)
    assert gradient.isfinite().all()
    # The gradient of the KL leads back from both ends.
    for far in (1e4, -1e4, 1e30):
        raw = torch.tensor([[[0.0], [far]]], requires_grad=True)
        q = Gaussian(1, max_scale=10.0).distribution(raw)
        divergence = kl_divergence(q, Independent(Normal(torch.zeros(1, 1), 1.0), 1)).sum()
        assert divergence.isfinite()
        (gradient,) = torch.autograd.grad(divergence, raw)
        assert gradient[0, 1].item() * far > 0
    # Below it nothing changes.
    low = torch.zeros(1, 2, 1)
    assert Gaussian(1, max_scale=10.0).distribution(low).stddev.item() == 1.0
    with pytest.raises(OptionError, match=r"max_scale=0\.5: the ceiling must be above 1"):
        Gaussian(1, min_scale=1.0, max_scale=0.5)


def test_the_pyramid_is_its_formula() -> None:
    """Again without the class: the parts of z as maps, joined from the top down."""
    pyramid = scrambled(Pyramid(SHAPES, (8, 12), 4, 5, depth=1, context=2))
    z, c = torch.randn(7, 12 + 72, dtype=F64), torch.randn(7, 2, dtype=F64)
    top = z[:, :12].reshape(7, 2, 3, 2).permute(0, 3, 1, 2)
    low = z[:, 12:].reshape(7, 4, 6, 3).permute(0, 3, 1, 2)
    top = torch.cat([top, c[:, :, None, None].expand(-1, -1, 2, 3)], 1)
    w = dict(pyramid.named_parameters())

    def convolved(x: Tensor, name: str) -> Tensor:
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    def refined(h: Tensor, i: int) -> Tensor:
        return functional.silu(h + convolved(functional.silu(h), f"refine.{i}.0.conv"))

    def grown(h: Tensor, i: int) -> Tensor:
        weight, bias = w[f"grow.{i}.0.weight"], w[f"grow.{i}.0.bias"]
        return functional.silu(functional.conv_transpose2d(h, weight, bias, stride=2))

    h = grown(refined(convolved(top, "join.0"), 0), 0)
    expected = grown(refined(convolved(low, "join.1") + h, 1), 1)
    torch.testing.assert_close(pyramid(z, c), expected)
    draws = torch.stack([z, z + 1])
    torch.testing.assert_close(pyramid(draws, c)[1], pyramid(z + 1, c))


def test_a_place_of_the_lowest_map_reaches_its_neighbors_only() -> None:
    pyramid = Pyramid(SHAPES, (8, 12), 4)
    z = torch.zeros(1, 84)
    moved = z.clone()
    moved[0, 12:15] = 1.0  # the corner of the 4 × 6 places of the lower map
    changed = (pyramid(moved) - pyramid(z)).abs().amax((0, 1)) > 0
    assert changed[:6, :6].any()
    assert not changed[6:].any()
    assert not changed[:, 6:].any()


@pytest.mark.parametrize("size", [(28, 28), (13, 7), (32, 32)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    spec = DataSpec((1, *size), "binary")
    model = build("conv-ladder-vae", spec, maps=(2, 3, 4), channels=4).model
    x = torch.rand(2, 1, *size).round()
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(3).shape == (3, 1, *size)


def test_the_bound_is_made_of_closed_divergences_given_what_was_drawn() -> None:
    torch.manual_seed(0)
    model = build("conv-ladder-vae", SPEC, maps=(2, 3), channels=4).model.double()
    x = torch.rand(5, 3, 8, 12, dtype=F64)
    torch.manual_seed(1)
    terms = ELBO()(model, Batch(x))
    torch.manual_seed(1)
    q = model.posterior(x)
    z = q.rsample(torch.Size([1]))
    said = q.given(z)
    top, low = z[0, :, : 3 * 2 * 3], z[0, :, 3 * 2 * 3 :]
    expected = {
        "z2": kl_divergence(said["z2"], model.prior.top().expand((1, 5)))[0],
        "z1": kl_divergence(said["z1"], model.prior.below[0](top[None]))[0],
    }
    torch.testing.assert_close(terms.kl, expected)
    assert low.shape == (5, 2 * 4 * 6)
    # Given x the layers do not depend on each other.
    assert torch.equal(q.given(z + 1)["z1"].mean, said["z1"].mean)


def test_a_condition_reaches_every_part() -> None:
    torch.manual_seed(0)
    model = build("conv-ladder-vae", SPEC.conditioned("label"), maps=(2, 2), channels=4).model
    x, c = torch.rand(2, 3, 8, 12), torch.eye(3)[:2]
    z = torch.randn(2, 12 + 48)
    for part in (model.encoder(x, c).given(z)["z1"], model.prior.below[0](z[:, :12], c)):
        assert part.mean.isfinite().all()
    other = c.roll(1, 0)
    assert not torch.equal(model.encoder(x, c).mean, model.encoder(x, other).mean)
    below = model.prior.below[0]
    assert not torch.equal(below(z[:, :12], c).mean, below(z[:, :12], other).mean)
    assert not torch.equal(model.likelihood(z, c).mean, model.likelihood(z, other).mean)


def test_residual_layers_start_from_the_identity_and_halves_round_up() -> None:
    layer = Residual(3)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    h = torch.randn(2, 3, 5, 5)
    assert torch.equal(layer(h), h)
    assert Downsample((3, 13, 7), 4).out_shape == (4, 7, 4)
    assert Downsample((3, 13, 7), 4)(torch.zeros(2, 6, 3, 13, 7)).shape == (2, 6, 4, 7, 4)


def test_senseless_sizes_are_refused() -> None:
    with pytest.raises(OptionError, match="each must be half as high and wide"):
        Pyramid([(2, 3, 3), (2, 8, 8)], (16, 16), 4)
    with pytest.raises(OptionError, match="have no half"):
        build("conv-ladder-vae", BINARY, maps=(2, 2, 2))
    with pytest.raises(ShapeError, match=r"its trailing sizes must be \(84,\)"):
        Pyramid(SHAPES, (8, 12), 4)(torch.zeros(2, 83))
