r"""Networks of sequences of tokens: a causal transformer, an encoder and a decoder, a GRU.

.. math:: \mathrm{Attention}(Q, K, V)_t
          = \mathrm{softmax}_{s \le t}\Bigl(\frac{Q_t K_s^\top}{\sqrt{d}}\Bigr) V_s
"""

from functools import partial
from math import ceil
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from reparam.distributions import Autoregressive
from reparam.distributions.precision import at_least_float32
from reparam.errors import OptionError, unknown
from reparam.nn.context import concatenate
from reparam.nn.features import input_error
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


EncoderKind = Literal["conv", "recurrent"]

_N_EMBEDDED = 64
_N_HALVINGS = 3


@numbers(n_classes=1, length=1, width=1, context=0)
class TextEncoder(nn.Module):
    r"""A network from a sequence of tokens, and a condition c, to flat features.

    ``conv``: up to three convolutions of stride 2, whose output is flattened.
    ``recurrent``: a GRU in each direction, whose last states are the features.

    Arguments:
        n_classes: The number of classes of a token.
        length: The number of tokens T.
        width: The filters of each convolution, or the size of each GRU's state.
        kind: ``conv`` or ``recurrent``.
        context: The size of the condition c, which is concatenated with every token; 0 for none.

    Raises:
        OptionError: An unknown kind, or a size below one.
        ShapeError: An input of another length, or a condition of another size.

    References:
        Cho et al., EMNLP 2014, eq. 5 to 8 (GRU); Semeniuta et al., EMNLP 2017 (convolutions).

    Example:
        >>> TextEncoder(66, 64, 32)(torch.zeros(5, 64)).shape
        torch.Size([5, 256])
    """

    def __init__(
        self,
        n_classes: int,
        length: int,
        width: int = 256,
        kind: EncoderKind = "conv",
        context: int = 0,
    ) -> None:
        super().__init__()
        if kind not in get_args(EncoderKind):
            raise unknown("kind of encoder", str(kind), get_args(EncoderKind))
        self.length = length
        self.context = context
        self.embedding = nn.Embedding(n_classes, _N_EMBEDDED)
        n_in = _N_EMBEDDED + context
        self.body: nn.Module
        if kind == "conv":
            layers: list[nn.Module] = []
            # A single token is not halved: its bfloat16 gradient on a CPU is not finite in torch.
            n_halvings = min(_N_HALVINGS, (length - 1).bit_length())
            for _ in range(n_halvings):
                layers += [nn.Conv1d(n_in, width, 5, stride=2, padding=2), nn.ReLU()]
                n_in = width
            self.body = nn.Sequential(*layers, nn.Flatten())
            self.out_shape = torch.Size([n_in * ceil(length / 2**n_halvings)])
        else:
            self.body = nn.GRU(n_in, width, batch_first=True, bidirectional=True)
            self.out_shape = torch.Size([2 * width])

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return features, with shape (\*, F), of tokens x, with shape (\*, T)."""
        if x.shape[-1] != self.length:
            raise input_error(x, (self.length,))
        inputs = concatenate(self.embedding(x.long()), c, self.context, n_axes=1)
        flat = inputs.reshape(-1, *inputs.shape[-2:])
        if isinstance(self.body, nn.GRU):
            features = self.body(flat)[1].movedim(0, 1).flatten(1)
        else:
            features = self.body(flat.movedim(-1, -2))
        return features.reshape(*x.shape[:-1], -1)


@numbers(in_features=1, n_classes=1, length=1, width=1, context=0)
class TextDecoder(nn.Module):
    r"""The likelihood p(x | z, c) of a sequence of tokens, by a GRU.

    .. math:: \log p(x \mid z) = \sum_{t=1}^T \log \mathrm{Categorical}(x_t; W h_t), \qquad
              h_t = \mathrm{GRU}(h_{t-1}, [\mathrm{embed}(x_{t-1}), z]), \quad h_0 = \tanh(V z)

    In training, a share of the input tokens is replaced by a blank (word dropout), so that the GRU
    needs z to predict them.

    Arguments:
        in_features: The size of z.
        n_classes: The number of classes of a token.
        length: The number of tokens T.
        width: The size of the GRU's state.
        dropout: The probability that an input token is replaced by a blank in training.
        context: The size of the condition c, which is concatenated with z; 0 without one.

    Raises:
        OptionError: A size below one, or a dropout outside [0, 1].
        ShapeError: A condition of another size.

    References:
        Bowman et al., Generating sentences from a continuous space, CoNLL 2016, sections 3 and 3.1.

    Example:
        >>> decoder = TextDecoder(8, n_classes=66, length=64, width=32)
        >>> decoder(torch.zeros(3, 5, 8)).log_prob(torch.zeros(5, 64)).shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        length: int,
        width: int = 256,
        dropout: float = 0.0,
        context: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise OptionError(f"dropout={dropout}: must be from 0 to 1")
        self.n_classes = n_classes
        self.length = length
        self.dropout = dropout
        self.context = context
        # One more class is the blank, which also stands before the first token.
        self.embedding = nn.Embedding(n_classes + 1, _N_EMBEDDED)
        self.start = nn.Linear(in_features + context, width)
        self.gru = nn.GRU(_N_EMBEDDED + in_features + context, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Autoregressive:
        r"""Return p(x | z, c) for z with shape (\*, B, D) and c with shape (B, C).

        Raises:
            ShapeError: z of another size.
        """
        code, size = concatenate(z, c, self.context), self.start.in_features
        if code.shape[-1] != size:
            raise input_error(z, (size - self.context,))
        return Autoregressive(
            logits=partial(self._logits, code),
            length=self.length,
            batch_shape=code.shape[:-1],
            device=code.device,
            step=partial(self._step, code),
        )

    def _logits(self, code: Tensor, x: Tensor) -> Tensor:
        """Return the logits of all tokens, with shape (*, T, V), of x with shape (*, T)."""
        before = shifted(x, self.n_classes)
        if self.training and self.dropout > 0:
            blank = torch.rand(before.shape, device=before.device) < self.dropout
            before = before.masked_fill(blank, self.n_classes)
        return self._run(code, before, None)[0]

    def _step(self, code: Tensor, x: Tensor, t: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the logits of token t, with shape (*, V), and the state of the GRU after it."""
        logits, state = self._run(code, shifted(x, self.n_classes)[..., t : t + 1], state)
        return logits.squeeze(-2), state

    def _run(self, code: Tensor, before: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        n_tokens = before.shape[-1]
        code = code.expand(*before.shape[:-1], -1).reshape(-1, 1, code.shape[-1])
        embedded = self.embedding(before).reshape(-1, n_tokens, _N_EMBEDDED)
        inputs = torch.cat([embedded, code.expand(-1, n_tokens, -1).to(embedded)], dim=-1)
        if state is None:
            state = self.start(code).tanh().transpose(0, 1).contiguous()
        features, state = self.gru(inputs, state)
        logits = self.head(features).reshape(*before.shape, self.n_classes)
        return at_least_float32(logits), state
