r"""Hierarchies of latent layers: a top-down prior, and posteriors along or against its order.

.. math:: p(z) = p(z_L) \prod_{l < L} p(z_l \mid z_{l+1 \dots L}), \qquad z = (z_L, \dots, z_1)

Layer 1 is next to the data and layer L is the top. Every prior and posterior here is a ``Chain`` of
Gaussians over the same vector.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.distributions import Chain, base
from reparam.distributions.chain import Factor
from reparam.distributions.reordered import Reordered
from reparam.errors import OptionError
from reparam.families import Family, Gaussian
from reparam.models.conditional import Conditional
from reparam.nn import MLP, TakeLast
from reparam.nn.context import with_condition
from reparam.nn.features import features_shape
from reparam.priors import StandardNormal
from reparam.utils.arguments import numbers

_MIN_SCALE = 0.01
"""The floor of a layer's σ. Where posterior and prior agree, the KL is zero at any scale; without a
floor the scale drifts until its square underflows."""


@numbers(sizes=1, context=0)
class TopDown(nn.Module):
    r"""The prior of a hierarchy: each layer is a Gaussian given the layers above it.

    .. math:: p(z) = p(z_L) \prod_{l < L} \mathcal N(z_l; \mu_l(z_{>l}, c), \sigma_l^2(z_{>l}, c))

    Arguments:
        sizes: The sizes of the layers, from the top, z_L, to the one next to the data, z_1.
        hidden: The sizes of the hidden layers of each network.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.
        below: Modules from the layers above, and c, to the Gaussian of the next, for every layer
            but the top; multilayer perceptrons when None.

    Raises:
        OptionError: Fewer than one layer, a size below one, or another number of modules.

    References:
        Sønderby et al., Ladder variational autoencoders, NeurIPS 2016, eq. 1 to 3.

    Example:
        >>> TopDown([5, 10])().sample((3,)).shape
        torch.Size([3, 15])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Sequence[int] = (128,),
        context: int = 0,
        activation: str = "relu",
        *,
        below: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.names = _names(sizes)[::-1]
        self.sizes = list(sizes)
        self.top = StandardNormal(sizes[0])
        if below is None:
            below = [
                _gaussian(MLP(n, *hidden, context=context, activation=activation), size)
                for n, size in zip(accumulate(sizes), sizes[1:], strict=False)
            ]
        if len(below) != len(sizes) - 1:
            raise OptionError(
                f"{len(below)} modules below the top of {len(sizes)} layers: give one for each"
            )
        self.below = nn.ModuleList(below)

    def forward(self, c: Tensor | None = None) -> Chain:
        """Return p(z | c), with batch shape (B,), or () without a condition."""
        top = self.top()
        layers = [partial(with_condition, part, c=c) for part in self.below]
        factors = [top if c is None else top.expand(c.shape[:1]), *layers]
        return Chain(dict(zip(self.names, factors, strict=True)), self.sizes)


