"""The latent codes of examples: means, active units, use of a codebook, components and paths."""

from math import exp, pi
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional

from reparam.batch import Batch
from reparam.distributions.queries import base_distribution
from reparam.divergence import kl
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.figure import Figure
from reparam.isolation import blocks, isolated
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value

ACTIVE_VARIANCE = 0.01
"""A dimension whose posterior mean varies less than this over the data is unused."""

N_FIRST = 500
"""The number of training examples that active units are also counted on, as in the IWAE's code."""


@numbers(chunk=1)
def encode_means(model: LatentModel, batch: Batch, chunk: int = 1024) -> Tensor:
    r"""Return the posterior means, :math:`\mathbb E_{q(z \mid x_n)}[z]`.

    Arguments:
        model: The model, which computes where it is.
        batch: The examples, and their condition if there is one, anywhere.
        chunk: The number of examples that are computed at once.

    Returns:
        The means on the CPU, with shape (N, D).

    Raises:
        OptionError: A chunk below one.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> encode_means(model, Batch(torch.zeros(5, 1, 8, 8))).shape
        torch.Size([5, 2])
    """
    with isolated(model) as device:
        parts = [model.encode(part.x, part.c) for part in blocks(batch, chunk, device)]
        return torch.cat([part.flatten(1).cpu() for part in parts])


def kl_from_standard_normal(model: LatentModel, batch: Batch, chunk: int = 1024) -> Tensor | None:
    r"""Return the KL of each latent dimension from a standard normal, whatever the prior is.

    .. math:: \mathrm{KL}(q(z_j \mid x) \| \mathcal N(0, 1))

    A mixture that was fitted after training has no KL of single dimensions.

    Arguments:
        model: The model, which computes where it is.
        batch: The examples, and their condition if there is one, anywhere.
        chunk: The number of examples that are computed at once.

    Returns:
        The KL in nats on the CPU, with shape (N, D); None for a posterior that does not factorize.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> kl_from_standard_normal(model, Batch(torch.zeros(5, 1, 8, 8))).shape
        torch.Size([5, 2])
    """
    parts = []
    with isolated(model) as device:
        for part in blocks(batch, chunk, device):
            q = model.posterior(part.x, part.c)
            if not isinstance(base_distribution(q), Normal):
                return None
            found = kl(q, StandardNormal(q.event_shape[0]).to(device)()).per_dimension
            if found is None:
                return None
            parts.append(found.cpu().double())
    return torch.cat(parts)


@numbers(correction=0)
def active_units(means: Tensor, threshold: float = ACTIVE_VARIANCE, *, correction: int = 1) -> int:
    r"""Count the latent dimensions that vary with x.

    .. math:: \bigl|\{j : \mathrm{Var}_x(\mathbb E_{q(z \mid x)}[z_j]) > 0.01\}\bigr|

    Arguments:
        means: Posterior means, with shape (N, D).
        threshold: The variance above which a dimension counts.
        correction: The variance is the sum of squares divided by N less this; the authors of the
            IWAE divide by N, and take the first 500 training examples.

    Raises:
        ShapeError: Fewer than two examples, whose variance is no number.

    References:
        Burda, Grosse & Salakhutdinov, ICLR 2016, section 5.2.

    Example:
        >>> active_units(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        1
    """
    if means.dim() != 2 or means.shape[0] < 2:
        raise ShapeError(
            f"means of shape {tuple(means.shape)}: give those of two or more examples as (N, D)"
        )
    return int((means.double().var(0, correction=correction) > threshold).sum())


class CodeUsage(NamedTuple):
    """The use of a codebook.

    Arguments:
        n_used: The number of different codes.
        perplexity: The number of equally frequent codes with the same entropy.
    """

    n_used: int
    perplexity: Figure


