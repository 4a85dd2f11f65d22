"""Functions of any torch distribution: its entries, its point estimate, its draws.

They apply to the distributions of torch as well as to those of this package.
"""

from copy import copy

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, OneHotCategorical

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.last_draw import LastDraw
from reparam.utils.arguments import as_int
from reparam.utils.autocast import without_autocast


def base_distribution(distribution: Distribution) -> Distribution:
    """Return the distribution of single entries inside any ``Independent``.

    >>> from torch.distributions import Normal
    >>> base_distribution(Independent(Normal(torch.zeros(3), 1.0), 1))
    Normal(loc: torch.Size([3]), scale: torch.Size([3]))
    """
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def is_normalized(distribution: Distribution) -> bool:
    """Return whether ``log_prob`` is the logarithm of a density or mass that sums to one.

    >>> from reparam.distributions import CrossEntropy
    >>> is_normalized(CrossEntropy(torch.zeros(3)))
    False
    """
    single = base_distribution(distribution)
    return not isinstance(single, DeclaredDistribution) or single.is_normalized


def unnormalized_because(distribution: Distribution) -> str:
    """Return in a few words what a ``log_prob`` is that is not normalized; "" where it is.

    >>> from reparam.distributions import CrossEntropy
    >>> unnormalized_because(CrossEntropy(torch.zeros(3)))
    'cross-entropy on grey values'
    """
    single = base_distribution(distribution)
    if not isinstance(single, DeclaredDistribution) or single.is_normalized:
        return ""
    return single.unnormalized_because or type(single).__name__


def mean_or_mode(distribution: Distribution) -> Tensor:
    """Return the mean of a distribution, or its mode where the mean is not one of its values.

    The mean of classes lies between them, and that of directions inside the sphere.

    >>> mean_or_mode(Categorical(torch.tensor([0.1, 0.7, 0.2])))
    tensor(1)
    """
    single = base_distribution(distribution)
    if isinstance(single, DeclaredDistribution):
        return distribution.mean if single.mean_is_value else single.mode
    return single.mode if isinstance(single, Categorical | OneHotCategorical) else distribution.mean


def sample_in_range(distribution: Distribution, known: Tensor | None = None) -> Tensor:
    """Return draws in the range of the training data, where a distribution knows that range.

    Arguments:
        distribution: The distribution.
        known: Values that are given, NaN for others, in a shape that broadcasts to the draws.

    Example:
        >>> from torch.distributions import Normal
        >>> sample_in_range(Normal(torch.zeros(3), 1.0)).shape
        torch.Size([3])
    """
    if isinstance(distribution, DeclaredDistribution):
        return distribution.sample_in_range(known)
    x = distribution.sample()
    return x if known is None else torch.where(known.isnan(), x, known)


def detached(distribution: Distribution) -> Distribution | None:
    """Return the same distribution with parameters that no gradient flows to.

    None where parts of it are not known to be parameters: a network, a function or a collection.

    >>> from torch.distributions import Normal
    >>> loc = torch.zeros(3, requires_grad=True)
    >>> detached(Independent(Normal(loc, 1.0), 1)).log_prob(torch.ones(3)).requires_grad
    False
    """
    same = copy(distribution)
    for name, value in vars(same).items():
        if isinstance(value, Tensor):
            setattr(same, name, value.detach())
        elif isinstance(value, LastDraw):
            setattr(same, name, LastDraw())
        elif isinstance(value, Distribution):
            inner = detached(value)
            if inner is None:
                return None
            setattr(same, name, inner)
        elif not isinstance(value, torch.Size | bool | int | float | str | type | None):
            return None
    return same


def rsample(distribution: Distribution, n_samples: int, device: torch.device) -> Tensor:
    """Return draws with shape (K, B, D), with gradients where the distribution has them.

    Autocast is off: a Gaussian with full covariance draws by a matrix product, which would be
    rounded.

    >>> from torch.distributions import Normal
    >>> rsample(Normal(torch.zeros(5, 2), 1.0), 3, torch.device("cpu")).shape
    torch.Size([3, 5, 2])
    """
    draw = distribution.rsample if distribution.has_rsample else distribution.sample
    with without_autocast(device):
        return draw(torch.Size([as_int("n_samples", n_samples)]))