@numbers(context=0)
class LadderEncoder(nn.Module):
    r"""The posterior of a hierarchy in the order of the prior, from the top down.

    A network leads up from x and describes every layer by :math:`\mathcal N(\hat\mu_l,
    \hat\sigma_l^2)`. Each of them is multiplied with the layer of the prior, as two Gaussians:

    .. math:: q(z_l \mid z_{>l}, x) = \mathcal N\Bigl(
              \frac{\hat\mu_l \hat\sigma_l^{-2} + \mu_l \sigma_l^{-2}}
                   {\hat\sigma_l^{-2} + \sigma_l^{-2}},\;
              \frac1{\hat\sigma_l^{-2} + \sigma_l^{-2}}\Bigr)

    Arguments:
        shape: The shape of one x.
        prior: The top-down prior of the model. It stays a part of the model only.
        hidden: The sizes of the layers below z_1.
        above: The sizes of the layers between z_l and z_{l+1}.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.
        up: For every layer, from z_1, the module from the features below it to its own; the first
            takes x and c. Multilayer perceptrons when None.
        opinions: For every layer, from z_1, the Gaussian family of its features; flat when None.
        with_prior: Whether the Gaussians of layers below the top are multiplied with the prior's;
            otherwise :math:`q(z \mid x) = \prod_l \mathcal N(z_l; \hat\mu_l, \hat\sigma_l^2)`.

    References:
        Sønderby et al., Ladder variational autoencoders, NeurIPS 2016, eq. 11 to 19.

    Example:
        >>> q = LadderEncoder((784,), TopDown([5, 10]))(torch.zeros(3, 784))
        >>> q.rsample((2,)).shape
        torch.Size([2, 3, 15])
    """

    def __init__(
        self,
        shape: Sequence[int],
        prior: TopDown,
        hidden: Sequence[int] = (400,),
        above: Sequence[int] = (128,),
        context: int = 0,
        activation: str = "relu",
        *,
        up: Sequence[nn.Module] | None = None,
        opinions: Sequence[Family] | None = None,
        with_prior: bool = True,
    ) -> None:
        super().__init__()
        # The weights of the prior are the model's: a tuple keeps them out of this module.
        self._prior = (prior,)
        if up is None:
            networks = [MLP(shape, *hidden, context=context, activation=activation)]
            for _ in prior.sizes[1:]:
                networks.append(MLP(networks[-1].out_shape, *above, activation=activation))
            up = networks
        if opinions is None:
            opinions = [Gaussian(size, min_scale=_MIN_SCALE) for size in reversed(prior.sizes)]
        self.with_prior = with_prior
        self.up = nn.ModuleList(up)
        self.opinions = nn.ModuleList(
            family.attach(features_shape(network))
            for network, family in zip(up, opinions, strict=True)
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        r"""Return q(z | x, c) for x with shape (\*, *shape)."""
        (prior,) = self._prior
        features, layers = with_condition(self.up[0], x, c), []
        for number, family in enumerate(self.opinions):
            features = features if number == 0 else self.up[number](features)
            layers.append(family(features))
        top, *others = reversed(layers)
        factors: list[Distribution | Factor] = [top, *others]
        if self.with_prior:
            expected = [partial(with_condition, part, c=c) for part in prior.below]
            factors = [top, *map(_product_with, others, expected)]
        return Chain(dict(zip(prior.names, factors, strict=True)), prior.sizes)


@numbers(sizes=1, context=0)
class BottomUp(nn.Module):
    r"""The posterior of a hierarchy from the bottom up, each layer given the one below it.

    .. math:: q(z \mid x) = q(z_1 \mid x) \prod_{l > 1} q(z_l \mid z_{l-1})

    Arguments:
        shape: The shape of one x.
        sizes: The sizes of the layers, from z_1, the one next to the data, to the top.
        hidden: The sizes of the layers between x and z_1.
        above: The sizes of the layers between z_l and z_{l+1}.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.

    Raises:
        OptionError: Fewer than one layer, or a size below one.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, ICLR 2016, section 2.

    Example:
        >>> BottomUp((784,), [10, 5])(torch.zeros(3, 784)).rsample((2,)).shape
        torch.Size([2, 3, 15])
    """

    def __init__(
        self,
        shape: Sequence[int],
        sizes: Sequence[int],
        hidden: Sequence[int] = (400,),
        above: Sequence[int] = (128,),
        context: int = 0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.names = _names(sizes)
        self.sizes = list(sizes)
        first = MLP(shape, *hidden, context=context, activation=activation)
        self.first = _gaussian(first, sizes[0])
        self.above = steps(sizes, above, context, activation)
        groups = torch.arange(sum(sizes)).split(self.sizes)
        self.order: Tensor
        self.register_buffer("order", torch.cat(groups[::-1]), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Reordered:
        r"""Return q(z | x, c) of z = (z_L, …, z_1), for x with shape (\*, *shape)."""
        layers = [partial(with_condition, part, c=c) for part in self.above]
        factors = [with_condition(self.first, x, c), *layers]
        return Reordered(Chain(dict(zip(self.names, factors, strict=True)), self.sizes), self.order)


@numbers(context=0)
def steps(
    sizes: Sequence[int], hidden: Sequence[int], context: int = 0, activation: str = "relu"
) -> nn.ModuleList:
    r"""Return the Gaussians of a Markov chain, each layer given the one before it alone.

    .. math:: p(z_{l+1} \mid z_1 \dots z_l, c)
              = \mathcal N(\mu_l(z_l, c), \mathrm{diag}(\sigma_l^2(z_l, c)))

    Arguments:
        sizes: The sizes of the layers; the first has no Gaussian here.
        hidden: The sizes of the hidden layers of each network.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.

    Example:
        >>> [part(torch.zeros(4, 8)).event_shape for part in steps([5, 3], (16,))]
        [torch.Size([3])]
    """
    return nn.ModuleList(
        _gaussian(TakeLast(MLP(n, *hidden, context=context, activation=activation), n), size)
        for n, size in pairwise(sizes)
    )


def joined(first: Distribution, second: Distribution) -> Distribution:
    r"""Return the normalized product of the densities of two diagonal Gaussians.

    .. math:: \sigma^{-2} = \sigma_1^{-2} + \sigma_2^{-2}, \qquad
              \mu = \sigma^2 (\mu_1 \sigma_1^{-2} + \mu_2 \sigma_2^{-2})

    Example:
        >>> unit = Independent(Normal(torch.zeros(1), 1.0), 1)
        >>> other = Independent(Normal(torch.ones(1), 1.0), 1)
        >>> joined(unit, other).mean
        tensor([0.5000])
    """
    (loc_1, scale_1), (loc_2, scale_2) = (
        (base(p).loc, base(p).scale)  # type: ignore[attr-defined]
        for p in (first, second)
    )
    # An interpolation between the means. A mean weighted by precisions would overflow where a scale
    # is tiny, and be rounded by many scales.
    share = scale_2 / torch.hypot(scale_1, scale_2)
    loc = torch.lerp(loc_2, loc_1, share.square())
    return Independent(Normal(loc, scale_1 * share, validate_args=False), 1, validate_args=False)


def _product_with(described: Distribution, expected: Factor) -> Factor:
    """Return the factor of a layer that x describes, multiplied with the prior's layer."""
    return lambda above: joined(described, expected(above))


def _gaussian(network: nn.Module, size: int) -> Conditional:
    return Conditional(network, Gaussian(size, min_scale=_MIN_SCALE))


def _names(sizes: Sequence[int]) -> list[str]:
    """Return the names of layers from z₁ on, as many as there are sizes."""
    if not sizes:
        raise OptionError("latent_dims=(): a hierarchy needs at least one layer")
    return [f"z{number}" for number in range(1, len(sizes) + 1)]
