r"""Annealed importance sampling: log p(x) by many small steps from p_0(z) to p(x, z).

.. math:: f_t(z) = p_0(z)^{1 - \beta_t}\, p(x, z)^{\beta_t}, \qquad
          w = \prod_{t=1}^T \frac{f_t(z_{t-1})}{f_{t-1}(z_{t-1})}, \qquad \mathbb E[w] = p(x)

The estimate lies below log p(x) in mean. Run backwards from an exact draw of the posterior, which
data simulated from the model have, it lies above: the two bracket log p(x).

Between the steps z moves by Hamiltonian Monte Carlo, which leaves f_t unchanged: a move draws a
velocity v, follows the dynamics of :math:`H(z, v) = -\log f_t(z) + \tfrac12 \|v\|^2` by leapfrog
steps, and is accepted with the probability :math:`\min(1, e^{H - H'})`.

References:
    Neal, Annealed importance sampling, 2001; MCMC using Hamiltonian dynamics, 2011, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal

from reparam.batch import Batch, in_chunks, to_device
from reparam.distributions import (
    Chain,
    base_distribution,
    is_normalized,
    unnormalized_because,
)
from reparam.divergence import check_comparable, is_real
from reparam.errors import ShapeError, SupportError, unknown
from reparam.evaluation.figure import Figure
from reparam.evaluation.likelihood.decoder import inspect_decoder, pieces
from reparam.evaluation.model import as_event
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.objectives.bounds import frozen
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value

STARTS = ("prior", "posterior")
SCHEDULES = ("sigmoid", "linear")

# The approximate number of chains of a block of examples. It does not depend on the memory, so that
# draws depend on the seed and the number of chains only.
_BLOCK_CHAINS = 2**12
# The length of the first leapfrog steps, before any acceptance is known.
_FIRST_STEP = 0.5
# The share of accepted moves that is best for long vectors: Neal, MCMC using Hamiltonian dynamics,
# 2011, section 4.4.
_TARGET = 0.65
_RATE = 0.1


@numbers(n_chains=1, n_temperatures=1, n_leapfrog=1, max_memory_mb=1)
@dataclass(frozen=True)
class Annealing:
    r"""The options of annealing: the chains, and their path from p_0(z) to p(x, z).

    .. math:: f_t(z) = p_0(z)^{1 - \beta_t}\, p(x, z)^{\beta_t}, \qquad
              0 = \beta_0 < \dots < \beta_T = 1

    Arguments:
        n_chains: The number of chains of each example.
        n_temperatures: T; one is importance sampling from p_0.
        n_leapfrog: The number of leapfrog steps of each trajectory.
        start: p_0: ``prior``, or ``posterior`` for q(z | x), where that is a Gaussian.
        schedule: The rise of β from 0 to 1: ``sigmoid``, slow at both ends, or ``linear``.
        seed: The seed of every draw.
        max_memory_mb: The approximate memory of the decoder, in MiB; it changes no figure.

    Raises:
        OptionError: A number below one, a start or a schedule that does not exist.

    References:
        Wu, Burda, Salakhutdinov & Grosse, ICLR 2017, section 3: the sigmoid is σ(-4) to σ(4), moved
        to [0, 1].

    Example:
        >>> Annealing(n_temperatures=4, schedule="linear").betas()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    n_chains: int = 16
    n_temperatures: int = 1000
    n_leapfrog: int = 10
    start: str = "prior"
    schedule: str = "sigmoid"
    seed: int = 0
    max_memory_mb: int = 512

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise unknown("start of annealing", self.start, STARTS)
        if self.schedule not in SCHEDULES:
            raise unknown("schedule of annealing", self.schedule, SCHEDULES)

    def betas(self) -> list[float]:
        """Return β_0 = 0 … β_T = 1."""
        beta = torch.linspace(0, 1, self.n_temperatures + 1, dtype=torch.float64)
        if self.schedule == "sigmoid":
            beta = (4 * (2 * beta - 1)).sigmoid()
            beta = (beta - beta[0]) / (beta[-1] - beta[0])
        return beta.tolist()