def code_usage(indices: Tensor) -> CodeUsage:
    r"""Count the different codes, and compute their perplexity.

    .. math:: \bigl|\{k : f_k > 0\}\bigr|, \qquad \exp\Bigl(-\sum_k f_k \log f_k\Bigr)

    The entropy is the mean over examples of the surprise, -log f, of their codes, and that is also
    what each example moves it by; the standard error is that of this mean, by the infinitesimal
    jackknife.

    Arguments:
        indices: The numbers of the codes of all examples, with shape (N,) or (N, P); f are their
            frequencies.

    References:
        Efron, The jackknife, the bootstrap and other resampling plans, 1982, section 6.3.

    Example:
        >>> usage = code_usage(torch.tensor([[0, 0], [7, 7]]))
        >>> usage.n_used, usage.perplexity.value
        (2, 2.0)
    """
    _, code, counts = indices.unique(return_inverse=True, return_counts=True)
    surprise = -(counts.double() / indices.numel()).log()
    entropy = Figure.mean(surprise[code].reshape(len(indices), -1).mean(1))
    value = exp(entropy.value)
    stderr = None if entropy.stderr is None else value * entropy.stderr
    return CodeUsage(len(counts), Figure(value, stderr, entropy.n))


@by_value
class Components(NamedTuple):
    """Principal components of the latents.

    Arguments:
        scores: The means along the components, with shape (N, k).
        explained_variance_ratio: The share of all variance that each explains, with shape (k,).
    """

    scores: Tensor
    explained_variance_ratio: Tensor


@numbers()
def principal_components(means: Tensor, k: int = 2) -> Components:
    """Project posterior means on the directions in which they vary most.

    Arguments:
        means: Posterior means, with shape (N, D).
        k: The number of components.

    Raises:
        OptionError: More components than there are dimensions or examples, or fewer than one.

    Example:
        >>> means = torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.0, 0.0], [4.0, 4.0, 0.0]])
        >>> principal_components(means, 1).explained_variance_ratio
        tensor([1.])
    """
    # scikit-learn takes a second to import.
    from sklearn.decomposition import PCA

    if means.dim() != 2 or not 1 <= k <= min(means.shape):
        raise OptionError(
            f"k={k} principal components of means of shape {tuple(means.shape)}: give means as "
            "(N, D), and at most as many components as the smaller of the two"
        )
    pca = PCA(n_components=k, svd_solver="full")
    scores = pca.fit_transform(means.detach().double().cpu().numpy())
    # The ratio is 0 / 0 if all means are the same.
    ratio = torch.from_numpy(pca.explained_variance_ratio_).nan_to_num(0.0)
    return Components(torch.from_numpy(scores).float(), ratio.float())


def interpolate(start: Tensor, stop: Tensor, n_steps: int, *, on_sphere: bool = False) -> Tensor:
    r"""Return the points of the shortest paths between codes, in equal steps.

    .. math:: z_t = (1 - t) z_0 + t z_1, \qquad t = 0, \tfrac{1}{T - 1}, \dots, 1

    and on the unit sphere, where a straight line would leave it, the great circle

    .. math:: z_t = \frac{\sin((1 - t) \omega)\, z_0 + \sin(t \omega)\, z_1}{\sin \omega}, \qquad
              \cos \omega = z_0^\top z_1

    Between opposite points of a sphere no path is the shortest, and the points have no meaning.

    Arguments:
        start: z_0, with shape (N, D).
        stop: z_1, with shape (N, D).
        n_steps: The number of points T, the ends included.
        on_sphere: Whether codes are unit vectors.

    Returns:
        The points, with shape (N, T, D).

    References:
        Shoemake, SIGGRAPH 1985, section 3.3 (great circles).

    Example:
        >>> interpolate(torch.zeros(1, 1), torch.ones(1, 1), 3).flatten()
        tensor([0.0000, 0.5000, 1.0000])
        >>> interpolate(torch.eye(2)[:1], torch.eye(2)[1:], 3, on_sphere=True)[0, 1]
        tensor([0.7071, 0.7071])
    """
    t = torch.linspace(0, 1, n_steps, dtype=start.dtype, device=start.device)[:, None]
    z_0, z_1 = start[:, None], stop[:, None]
    if not on_sphere:
        return torch.lerp(z_0, z_1, t)
    # As atan2 of half difference and half sum, ω keeps its digits near 0 and near π.
    difference = torch.linalg.vector_norm(z_1 - z_0, dim=-1, keepdim=True)
    omega = 2 * torch.atan2(difference, torch.linalg.vector_norm(z_1 + z_0, dim=-1, keepdim=True))
    # sin(sω) / sin ω with sinc, which has no quotient of zeros where the ends are one point.
    weights = [s * torch.sinc(s * omega / pi) / torch.sinc(omega / pi) for s in (1 - t, t)]
    return functional.normalize(weights[0] * z_0 + weights[1] * z_1, dim=-1)
