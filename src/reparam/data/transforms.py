"""Transforms from stored values to x on their device: scaled, binarized or dequantized.

For a level r of K and u ~ U[0, 1): scaled x = r / (K - 1), binarized x ~ Bernoulli(r / (K - 1)),
dequantized x = (r + u) / K.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Generator, Tensor

from reparam.errors import OptionError, unknown
from reparam.spec import Support
from reparam.utils.arguments import numbers

Binarization = Literal["none", "threshold", "dynamic"]


class Transform(Protocol):
    """A function from stored values to x, which draws from ``generator`` if it draws at all."""

    def __call__(self, raw: Tensor, generator: Generator | None = None) -> Tensor:
        """Return x, with the shape (B, *shape) of ``raw``."""


@dataclass(frozen=True)
class Identity:
    """The transform of values that are stored as x itself.

    Arguments:
        dtype: The type of x, where the values of a file are stored in another one; that of the
            stored values when None.

    Example:
        >>> Identity()(torch.tensor([0.5])), Identity(torch.float32)(torch.tensor([3]))
        (tensor([0.5000]), tensor([3.]))
    """

    dtype: torch.dtype | None = None

    def __call__(self, raw: Tensor, generator: Generator | None = None) -> Tensor:
        """Return the values of ``raw``, with shape (B, *shape)."""
        return raw if self.dtype is None else raw.to(self.dtype)


@numbers()
@dataclass(frozen=True)
class Pixels:
    """Grey values {0, …, levels - 1}, stored as uint8, as float32.

    The binarization ``static`` is stored as it was drawn: its transform is ``Pixels(levels=2)``.

    Arguments:
        levels: The number of grey values, 2 to 256.
        binarize: ``none``: x = raw / (levels - 1). ``threshold``: 1 where raw / (levels - 1) ≥ 0.5,
            which for 256 levels is raw ≥ 128. ``dynamic``: a fresh draw from
            Bernoulli(raw / (levels - 1)) at every call.
        dequantize: Whether uniform noise makes x continuous: x = (raw + u) / levels, u ~ U[0, 1).

    Raises:
        OptionError: Levels out of range, an unknown binarization, or both at once of binarization
            and dequantization.

    Example:
        >>> Pixels(256, binarize="threshold")(torch.tensor([0, 127, 128], dtype=torch.uint8))
        tensor([0., 0., 1.])
    """

    levels: int
    binarize: Binarization = "none"
    dequantize: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise OptionError(f"levels={self.levels}: values stored as uint8 have 2 to 256 levels")
        if self.binarize not in get_args(Binarization):
            raise unknown("binarization", str(self.binarize), get_args(Binarization))
        check_one_way(self.binarize, self.dequantize)

    def __call__(self, raw: Tensor, generator: Generator | None = None) -> Tensor:
        """Return x.

        Arguments:
            raw: Values {0, …, levels - 1}, uint8 with shape (B, *shape).
            generator: The generator of the noise, on the device of ``raw``; the global generator
                of the device when None.
        """
        top = self.levels - 1
        if self.binarize == "threshold":
            return raw.ge(self.levels // 2).float()
        if self.binarize == "dynamic":
            # P(r < raw) = raw / top for r uniform on {0, …, top - 1}: the Bernoulli draw in
            # integers, four times as fast as torch.bernoulli on a CPU.
            r = torch.randint(
                0, top, raw.shape, generator=generator, dtype=torch.uint8, device=raw.device
            )
            return r.lt(raw).float()
        if self.dequantize:
            u = torch.rand(raw.shape, generator=generator, device=raw.device)
            # In float32 255 + u can round up to 256, and a density on [0, 1) is infinite at 1.
            return u.add_(raw).div_(self.levels).clamp_(max=1 - 2**-24)
        return raw.float().div_(top)


def transform_of(dtype: torch.dtype, support: Support) -> Transform:
    """Return the transform of values as they are stored.

    Arguments:
        dtype: The type of the stored values; uint8 are grey levels, or black and white.
        support: The set that contains every entry of x.

    >>> transform_of(torch.uint8, "unit"), transform_of(torch.int64, "tokens")
    (Pixels(levels=256, binarize='none', dequantize=False), Identity(dtype=None))
    """
    is_grey = dtype == torch.uint8 and support in ("unit", "binary")
    return Pixels(256 if support == "unit" else 2) if is_grey else Identity()


def check_one_way(binarize: str, dequantize: bool) -> None:
    """Refuse to binarize and to dequantize the same values.

    Raises:
        OptionError: Both are set.
    """
    if dequantize and binarize != "none":
        raise OptionError(
            f"binarize={binarize!r} with dequantize=True: binary values have no levels to smooth, "
            "so set one of the two only"
        )
