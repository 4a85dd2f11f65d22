"""Networks of sequences of tokens: an encoder to features, and an autoregressive decoder."""

from functools import partial
from math import ceil
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from reparam.distributions import Autoregressive
from reparam.distributions.precision import at_least_float32
from reparam.errors import OptionError, unknown
from reparam.nn.causal import shifted
from reparam.nn.context import concatenate
from reparam.nn.features import input_error
from reparam.utils.arguments import numbers

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
        r"""Return p(x | z, c) for z with shape (\*, B, D) and c with shape (B, C)."""
        code = concatenate(z, c, self.context)
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
