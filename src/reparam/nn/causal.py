"""A causal transformer: the logits of every place of a sequence from the places before it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from reparam.errors import OptionError
from reparam.nn.context import concatenate
from reparam.utils.arguments import numbers

Past = tuple[Tensor, Tensor]


@numbers(context=0)
class CausalTransformer(nn.Module):
    r"""From a sequence of classes, and a condition c, to the logits of each given those before it.

    .. math:: \mathrm{Attention}(Q, K, V)_t
              = \mathrm{softmax}_{s \le t}\Bigl(\frac{Q_t K_s^\top}{\sqrt{d}}\Bigr) V_s

    Learned embeddings of classes and places, then blocks of attention and a two-layer network,
    each normalized before and added to what came in. The condition joins every embedding.

    Arguments:
        n_classes: The number of classes V.
        length: The number of places T.
        width: The size of an embedding.
        depth: The number of blocks.
        n_heads: The number of heads of attention, a divisor of the width.
        context: The size of the condition c; 0 without one.

    Raises:
        OptionError: A size below one, or a width that the heads cannot share.
        ShapeError: A condition of another size.

    References:
        Vaswani et al., Attention is all you need, NeurIPS 2017, eq. 1; Radford et al., Language
        models are unsupervised multitask learners, 2019, section 2.3 (where to normalize).

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
        if min(n_classes, length, width, depth, n_heads) < 1 or width % n_heads:
            raise OptionError(
                f"n_classes={n_classes}, length={length}, width={width}, depth={depth}, "
                f"n_heads={n_heads}: every size must be at least 1, and n_heads divide width"
            )
        self.n_classes = n_classes
        self.context = context
        # One class more, which stands before the first place.
        self.classes = nn.Embedding(n_classes + 1, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.join = nn.Linear(width + context, width) if context else nn.Identity()
        self.blocks = nn.ModuleList([_Block(width, n_heads) for _ in range(depth)])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return logits, with shape (\*, T, V), of classes x, with shape (\*, T)."""
        before = pad(x[..., :-1], (1, 0), value=self.n_classes)
        return self._run(before, 0, [None] * len(self.blocks), c)[0]

    def step(
        self, x: Tensor, t: int, state: list[Past] | None, c: Tensor | None = None
    ) -> tuple[Tensor, list[Past]]:
        r"""Return the logits of place t alone, with shape (\*, V), and the state for the next."""
        before = x[..., t - 1 : t] if t > 0 else torch.full_like(x[..., :1], self.n_classes)
        logits, state = self._run(before, t, state or [None] * len(self.blocks), c)
        return logits.squeeze(-2), state

    def _run(
        self, before: Tensor, t: int, past: "list[Past] | list[None]", c: Tensor | None
    ) -> tuple[Tensor, list[Past]]:
        n_places = before.shape[-1]
        each = None if c is None else c[..., None, :]
        h = self.classes(before) + self.places[t : t + n_places]
        h = self.join(concatenate(h, each, self.context)).reshape(-1, n_places, h.shape[-1])
        state: list[Past] = []
        for block, seen in zip(self.blocks, past, strict=True):
            h, seen = block(h, seen)
            state.append(seen)
        logits = self.head(h).reshape(*before.shape, self.n_classes)
        # A probability of logits in half precision is no number to trust.
        return logits if logits.dtype == torch.float64 else logits.float(), state


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
        """Return features of the places in h, with shape (N, T, F), and all keys and values."""
        parts = self.to_attention(h).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = parts.movedim(-3, 0).transpose(-2, -3)
        if past is not None:
            key, value = torch.cat([past[0], key], -2), torch.cat([past[1], value], -2)
        # What follows a past is one place alone, which sees all that came before.
        seen = scaled_dot_product_attention(query, key, value, is_causal=past is None)
        h = h + self.attended(seen.transpose(-2, -3).flatten(-2))
        return h + self.dense(h), (key, value)
