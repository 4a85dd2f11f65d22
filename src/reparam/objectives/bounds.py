"""Lower bounds of the log-likelihood: the ELBO and the importance-weighted bound."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, log, nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch
from reparam.distributions import detached, rsample
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, Divergence, check_comparable, kl
from reparam.errors import OptionError
from reparam.models.latent import Draws, LatentModel
from reparam.objectives.terms import ModelObjective, Terms, as_objective
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value
from reparam.utils.seeding import rng_state, set_rng_state

Schedule = Callable[[Any], Any]
"""A number as a function of the optimizer step, such as those of ``training.schedules``.

Where the step is a tensor, as on a GPU, the number is a tensor.
"""


def value_at(number: float | Schedule, step: float | Tensor | None) -> Any:
    """Return a number, or a schedule's value at a step; its last value without a step.

    >>> value_at(lambda step: min(step / 10, 1.0), 5), value_at(lambda step: min(step, 3), None)
    (0.5, 3)
    """
    if not callable(number):
        return number
    if step is not None:
        return number(step)
    try:
        last = number(inf)
    except (ArithmeticError, ValueError):
        last = nan
    if not isfinite(last):
        raise OptionError(
            "a schedule must have a value at step infinity, the end of training: use "
            "schedules.linear, or min(step / steps, 1.0)"
        )
    return last


@by_value
@dataclass(frozen=True)
class ForwardPass:
    """One pass of a batch through a model.

    Arguments:
        q: q(z | x, c).
        p: p(z | c).
        z: Draws from q, with shape (K, B, D).
        likelihood: p(x | z, c) at the draws.
        reconstruction: E_q[log p(x | z, c)], in nats with shape (B,).
        kl_method: How the KL is computed; see ``divergence.kl``.
    """

    q: Distribution
    p: Distribution
    z: Tensor
    likelihood: Distribution
    reconstruction: Tensor
    kl_method: str | None = None

    @cached_property
    def divergence(self) -> Divergence:
        """KL(q‖p)."""
        return kl(self.q, self.p, self.z, method=self.kl_method)

    def terms(self, bound: Tensor, **penalties: Tensor) -> Terms:
        """Return the terms of an objective with this bound, and these penalties."""
        return Terms(
            bound=bound,
            reconstruction=self.reconstruction,
            kl=self.divergence.by_group,
            kl_method=self.divergence.method,
            penalties=penalties,
        )

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, with shape (B,)."""
        return self.reconstruction - self.divergence.value


def forward_pass(
    model: LatentModel, batch: Batch, n_samples: int = 1, kl_method: str | None = None
) -> ForwardPass:
    """Encode a batch, draw codes and decode them."""
    x = model.as_event(batch.x)
    q = model.posterior(x, batch.c)
    z = rsample(q, n_samples, x.device)
    likelihood = model.likelihood(z, batch.c)
    reconstruction = likelihood.log_prob(x).mean(0)
    p = model.prior_distribution(batch.c)
    return ForwardPass(q, p, z, likelihood, reconstruction, kl_method)


@as_objective("elbo")
@numbers(n_samples=1, beta=0, free_bits=0)
@dataclass(frozen=True)
class ELBO(ModelObjective):
    r"""The evidence lower bound, with a weight on its KL and free bits.

    .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
              - \beta\, \mathrm{KL}(q(z \mid x) \| p(z))

    With free bits the KL of a dimension, as the mean of the batch, costs nothing up to λ nats: the
    last term is :math:`\beta \sum_j \max(\lambda, \mathrm{KL}_j)`.

    Arguments:
        beta: β, a number, or a schedule of it over optimizer steps (KL warm-up).
        free_bits: λ, the nats of KL that cost nothing, for each latent dimension; for each layer of
            a hierarchy, or for the whole KL, where q does not factorize.
        n_samples: The number of draws z for each example.
        kl_method: ``closed form`` or ``Monte Carlo``; None for the closed form where there is one.

    Raises:
        OptionError: A negative weight, or fewer than one sample.

    References:
        Kingma & Welling, ICLR 2014, eq. 3, 7 and 10; Higgins et al., ICLR 2017, eq. 4 (β);
        Bowman et al., CoNLL 2016 (warm-up); Kingma et al., NeurIPS 2016, eq. 15 (free bits).

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> ELBO(beta=4.0)(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).elbo.shape
        torch.Size([5])
    """

    options = ("free_bits",)

    beta: float | Schedule = 1.0
    free_bits: float = 0.0
    n_samples: int = 1
    kl_method: str | None = None

    def __post_init__(self) -> None:
        if self.kl_method not in (None, CLOSED_FORM, MONTE_CARLO):
            raise OptionError(
                f"kl_method={self.kl_method!r}: use {CLOSED_FORM!r}, {MONTE_CARLO!r} or None"
            )

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch, self.n_samples, self.kl_method)
        divergence = forward.divergence
        beta = value_at(self.beta, batch.step)
        penalties = {}
        if self.free_bits > 0:
            groups = divergence.per_dimension
            if groups is None:
                groups = torch.stack(list(divergence.by_group.values()), dim=1)
            # max(λ, KL) = KL + max(λ - KL, 0): the KL itself stays in the bound.
            penalties["free_bits"] = beta * (self.free_bits - groups.mean(0)).clamp(min=0).sum()
        return forward.terms(forward.reconstruction - beta * divergence.value, **penalties)


