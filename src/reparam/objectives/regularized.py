"""Objectives with other penalties on the code than the KL."""

from dataclasses import dataclass
from math import log

from torch.distributions import Independent, Normal

from reparam.batch import Batch
from reparam.distributions import Delta, base_distribution
from reparam.errors import SupportError
from reparam.mmd import mmd
from reparam.models.latent import LatentModel
from reparam.objectives.bounds import forward_pass
from reparam.objectives.terms import ModelObjective, Terms, as_objective
from reparam.utils.arguments import numbers


@as_objective("tc")
@numbers(beta=0)
@dataclass(frozen=True)
class TotalCorrelation(ModelObjective):
    r"""The ELBO with a larger weight on the dependence between latent dimensions (β-TC-VAE).

    .. math:: \mathcal L = \mathrm{ELBO} - (\beta - 1)\, \mathrm{KL}\Bigl(q(z) \Big\|
              \prod_j q(z_j)\Bigr), \qquad q(z) = \mathbb E_x[q(z \mid x)]

    q(z) is estimated by the mixture of the posteriors of the batch. Up to a constant this is the
    minibatch-weighted estimate of the source, with the same gradient.

    Arguments:
        beta: β.

    Raises:
        OptionError: A negative weight.
        SupportError: A posterior that does not factorize over dimensions, so that log q(z_j | x) of
            a single dimension has no closed form.

    References:
        Chen et al., Isolating sources of disentanglement in VAEs, NeurIPS 2018, eq. 4 and S3.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> terms = TotalCorrelation(6.0)(recipe.model, Batch(torch.zeros(5, 1, 8, 8)))
        >>> list(terms.penalties)
        ['total_correlation']
    """

    needs_factorizing = True

    beta: float = 6.0

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch)
        q = forward.q
        if not isinstance(q, Independent) or q.reinterpreted_batch_ndims != 1:
            raise SupportError(
                "the total correlation needs log q(z_j | x) of single dimensions, which only a "
                "posterior that factorizes has: use posterior='gaussian'"
            )
        # log q(z_j of example i | x of example m), with shape (B, B, D).
        log_q = q.base_dist.log_prob(forward.z[0][:, None])
        n, n_dimensions = len(log_q), log_q.shape[-1]
        log_joint = log_q.sum(-1).logsumexp(1) - log(n)
        log_product = log_q.logsumexp(1).sum(-1) - n_dimensions * log(n)
        total = (log_joint - log_product).mean()
        return forward.terms(forward.elbo, total_correlation=(self.beta - 1) * total)


@as_objective("mmd")
@numbers(weight=0, kl_weight=0)
@dataclass(frozen=True)
class MMD(ModelObjective):
    r"""Reconstruction, and the discrepancy between the codes of the batch and draws from the prior.

    .. math:: \mathcal L = \mathbb E_q[\log p(x \mid z)] - \alpha\, \mathrm{KL}(q(z \mid x) \| p(z))
              - \lambda\, \mathrm{MMD}^2(q(z), p(z))

    Arguments:
        weight: λ, in nats.
        kl_weight: α; at 0 the code may be deterministic, and this is a Wasserstein autoencoder.

    Raises:
        OptionError: A negative weight.
        SupportError: A deterministic code with α above 0: it has no KL.

    References:
        Tolstikhin et al., Wasserstein auto-encoders, ICLR 2018, eq. 4 and section 3; Zhao, Song &
        Ermon, InfoVAE, AAAI 2019, eq. 6.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> list(MMD()(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).penalties)
        ['mmd']
    """

    weight: float = 10.0
    kl_weight: float = 0.0

    @property
    def has_kl(self) -> bool:
        """Whether the KL has a weight."""
        return self.kl_weight > 0

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch)
        if not self.has_kl and any(v.requires_grad for v in model.prior.parameters()):
            raise SupportError(
                "draws from a learned prior pass no gradient, so that nothing would train it: "
                "use prior='standard-normal', or a kl_weight above 0"
            )
        drawn = model.draw_prior(len(batch), batch.c)
        # The discrepancy needs two examples, and the last batch of an epoch may have one.
        distance = mmd(forward.z[0], drawn.detach()) if len(batch) > 1 else forward.z.new_zeros(())
        bound, penalties = forward.reconstruction, {"mmd": self.weight * distance}
        if self.has_kl:
            bound = bound - self.kl_weight * forward.divergence.value
        elif isinstance(forward.q, Delta):  # it has no KL
            return Terms(bound=bound, reconstruction=bound, penalties=penalties)
        return forward.terms(bound, **penalties)


@as_objective("naive")
@numbers(weight=0)
@dataclass(frozen=True)
class NaivePenalty(ModelObjective):
    r"""A penalty that resembles a KL divergence but is not one, for comparison with the ELBO.

    .. math:: \mathcal L = \mathbb E_q[\log p(x \mid z)]
              - \lambda \bigl(\|\mu\|^2 + \|\log \sigma^2\|^2\bigr)

    It is zero where the KL is zero and differs from it elsewhere, so the objective is not a bound.

    Arguments:
        weight: λ.

    Raises:
        OptionError: A negative weight.
        SupportError: A posterior without μ and σ.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> NaivePenalty()(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).bound.shape
        torch.Size([5])
    """

    needs_gaussian = True

    weight: float = 1.0

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch)
        normal = base_distribution(forward.q)
        if not isinstance(normal, Normal):
            raise SupportError(
                "the naive penalty is on μ and log σ² of a diagonal Gaussian: "
                "use posterior='gaussian'"
            )
        log_variance = 2 * normal.scale.log()
        penalty = (normal.loc.square() + log_variance.square()).sum(-1)
        return forward.terms(forward.reconstruction - self.weight * penalty)
