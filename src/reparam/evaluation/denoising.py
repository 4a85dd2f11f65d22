"""How much noise a model removes."""

from torch import Tensor

from reparam.errors import ShapeError


def psnr(clean: Tensor, other: Tensor) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each example, in dB with shape (N,).

    .. math:: \mathrm{PSNR} = -10 \log_{10} \frac1D \|x - \hat x\|^2

    for entries in [0, 1], whose peak is 1.

    Arguments:
        clean: The examples x, with shape (N, *shape).
        other: What they are compared with, of the same shape.

    Raises:
        ShapeError: Other shapes.

    Example:
        >>> import torch
        >>> psnr(torch.zeros(1, 4), torch.full((1, 4), 0.1)).round().tolist()
        [20.0]
    """
    if clean.shape != other.shape:
        raise ShapeError(
            f"examples of shape {tuple(clean.shape)} beside {tuple(other.shape)}: give pairs"
        )
    error = (clean - other).double().square().flatten(1).mean(1)
    return -10 * error.clamp(min=1e-12).log10()
