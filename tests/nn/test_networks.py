"""Networks: shapes, leading dimensions, conditions, heads and refusals."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reparam.errors import OptionError, ShapeError
from reparam.families import Bernoulli, Categorical, Gaussian
from reparam.models.conditional import Conditional
from reparam.nn import MLP, ConvDecoder, ConvEncoder, TakeLast, head
from reparam.nn.activations import ACTIVATIONS, activation
from reparam.nn.context import concatenate
from reparam.nn.features import features_shape
from reparam.nn.mlp import flatten_example
from reparam.nn.sequence import TextDecoder


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (13, 13), (28, 28), (32, 32), (8, 13)])
@pytest.mark.parametrize("channels", [(3,), (3, 4), (3, 4, 5)])
def test_decoder_makes_images_of_any_size(size: tuple[int, int], channels: Sequence[int]) -> None:
    decoder = ConvDecoder(2, size, channels)
    found = decoder(torch.randn(3, 2))
    assert found.shape == (3, channels[-1], *size)
    assert decoder.out_shape == found.shape[1:]


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (13, 13), (28, 28), (32, 32), (8, 13)])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(("kernel_size", "padding"), [(3, 0), (3, 1), (4, 1)])
def test_encoder_tells_the_size_of_its_features(
    size: tuple[int, int], n_channels: int, kernel_size: int, padding: int
) -> None:
    encoder = ConvEncoder((n_channels, *size), (3, 4), kernel_size=kernel_size, padding=padding)
    found = encoder(torch.randn(3, n_channels, *size))
    assert encoder.out_shape == found.shape[1:]


def test_encoder_of_the_tutorials_has_2304_features() -> None:
    # 28 -> 13 -> 6 with 64 channels.
    assert ConvEncoder((1, 28, 28), (32, 64)).out_shape == (64 * 6 * 6,)


def networks(context: int = 0) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Return networks, each with the shape of one input."""
    return [
        (MLP(4, 8, 5, context=context), (4,)),
        (MLP((1, 3, 3), 8, context=context), (1, 3, 3)),
        (MLP(4, context=context), (4,)),
        (ConvEncoder((3, 7, 8), (2, 4), context=context), (3, 7, 8)),
        (ConvDecoder(2, (7, 8), (4, 3), context=context), (2,)),
    ]


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("context", [0, 3])
def test_leading_dimensions_are_applied_one_by_one(index: int, context: int) -> None:
    network, shape = networks(context)[index]
    x = torch.randn(4, 5, *shape)
    c = torch.randn(5, context) if context else None
    found = network(x, c)
    assert found.shape == (4, 5, *network.out_shape)
    for k in range(4):
        torch.testing.assert_close(found[k], network(x[k], c), atol=1e-5, rtol=1e-4)
    one = network(x[2, 3], None if c is None else c[3])
    torch.testing.assert_close(found[2, 3], one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("index", range(5))
def test_conditions_change_the_features(index: int) -> None:
    network, shape = networks(context=3)[index]
    x = torch.randn(1, *shape).expand(2, *shape)
    first, second = network(x, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 9.0]]))
    assert not torch.allclose(first, second)


def test_condition_joins_a_convolution_as_constant_planes() -> None:
    encoder = ConvEncoder((1, 7, 7), (2,), context=2)
    x, c = torch.randn(3, 1, 7, 7), torch.randn(3, 2)
    planes = torch.cat([x, c[:, :, None, None].expand(3, 2, 7, 7)], dim=1)
    convolution = encoder.layers[0]
    expected = functional.conv2d(planes, convolution.weight, convolution.bias, stride=2).relu()
    torch.testing.assert_close(encoder(x, c), expected.flatten(1))


