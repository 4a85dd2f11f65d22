"""Standardization: the location and the scale of the data, as buffers of the model.

The likelihood of a variant holds them: its encoder gets standardized entries, its decoder describes
them, and log p(x | z) is in the units of the data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reparam.distributions.rounded import compressed, expanded
from reparam.utils.arguments import as_sizes, numbers

_BUFFERS = {
    "loc": 0.0,
    "scale": 1.0,
    "width": 0.0,
    "origin": 0.0,
    "linear_width": 0.0,
    "spike": 0.0,
    "spike_width": 0.0,
}
"""The parameters, and their values in the identity."""


@numbers(event_shape=1)
class Standardize(nn.Module):
    r"""The map to standardized entries, whose parameters come from the training data.

    .. math:: y = (T(x) - m) / s

    T is the identity, or for a heavy-tailed entry :math:`a \operatorname{asinh}((x - o)/a)`: see
    ``distributions.Standardized``. Before ``set`` the layer is the identity. An event with several
    axes, as an image, has one location and one scale for each channel (the first axis), a vector
    one for each entry.

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
    linear_width: Tensor
    spike: Tensor
    spike_width: Tensor

    def __init__(self, event_shape: int | Sequence[int], per_entry: bool = True) -> None:
        super().__init__()
        self.per_entry = per_entry
        sizes = as_sizes("event_shape", event_shape)
        shape = (*sizes[:1], *(1 for _ in sizes[1:]))
        for name, fill in _BUFFERS.items():
            self.register_buffer(name, torch.full(shape, fill))
        # Numbers of the host: reading a buffer waits for a GPU.
        self.has_cells, self.is_linear, self.has_spikes = False, True, False
        """Whether an entry is rounded, whether T is the identity of all entries, and whether many
        values of an entry are one number."""

    def forward(self, x: Tensor) -> Tensor:
        r"""Return standardized entries of x, with shape (\*, *event)."""
        if not self.is_linear:
            x = compressed(x, self.origin, self.linear_width)
        return (x - self.loc) / self.scale

    def inverse(self, y: Tensor) -> Tensor:
        r"""Return the x of standardized entries, with shape (\*, *event)."""
        x = self.loc + self.scale * y
        return x if self.is_linear else expanded(x, self.origin, self.linear_width)

    @torch.no_grad()
    def set(
        self,
        loc: Tensor,
        scale: Tensor,
        width: Tensor | None = None,
        origin: Tensor | None = None,
        linear_width: Tensor | None = None,
        spike: Tensor | None = None,
        spike_width: Tensor | None = None,
    ) -> None:
        """Set the parameters, which broadcast to the buffers.

        Arguments:
            loc: m, in the units of x.
            scale: s, above zero, in the units of x.
            width: The width of the cells of rounded entries in the units of x; 0 for continuous
                entries, and None for continuous data.
            origin: o; of a rounded entry a value, from which whole cells lead to the others.
            linear_width: a, in the units of x; 0 for entries that are not transformed, and None
                for none.
            spike: The number that many values of an entry are, in the units of x.
            spike_width: The width of its cell; 0 for entries without one, and None for none.
        """
        given = (loc, scale, width, origin, linear_width, spike, spike_width)
        for (name, fill), value in zip(_BUFFERS.items(), given, strict=True):
            buffer = self.get_buffer(name)
            buffer.copy_(torch.full_like(buffer, fill) if value is None else value)
        self._read()

    def _read(self) -> None:
        self.has_cells = bool((self.width > 0).any())
        self.is_linear = not bool((self.linear_width > 0).any())
        self.has_spikes = bool((self.spike_width > 0).any())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        # Weights from before data were standardized, or transformed, belong to the identity.
        own = {prefix + name: buffer for name, buffer in self.named_buffers()}
        super()._load_from_state_dict({**own, **state_dict}, prefix, *rest)
        self._read()
