"""Distances of samples of a model from examples, and features to compare them in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from reparam.batch import Batch, in_chunks, in_type_of
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.figure import Figure
from reparam.isolation import isolated
from reparam.mmd import mmd
from reparam.models.conditional import Conditional, part_of
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel, as_latent, is_latent
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers

Features = Callable[[Tensor], Tensor]
"""From examples with shape (B, *shape) to their features, with shape (B, F)."""

BLOCK = 1000
"""About how many examples a block of a discrepancy has."""

_N_BLOCKS = 10
_CHUNK = 500
_DRAWN_AT_ONCE = 1000


@dataclass(frozen=True)
class NamedFeatures:
    """Features with a name for the report.

    Arguments:
        function: From examples with shape (B, *shape) to their features, with shape (B, F).
        name: Their name, such as the folder of a run.
        weights_sha256: The checksum of the weights that they are computed with, if any.
    """

    function: Features
    name: str
    weights_sha256: str | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features."""
        return self.function(x)


class SampleQuality(NamedTuple):
    """The distances of samples of a model from as many examples.

    Arguments:
        n_samples: The number of samples.
        mmd: The squared kernel discrepancy of the values; without bias, so that it may be negative.
        fid: The Fréchet distance of features; None without features.
        kid: The squared polynomial-kernel discrepancy of features; None without features.
    """

    n_samples: int
    mmd: Figure
    fid: Figure | None = None
    kid: Figure | None = None


def sample_quality(
    samples: Tensor, examples: Tensor, features: Features | None = None
) -> SampleQuality:
    """Return every distance of samples of a model from examples.

    Arguments:
        samples: Draws of a model, with shape (N, *shape).
        examples: Examples of the data, of the same kind (draws beside binarized examples, means
            beside grey ones), with shape (N, *shape).
        features: The features of the Fréchet and the kernel distance, given values on the CPU;
            None for neither of them.

    Raises:
        ShapeError: Not as many samples as examples, fewer than twenty, or of another shape.

    Example:
        >>> x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> found = sample_quality(x[:20], x[20:], lambda images: images.mean((1, 2)))
        >>> found.n_samples, found.fid.value < 0.1
        (20, True)
    """
    found = SampleQuality(
        len(samples), blockwise(mmd, samples.flatten(1).float(), examples.flatten(1).float())
    )
    if features is None:
        return found
    first, second = (_in_chunks(features, x) for x in (samples, examples))
    return found._replace(fid=fid(first, second), kid=kid(first, second))


def sample_beside_examples(
    model: nn.Module, batch: Batch, spec: DataSpec, n: int, seed: int, means: bool = False
) -> tuple[Tensor, Tensor]:
    """Return samples of a model, and as many examples.

    Arguments:
        model: The model, which computes where it is.
        batch: The examples, of which n are chosen at random, with their conditions.
        spec: The shape and support of the data.
        n: The number of samples and examples.
        seed: The seed of the draws and of the choice.
        means: Whether to return means of p(x | z) instead of draws from it.

    Returns:
        Samples and examples as floats on the CPU, with shape (n, *shape).

    Raises:
        OptionError: A model that does not generate x.
    """
    with isolated(model, seed=seed) as device:
        chosen = torch.randperm(len(batch))[:n]
        # Under the conditions of other examples: with their own, samples and examples would not
        # be independent, and the discrepancy below zero.
        others = torch.randint(len(batch), (n,))
        drawn = []
        for some in others.split(_DRAWN_AT_ONCE):
            c = None if batch.c is None else batch.c.cpu()[some].to(device)
            drawn.append(_generated(model, spec, len(some), c, means).cpu())
    samples = torch.cat(drawn).float()
    return samples, batch.x.cpu()[chosen].reshape(samples.shape).float()


def _generated(model: nn.Module, spec: DataSpec, n: int, c: Tensor | None, means: bool) -> Tensor:
    if isinstance(model, DirectedModel):
        return model.assemble(model.sample(n), spec.shape)
    if is_latent(model):
        model = as_latent(model)
    if not callable(part_of(model, "sample")):
        raise OptionError(
            f"a {type(model).__name__} has no method sample: leave sample_quality at 0"
        )
    return cast(LatentModel, model).sample(n, c, mean=means).reshape(n, *spec.shape)