def test_features_of_convolutions_can_contain_the_pixels() -> None:
    networks = [ConvEncoder((2, 7, 8), (3,), context=2, skip=skip) for skip in (False, True)]
    networks[1].load_state_dict(networks[0].state_dict())
    x, c = torch.randn(4, 5, 2, 7, 8), torch.randn(5, 2)
    features, both = (network(x, c) for network in networks)
    assert networks[1].out_shape == (features.shape[-1] + 2 * 7 * 8,)
    pixels = x.reshape(4, 5, -1) * 10 / (2 * 7 * 8) ** 0.5
    torch.testing.assert_close(both, torch.cat([features, pixels], -1))
    large = ConvEncoder((1, 130, 70), (1,), skip=True)
    x = torch.randn(2, 3, 1, 130, 70)
    means = x[..., :129, :69].unflatten(-2, (43, 3)).unflatten(-1, (23, 3)).mean((-3, -1))
    scale = 10 / (43 * 23) ** 0.5
    torch.testing.assert_close(large(x)[..., -43 * 23 :], scale * means.flatten(-3))
    with pytest.raises(OptionError, match="skip=True: maps"):
        ConvEncoder((2, 7, 8), (3,), spatial=True, skip=True)


def test_condition_is_concatenated_to_the_features() -> None:
    f, c = torch.randn(2, 3, 4), torch.randn(3, 5)
    found = concatenate(f, c, 5)
    assert torch.equal(found[..., :4], f)
    assert torch.equal(found[0, :, 4:], c)
    assert torch.equal(found[1, :, 4:], c)
    assert torch.equal(concatenate(f, None, 0), f)


def test_integer_conditions_are_taken_as_numbers() -> None:
    one_hot = functional.one_hot(torch.arange(3), 5)
    assert concatenate(torch.zeros(3, 4), one_hot, 5).dtype == torch.float32


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize(("context", "given"), [(0, (2, 3)), (3, None), (3, (2, 4)), (3, (7, 3))])
def test_unfit_conditions_are_refused(
    index: int, context: int, given: tuple[int, ...] | None
) -> None:
    network, shape = networks(context)[index]
    with pytest.raises(ShapeError, match="condition c has"):
        network(torch.randn(2, *shape), None if given is None else torch.zeros(given))


@pytest.mark.parametrize("index", range(5))
def test_inputs_of_another_size_are_refused(index: int) -> None:
    network, shape = networks()[index]
    with pytest.raises(ShapeError, match=r"input of shape \(5, .*built for"):
        network(torch.zeros(5, *shape[:-1], shape[-1] + 1))


def test_mlp_is_its_formula() -> None:
    network = MLP(3, 4, 2, activation="tanh")
    first, second = (m for m in network.modules() if isinstance(m, nn.Linear))
    x = torch.randn(5, 3)
    hidden = torch.tanh(x @ first.weight.T + first.bias)
    expected = torch.tanh(hidden @ second.weight.T + second.bias)
    torch.testing.assert_close(network(x), expected)


def test_a_gated_layer_is_one_linear_map_weighed_by_another() -> None:
    network = MLP(3, 4, 2, activation="gated", context=1)
    first, second = (m for m in network.modules() if isinstance(m, nn.Linear))
    x, c = torch.randn(5, 3), torch.randn(5, 1)
    h = torch.cat([x, c], dim=-1)
    for linear in (first, second):
        (w, v), (b, gate) = linear.weight.chunk(2), linear.bias.chunk(2)
        h = (h @ w.T + b) / (1 + torch.exp(-(h @ v.T + gate)))
    torch.testing.assert_close(network(x, c), h)
    assert network.out_shape == (2,)


def test_the_last_entries_are_all_that_is_seen() -> None:
    inner = MLP(3, 4, context=2)
    network = TakeLast(inner, 3)
    z, c = torch.randn(2, 5, 7), torch.randn(5, 2)
    assert torch.equal(network(z, c), inner(z[..., 4:], c))
    assert network.out_shape == inner.out_shape


def test_mlp_without_layers_is_the_flat_input() -> None:
    x = torch.randn(5, 1, 2, 2)
    assert torch.equal(MLP((1, 2, 2))(x), x.flatten(1))
    assert MLP((1, 2, 2)).out_shape == (4,)


@pytest.mark.parametrize("leading", [(), (5,), (2, 5)])
def test_images_are_flattened_for_a_size(leading: tuple[int, ...]) -> None:
    x = torch.randn(*leading, 1, 4, 4)
    for shape in ((16,), (1, 4, 4)):
        found = flatten_example(x, shape)
        assert torch.equal(found.reshape(-1), x.reshape(-1))
        assert found.shape[-1] == 16


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (4, 8, -1)])
def test_empty_layers_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="must be at least 1"):
        MLP(*sizes)


def test_layers_that_leave_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match=r"leave nothing of an image of 8 × 8: use fewer"):
        ConvEncoder((1, 8, 8), (4, 4, 4))


