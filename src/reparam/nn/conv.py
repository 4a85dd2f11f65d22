r"""Convolutional networks: from an image to features and back, and those of a hierarchy of maps."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from reparam.errors import OptionError, unknown
from reparam.nn.activations import activation as make_activation
from reparam.nn.autocast import float32_where_narrow
from reparam.nn.context import concatenate
from reparam.nn.features import input_error
from reparam.utils.arguments import numbers

Norm = Literal["batch"]
"""The normalization of feature maps."""

LENGTH, LARGEST = 10.0, 64
"""Pixels as features of an encoder: the Euclidean length of an image whose values are all 1, and
the largest side of an image that is not averaged over squares first."""


@numbers(channels=1, kernel_size=1, padding=0, context=0)
class ConvEncoder(nn.Module):
    r"""Strided convolutions from an image to flat features, or to small feature maps.

    Each layer has stride 2 and halves the image: without padding 28 -> 13 -> 6. With ``skip``, the
    features are :math:`[h_L, 10 x / \sqrt{D}]` for an image of D values: a linear layer after the
    network gets the pixels too, at a scale at which one step of an optimizer changes its output
    little, however large the image is. An image with a side above 64 pixels is averaged over
    squares for it.

    Arguments:
        in_shape: The shape of the image, (channels, height, width).
        channels: The number of filters of each layer.
        kernel_size: The side of the filters.
        padding: The number of zeros on each side of the image.
        context: The size of a condition c, which is added as constant channels; 0 without one.
        activation: The nonlinearity after every layer.
        norm: ``batch`` for batch normalization before every nonlinearity; None for none.
        spatial: Whether the features are maps, with shape (F, h, w), instead of flat.
        skip: Whether flat features contain the pixels.

    Raises:
        OptionError: An image that the layers shrink to nothing, or without three axes; a size below
            one; an unknown normalization; maps that should contain the pixels.
        ShapeError: An input of another shape.

    Example:
        >>> ConvEncoder((1, 28, 28), (32, 64)).out_shape
        torch.Size([2304])
        >>> ConvEncoder((1, 28, 28), (32, 64), skip=True).out_shape
        torch.Size([3088])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        *,
        kernel_size: int = 3,
        padding: int = 0,
        context: int = 0,
        activation: str = "relu",
        norm: Norm | None = None,
        spatial: bool = False,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if skip and spatial:
            raise OptionError("skip=True: maps are smaller than the image; use spatial=False")
        self.in_shape = image_shape(in_shape)
        n_channels, *size = self.in_shape
        layers: list[nn.Module] = []
        n_in = n_channels + context
        for n_out in channels:
            size = [(side + 2 * padding - kernel_size) // 2 + 1 for side in size]
            layers += [
                nn.Conv2d(n_in, n_out, kernel_size, stride=2, padding=padding, bias=norm is None),
                *normalized(norm, n_out),
                make_activation(activation),
            ]
            n_in = n_out
        if min(size) < 1:
            raise OptionError(
                f"{len(channels)} convolutions of stride 2 leave nothing of an image of "
                f"{self.in_shape[1]} × {self.in_shape[2]}: use fewer channels={tuple(channels)} "
                f"or padding={kernel_size // 2}, with which every layer halves the image exactly"
            )
        self.context = context
        self.layers = float32_where_narrow(nn.Sequential(*layers))
        self.skip = skip
        pool = -(-max(self.in_shape[1:]) // LARGEST)
        self.pool = [min(pool, side) for side in self.in_shape[1:]]
        sides = zip(self.in_shape[1:], self.pool, strict=True)
        self.n_pixels = n_channels * prod(side // each for side, each in sides)
        n_flat = n_in * prod(size) + skip * self.n_pixels
        self.out_shape = torch.Size([n_in, *size] if spatial else [n_flat])

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return features, with shape (\*, *out_shape), of images x, with shape (\*, C, H, W)."""
        if x.shape[-3:] != self.in_shape:
            raise input_error(x, self.in_shape)
        seen = concatenate(x.movedim(-3, -1), c, self.context, n_axes=2).movedim(-1, -3)
        maps = self.layers(channels_last(seen.flatten(0, -4) if seen.dim() > 4 else seen))
        if not self.skip:
            return maps.reshape(*x.shape[:-3], *self.out_shape)
        pixels = x
        if max(self.pool) > 1:
            pixels = nn.functional.avg_pool2d(x.reshape(-1, *self.in_shape), self.pool)
        scaled = LENGTH / sqrt(self.n_pixels) * pixels.reshape(*x.shape[:-3], self.n_pixels)
        return torch.cat([maps.reshape(*x.shape[:-3], -1), scaled], -1)


@numbers(in_features=1, channels=1, stem=1, kernel_size=1, context=0)
class ConvDecoder(nn.Module):
    """A dense layer and strided transposed convolutions, from z to feature maps.

    Each layer doubles the image, up to ``out_size``, which may be odd. The features are maps, and a
    convolution is the head after them.

    Arguments:
        in_features: The size of z.
        out_size: The height and width of the feature maps.
        channels: The number of filters of each transposed convolution.
        stem: The number of channels after the dense layer; that of the last layer when None.
        kernel_size: The side of the filters, an odd number.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity after every layer.
        norm: ``batch`` for batch normalization before every nonlinearity; None for none.
        spatial: Whether z consists of a part for each position of the smallest map, row by row. A
            convolution then takes the place of the dense layer, and the condition is added at every
            position.

    Raises:
        OptionError: No channels, an even kernel, a z that cannot be split among the positions, or
            an unknown normalization.
        ShapeError: An input, or a condition, of another size.

    Example:
        >>> ConvDecoder(2, (28, 28), (64, 32))(torch.zeros(5, 2)).shape
        torch.Size([5, 32, 28, 28])
    """

    def __init__(
        self,
        in_features: int,
        out_size: Sequence[int],
        channels: Sequence[int] = (64, 32),
        *,
        stem: int | None = None,
        kernel_size: int = 3,
        context: int = 0,
        activation: str = "relu",
        norm: Norm | None = None,
        spatial: bool = False,
    ) -> None:
        super().__init__()
        if not channels:
            raise OptionError("channels=(): give at least one layer")
        if kernel_size % 2 == 0:
            raise OptionError(f"kernel_size={kernel_size}: must be odd")
        if len(out_size) != 2:
            raise OptionError(f"out_size={tuple(out_size)}: give the height and the width")
        sizes = [tuple(out_size)]
        for _ in channels:
            sizes.insert(0, half(sizes[0]))
        stem = channels[-1] if stem is None else stem
        height, width = sizes[0]
        self.context = context
        self.in_features = in_features
        self.n_places = height * width if spatial else 1
        if in_features % self.n_places:
            raise OptionError(
                f"in_features={in_features}: must be a multiple of {self.n_places}, the number of "
                f"the {height} × {width} positions of the smallest map"
            )
        first: list[nn.Module] = [
            nn.Linear(in_features + context, stem * height * width),
            nn.Unflatten(-1, (stem, height, width)),
        ]
        if spatial:
            size = in_features // self.n_places + context
            first = [
                nn.Unflatten(-1, (height, width, size)),
                ChannelsFirst(),
                nn.Conv2d(size, stem, kernel_size, padding=kernel_size // 2),
            ]
        self.dense = nn.Sequential(*first, *normalized(norm, stem), make_activation(activation))
        layers: list[nn.Module] = []
        n_in = stem
        for n_out, small, large in zip(channels, sizes, sizes[1:], strict=False):
            # A stride of two makes 2n - 1 pixels of n; an even size needs one more.
            extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            pad = kernel_size // 2
            up = nn.ConvTranspose2d(n_in, n_out, kernel_size, 2, pad, extra, bias=norm is None)
            layers += [up, *normalized(norm, n_out), make_activation(activation)]
            n_in = n_out
        self.layers = float32_where_narrow(nn.Sequential(*layers))
        self.out_shape = torch.Size([n_in, *out_size])

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return feature maps, with shape (\*, F, H, W), of z, with shape (\*, D)."""
        if z.shape[-1] != self.in_features:
            raise input_error(z, (self.in_features,))
        parts = concatenate(z.unflatten(-1, (self.n_places, -1)), c, self.context, n_axes=1)
        flat = parts.reshape(-1, self.in_features + self.n_places * self.context)
        maps = channels_last(self.dense(flat))
        return self.layers(maps).reshape(*z.shape[:-1], *self.out_shape)


def channels_last(maps: Tensor) -> Tensor:
    """Return maps, with shape (B, F, h, w), in the memory format channels-last; others as they are.

    Layers keep this format, in which convolutions and normalization are faster.

    >>> channels_last(torch.zeros(2, 3, 4, 4)).stride()
    (48, 1, 12, 3)
    """
    return maps.contiguous(memory_format=torch.channels_last) if maps.dim() == 4 else maps


class ChannelsFirst(nn.Module):
    """Move the last axis, the channels, before the height and the width.

    Example:
        >>> ChannelsFirst()(torch.zeros(2, 7, 5, 3)).shape
        torch.Size([2, 3, 7, 5])
    """

    def forward(self, x: Tensor) -> Tensor:
        r"""Return maps, with shape (\*, F, h, w), of x, with shape (\*, h, w, F)."""
        return x.movedim(-1, -3)


@numbers(channels=1)
class BatchNorm(nn.Module):
    """Batch normalization of maps that also takes a single value of each channel.

    Arguments:
        channels: The number of feature maps.

    Example:
        >>> BatchNorm(3)(torch.ones(1, 3, 1, 1)).shape
        torch.Size([1, 3, 1, 1])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the shape (B, F, h, w) of x, with mean 0 and variance 1."""
        # A single value of each channel, as of a last batch of one, has no variance: it is
        # normalized by the moving averages.
        if self.training and x[:, 0].numel() == 1:
            mean, variance = self.norm.running_mean, self.norm.running_var
            return nn.functional.batch_norm(x, mean, variance, self.norm.weight, self.norm.bias)
        normal: Tensor = self.norm(x)
        return normal


def normalized(norm: Norm | None, channels: int) -> list[nn.Module]:
    """Return the layers that normalize feature maps: one, or none.

    Batch normalization uses the mean and variance of each batch in training, and their moving
    averages in evaluation mode.

    Arguments:
        norm: ``batch`` or None.
        channels: The number of feature maps.

    Raises:
        OptionError: An unknown normalization.

    References:
        Ioffe & Szegedy, Batch normalization, ICML 2015, algorithms 1 and 2.

    Example:
        >>> normalized(None, 32), len(normalized("batch", 32))
        ([], 1)
    """
    if norm is None:
        return []
    if norm not in get_args(Norm):
        raise unknown("norm", str(norm), get_args(Norm))
    return [BatchNorm(channels)]


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return a shape as (channels, height, width).

    Raises:
        OptionError: The shape does not have three axes.
    """
    if len(shape) != 3:
        raise OptionError(
            f"shape {tuple(shape)}: a convolutional network takes images of shape "
            "(channels, height, width); give grey images as x[:, None], or an estimator "
            "image_shape=(height, width), and use an MLP for other data"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def half(size: Sequence[int]) -> tuple[int, ...]:
    """Return half the height and width of maps, rounded up, as a stride of two makes them.

    >>> half((28, 7))
    (14, 4)
    """
    return tuple(-(-side // 2) for side in size)


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