def identity(features: Features) -> tuple[str, str | None]:
    """Return the name of features, and the SHA-256 of their weights where that is known."""
    if isinstance(features, NamedFeatures):
        return features.name, features.weights_sha256
    name = getattr(features, "__qualname__", None)  # any callable of the user's own
    return f"{features.__module__}:{name}" if name else type(features).__qualname__, None


def frechet_distance(first: Tensor, second: Tensor) -> float:
    r"""Return the squared Fréchet distance of the Gaussians with the moments of two samples.

    .. math:: \|m_1 - m_2\|^2 + \mathrm{tr}\bigl(S_1 + S_2
              - 2 (S_1^{1/2} S_2 S_1^{1/2})^{1/2}\bigr)

    The roots are exact, from the eigenvalues of symmetric matrices in float64.

    Arguments:
        first: Features with shape (N, F).
        second: Features with shape (M, F).

    Raises:
        ShapeError: Fewer than two of either, or features of different sizes.

    References:
        Dowson & Landau, Journal of Multivariate Analysis 1982, eq. 4; Heusel et al., NeurIPS 2017,
        eq. 6.

    Example:
        >>> a = torch.tensor([[-1.0], [1.0]])
        >>> round(frechet_distance(a, 3 * a + 1), 6)  # (1 - 0)² + (3√2 - √2)²
        9.0
    """
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:]:
        raise ShapeError(
            f"features of shape {tuple(first.shape)} and {tuple(second.shape)}: a Fréchet distance "
            "needs two rows or more on each side, of the same size"
        )
    (m_1, s_1), (m_2, s_2) = (_moments(x.detach().double()) for x in (first, second))
    values, vectors = torch.linalg.eigh(s_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ s_2 @ root).clamp(min=0).sqrt().sum()
    distance = (m_1 - m_2).square().sum() + s_1.trace() + s_2.trace() - 2 * cross
    # Of equal moments it is zero but for the rounding of the traces, on either side.
    return max(0.0, float(distance))


@numbers()
def fid(first: Tensor, second: Tensor, *, n_blocks: int = _N_BLOCKS) -> Figure:
    r"""Return the Fréchet distance of two samples of features, with standard error and bias.

    The distance of two samples is biased upwards, by about a constant over N that depends on the
    model: compare models at one N only. Both error and bias come from leaving out each of K blocks
    in turn, on both sides at once; with fewer examples than features both are rough:

    .. math:: \mathrm{stderr}^2 = \frac{K - 1}{K} \sum_k (d_{(k)} - \bar d)^2, \qquad
              \mathrm{bias} = (K - 1) (\bar d - d)

    Arguments:
        first: Features with shape (N, F), in random order.
        second: Features with shape (N, F), in random order.
        n_blocks: K.

    Raises:
        ShapeError: Fewer than two rows for each block, or not as many on both sides.

    References:
        Heusel et al., NeurIPS 2017, eq. 6; Efron & Stein, Annals of Statistics 1981 (jackknife);
        Chong & Forsyth, CVPR 2020 (bias).

    Example:
        >>> x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> found = fid(x[:200], x[200:] + 3)
        >>> abs(found.value - found.bias - 18) < 4 * found.stderr
        True
    """
    _require_pairs(first, second, n_blocks)
    whole = frechet_distance(first, second)
    block = torch.arange(len(first), device=first.device) * n_blocks // len(first)
    without = torch.tensor(
        [frechet_distance(first[block != k], second[block != k]) for k in range(n_blocks)],
        dtype=torch.float64,
    )
    stderr = ((n_blocks - 1) * without.var(correction=0)).sqrt()
    bias = float((n_blocks - 1) * (without.mean() - whole))
    return Figure(whole, float(stderr), len(first), bias=bias)


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    r"""Return :math:`(a^\top b / F + 1)^3` of all pairs, with shape (N, M).

    Arguments:
        a: Features with shape (N, F).
        b: Features with shape (M, F).

    Example:
        >>> cubic_kernel(torch.ones(1, 4), torch.ones(2, 4))
        tensor([[8., 8.]])
    """
    return (a @ b.T / a.shape[1] + 1) ** 3