@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 1, 8, 8)])
def test_convolutions_want_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="use an MLP for other data"):
        ConvEncoder(shape)


@pytest.mark.parametrize("options", [{"channels": (0,)}, {"kernel_size": 0}], ids=str)
def test_empty_convolutions_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="must be at least 1"):
        ConvEncoder((1, 8, 8), **options)


@pytest.mark.parametrize(
    "options", [{"channels": ()}, {"channels": (4, 0)}, {"kernel_size": 4}], ids=str
)
def test_impossible_transposed_convolutions_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"at least (one layer|1)|must be odd"):
        ConvDecoder(2, (8, 8), **options)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_a_nonlinearity(name: str) -> None:
    x = torch.tensor([-2.0, 0.5, 3.0])
    made = activation(name)
    assert made is not activation(name)
    assert not torch.allclose(made(-x), -made(x)) or name == "tanh"
    assert not torch.allclose(made(2 * x), 2 * made(x)) or "relu" in name
    assert MLP(3, 4, activation=name)(x).shape == (4,)


@pytest.mark.parametrize(
    ("name", "near"), [("rellu", "relu"), ("Gelu", "gelu"), ("leaky", "leaky-relu")]
)
def test_unknown_activation_names_the_nearest(name: str, near: str) -> None:
    for make in (
        lambda: MLP(3, 4, activation=name),
        lambda: ConvDecoder(2, (8, 8), activation=name),
    ):
        with pytest.raises(
            OptionError, match=f"unknown activation '{name}': did you mean '{near}'"
        ):
            make()


@pytest.mark.parametrize("leading", [(5,), (2, 5)])
def test_head_of_an_image_is_a_convolution(leading: tuple[int, ...]) -> None:
    made = head((6, 5, 4), (2, 3, 5, 4))
    features = torch.randn(*leading, 6, 5, 4)
    found = made(features)
    assert found.shape == (*leading, 2, 3, 5, 4)
    (convolution,) = (m for m in made.modules() if isinstance(m, nn.Conv2d))
    flat = functional.conv2d(
        features.flatten(0, -4), convolution.weight, convolution.bias, padding=1
    )
    torch.testing.assert_close(found.flatten(), flat.flatten(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("raw_shape", [(2, 20), (1, 1, 8, 9), (3,)])
def test_feature_maps_for_another_event_are_refused(raw_shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="height and width of the event"):
        head((6, 8, 8), raw_shape)


@pytest.mark.parametrize(
    "family", [Bernoulli((3, 7, 8)), Gaussian((3, 7, 8)), Categorical(4, (3, 7, 8))], ids=str
)
def test_convolutional_decoder_describes_its_image(family: Bernoulli) -> None:
    p = Conditional(ConvDecoder(2, (7, 8), (4,)), family)(torch.randn(6, 5, 2))
    assert p.batch_shape == (6, 5)
    assert p.sample().shape == (6, 5, 3, 7, 8)


class Silent(nn.Module):
    """A network that does not declare the shape of its features."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Told(Silent):
    out_shape = (4,)


def test_network_that_does_not_declare_its_features_is_refused() -> None:
    with pytest.raises(OptionError, match=r"Silent does not declare .* attribute out_shape"):
        Conditional(Silent(), Gaussian(2))
    with pytest.raises(OptionError, match="Sequential does not declare"):
        Conditional(nn.Sequential(nn.ReLU()), Gaussian(2))


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Linear(4, 6), (6,)),
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh()), (6,)),
        (nn.Sequential(nn.Flatten(), MLP(4, 6)), (6,)),
        (MLP(4, 6), (6,)),
        (Told(), (4,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_networks_are_accepted(network: nn.Module, shape: tuple[int, ...]) -> None:
    assert features_shape(network) == shape
    q = Conditional(network, Gaussian(2))(torch.randn(5, 4))
    assert q.rsample().shape == (5, 2)


def test_a_decoder_of_text_takes_codes_of_its_size() -> None:
    decoder = TextDecoder(4, n_classes=6, length=5, width=8, context=3)
    with pytest.raises(ShapeError, match=r"trailing sizes must be \(4,\)"):
        decoder(torch.zeros(2, 5), torch.zeros(2, 3))
