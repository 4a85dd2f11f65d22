r"""Data augmentation inside a network: random affine and elastic maps of its input images.

.. math:: f(T x), \qquad (T x)(u) = x(A u + t + b(u))
"""

from collections.abc import Sequence
from math import inf, radians

import torch
from torch import Tensor, nn
from torch.nn import functional

from reparam.errors import OptionError
from reparam.nn.context import with_condition
from reparam.nn.conv import image_shape
from reparam.nn.features import features_shape
from reparam.utils.arguments import numbers
from reparam.utils.autocast import without_autocast

_KNOTS = 4
"""The control points of the elastic displacement along each axis."""


@numbers()
class RandomAffine(nn.Module):
    r"""A network of images which, in training mode only, distorts them by random smooth maps T.

    A is a rotation, a scaling and a shear, t a translation, and b a displacement that varies
    smoothly over the image. In an encoder it removes what T changes from the latent code, because
    the decoder reconstructs x itself. The ELBO is still a lower bound, with the
    mixture of q(z | Tx) over T as its posterior.

    Arguments:
        network: A module from an image (and c) to features.
        in_shape: The shape of the image, (channels, height, width).
        degrees: The largest angle of the rotation in either direction.
        scale: The largest relative change of size.
        shear: The largest shear, relative to the height.
        shift: The largest translation along each axis, relative to the side.
        bend: The standard deviation of the displacement, relative to the side.

    Raises:
        OptionError: A shape that is not an image's; a value out of its range; a network that does
            not declare the shape of its features.

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
        self.out_shape = features_shape(network)
        self.in_shape = image_shape(in_shape)
        self.network = network
        self.sizes = sizes
        # The weight of each control point in the displacement of each pixel.
        knots = torch.eye(_KNOTS**2).reshape(-1, 1, _KNOTS, _KNOTS)
        bumps = functional.interpolate(knots, self.in_shape[1:], mode="bicubic")
        self.bumps: Tensor
        self.register_buffer("bumps", bumps.flatten(1), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return features, with shape (\*, F), of images x, with shape (\*, C, H, W)."""
        if self.training:
            with torch.no_grad(), without_autocast(x.device):
                x = self.jittered(x.to(self.bumps).reshape(-1, *self.in_shape)).reshape(x.shape)
        return with_condition(self.network, x, c)

    def jittered(self, x: Tensor) -> Tensor:
        """Return images x with shape (B, C, H, W), each distorted by its own random map."""
        n, size = len(x), self.sizes
        angle, scale, shear, right, down = (
            2 * torch.rand(5, n, dtype=x.dtype, device=x.device) - 1
        ).unbind()
        angle, scale = radians(size["degrees"]) * angle, 1 + size["scale"] * scale
        cos, sin = scale * angle.cos(), scale * angle.sin()
        # Grid coordinates are from -1 to 1, so that a side has length 2.
        x_row = [cos, size["shear"] * shear - sin, 2 * size["shift"] * right]
        y_row = [sin, cos, 2 * size["shift"] * down]
        maps = torch.stack(x_row + y_row, -1).reshape(n, 2, 3)
        places = functional.affine_grid(maps, list(x.shape), align_corners=False)
        knots = torch.randn(n, 2, len(self.bumps), dtype=x.dtype, device=x.device)
        displacement = (2 * size["bend"] * knots) @ self.bumps
        places = places + displacement.movedim(1, -1).reshape(places.shape)
        return functional.grid_sample(x, places, align_corners=False)

    def extra_repr(self) -> str:
        """Return the sizes of the maps, for printing."""
        return ", ".join(f"{name}={value:g}" for name, value in self.sizes.items())
