"""Networks of a hierarchy of maps: from an image up, and from the parts of z down to an image."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.nn.activations import activation as make_activation
from reparam.nn.context import concatenate
from reparam.nn.conv import ConvEncoder, channels_last, half
from reparam.nn.features import input_error
from reparam.utils.arguments import numbers


@numbers(channels=1)
class Residual(nn.Module):
    r"""A convolution of maps with a residual connection.

    .. math:: f(h) = h + W * \phi(h)

    Arguments:
        channels: The number of maps.
        activation: The nonlinearity φ.

    Example:
        >>> Residual(4)(torch.zeros(2, 4, 8, 8)).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(self, channels: int, activation: str = "silu") -> None:
        super().__init__()
        self.activation = make_activation(activation)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Return maps with the shape (B, F, h, w) of h."""
        changed: Tensor = self.conv(self.activation(h))
        return h + changed


@numbers(channels=1, depth=0, context=0)
class Downsample(nn.Module):
    """Convolutions from maps to maps of half the height and width.

    Arguments:
        in_shape: The shape of the input, an image or maps: (channels, height, width).
        channels: The number of maps of the output.
        depth: The number of residual layers after the strided one.
        context: The size of a condition c, which is added as constant channels; 0 without one.
        activation: The nonlinearity.

    Raises:
        OptionError: A size below one, or maps of one pixel, which cannot be halved.

    Example:
        >>> Downsample((3, 32, 32), 16).out_shape
        torch.Size([16, 16, 16])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int,
        depth: int = 1,
        context: int = 0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if min(in_shape[-2:]) < 2:
            raise OptionError(
                f"maps of {in_shape[-2]} × {in_shape[-1]} have no half: use fewer layers, or "
                "another variant for such images, such as conv-vae with padding=1"
            )
        self.shrink = ConvEncoder(
            in_shape, (channels,), padding=1, context=context, activation=activation, spatial=True
        )
        self.out_shape = self.shrink.out_shape
        self.refine = _residuals(channels, depth, activation)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return maps, with shape (\*, F, h, w), of x, with shape (\*, C, H, W)."""
        h = self.shrink(x, c)
        return self.refine(h.flatten(0, -4)).reshape(h.shape)


@numbers(channels=1, out_channels=1, depth=0, context=0)
class Pyramid(nn.Module):
    r"""A network from the parts of z, each a map twice as large as the one before, to feature maps.

    .. math:: h_L = f_L(W_L * z_L), \qquad h_l = f_l(W_l * z_l + \mathrm{up}(h_{l+1}))

    It is the network of a layer, or of an image, given all layers above. Each part of z is stored
    position by position, row by row.

    Arguments:
        shapes: The shape of each part of z, (channels, height, width), from the top; each part has
            half the height and width of the next, rounded up.
        out_size: The height and width of the features, twice those of the last part.
        channels: The number of maps F of each layer.
        out_channels: The number of maps of the output; F when None.
        depth: The number of residual layers after each part.
        context: The size of a condition c, which is added to the top part; 0 without one.
        activation: The nonlinearity.

    Raises:
        OptionError: No parts, or sizes that are not halves of each other.
        ShapeError: A z of another size.

    Example:
        >>> Pyramid([(2, 4, 4), (3, 8, 8)], (16, 16), 8)(torch.zeros(5, 2 * 16 + 3 * 64)).shape
        torch.Size([5, 8, 16, 16])
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        out_size: Sequence[int],
        channels: int = 64,
        out_channels: int | None = None,
        depth: int = 1,
        context: int = 0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.shapes = [tuple(shape) for shape in shapes]
        sides = [*(shape[1:] for shape in self.shapes), tuple(out_size)]
        if not shapes or any(small != half(large) for small, large in pairwise(sides)):
            raise OptionError(
                f"maps of {', '.join(' × '.join(map(str, side)) for side in sides)}: each must be "
                "half as high and wide as the next, rounded up"
            )
        self.sizes = [prod(shape) for shape in self.shapes]
        self.context = context
        n_out = channels if out_channels is None else out_channels
        first, *others = (shape[0] for shape in self.shapes)
        self.join = nn.ModuleList(
            nn.Conv2d(n, channels, 3, padding=1) for n in (first + context, *others)
        )
        self.refine = nn.ModuleList(_residuals(channels, depth, activation) for _ in self.shapes)
        self.grow = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(channels, n, 2, stride=2), make_activation(activation))
            for n in (*[channels] * len(others), n_out)
        )
        self.sides = sides
        self.out_shape = torch.Size([n_out, *out_size])

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return feature maps, with shape (\*, F, H, W), of z, with shape (\*, D)."""
        if z.shape[-1] != sum(self.sizes):
            raise input_error(z, (sum(self.sizes),))
        h = z.new_zeros(())
        for i, part in enumerate(z.split(self.sizes, dim=-1)):
            channels, *side = self.shapes[i]
            places = part.unflatten(-1, (-1, channels))
            if i == 0:
                places = concatenate(places, c, self.context, n_axes=1)
            maps = places.reshape(-1, *side, places.shape[-1]).movedim(-1, -3)
            joined = self.join[i](channels_last(maps))
            height, width = self.sides[i + 1]
            h = self.grow[i](self.refine[i](joined + h if i else joined))[..., :height, :width]
        return h.reshape(*z.shape[:-1], *self.out_shape)


def _residuals(channels: int, depth: int, activation: str) -> nn.Sequential:
    """Return residual layers and a last activation."""
    layers = [Residual(channels, activation) for _ in range(depth)]
    return nn.Sequential(*layers, make_activation(activation))
