"""Images of any size: gradients in bfloat16 on a CPU are those of float32, or a refusal."""

import copy
import pickle
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import reparam as rp
from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.nn import ConvDecoder, ConvEncoder
from reparam.nn.autocast import float32_where_narrow, is_narrow
from reparam.spec import DataSpec
from reparam.variants.hierarchical import conv_ladder_vae
from tests.support import normal, quick_fit


def soil() -> None:
    """Leave NaN in the memory that is free: what reads it unwritten shows."""
    kept = [torch.full((2**power,), torch.nan) for power in range(4, 21)]
    del kept


def gradients(module: nn.Module, loss: Callable[[], Tensor], half: bool) -> dict[str, Tensor]:
    """Return the gradients of a loss by the names of the parameters, under autocast or not."""
    module.zero_grad()
    torch.manual_seed(1)
    soil()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        value = loss()
    soil()
    value.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def relative_error(module: nn.Module, loss: Callable[[], Tensor]) -> float:
    """Return how far off all gradients in bfloat16 are, relative to those in float32."""
    half, full = (
        torch.cat([g.flatten() for g in gradients(module, loss, half).values()])
        for half in (True, False)
    )
    return float((half - full).norm() / full.norm())


def close_layer(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    x = torch.randn(shape)
    weights = torch.randn_like(layer(x))
    return relative_error(layer, lambda: (layer(x) * weights).sum()) < 0.03


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [2, 3])
def test_the_gradient_of_a_convolution_of_narrow_maps_is_that_of_float32(
    kernel: int, stride: int
) -> None:
    for height, width in product((1, 2, 3, 6), (1, 2, 3)):
        layer = nn.Conv2d(16, 32, kernel, stride=stride, padding=kernel // 2)
        assert close_layer(float32_where_narrow(layer), (4, 16, height, width))


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_gradient_of_a_transposed_convolution_is_that_of_float32(kernel: int) -> None:
    for height, width in product((1, 2, 3), (1, 2, 3)):
        for extra in product((0, 1), (0, 1)):
            layer = nn.ConvTranspose2d(
                16, 32, kernel, stride=2, padding=kernel // 2, output_padding=extra
            )
            assert close_layer(float32_where_narrow(layer), (4, 16, height, width))


def test_the_gradient_of_a_convolution_of_one_token_is_that_of_float32() -> None:
    layer = float32_where_narrow(nn.Conv1d(16, 32, 5, stride=2, padding=2))
    assert all(close_layer(layer, (4, 16, length)) for length in (1, 2, 3))


def test_only_maps_narrower_than_the_stride_leave_bfloat16() -> None:
    encoder = ConvEncoder((1, 28, 28), (8, 16, 32, 32, 32), padding=1, spatial=True)
    kinds = []
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, x, y: kinds.append((x[0].shape[-1], y.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        encoder(torch.rand(4, 1, 28, 28))
        wide = [ConvDecoder(2, (28, 28), (16, 8))(torch.zeros(3, 2)).dtype]
        narrow = ConvEncoder((1, 1, 1), (8,), padding=1)(torch.rand(4, 1, 1, 1)).dtype
    assert kinds == [(side, torch.bfloat16) for side in (28, 14, 7, 4, 2)]
    assert (wide, narrow) == ([torch.bfloat16], torch.float32)


def test_a_transposed_convolution_is_as_narrow_as_what_it_puts_out() -> None:
    layer = nn.ConvTranspose2d(1, 1, 2, stride=2)
    assert not is_narrow(layer, torch.zeros(1, 1, 1, 1), layer(torch.zeros(1, 1, 1, 1)))


def test_guarded_layers_keep_their_names_and_can_be_copied_and_pickled() -> None:
    layer = nn.Conv2d(2, 4, 3, stride=2, padding=1)
    guarded = float32_where_narrow(float32_where_narrow(nn.Sequential(layer)))
    assert list(guarded.state_dict()) == ["0.weight", "0.bias"]
    assert len(layer._forward_hooks) == 1
    pickled = pickle.loads(pickle.dumps(guarded))  # noqa: S301
    for same in (copy.deepcopy(guarded), pickled):
        with torch.autocast("cpu", torch.bfloat16):
            assert same(torch.ones(1, 2, 1, 1)).dtype == torch.float32


class OwnEncoder(nn.Module):
    """A network of the user's own, of torch's layers, that returns a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.LazyLinear(4),
        )

    def forward(self, x: Tensor) -> Distribution:
        loc, log_scale = self.body(x).float().chunk(2, dim=-1)
        return normal(loc, log_scale.exp())


def test_networks_of_the_users_own_train_on_narrow_maps() -> None:
    torch.manual_seed(0)
    x = torch.rand(48, 1, 30, 2).round()
    encoder = OwnEncoder()
    encoder(x)
    model = rp.LatentModel(
        encoder=encoder,
        decoder=rp.Conditional(rp.nn.MLP(2, 16), rp.families.Bernoulli((1, 30, 2))),
        prior=rp.priors.StandardNormal(2),
    )
    quick_fit(model, x, batch_size=16, precision="bfloat16")
    batch = Batch(x[:16], step=0, progress=0.0)
    assert relative_error(model, lambda: rp.objectives.ELBO()(model, batch).loss) < 0.2


VARIANTS: dict[str, Callable[[DataSpec], rp.Recipe]] = {
    "conv-vae": lambda spec: rp.variants.conv_vae(spec, 4, (8, 16, 16), padding=1),
    "conv-vae, unpadded": lambda spec: rp.variants.conv_vae(spec, 4, (8, 16)),
    "conv-vae, batch norm": lambda spec: rp.variants.conv_vae(
        spec, 4, (8, 16, 16), padding=1, norm="batch"
    ),
    "vq-vae": lambda spec: rp.variants.vq_vae(spec, 8, 4, (8, 16, 16)),
    "conv-ladder-vae": lambda spec: conv_ladder_vae(spec, (2, 3), channels=16),
    "vae-gan": lambda spec: rp.variants.vae_gan(spec, 4, hidden=(16,), critic=(16, 8)),
    "cvae-gan": lambda spec: rp.variants.cvae_gan(spec, 4, hidden=(16,), critic=(16, 8)),
}


def refusal(name: str, channels: int, height: int, width: int, n: int) -> str | None:
    """Check the gradients of a variant on n images of one size; return why it is refused."""
    support = "binary" if channels == 1 else "unit"
    spec = DataSpec((channels, height, width), support, n_classes=3)
    torch.manual_seed(0)
    try:
        recipe = VARIANTS[name](spec)
    except OptionError as error:
        return str(error)
    x, y = torch.rand(n, channels, height, width), torch.zeros(n, dtype=torch.long)
    x = x.round() if support == "binary" else x
    c = torch.eye(3)[y] if recipe.spec is not None and recipe.spec.context else None
    batch = Batch(x, y, c, step=0, progress=0.0)
    model = recipe.model.train()
    players = [recipe.objective, *(player.objective for player in recipe.players)]
    for objective in players:
        found = gradients(model, lambda o=objective: o(model, batch).loss, half=True)
        assert found
        assert all(g.isfinite().all() for g in found.values())
    # A code that is another one, or the variance of two values, is no rounding error.
    if name in ("conv-vae", "conv-vae, unpadded", "conv-ladder-vae") and n > 1:
        assert relative_error(model, lambda: recipe.objective(model, batch).loss) < 0.2
    return None


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(
    ("channels", "height", "width"),
    [(1, 1, 1), (3, 1, 2), (1, 2, 1), (3, 2, 2), (1, 19, 1), (3, 17, 2), (1, 3, 16), (3, 9, 9)],
)
def test_images_of_any_size_have_true_gradients_or_are_refused_with_what_to_change(
    name: str, channels: int, height: int, width: int
) -> None:
    reasons = {refusal(name, channels, height, width, n) for n in (1, 16)} - {None}
    assert all("padding=1" in str(reason) for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_images_of_sizes_to_64_have_true_gradients(name: str) -> None:
    # Each small side, and those beside a power of two, where a layer has one more place.
    sides = (*range(1, 18), 31, 32, 33, 47, 63, 64)
    sizes = {(n, n) for n in sides}
    sizes |= {pair for n in sides for m in (1, 2, 3, 64) for pair in ((n, m), (m, n))}
    refused = {size for size in sorted(sizes) if refusal(name, 1 + 2 * (size[0] % 2), *size, 4)}
    # Unpadded layers of stride 2 need 3, then 7 places; two layers of maps more than 2.
    least = {"conv-vae, unpadded": 7, "conv-ladder-vae": 3}.get(name, 1)
    assert refused == {size for size in sizes if min(size) < least}


@pytest.mark.parametrize(
    ("channels", "padding", "least"), [((8,), 0, 3), ((8, 8), 0, 7), ((8, 8, 8), 1, 1)]
)
def test_an_encoder_says_what_to_change_for_images_that_are_too_small(
    channels: tuple[int, ...], padding: int, least: int
) -> None:
    ConvEncoder((1, least, 64), channels, padding=padding)
    if least > 1:
        with pytest.raises(OptionError, match=r"use fewer channels=\(8.* or padding=1"):
            ConvEncoder((1, least - 1, 64), channels, padding=padding)