@numbers()
def kid(first: Tensor, second: Tensor, *, block: int = BLOCK) -> Figure:
    r"""Return the kernel distance of two samples of features, without bias.

    .. math:: \mathrm{KID} = \mathbb E[k(a, a')] + \mathbb E[k(b, b')] - 2\, \mathbb E[k(a, b)],
              \qquad k(a, b) = \Bigl(\frac{a^\top b}{F} + 1\Bigr)^3

    Blocks are disjoint, so that they are independent and their spread is a standard error.

    Arguments:
        first: Features with shape (N, F).
        second: Features with shape (N, F).
        block: The approximate number of examples of a block; there are ten blocks or more.

    Raises:
        ShapeError: Fewer than twenty rows, or not as many on both sides.

    References:
        Bińkowski et al., Demystifying MMD GANs, ICLR 2018, section 4.

    Example:
        >>> x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> found = kid(x[:200], x[200:])
        >>> abs(found.value) < 4 * found.stderr
        True
    """
    first, second = first.double(), second.double()
    return blockwise(lambda a, b: mmd(a, b, cubic_kernel), first, second, block)


def blockwise(
    statistic: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor, block: int = BLOCK
) -> Figure:
    """Return the mean of a statistic over disjoint blocks of two samples, and its standard error.

    Arguments:
        statistic: A function of two samples without bias.
        first: Draws with shape (N, D).
        second: Draws with shape (N, D).
        block: The approximate number of examples of a block; there are ten blocks or more.

    Raises:
        ShapeError: Fewer than twenty draws, or not as many on both sides.
    """
    n_blocks = max(_N_BLOCKS, len(first) // block)
    _require_pairs(first, second, n_blocks)
    size = len(first) // n_blocks
    pairs = zip(first.split(size)[:n_blocks], second.split(size)[:n_blocks], strict=True)
    found = Figure.mean(torch.stack([statistic(a, b) for a, b in pairs]))
    return Figure(found.value, found.stderr, n_blocks)


def psnr(clean: Tensor, other: Tensor) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each example, in dB with shape (N,).

    .. math:: \mathrm{PSNR} = -10 \log_{10} \frac1D \|x - \hat x\|^2

    for entries in [0, 1], whose peak is 1.

    Arguments:
        clean: The examples x, with shape (N, *shape).
        other: Images that they are compared with, of the same shape.

    Raises:
        ShapeError: Other shapes.

    Example:
        >>> psnr(torch.zeros(1, 4), torch.full((1, 4), 0.1)).round().tolist()
        [20.0]
    """
    if clean.shape != other.shape:
        raise ShapeError(
            f"examples of shape {tuple(clean.shape)} beside {tuple(other.shape)}: give pairs"
        )
    error = (clean - other).double().square().flatten(1).mean(1)
    return -10 * error.clamp(min=1e-12).log10()


def features_of(model: nn.Module) -> NamedFeatures:
    """Return the features that a trained model of the same data offers.

    These are the posterior means of a latent-variable model, and of a classifier the output of its
    network before the last layer.

    Arguments:
        model: The model, which computes where it is; not under a condition.

    Raises:
        OptionError: A model that is neither.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> judge = variants.classifier(DataSpec((1, 8, 8), "binary", n_classes=10), hidden=(16,))
        >>> features_of(judge.model)(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 16])
    """
    network: Callable[[Tensor], Tensor] | None = None
    if is_latent(model):
        network = as_latent(model).encode
    elif isinstance(model, DirectedModel) and model.parents.get("y") == ("x",):
        conditional = model.conditionals["y"]
        network = conditional.network if isinstance(conditional, Conditional) else None
    if network is None:
        raise OptionError(
            f"features of a {type(model).__name__}: give a run of a latent-variable model without "
            "a condition, or of a classifier of x"
        )
    return NamedFeatures(partial(_features, model, network), type(model).__name__)


def _features(model: nn.Module, network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with isolated(model) as device:
        return network(in_type_of(model, x.to(device))).flatten(1).cpu()


def _in_chunks(features: Features, x: Tensor) -> Tensor:
    with torch.no_grad():
        parts = [features(part.x).detach().cpu() for part in in_chunks(Batch(x), _CHUNK)]
    found = torch.cat(parts)
    if found.dim() != 2 or len(found) != len(x):
        raise ShapeError(
            f"features of shape {tuple(found.shape)}: give a row for each of {len(x)} examples"
        )
    return found


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of rows, with shapes (F,) and (F, F)."""
    around = x - x.mean(0)
    return x.mean(0), around.T @ around / (len(x) - 1)


def _require_pairs(first: Tensor, second: Tensor, n_blocks: int) -> None:
    if first.shape != second.shape or len(first) < 2 * n_blocks:
        raise ShapeError(
            f"samples of shape {tuple(first.shape)} and {tuple(second.shape)}: give as many of "
            f"both, {2 * n_blocks} or more, of the same size"
        )
