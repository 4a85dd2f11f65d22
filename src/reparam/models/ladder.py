"""Several stochastic layers: a top-down prior, and posteriors that lead up from the data."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.distributions import Chain, base
from reparam.distributions.chain import Factor, expanded
from reparam.distributions.reordered import Reordered
from reparam.errors import OptionError
from reparam.families import Family, Gaussian
from reparam.models.conditional import Conditional, features_shape
from reparam.nn import MLP, TakeLast
from reparam.priors import StandardNormal, check_sizes
from reparam.utils.arguments import numbers

# A dimension on which prior and posterior agree costs nothing at any scale, which would drift until
# its square is no number.
_MIN_SCALE = 0.01


@numbers(context=0)
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
        if not sizes:
            raise OptionError("latent_dims=(): a hierarchy needs at least one layer")
        check_sizes(latent_dim=min(sizes))
        self.sizes = list(sizes)
        self.names = [f"z{number}" for number in range(len(sizes), 0, -1)]
        self.top = StandardNormal(sizes[0])
        if below is None:
            above = [sum(sizes[:number]) for number in range(1, len(sizes))]
            below = [
                Conditional(
                    MLP(n, *hidden, context=context, activation=activation),
                    Gaussian(size, min_scale=_MIN_SCALE),
                )
                for n, size in zip(above, sizes[1:], strict=True)
            ]
        if len(below) != len(sizes) - 1:
            raise OptionError(
                f"{len(below)} modules below the top of {len(sizes)} layers: give one for each"
            )
        self.below = nn.ModuleList(below)

    def layer(self, number: int, above: Tensor, c: Tensor | None = None) -> Distribution:
        """Return the distribution of a layer, counted from the top, given those above it."""
        if number == 0:
            return self.top()
        part = self.below[number - 1]
        return part(above) if c is None else part(above, c)

    def forward(self, c: Tensor | None = None) -> Chain:
        """Return p(z | c), with batch shape (B,), or () without a condition."""
        factors = {name: partial(self.layer, i, c=c) for i, name in enumerate(self.names)}
        batch = () if c is None else c.shape[:1]
        return Chain(factors, self.sizes, batch, self.top.loc)


@numbers(context=0)
class LadderEncoder(nn.Module):
    r"""The posterior of a hierarchy, top-down like the prior.

    A network goes up from x; in every layer what it says, :math:`\mathcal N(\hat\mu_l,
    \hat\sigma_l^2)`, is joined with the prior's layer as two Gaussian opinions are:

    .. math:: q(z_l \mid z_{>l}, x) = \mathcal N\Bigl(
              \frac{\hat\mu_l \hat\sigma_l^{-2} + \mu_l \sigma_l^{-2}}
                   {\hat\sigma_l^{-2} + \sigma_l^{-2}},\;
              \frac1{\hat\sigma_l^{-2} + \sigma_l^{-2}}\Bigr)

    Arguments:
        shape: The shape of one x.
        prior: The top-down prior of the model, which stays the model's.
        hidden: The sizes of the layers below z_1.
        above: The sizes of the layers between z_l and z_{l+1}.
        context: The size of a condition c; 0 without one.
        activation: The nonlinearity.
        up: For every layer, from z_1, the module from what is below it to features, of which the
            first takes c too; multilayer perceptrons when None.
        opinions: For every layer, from z_1, the Gaussian family that the features are for; flat
            ones when None.
        with_prior: Whether the opinion on a layer is joined with the prior's; where it is not,
            :math:`q(z \mid x) = \prod_l \mathcal N(z_l; \hat\mu_l, \hat\sigma_l^2)`.

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
        # The weights of the prior are the model's: a tuple keeps them out of this module's own.
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
        features = self.up[0](x) if c is None else self.up[0](x, c)
        said = [self.opinions[0](features)]
        for up, opinion in zip(self.up[1:], self.opinions[1:], strict=True):
            features = up(features)
            said.append(opinion(features))
        said.reverse()
        factors = {
            name: partial(self._layer, i, said[i], c=c) for i, name in enumerate(prior.names)
        }
        return Chain(factors, prior.sizes, said[0].batch_shape, features)

    def _layer(
        self, number: int, said: Distribution, above: Tensor, c: Tensor | None
    ) -> Distribution:
        """Return the distribution of a layer given what the data say of it, and those above."""
        if number == 0 or not self.with_prior:
            return expanded(said, above)
        (prior,) = self._prior
        return joined(said, prior.layer(number, above, c))


@numbers(context=0)
class BottomUp(nn.Module):
    r"""The posterior of a hierarchy that goes up, each layer given the one below it.

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
        if not sizes:
            raise OptionError("latent_dims=(): a hierarchy needs at least one layer")
        check_sizes(latent_dim=min(sizes))
        self.sizes = list(sizes)
        self.names = [f"z{number}" for number in range(1, len(sizes) + 1)]
        first = MLP(shape, *hidden, context=context, activation=activation)
        self.first = Conditional(first, Gaussian(sizes[0], min_scale=_MIN_SCALE))
        self.above = steps(sizes, above, context, activation)
        groups = torch.arange(sum(sizes)).split(self.sizes)
        self.order: Tensor
        self.register_buffer("order", torch.cat(groups[::-1]), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Reordered:
        r"""Return q(z | x, c) for x with shape (\*, *shape), of (z_L, …, z_1) as in the prior."""
        first = self.first(x) if c is None else self.first(x, c)
        parts: list[Factor] = [partial(expanded, first)]
        parts += [part if c is None else partial(part, c=c) for part in self.above]
        factors = dict(zip(self.names, parts, strict=True))
        return Reordered(Chain(factors, self.sizes, first.batch_shape, first.mean), self.order)


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
        Conditional(
            TakeLast(MLP(before, *hidden, context=context, activation=activation), before),
            Gaussian(size, min_scale=_MIN_SCALE),
        )
        for before, size in pairwise(sizes)
    )


def joined(first: Distribution, second: Distribution) -> Distribution:
    r"""Return the normalized product of two diagonal Gaussians.

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
    # A step from the second mean, not a mean weighted by precisions: where a scale is tiny those
    # overflow, and the rounding of their mean is many scales wide.
    share = scale_2 / torch.hypot(scale_1, scale_2)
    loc = torch.lerp(loc_2, loc_1, share.square())
    return Independent(Normal(loc, scale_1 * share, validate_args=False), 1, validate_args=False)
