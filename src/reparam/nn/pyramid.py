"""Networks of a hierarchy of maps: up from an image, and down through maps of growing size."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from reparam.errors import OptionError, ShapeError
from reparam.nn.activations import activation as make_activation
from reparam.nn.context import concatenate
from reparam.nn.conv import ConvEncoder, channels_last
from reparam.utils.arguments import numbers


@numbers(channels=1)
class Residual(nn.Module):
    r"""A convolution beside the identity, on maps.

    .. math:: h + W * \phi(h)

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
        """Return maps with the shape (B, F, h, w) of what is given."""
        changed: Tensor = self.conv(self.activation(h))
        return h + changed


@numbers(channels=1, depth=0, context=0)
class Downsample(nn.Module):
    """One step up a hierarchy: maps of half the height and width, and residual layers on them.

    Arguments:
        in_shape: The shape of the image or the maps that it reads, (channels, height, width).
        channels: The number of maps that it makes.
        depth: The number of residual layers.
        context: The size of a condition c, which joins as constant planes; 0 without one.
        activation: The nonlinearity.

    Raises:
        OptionError: A size below one, or maps of one place, which have no half.

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
                f"maps of {in_shape[-2]} × {in_shape[-1]} have no half: use fewer layers, or for "
                "such images another variant, such as conv-vae with padding=1"
            )
        self.shrink = ConvEncoder(
            in_shape,
            (channels,),
            kernel_size=3,
            padding=1,
            context=context,
            activation=activation,
            spatial=True,
        )
        self.out_shape = self.shrink.out_shape
        residual = [Residual(channels, activation) for _ in range(depth)]
        self.refine = nn.Sequential(*residual, make_activation(activation))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return maps, with shape (\*, F, h, w), of x, with shape (\*, C, H, W)."""
        h = self.shrink(x, c)
        return self.refine(h.flatten(0, -4)).reshape(h.shape)


@numbers(channels=1, out_channels=1, depth=0, context=0)
class Pyramid(nn.Module):
    r"""Down a hierarchy: the parts of z, each a map, join maps that come from the parts above.

    .. math:: h_L = f_L(W_L * z_L), \qquad h_l = f_l(W_l * z_l + \mathrm{up}(h_{l+1}))

    It tells the maps of a layer, or an image, from all layers above it. Each part of z lies place
    by place, row by row.

    Arguments:
        shapes: The shape of each part of z, (channels, height, width), from the top; each part is
            half as high and wide as the next.
        out_size: The height and width of the features: twice those of the last part.
        channels: The number of maps F of each step.
        out_channels: The number of maps that come out; F when None.
        depth: The number of residual layers of each step.
        context: The size of a condition c, which joins the top; 0 without one.
        activation: The nonlinearity.

    Raises:
        OptionError: No parts, or sizes that do not follow from each other.
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
        if not shapes or any(
            small != tuple(-(-side // 2) for side in large) for small, large in pairwise(sides)
        ):
            raise OptionError(
                f"maps of {', '.join(' × '.join(map(str, side)) for side in sides)}: each must be "
                "half as high and wide as the next, rounded up"
            )
        self.sizes = [prod(shape) for shape in self.shapes]
        self.context = context
        n_out = channels if out_channels is None else out_channels
        n_in = [shape[0] for shape in self.shapes]
        n_in[0] += context
        self.join = nn.ModuleList(nn.Conv2d(n, channels, 3, padding=1) for n in n_in)
        self.refine = nn.ModuleList(
            nn.Sequential(
                *(Residual(channels, activation) for _ in range(depth)), make_activation(activation)
            )
            for _ in self.shapes
        )
        widths = [channels] * (len(sides) - 2) + [n_out]
        self.grow = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(channels, n, 2, stride=2), make_activation(activation))
            for n in widths
        )
        self.sides = sides
        self.out_shape = torch.Size([n_out, *out_size])

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return feature maps, with shape (\*, F, H, W), of z, with shape (\*, D)."""
        if z.shape[-1] != sum(self.sizes):
            raise ShapeError(
                f"input of shape {tuple(z.shape)}: its last size must be {sum(self.sizes)}, "
                "the size of z that the network was built for"
            )
        above: Tensor | None = None
        for i, (part, shape) in enumerate(
            zip(z.split(self.sizes, dim=-1), self.shapes, strict=True)
        ):
            places = part.unflatten(-1, (-1, shape[0]))
            if i == 0:
                each = None if c is None else c[..., None, :]
                places = concatenate(places, each, self.context)
            maps = places.reshape(-1, *shape[1:], places.shape[-1]).movedim(-1, -3)
            h = self.join[i](channels_last(maps))
            h = self.refine[i](h if above is None else h + above)
            height, width = self.sides[i + 1]
            above = self.grow[i](h)[..., :height, :width]
        assert above is not None  # noqa: S101  (there is at least one part)
        return above.reshape(*z.shape[:-1], *self.out_shape)
