"""Standardization: the location and the scale of the data, as buffers of the model.

The likelihood of a variant holds them: its encoder gets standardized entries, its decoder describes
them, and log p(x | z) is in the units of the data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reparam.utils.arguments import as_sizes, numbers


@numbers(event_shape=1)
class Standardize(nn.Module):
    r"""The map to standardized entries, whose parameters come from the training data.

    .. math:: y = (x - m) / s

    It is the identity before ``set``. An event with several axes, as an image, has one location and
    one scale for each channel (the first axis), a vector one for each entry.

    Arguments:
        event_shape: The shape of one x.
        per_entry: Whether every entry has a scale, as the columns of a table; otherwise all entries
            share one.

    Example:
        >>> layer = Standardize((2,))
        >>> layer.set(loc=torch.tensor([5.0, 0.0]), scale=torch.tensor([2.0, 1.0]))
        >>> layer(torch.tensor([[9.0, 3.0]]))
        tensor([[2., 3.]])
    """

    loc: Tensor
    scale: Tensor
    width: Tensor
    origin: Tensor

    def __init__(self, event_shape: int | Sequence[int], per_entry: bool = True) -> None:
        super().__init__()
        self.per_entry = per_entry
        sizes = as_sizes("event_shape", event_shape)
        shape = (*sizes[:1], *(1 for _ in sizes[1:]))
        self.register_buffer("loc", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("width", torch.zeros(shape))
        self.register_buffer("origin", torch.zeros(shape))
        self.has_cells = False
        """Whether an entry is rounded. A number of the host: reading a buffer waits for a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        r"""Return standardized entries of x, with shape (\*, *event)."""
        return (x - self.loc) / self.scale

    @torch.no_grad()
    def set(
        self,
        loc: Tensor,
        scale: Tensor,
        width: Tensor | None = None,
        origin: Tensor | None = None,
    ) -> None:
        """Set the parameters.

        Arguments:
            loc: m, which broadcasts to the buffer, in the units of x.
            scale: s, above zero, in the units of x.
            width: The width of the cells of rounded entries in the units of x; 0 for continuous
                entries, and None for continuous data.
            origin: A value of each rounded entry, from which whole cells lead to the others.
        """
        self.loc.copy_(loc)
        self.scale.copy_(scale)
        self.width.copy_(torch.zeros_like(self.width) if width is None else width)
        self.origin.copy_(torch.zeros_like(self.origin) if origin is None else origin)
        self.has_cells = bool((self.width > 0).any())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        # Weights from before data were standardized belong to the identity.
        own = {prefix + name: buffer for name, buffer in self.named_buffers()}
        super()._load_from_state_dict({**own, **state_dict}, prefix, *rest)
        self.has_cells = bool((self.width > 0).any())
