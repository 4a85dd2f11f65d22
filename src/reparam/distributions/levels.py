r"""Distributions of grey levels k / (L - 1): categorical, discretized logistic, and mixtures of it.

.. math:: P(x) = \sigma\!\left(\frac{x + \delta - \mu}{s}\right) -
          \sigma\!\left(\frac{x - \delta - \mu}{s}\right), \qquad \delta = \frac{1}{2 (L - 1)}

A discretized logistic gives a level the mass of a logistic distribution in the bin of that level.
The bins of the lowest and the highest level extend to infinity, so that the masses sum to one.
"""

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints
from torch.nn.functional import logsigmoid, softplus
from torch.types import _size

from reparam.distributions.declared import Parametric
from reparam.errors import ShapeError
from reparam.utils.arguments import as_int


class QuantizedCategorical(Parametric):
    r"""A probability for each grey level k / (K - 1), k = 0 … K - 1.

    .. math:: p(x = k / (K - 1)) = \mathrm{softmax}(l)_k

    Arguments:
        logits: l, with shape (\*, *event, K).

    Example:
        >>> p = QuantizedCategorical(torch.zeros(3, 256))
        >>> p.mean, p.log_prob(torch.tensor([0.0, 0.2, 1.0]))
        (tensor([0.5000, 0.5000, 0.5000]), tensor([-5.5452, -5.5452, -5.5452]))
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(logits=logits, validate_args=False)
        self.logits = self._categorical.logits
        self.levels = int(logits.shape[-1])
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return E[x] in [0, 1]."""
        logits = self.logits
        steps = torch.arange(self.levels, dtype=logits.dtype, device=logits.device)
        values = steps / (self.levels - 1)
        return (self._categorical.probs * values).sum(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p of the level nearest to each entry of x, in nats."""
        return self._categorical.log_prob((value * (self.levels - 1)).round())

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in [0, 1]."""
        return self._categorical.sample(sample_shape).to(self.logits) / (self.levels - 1)


class _Levels(constraints.Constraint):
    """The grid k / (levels - 1), k = 0 … levels - 1, up to rounding."""

    is_discrete = True

    def __init__(self, levels: int) -> None:
        self.levels = levels
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        k = value * (self.levels - 1)
        return ((k - k.round()).abs() < 1e-2) & (k > -0.5) & (k < self.levels - 0.5)

    def __repr__(self) -> str:
        return f"Levels({self.levels})"


class DiscretizedLogistic(Parametric):
    r"""A logistic distribution, discretized to the grey levels k / (L - 1).

    .. math:: P(x) = \sigma\!\left(\frac{x + \delta - \mu}{s}\right) -
              \sigma\!\left(\frac{x - \delta - \mu}{s}\right), \qquad
              \delta = \frac{1}{2 (L - 1)}

    The bins of the lowest and the highest level extend to infinity.

    Arguments:
        loc: μ in units of x, from 0 (black) to 1 (white), with shape (\*, *event).
        scale: s in the same units, which broadcasts with μ.
        levels: L, the number of levels.

    Raises:
        OptionError: Fewer than two levels.

    References:
        Kingma et al., Improving variational inference with inverse autoregressive flow, NeurIPS
        2016, appendix C.

    Example:
        >>> p = DiscretizedLogistic(torch.tensor([0.5]), torch.tensor([0.1]), levels=3)
        >>> p.log_prob(torch.tensor([[0.0], [0.5], [1.0]])).exp().T  # the middle: 2σ(2.5) - 1
        tensor([[0.0759, 0.8483, 0.0759]])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    shared = ("levels",)

    def __init__(
        self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None
    ) -> None:
        self.levels = as_int("levels", levels, minimum=2)
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """The grid of levels."""
        return _Levels(self.levels)

    @property
    def mean(self) -> Tensor:
        """Return the mean of the logistic, clipped to [0, 1]: E[x] up to half a step."""
        return _clipped_mean(self.loc, self.scale)

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log P of the level nearest to each entry of x, in nats."""
        level = (value * (self.levels - 1)).round()
        return _log_mass(level, self.loc, self.scale.reciprocal(), self.levels)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws on the grid."""
        with torch.no_grad():
            p = self.expand(torch.Size(sample_shape) + self.batch_shape)
            return _drawn(p.loc, p.scale, p.levels)


class DiscretizedLogisticMixture(Parametric):
    r"""A mixture of logistic distributions, discretized to grey levels.

    .. math:: P(x) = \sum_{k=1}^K \pi_k \prod_c \left[
              \sigma\!\left(\frac{x_c + \delta - m_{kc}}{s_{kc}}\right) -
              \sigma\!\left(\frac{x_c - \delta - m_{kc}}{s_{kc}}\right) \right], \qquad
              m_{kc} = \mu_{kc} + \sum_{j < c} a_{kcj} (x_j - \tfrac12)

    at each pixel, with :math:`\delta = 1 / (2 (L - 1))`, half the width of a bin. The bins of the
    lowest and the highest level extend to infinity, so that the masses sum to one. The channels of
    a pixel share one component; pixels are independent.

    Arguments:
        logits: The logits of π, with shape (\*, K, H, W).
        loc: μ in units of x, from 0 (black) to 1 (white), with shape (\*, K, C, H, W).
        log_scale: log s in the same units, with shape (\*, K, C, H, W).
        coefficients: a, with shape (\*, K, C (C - 1) / 2, H, W), in the order green-from-red,
            blue-from-red, blue-from-green; None for channels that are independent given the
            component.
        levels: L, the number of levels k / (L - 1) of a channel.

    Raises:
        OptionError: Fewer than two levels.
        ShapeError: Shapes that do not fit each other.

    References:
        Salimans et al., PixelCNN++, ICLR 2017, eq. 1 to 3.

    Example:
        >>> shape = (2, 5, 3, 8, 8)
        >>> p = DiscretizedLogisticMixture(
        ...     torch.zeros(2, 5, 8, 8), torch.full(shape, 0.5), torch.full(shape, -2.0)
        ... )
        >>> p.log_prob(p.sample()).shape, float(p.mean.mean())
        (torch.Size([2]), 0.5)
    """

    arg_constraints = {  # noqa: RUF012
        "logits": constraints.independent(constraints.real, 3),
        "loc": constraints.independent(constraints.real, 4),
        "log_scale": constraints.independent(constraints.real, 4),
        "coefficients": constraints.dependent(event_dim=4),  # not checked, because it may be None
    }
    shared = ("levels",)

    def __init__(
        self,
        logits: Tensor,
        loc: Tensor,
        log_scale: Tensor,
        coefficients: Tensor | None = None,
        levels: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        levels = as_int("levels", levels, minimum=2)
        _check_shapes(logits, loc, log_scale, coefficients)
        self.logits = logits
        self.loc = loc
        self.log_scale = log_scale
        self.coefficients = coefficients
        self.levels = levels
        super().__init__(loc.shape[:-4], loc.shape[-3:], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """The images on the grid of levels."""
        return constraints.independent(_Levels(self.levels), 3)

    def _log_prob(self, value: Tensor) -> Tensor:
        r"""Return log P of the levels nearest to x, with shape (\*, C, H, W), in nats as (\*,)."""
        level = (value * (self.levels - 1)).round().unsqueeze(-4)
        x = level / (self.levels - 1)
        middles = [self._middle(c, list(x.unbind(-3))) for c in range(self.event_shape[0])]
        middle = torch.stack(torch.broadcast_tensors(*middles), -3)
        log_mass = _log_mass(level, middle, (-self.log_scale).exp(), self.levels)
        per_component = self.logits.log_softmax(-3) + log_mass.sum(-3)
        return per_component.logsumexp(-3).sum((-2, -1))

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws on the grid, channel after channel, with shape (*, C, H, W)."""
        with torch.no_grad():
            p = self.expand(torch.Size(sample_shape) + self.batch_shape)
            chosen = Categorical(logits=p.logits.movedim(-3, -1), validate_args=False).sample()
            index = chosen.unsqueeze(-3)
            x: list[Tensor] = []
            for c in range(self.event_shape[0]):
                middles = p._middle(c, [channel.unsqueeze(-3) for channel in x])
                middle = middles.gather(-3, index).squeeze(-3)
                log_scale = p.log_scale.select(-3, c).gather(-3, index).squeeze(-3)
                x.append(_drawn(middle, log_scale.exp(), self.levels))
            return torch.stack(x, -3)

    @property
    def mean(self) -> Tensor:
        r"""Return E[x], up to rounding to levels, with shape (\*, C, H, W).

        The mean of a component is that of its logistic, clipped to [0, 1] and not rounded to a
        level. It differs from the mean of the levels by less than half a step, and by far less
        where the scale is a step or more. With coefficients, a channel has its mean at the means of
        the channels before it, which the clipping makes an approximation.
        """
        scale = self.log_scale.exp()
        means: list[Tensor] = []
        for c in range(self.event_shape[0]):
            middle, s = self._middle(c, means), scale.select(-3, c)
            means.append(_clipped_mean(middle, s))
        weights = self.logits.softmax(-3).unsqueeze(-3)
        return (weights * torch.stack(means, -3)).sum(-4)

    def _middle(self, channel: int, before: list[Tensor]) -> Tensor:
        """Return m of one channel, with shape (*, K, H, W), given the channels before it."""
        middle = self.loc.select(-3, channel)
        if self.coefficients is not None:
            first = channel * (channel - 1) // 2
            for j in range(channel):
                middle = middle + self.coefficients.select(-3, first + j) * (before[j] - 0.5)
        return middle


def _log_mass(level: Tensor, loc: Tensor, inverse_scale: Tensor, levels: int) -> Tensor:
    """Return the log-mass of levels 0 … levels - 1 under logistic distributions, in nats."""
    half_bin = 0.5 / (levels - 1)
    distance = level / (levels - 1) - loc
    # σ(u) - σ(l) = σ(u) σ(-l) (1 - exp(l - u)): a product has no cancellation. The outermost bins
    # have no lower or no upper end, so that only one of the two sigmoids remains.
    first, last = level == 0, level == levels - 1
    above, below = (distance + half_bin) * inverse_scale, (distance - half_bin) * inverse_scale
    return (
        logsigmoid(above).masked_fill(last, 0)
        + logsigmoid(-below).masked_fill(first, 0)
        + (-torch.expm1(-2 * half_bin * inverse_scale)).log().masked_fill(first | last, 0)
    )


def _clipped_mean(loc: Tensor, scale: Tensor) -> Tensor:
    """Return the mean of logistic distributions whose values are clipped to [0, 1]."""
    # ∫ P(X > t) dt over [0, 1].
    mean = scale * (softplus(loc / scale) - softplus((loc - 1) / scale))
    return mean.clamp(0, 1)


def _drawn(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """Return draws of logistic distributions, rounded to the levels k / (levels - 1)."""
    noise = torch.rand_like(loc).logit(eps=torch.finfo(loc.dtype).tiny)
    level = ((loc + scale * noise) * (levels - 1)).round()
    return level.clamp(0, levels - 1) / (levels - 1)


def _check_shapes(
    logits: Tensor, loc: Tensor, log_scale: Tensor, coefficients: Tensor | None
) -> None:
    if loc.dim() < 4:
        raise ShapeError(
            f"loc with shape {tuple(loc.shape)}: means of the pixels of an image have shape "
            "(*, components, channels, height, width)"
        )
    *mixture, n_channels, height, width = loc.shape
    n_pairs = n_channels * (n_channels - 1) // 2
    for name, tensor, shape in (
        ("logits", logits, (*mixture, height, width)),
        ("log_scale", log_scale, tuple(loc.shape)),
        ("coefficients", coefficients, (*mixture, n_pairs, height, width)),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ShapeError(
                f"{name} with shape {tuple(tensor.shape)}: beside a loc with shape "
                f"{tuple(loc.shape)} it must have {shape}"
            )