@dataclass(frozen=True)
class _ImportanceWeighted(ModelObjective):
    """Abstract: a bound by the importance weights of ``n_importance`` draws."""

    options = ("n_importance",)
    is_importance_weighted = True

    n_importance: int = 5

    @property
    def n_draws(self) -> int:
        """The number of draws of z for each example."""
        return self.n_importance


@as_objective("iwae")
@numbers(n_importance=1)
@dataclass(frozen=True)
class IWAE(_ImportanceWeighted):
    r"""The importance-weighted bound, tighter than the ELBO.

    .. math:: \mathcal L_K = \mathbb E_{z_1 \dots z_K \sim q}
              \Bigl[\log \frac1K \sum_k \frac{p(x, z_k)}{q(z_k \mid x)}\Bigr], \qquad
              \mathcal L_1 \le \mathcal L_K \le \log p(x)

    Arguments:
        n_importance: The number K of draws for each example.

    Raises:
        OptionError: Fewer than one sample.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, ICLR 2016, eq. 8.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> IWAE(5)(recipe.model, Batch(torch.zeros(3, 1, 8, 8))).log_weight.shape
        torch.Size([5, 3])
    """

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        return importance_terms(model.draw(batch.x, batch.c, self.n_importance))


@as_objective("dreg")
@numbers(n_importance=1)
@dataclass(frozen=True)
class DReG(_ImportanceWeighted):
    r"""The importance-weighted bound with doubly reparameterized gradients for the encoder.

    .. math:: \nabla_\phi \mathcal L_K = \mathbb E \Bigl[\sum_k \tilde w_k^2\,
              \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Bigr],
              \qquad \tilde w_k = \frac{w_k}{\sum_j w_j}

    The value is that of ``IWAE``; the gradient of the encoder has the same mean and less noise,
    and does not fade as K grows.

    Arguments:
        n_importance: The number K of draws for each example.

    Raises:
        OptionError: Fewer than one sample.

    References:
        Tucker et al., Doubly reparameterized gradient estimators, ICLR 2019, eq. 8.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> DReG(5)(recipe.model, Batch(torch.zeros(3, 1, 8, 8))).surrogate.shape
        torch.Size([])
    """

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x, c = model.as_event(batch.x), batch.c
        before = _random_state(x.device)
        q, p = model.posterior(x, c), model.prior_distribution(c)
        check_comparable(q, p)
        z = rsample(q, self.n_importance, x.device)
        # Its parameters are constants in the density: their gradient goes through z only.
        density = detached(q)
        if density is None:
            # An encoder that is random in training, as by dropout, must be the same in both passes.
            after = _random_state(x.device)
            set_rng_state(before, x.device)
            with frozen(model):
                log_posterior = model.posterior(x, c).log_prob(z)
            set_rng_state(after, x.device)
        else:
            log_posterior = density.log_prob(z)
        draws = Draws(z, model.likelihood(z, c).log_prob(x), p.log_prob(z), log_posterior)
        log_weight = draws.log_weight
        weight = log_weight.detach().softmax(0)
        if z.requires_grad:
            z.register_hook(lambda gradient: weight[..., None] * gradient)
        return importance_terms(draws, surrogate=-(weight * log_weight).sum(0).mean())


def importance_terms(draws: Draws, surrogate: Tensor | None = None) -> Terms:
    """Return the terms of the importance-weighted bound of draws with shape (K, B, D)."""
    log_weight = draws.log_weight
    return Terms(
        bound=log_weight.logsumexp(0) - log(len(log_weight)),
        reconstruction=draws.log_likelihood.mean(0),
        kl={"z": (draws.log_posterior - draws.log_prior).mean(0)},
        kl_method=MONTE_CARLO,
        log_weight=log_weight,
        surrogate=surrogate,
    )


def _random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the random numbers; an empty one while a CUDA graph is recorded."""
    is_recorded = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
    return {} if is_recorded else rng_state(device)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Treat the weights of a model as constants within the context."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
