"""The bound of a VAE with one Gaussian for each cluster."""

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from reparam.batch import Batch
from reparam.distributions import GaussianMixture, mean_or_mode, rsample
from reparam.divergence import CLOSED_FORM, check_same_event
from reparam.errors import SupportError
from reparam.models.latent import LatentModel
from reparam.objectives.terms import ModelObjective, Terms, check_share
from reparam.utils.arguments import numbers


@numbers()
@dataclass(frozen=True)
class ClusteringELBO(ModelObjective):
    r"""The evidence lower bound of a model with a latent cluster y.

    .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
              - \sum_k q(k \mid x)\, \mathrm{KL}(q(z \mid x) \| p(z \mid k))
              - \mathrm{KL}(q(y \mid x) \| p(y)), \qquad q(y \mid x) = p(y \mid z),\ z \sim q

    All terms but the reconstruction are in closed form. In a first share of the training the model
    is an autoencoder, :math:`\log p(x \mid \mathbb E_q[z])`. Then ``Mixture.fit`` fits the clusters
    to its codes.

    Arguments:
        pretraining: The share of all steps in which the model is an autoencoder.

    Raises:
        OptionError: A share outside [0, 1).

    References:
        Jiang et al., Variational deep embedding, IJCAI 2017, eq. 9 to 16.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.cluster_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> terms = ClusteringELBO()(recipe.model, Batch(torch.zeros(5, 1, 8, 8)))
        >>> {name: kl.shape for name, kl in terms.kl.items()}
        {'z': torch.Size([5]), 'y': torch.Size([5])}
    """

    pretraining: float = 0.0

    def __post_init__(self) -> None:
        check_share("pretraining", self.pretraining)

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            SupportError: A posterior or a prior without closed form.
        """
        x = model.as_event(batch.x)
        q = model.posterior(x, batch.c)
        p = mixture_of(model, batch.c)
        is_autoencoder = batch.progress < self.pretraining
        z = mean_or_mode(q)[None] if is_autoencoder else rsample(q, 1, x.device)
        reconstruction = model.likelihood(z, batch.c).log_prob(x).mean(0)
        log_q = p.log_joint(z[0]).log_softmax(-1)
        kl_z = (log_q.exp() * kl_to_components(q, p)).sum(-1)
        kl_y = (log_q.exp() * (log_q - p.logits.log_softmax(-1))).sum(-1)
        return Terms(
            bound=reconstruction if is_autoencoder else reconstruction - kl_z - kl_y,
            reconstruction=reconstruction,
            kl={"z": kl_z, "y": kl_y},
            kl_method=CLOSED_FORM,
        )


def kl_to_components(q: Distribution, p: GaussianMixture) -> Tensor:
    r"""Return the divergences :math:`\mathrm{KL}(q \| \mathcal N(\mu_k, \sigma_k^2))`.

    Arguments:
        q: A diagonal Gaussian, with batch shape (B,).
        p: The mixture.

    Returns:
        Nats, with shape (B, K).

    Raises:
        SupportError: q is not a diagonal Gaussian.
        ShapeError: q and p are over events of different shapes.

    Example:
        >>> import torch
        >>> q = Independent(Normal(torch.zeros(1, 2), 1.0), 1)
        >>> loc = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> kl_to_components(q, GaussianMixture(torch.zeros(2), loc, torch.ones(2, 2)))
        tensor([[0., 1.]])
    """
    check_same_event(q, p)
    if not (isinstance(q, Independent) and isinstance(q.base_dist, Normal)):
        raise SupportError(
            f"a posterior {type(q).__name__}: clustering needs a diagonal Gaussian, whose KL to "
            "each cluster has a closed form; use families.Gaussian in the encoder"
        )
    wide = Normal(q.base_dist.loc[:, None], q.base_dist.scale[:, None], validate_args=False)
    return kl_divergence(wide, Normal(p.loc, p.scale, validate_args=False)).sum(-1)


def mixture_of(model: LatentModel, c: Tensor | None = None) -> GaussianMixture:
    """Return the prior of a model with clusters.

    Raises:
        SupportError: The prior is not a mixture of Gaussians.
    """
    prior = model.prior_distribution(c)
    if not isinstance(prior, GaussianMixture):
        raise SupportError(
            f"a prior {type(prior).__name__} has no clusters: use priors.Mixture, one Gaussian "
            "for each of them"
        )
    return prior
