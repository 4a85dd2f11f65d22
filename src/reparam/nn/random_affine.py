"""A network that sees every training image a little turned, moved and bent."""

from collections.abc import Sequence
from math import inf, radians

import torch
from torch import Tensor, nn
from torch.nn import functional

from reparam.errors import OptionError
from reparam.nn.conv import image_shape
from reparam.utils.arguments import numbers

_KNOTS = 4


@numbers()
class RandomAffine(nn.Module):
    r"""A network of images that sees them, in training mode only, under random smooth maps.

    .. math:: f(T x), \qquad (T x)(u) = x(A u + t + b(u))

    A is a rotation, a scaling and a shear, t a translation, and b a displacement that varies
    smoothly over the image. As the encoder's network it keeps all that T changes out of the code,
    since what the decoder has to give back is x. The bound stays one: its posterior is then the
    mixture of q(z | Tx) over T.

    Arguments:
        network: A module from an image (and c) to features, whose shape is its ``out_shape``.
        in_shape: The shape of the image, (channels, height, width).
        degrees: The largest angle of the rotation, either way.
        scale: The largest share by which an image grows or shrinks.
        shear: The largest slant, as a share of the height.
        shift: The largest translation along each axis, as a share of the side.
        bend: The standard deviation of the displacement, as a share of the side.

    Raises:
        OptionError: Data that are no images; a size out of range; a network without ``out_shape``.

    References:
        Im et al., Denoising criterion for variational auto-encoding framework, AAAI 2017, eq. 6
        (the bound); Simard, Steinkraus & Platt, ICDAR 2003 (the maps); Guo et al., Deep embedded
        clustering with data augmentation, ACML 2018 (for clusters).

    Example:
        >>> from reparam.nn import MLP
        >>> network = RandomAffine(MLP((1, 8, 8), 16), (1, 8, 8))
        >>> network(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 16])
    """

    def __init__(
        self,
        network: nn.Module,
        in_shape: Sequence[int],
        *,
        degrees: float = 15.0,
        scale: float = 0.1,
        shear: float = 0.3,
        shift: float = 0.07,
        bend: float = 0.05,
    ) -> None:
        super().__init__()
        sizes = {"degrees": degrees, "scale": scale, "shear": shear, "shift": shift, "bend": bend}
        for name, value in sizes.items():
            most = 1.0 if name == "scale" else inf
            if not 0 <= value < most:
                raise OptionError(f"{name}={value}: must be 0 or more, and less than {most:g}")
        out_shape = getattr(network, "out_shape", None)
        if not isinstance(out_shape, Sequence):
            raise OptionError(
                f"network {type(network).__name__} does not tell the shape of its features: "
                "give it an attribute out_shape, such as (400,)"
            )
        self.in_shape = image_shape(in_shape)
        self.network = network
        self.sizes = sizes
        self.out_shape: Sequence[int] = out_shape
        # Each knot's share in the displacement of each pixel: a smooth bump around it.
        knots = torch.eye(_KNOTS**2).reshape(-1, 1, _KNOTS, _KNOTS)
        bumps = functional.interpolate(knots, self.in_shape[1:], mode="bicubic")
        self.bumps: Tensor
        self.register_buffer("bumps", bumps.flatten(1), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return features, with shape (\*, F), of images x, with shape (\*, C, H, W)."""
        if self.training:
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                x = self.jittered(x.to(self.bumps).reshape(-1, *self.in_shape)).reshape(x.shape)
        return self.network(x) if c is None else self.network(x, c)

    def jittered(self, x: Tensor) -> Tensor:
        """Return images x with shape (B, C, H, W), each under a random map of its own."""
        n, size = len(x), self.sizes
        angle, scale, shear, right, down = (
            2 * torch.rand(5, n, dtype=x.dtype, device=x.device) - 1
        ).unbind()
        angle, scale = radians(size["degrees"]) * angle, 1 + size["scale"] * scale
        cos, sin = scale * angle.cos(), scale * angle.sin()
        # The coordinates of a grid reach from -1 to 1, so that a side is 2 long.
        x_row = [cos, size["shear"] * shear - sin, 2 * size["shift"] * right]
        y_row = [sin, cos, 2 * size["shift"] * down]
        maps = torch.stack(x_row + y_row, -1).reshape(n, 2, 3)
        places = functional.affine_grid(maps, list(x.shape), align_corners=False)
        knots = (
            2 * size["bend"] * torch.randn(n, 2, len(self.bumps), dtype=x.dtype, device=x.device)
        )
        bent = (knots @ self.bumps).movedim(1, -1).reshape(places.shape)
        return functional.grid_sample(x, places + bent, align_corners=False)

    def extra_repr(self) -> str:
        """Return the sizes of the map, for printing."""
        return ", ".join(f"{name}={value:g}" for name, value in self.sizes.items())
