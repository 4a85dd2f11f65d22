r"""A causal transformer: the logits of every position of a sequence from the positions before it.

.. math:: \mathrm{Attention}(Q, K, V)_t
          = \mathrm{softmax}_{s \le t}\Bigl(\frac{Q_t K_s^\top}{\sqrt{d}}\Bigr) V_s
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from reparam.distributions.precision import at_least_float32
from reparam.errors import OptionError
from reparam.nn.context import concatenate
from reparam.utils.arguments import numbers

Past = tuple[Tensor, Tensor]
"""The keys and values of the positions before, of one block."""


@numbers(n_classes=1, length=1, width=1, depth=1, n_heads=1, context=0)
class CausalTransformer(nn.Module):
    """A network from a sequence of classes to the logits of each class given those before it.

    It has learned embeddings of classes and positions, then blocks of attention and a two-layer
    network, each with normalization before it and a residual connection. The condition is
    concatenated with every embedding.

    Arguments:
        n_classes: The number of classes V.
        length: The number of positions T.
        width: The size of an embedding.
        depth: The number of blocks.
        n_heads: The number of attention heads, a divisor of the width.
        context: The size of the condition c; 0 without one.

    Raises:
        OptionError: A size below one, or a width that is no multiple of the heads.
        ShapeError: A condition of another size.

    References:
        Vaswani et al., Attention is all you need, NeurIPS 2017, eq. 1; Radford et al., Language
        models are unsupervised multitask learners, 2019, section 2.3 (normalization).

    Example:
        >>> CausalTransformer(n_classes=16, length=9)(torch.zeros(5, 9, dtype=torch.long)).shape
        torch.Size([5, 9, 16])
    """

    def __init__(
        self,
        n_classes: int,
        length: int,
        width: int = 64,
        depth: int = 2,
        n_heads: int = 4,
        context: int = 0,
    ) -> None:
        super().__init__()
        if width % n_heads:
            raise OptionError(f"width={width}: must be a multiple of n_heads={n_heads}")
        self.n_classes = n_classes
        self.context = context
        # One more class stands before the first position.
        self.classes = nn.Embedding(n_classes + 1, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.join = nn.Linear(width + context, width) if context else nn.Identity()
        self.blocks = nn.ModuleList([_Block(width, n_heads) for _ in range(depth)])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return logits, with shape (\*, T, V), of classes x, with shape (\*, T)."""
        return self._run(shifted(x, self.n_classes), 0, None, c)[0]

    def step(
        self, x: Tensor, t: int, state: list[Past] | None, c: Tensor | None = None
    ) -> tuple[Tensor, list[Past]]:
        r"""Return the logits of position t, with shape (\*, V), and the state for the next."""
        logits, state = self._run(shifted(x, self.n_classes)[..., t : t + 1], t, state, c)
        return logits.squeeze(-2), state

    def _run(
        self, before: Tensor, t: int, past: list[Past] | None, c: Tensor | None
    ) -> tuple[Tensor, list[Past]]:
        """Return the logits of the positions from t on, of the classes before each, and a state."""
        n = before.shape[-1]
        h = self.classes(before) + self.places[t : t + n]
        h = self.join(concatenate(h, c, self.context, n_axes=1)).reshape(-1, n, h.shape[-1])
        state: list[Past] = []
        for number, block in enumerate(self.blocks):
            h, keys_and_values = block(h, past[number] if past else None)
            state.append(keys_and_values)
        logits = self.head(h).reshape(*before.shape, self.n_classes)
        return at_least_float32(logits), state


class _Block(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_attention = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width))
        self.attended = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """Return features of the positions in h, with shape (N, T, F), and all keys and values."""
        parts = self.to_attention(h).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = parts.movedim(-3, 0).transpose(-2, -3)
        if past is not None:
            key, value = torch.cat([past[0], key], -2), torch.cat([past[1], value], -2)
        # With a past, h is one position, which attends to all before it.
        seen = scaled_dot_product_attention(query, key, value, is_causal=past is None)
        h = h + self.attended(seen.transpose(-2, -3).flatten(-2))
        return h + self.dense(h), (key, value)


def shifted(x: Tensor, first: int) -> Tensor:
    r"""Return the class before each position, with shape (\*, T); ``first`` before position 0.

    >>> shifted(torch.tensor([5, 6, 7]), first=9)
    tensor([9, 5, 6])
    """
    return pad(x[..., :-1], (1, 0), value=first)