@by_value
class Annealed(NamedTuple):
    """The result of annealed importance sampling for N examples, float64 on the CPU.

    Arguments:
        log_likelihood: log p(x), from below in mean, in nats with shape (N,).
        log_weight: The logarithms of the weights of the C chains, with shape (C, N).
        acceptance: The share of moves that were accepted, with shape (N,).
    """

    log_likelihood: Tensor
    log_weight: Tensor
    acceptance: Tensor

    @property
    def effective_sample_size(self) -> Tensor:
        """(Σ w)² / Σ w² of each example's weights, as a share of the chains, with shape (N,)."""
        w = self.log_weight
        return (2 * w.logsumexp(0) - (2 * w).logsumexp(0)).exp() / len(w)


@by_value
class Gap(NamedTuple):
    """Bounds of log p(x) on N examples that the model itself has drawn.

    Arguments:
        lower: An estimate that lies below log p(x) in mean, in nats with shape (N,).
        upper: An estimate that lies above it in mean, with shape (N,).
        gap: The mean of upper - lower, with its standard error over examples.
        x: The examples, with shape (N, *event).
    """

    lower: Tensor
    upper: Tensor
    gap: Figure
    x: Tensor


def annealed_importance(
    model: LatentModel,
    x: Tensor,
    c: Tensor | None = None,
    annealing: Annealing = Annealing(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Annealed:
    r"""Estimate log p(x | c) by annealed importance sampling with Hamiltonian moves.

    .. math:: f_t(z) = p_0(z)^{1 - \beta_t}\, p(x, z)^{\beta_t}, \qquad
              w = \prod_{t=1}^T \frac{f_t(z_{t-1})}{f_{t-1}(z_{t-1})}, \qquad
              \mathbb E[w] = p(x)

    Each chain starts at z_0 ~ p_0 and moves by one Hamiltonian trajectory that leaves f_t
    unchanged. The lengths of the leapfrog steps are adapted for each example and temperature on
    separate chains, which are discarded: with steps that a chain adapts to itself, E[w] would not
    be p(x). The model, its mode and the random state are not changed.

    Arguments:
        model: A model whose latents are real vectors.
        x: The examples, with shape (N, *event).
        c: Their condition, with shape (N, C).
        annealing: The options.
        progress: Called with (examples done, examples in all) after every block of examples.

    Raises:
        SupportError: The latents are no real vectors, or q(z | x) is no Gaussian to start at.

    References:
        Neal, Annealed importance sampling, 2001, section 2; Wu, Burda, Salakhutdinov & Grosse, On
        the quantitative analysis of decoder-based generative models, ICLR 2017, section 3.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> how = Annealing(n_chains=4, n_temperatures=5)
        >>> result = annealed_importance(model, torch.zeros(5, 1, 8, 8), annealing=how)
        >>> result.log_likelihood.shape, result.log_weight.shape
        (torch.Size([5]), torch.Size([4, 5]))
    """
    with isolated(model, seed=annealing.seed) as device, frozen(model):
        examples = to_device(Batch(x, c=c), device)
        parts = []
        for done, path in _paths(model, examples.x, examples.c, annealing):
            parts.append(path.forward(path.tuned_steps()))
            if progress is not None:
                progress(done, len(x))
        log_weight = torch.cat([w for w, _ in parts], dim=1)
        return Annealed(
            log_likelihood=log_weight.logsumexp(0) - log(annealing.n_chains),
            log_weight=log_weight,
            acceptance=torch.cat([accepted for _, accepted in parts]),
        )


@numbers(n_examples=1)
def bidirectional(
    model: LatentModel,
    n_examples: int = 100,
    c: Tensor | None = None,
    annealing: Annealing = Annealing(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Gap:
    r"""Bracket log p(x) of data that the model itself draws, by annealing both ways.

    .. math:: \mathbb E\Bigl[\log \frac1C \sum_c w_c\Bigr] \le \log p(x) \le
              \mathbb E\Bigl[-\log \frac1C \sum_c \frac1{w'_c}\Bigr]

    With z ~ p(z) and x ~ p(x | z), z is an exact draw of the posterior of x: chains that start
    there and cool down to p_0 have E[1 / w'] = 1 / p(x). The gap of the two bounds is more than
    the error of ``annealed_importance`` with the same settings on such data, in mean; on data
    that the model describes badly its error may be larger.

    Arguments:
        model: A model whose latents are real vectors and whose likelihood is normalized.
        n_examples: N, the number of examples drawn.
        c: Their condition, with shape (N, C).
        annealing: The options, for each direction.
        progress: Called with (examples done, examples in all) after every block of examples.

    Raises:
        OptionError: Fewer than one example.
        ShapeError: Another number of conditions than of examples.
        SupportError: The latents are no real vectors, or the likelihood is not normalized.

    References:
        Grosse, Ghahramani & Adams, Sandwiching the marginal likelihood using bidirectional Monte
        Carlo, 2015, section 3; Wu et al., ICLR 2017, section 3.2.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> bounds = bidirectional(model, 5, annealing=Annealing(n_chains=4, n_temperatures=20))
        >>> bounds.gap.value < 1.0
        True
    """
    if c is not None and len(c) != n_examples:
        raise ShapeError(
            f"{len(c)} conditions for n_examples={n_examples}: give one for each example"
        )
    with isolated(model, seed=annealing.seed) as device, frozen(model):
        c = None if c is None else c.to(device)
        check_annealable(model, c)
        z = model.draw_prior(n_examples, c)
        p = model.likelihood(z, c)
        if not is_normalized(p):
            raise SupportError(
                f"the decoder's log-density is not normalized ({unnormalized_because(p)}), so that "
                "no data can be drawn from it to anneal both ways: use a normalized likelihood, "
                "such as the default of the data"
            )
        x = p.sample()
        bounds: list[Tensor] = []
        for done, path in _paths(model, x, c, annealing):
            steps = path.tuned_steps()
            up, _ = path.forward(steps)
            down = path.backward(steps, z[done - len(path.x) : done])
            bounds.append(torch.stack([up.logsumexp(0), -(-down).logsumexp(0)]))
            if progress is not None:
                progress(done, n_examples)
        lower, upper = torch.cat(bounds, dim=1)
        lower, upper = lower - log(annealing.n_chains), upper + log(annealing.n_chains)
        return Gap(lower, upper, Figure.mean(upper - lower), x.cpu())


def check_annealable(model: LatentModel, c: Tensor | None = None) -> None:
    """Refuse a model whose latents have no Hamiltonian moves.

    Arguments:
        model: The model.
        c: A condition of some examples, with shape (B, C).

    Raises:
        SupportError: The latents are no vectors of any real numbers.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> check_annealable(variants.vmf_vae(DataSpec((1, 8, 8), "binary")).model)
        Traceback (most recent call last):
        reparam.errors.SupportError: annealing moves z along gradients, through all real ...
    """
    with torch.no_grad():
        prior = model.prior_distribution(c)
        groups = [prior]
        if isinstance(prior, Chain):
            z = prior.sample(torch.Size([1]))
            groups = list(prior.given(z).values())
    for group in groups:
        if not is_real(group):
            kind = type(base_distribution(group)).__name__
            raise SupportError(
                "annealing moves z along gradients, through all real vectors, and latents of this "
                f"model are a {kind}: use importance sampling with a larger n_samples="
            )


def is_gaussian(q: Distribution) -> bool:
    """Return whether annealing can start at a posterior.

    >>> is_gaussian(Normal(torch.zeros(2), 1.0))
    True
    """
    return isinstance(base_distribution(q), Normal | MultivariateNormal)


def _paths(
    model: LatentModel, x: Tensor, c: Tensor | None, annealing: Annealing
) -> list[tuple[int, "_Path"]]:
    """Return the paths of blocks of examples, each with how many examples are done after it."""
    x = as_event(model, x)
    x = x if x.dtype == torch.float64 else x.float()
    check_annealable(model, c)
    size = max(1, _BLOCK_CHAINS // annealing.n_chains)
    paths, done = [], 0
    for part in in_chunks(Batch(x, c=c), size):
        done += len(part)
        paths.append((done, _Path(model, part.x, part.c, annealing)))
    return paths


class Point(NamedTuple):
    """Places z with shape (K, B, D), and log p_0(z) and log p(x, z) there, with gradients."""

    z: Tensor
    log_start: Tensor
    log_joint: Tensor
    start_gradient: Tensor
    joint_gradient: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Return log f_β, with shape (K, B)."""
        return torch.lerp(self.log_start, self.log_joint, beta)

    def gradient(self, beta: float) -> Tensor:
        """Return ∇ log f_β, with shape (K, B, D)."""
        return torch.lerp(self.start_gradient, self.joint_gradient, beta)

    @property
    def log_ratio(self) -> Tensor:
        """log p(x, z) - log p_0(z), float64 on the CPU with shape (K, B)."""
        return (self.log_joint - self.log_start).cpu().double()

    def where(self, accepted: Tensor, other: "Point") -> "Point":
        """Return this point where accepted, with shape (K, B), and the other elsewhere."""
        wide = accepted[..., None]
        return Point(
            *(
                torch.where(wide if new.dim() == 3 else accepted, new, old)
                for new, old in zip(self, other, strict=True)
            )
        )


class _Path:
    """The path from p_0(z) to p(x, z) of one block of examples, and chains along it."""

    def __init__(
        self, model: LatentModel, x: Tensor, c: Tensor | None, annealing: Annealing
    ) -> None:
        self.model, self.x, self.c, self.annealing = model, x, c, annealing
        self.prior = model.prior_distribution(c)
        self.is_prior = annealing.start == "prior"
        self.start = self.prior if self.is_prior else model.posterior(x, c)
        check_comparable(self.start, self.prior)
        if not self.is_prior and not is_gaussian(self.start):
            raise SupportError(
                f"start='posterior': annealing starts at a Gaussian, and this posterior is a "
                f"{type(base_distribution(self.start)).__name__}: use start='prior'"
            )
        z = self.draw(1)[:, :1]
        decoder = inspect_decoder(model, z, None if c is None else c[:1])
        # Gradients need the outputs of all layers, and as much memory again for the backward pass.
        self.rows = decoder.rows(annealing.max_memory_mb * 2**16, x.device)

    def draw(self, n: int) -> Tensor:
        """Draw z ~ p_0, with shape (n, B, D)."""
        if self.start.batch_shape:
            return self.start.sample(torch.Size([n]))
        return self.start.sample(torch.Size([n, len(self.x)]))

    def at(self, z: Tensor) -> Point:
        """Return both densities and their gradients at z."""
        log_start, start_gradient = with_gradient(self.start.log_prob, z)
        if self.is_prior:
            log_joint, joint_gradient = log_start.clone(), start_gradient.clone()
        else:
            log_joint, joint_gradient = with_gradient(self.prior.log_prob, z)
        for piece in pieces(len(z), len(self.x), self.rows):
            value, gradient = with_gradient(partial(self._decoded, piece[1]), z[piece])
            log_joint[piece] += value
            joint_gradient[piece] += gradient
        return Point(z, log_start, log_joint, start_gradient, joint_gradient)

    def _decoded(self, examples: slice, z: Tensor) -> Tensor:
        """Return log p(x | z, c) of some examples, with shape (K, B)."""
        c = None if self.c is None else self.c[examples]
        return self.model.likelihood(z, c).log_prob(self.x[examples])

    def tuned_steps(self) -> Tensor:
        """Return the length of the leapfrog steps at every temperature, with shape (T, B).

        They are adapted to the acceptance of separate chains, a quarter of their number.
        """
        point = self.at(self.draw(max(2, self.annealing.n_chains // 4)))
        log_step = torch.full((len(self.x),), log(_FIRST_STEP), dtype=point.z.dtype)
        log_step = log_step.to(point.z.device)
        steps = [log_step.exp()]
        for beta in self.annealing.betas()[1:-1]:
            point, accepted = self.moved(point, beta, log_step.exp())
            log_step = log_step + _RATE * (accepted - _TARGET)
            steps.append(log_step.exp())
        return torch.stack(steps)

    def forward(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Anneal chains from p_0: return log-weights (K, B) and acceptance (B,), on the CPU."""
        betas = self.annealing.betas()
        point = self.at(self.draw(self.annealing.n_chains))
        log_weight = _zeros(point.log_joint)
        acceptance = _zeros(point.log_joint[0])
        for t in range(1, len(betas)):
            log_weight += (betas[t] - betas[t - 1]) * point.log_ratio
            # A move at β = 1 would change no weight.
            if t < len(betas) - 1:
                point, accepted = self.moved(point, betas[t], steps[t])
                acceptance += accepted.cpu() / (len(betas) - 2)
        return log_weight, acceptance if len(betas) > 2 else acceptance + torch.nan

    def backward(self, steps: Tensor, z: Tensor) -> Tensor:
        """Anneal chains back from exact draws of p(z | x), with shape (B, D): log w' (K, B)."""
        betas = self.annealing.betas()
        point = self.at(z.expand(self.annealing.n_chains, *z.shape).clone())
        log_weight = _zeros(point.log_joint)
        for t in range(len(betas) - 1, 0, -1):
            log_weight += (betas[t] - betas[t - 1]) * point.log_ratio
            if t > 1:
                point, _ = self.moved(point, betas[t - 1], steps[t - 1])
        return log_weight

    def moved(self, point: Point, beta: float, step: Tensor) -> tuple[Point, Tensor]:
        """Return the places after one move that leaves f_β unchanged.

        Arguments:
            point: The places before.
            beta: β, from 0 to 1.
            step: The length of the leapfrog steps of each example, with shape (B,).

        Returns:
            The places, and the share of accepted moves of each example, with shape (B,).
        """
        momentum = torch.randn_like(point.z)
        # Trajectories of one length can return to their start, so the length is drawn.
        spread = torch.empty_like(point.log_joint).uniform_(0.8, 1.2)
        length = (step * spread)[..., None]
        new, velocity = point, momentum + 0.5 * length * point.gradient(beta)
        n_leapfrog = self.annealing.n_leapfrog
        for number in range(n_leapfrog):
            new = self.at(new.z + length * velocity)
            last = number == n_leapfrog - 1
            velocity = velocity + (0.5 if last else 1.0) * length * new.gradient(beta)
        kinetic = 0.5 * (velocity.square().sum(-1) - momentum.square().sum(-1))
        log_ratio = new.log_density(beta) - point.log_density(beta) - kinetic
        # A trajectory that diverges is rejected.
        chance = log_ratio.clamp(max=0).exp().nan_to_num(0.0)
        return new.where(torch.rand_like(chance) < chance, point), chance.mean(0)


def with_gradient(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Return a function of z, with shape (K, B), and its gradient, with shape (K, B, D).

    >>> with_gradient(lambda z: z.square().sum(-1), torch.ones(1, 1, 2))
    (tensor([[2.]]), tensor([[[2., 2.]]]))
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = function(z)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros_like(like, dtype=torch.float64, device="cpu")
