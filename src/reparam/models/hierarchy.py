r"""Hierarchies of latent layers: a top-down prior, and posteriors along or against its order.

.. math:: p(z) = p(z_L) \prod_{l < L} p(z_l \mid z_{l+1 \dots L}), \qquad z = (z_L, \dots, z_1)

Layer 1 is next to the data and layer L is the top. Every prior and posterior here is a ``Chain`` of
Gaussians over the same vector.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import Chain, base_distribution
from reparam.distributions.chain import Factor, Reordered
from reparam.errors import OptionError
from reparam.families import Family, Gaussian
from reparam.models.conditional import Conditional
from reparam.nn import MLP, TakeLast
from reparam.nn.context import with_condition
from reparam.nn.features import features_shape
from reparam.priors import Prior, StandardNormal
from reparam.priors.prior import diagonal_normal
from reparam.utils.arguments import numbers


@numbers(sizes=1)
class TopDownPrior(nn.Module):
    r"""The prior of a hierarchy: each layer is a Gaussian given the layers above it.

    .. math:: p(z) = p(z_L) \prod_{l < L} \mathcal N(z_l; \mu_l(z_{>l}, c), \sigma_l^2(z_{>l}, c))

    Arguments:
        sizes: The sizes of the layers, from the top, z_L, to the one next to the data, z_1.
        below: For every layer below the top, the module from the layers above, and c, to its
            Gaussian.

    Raises:
        OptionError: Fewer than one layer, a size below one, or another number of modules.

    References:
        Sønderby et al., Ladder variational autoencoders, NeurIPS 2016, eq. 1 to 3.

    Example:
        >>> TopDownPrior([5, 10], gaussian_layers([5, 10], (128,)))().sample((3,)).shape
        torch.Size([3, 15])
    """

    def __init__(self, sizes: Sequence[int], below: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.names = _names(sizes)[::-1]
        self.sizes = list(sizes)
        if len(below) != len(sizes) - 1:
            raise OptionError(
                f"{len(below)} modules below the top of {len(sizes)} layers: give one for each"
            )
        self.top: Prior = StandardNormal(sizes[0])
        self.below = nn.ModuleList(below)

    def layers(self, c: Tensor | None = None) -> list[Factor]:
        """Return the factors of the layers below the top, given a condition c."""
        return [partial(with_condition, part, c=c) for part in self.below]

    def forward(self, c: Tensor | None = None) -> Chain:
        """Return p(z | c), with batch shape (B,), or () without a condition."""
        top = self.top(c)
        if c is not None and not top.batch_shape:
            top = top.expand(c.shape[:1])
        return Chain(dict(zip(self.names, [top, *self.layers(c)], strict=True)), self.sizes)


class LadderEncoder(nn.Module):
    r"""The posterior of a hierarchy in the order of the prior, from the top down.

    Networks lead up from x, and describe every layer by :math:`\mathcal N(\hat\mu_l,
    \hat\sigma_l^2)`. Below the top its density is multiplied with that of the prior's layer:

    .. math:: q(z_l \mid z_{>l}, x) = \mathcal N\Bigl(
              \frac{\hat\mu_l \hat\sigma_l^{-2} + \mu_l \sigma_l^{-2}}
                   {\hat\sigma_l^{-2} + \sigma_l^{-2}},\;
              \frac1{\hat\sigma_l^{-2} + \sigma_l^{-2}}\Bigr)

    Arguments:
        prior: The top-down prior of the model. It stays a part of the model only.
        up: For every layer, from z_1, the module from the features below it to its own; the first
            takes x and c.
        opinions: For every layer, from z_1, the Gaussian family of its features.
        with_prior: Whether densities are multiplied with the prior's; otherwise
            :math:`q(z \mid x) = \prod_l \mathcal N(z_l; \hat\mu_l, \hat\sigma_l^2)`.

    References:
        Sønderby et al., Ladder variational autoencoders, NeurIPS 2016, eq. 11 to 19.

    Example:
        >>> prior = TopDownPrior([5, 10], gaussian_layers([5, 10], (128,)))
        >>> encoder = LadderEncoder(prior, [MLP(784, 64), MLP(64, 32)], [Gaussian(10), Gaussian(5)])
        >>> encoder(torch.zeros(3, 784)).rsample((2,)).shape
        torch.Size([2, 3, 15])
    """

    def __init__(
        self,
        prior: TopDownPrior,
        up: Sequence[nn.Module],
        opinions: Sequence[Family],
        with_prior: bool = True,
    ) -> None:
        super().__init__()
        # The weights of the prior are the model's: a tuple keeps them out of this module.
        self._prior = (prior,)
        self.with_prior = with_prior
        self.up = nn.ModuleList(up)
        self.opinions = nn.ModuleList(
            family.attach(features_shape(network))
            for network, family in zip(up, opinions, strict=True)
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        r"""Return q(z | x, c) for x with shape (\*, *shape)."""
        (prior,) = self._prior
        features = [with_condition(self.up[0], x, c)]
        for network in self.up[1:]:
            features.append(network(features[-1]))
        described = [family(f) for family, f in zip(self.opinions, features, strict=True)][::-1]
        factors: list[Distribution | Factor] = described
        if self.with_prior:
            pairs = zip(described[1:], prior.layers(c), strict=True)
            factors = [described[0], *(partial(_product, *pair) for pair in pairs)]
        return Chain(dict(zip(prior.names, factors, strict=True)), prior.sizes)


class BottomUpEncoder(nn.Module):
    r"""The posterior of a hierarchy from the bottom up, each layer given the one below it.

    .. math:: q(z \mid x) = q(z_1 \mid x) \prod_{l > 1} q(z_l \mid z_{l-1})

    Arguments:
        first: q(z_1 | x, c).
        above: For every layer above the first, q(z_l | z_1 … z_{l-1}, c).

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, ICLR 2016, section 2.

    Example:
        >>> first = Conditional(MLP(784, 64), Gaussian(10))
        >>> encoder = BottomUpEncoder(first, gaussian_layers([10, 5], (64,), markov=True))
        >>> encoder(torch.zeros(3, 784)).rsample((2,)).shape
        torch.Size([2, 3, 15])
    """

    def __init__(self, first: Conditional, above: Sequence[Conditional] = ()) -> None:
        super().__init__()
        self.first = first
        self.above = nn.ModuleList(above)
        self.sizes = [part.family.event_shape[0] for part in (first, *above)]
        self.names = _names(self.sizes)
        groups = torch.arange(sum(self.sizes)).split(self.sizes)
        self.order: Tensor
        self.register_buffer("order", torch.cat(groups[::-1]), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Reordered:
        r"""Return q(z | x, c) of z = (z_L, …, z_1), for x with shape (\*, *shape)."""
        layers = [partial(with_condition, part, c=c) for part in self.above]
        factors = [with_condition(self.first, x, c), *layers]
        return Reordered(Chain(dict(zip(self.names, factors, strict=True)), self.sizes), self.order)


@numbers(sizes=1, context=0)
def gaussian_layers(
    sizes: Sequence[int],
    hidden: Sequence[int],
    context: int = 0,
    activation: str = "relu",
    *,
    markov: bool = False,
) -> list[Conditional]:
    r"""Return the Gaussians of the layers after the first, each given the layers before it.

    .. math:: p(z_{l+1} \mid z_1 \dots z_l, c)
              = \mathcal N(\mu_l(z_1 \dots z_l, c), \mathrm{diag}(\sigma_l^2(z_1 \dots z_l, c)))

    Arguments:
        sizes: The sizes of the layers, in the order in which they depend on each other.
        hidden: The sizes of the hidden layers of each network.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.
        markov: Whether each layer depends on the one before it alone.

    Example:
        >>> [part(torch.zeros(4, 5)).event_shape for part in gaussian_layers([5, 3], (16,))]
        [torch.Size([3])]
    """
    layers = []
    for number, size in list(enumerate(sizes))[1:]:
        n = sizes[number - 1] if markov else sum(sizes[:number])
        network: nn.Module = MLP(n, *hidden, context=context, activation=activation)
        layers.append(Conditional(TakeLast(network, n) if markov else network, layer_family(size)))
    return layers


def layer_family(size: int) -> Gaussian:
    """Return the Gaussian of a layer, whose scale has a floor.

    Where posterior and prior agree, the KL is zero at any scale, and without a floor the scale
    drifts until its square underflows.

    >>> layer_family(5).min_scale
    0.01
    """
    return Gaussian(size, min_scale=0.01)


def gaussian_product(first: Distribution, second: Distribution) -> Distribution:
    r"""Return the normalized product of the densities of two diagonal Gaussians.

    .. math:: \sigma^{-2} = \sigma_1^{-2} + \sigma_2^{-2}, \qquad
              \mu = \sigma^2 (\mu_1 \sigma_1^{-2} + \mu_2 \sigma_2^{-2})

    Example:
        >>> unit = diagonal_normal(torch.zeros(1), torch.ones(1))
        >>> other = diagonal_normal(torch.ones(1), torch.ones(1))
        >>> gaussian_product(unit, other).mean
        tensor([0.5000])
    """
    (loc_1, scale_1), (loc_2, scale_2) = (
        (base_distribution(p).loc, base_distribution(p).scale)  # type: ignore[attr-defined]
        for p in (first, second)
    )
    # An interpolation between the means. A mean weighted by precisions would overflow where a scale
    # is tiny, and be rounded by many scales.
    share = scale_2 / torch.hypot(scale_1, scale_2)
    loc = torch.lerp(loc_2, loc_1, share.square())
    return diagonal_normal(loc, scale_1 * share)


def _product(described: Distribution, expected: Factor, above: Tensor) -> Distribution:
    """Return a layer that x describes, multiplied with the prior's layer given those above."""
    return gaussian_product(described, expected(above))


def _names(sizes: Sequence[int]) -> list[str]:
    """Return the names of layers from z₁ on, as many as there are sizes."""
    if not sizes:
        raise OptionError("latent_dims=(): a hierarchy needs at least one layer")
    return [f"z{number}" for number in range(1, len(sizes) + 1)]
