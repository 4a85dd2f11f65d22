"""The bound of a VAE with one Gaussian for each cluster, and how its clusters are started."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from reparam.batch import Batch, in_chunks
from reparam.distributions import GaussianMixture, center, rsample
from reparam.divergence import CLOSED_FORM, check_same_event
from reparam.errors import OptionError, SupportError
from reparam.model import LatentModel
from reparam.objectives.terms import Terms
from reparam.priors import Mixture

ROUNDS = 30
"""The starts of the mixture, of which the likeliest is kept."""


@dataclass(frozen=True)
class ClusteringELBO:
    r"""The evidence lower bound of a model whose cluster y is a latent variable too.

    .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
              - \sum_k q(k \mid x)\, \mathrm{KL}(q(z \mid x) \| p(z \mid k))
              - \mathrm{KL}(q(y \mid x) \| p(y)), \qquad q(y \mid x) = p(y \mid z),\ z \sim q

    All but the reconstruction is in closed form. For a first share of the training, the model is
    an autoencoder instead, :math:`\log p(x \mid \mathbb E_q[z])`, so that there is something to
    cluster; ``start_clusters`` is the milestone between the two.

    Arguments:
        pretraining: The share of all steps in which the model is an autoencoder.

    Raises:
        OptionError: A share outside [0, 1).

    References:
        Jiang et al., Variational deep embedding, IJCAI 2017, eq. 9 to 16.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.cluster_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> terms = ClusteringELBO()(recipe.model, Batch(torch.zeros(5, 1, 8, 8)))
        >>> {name: kl.shape for name, kl in terms.kl.items()}
        {'z': torch.Size([5]), 'y': torch.Size([5])}
    """

    pretraining: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.pretraining < 1:
            raise OptionError(
                f"pretraining={self.pretraining}: a share of the steps must lie in [0, 1)"
            )

    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            SupportError: A posterior or a prior without closed form.
        """
        x = model.as_event(batch.x)
        q = model.posterior(x, batch.c)
        p = mixture_of(model, batch.c)
        is_autoencoder = batch.progress < self.pretraining
        z = center(q)[None] if is_autoencoder else rsample(q, 1, x.device)
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
        SupportError: q is no diagonal Gaussian.
        ShapeError: q and p are over events of different shapes.

    Example:
        >>> q = Independent(Normal(torch.zeros(1, 2), 1.0), 1)
        >>> loc = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> kl_to_components(q, GaussianMixture(torch.zeros(2), loc, torch.ones(2, 2)))
        tensor([[0., 1.]])
    """
    check_same_event(q, p)
    if not (isinstance(q, Independent) and isinstance(q.base_dist, Normal)):
        raise SupportError(
            f"a posterior {type(q).__name__}: clustering takes a diagonal Gaussian, whose "
            "divergence to each cluster is known; use families.Gaussian in the encoder"
        )
    wide = Normal(q.base_dist.loc[:, None], q.base_dist.scale[:, None], validate_args=False)
    return kl_divergence(wide, Normal(p.loc, p.scale, validate_args=False)).sum(-1)


def mixture_of(model: LatentModel, c: Tensor | None = None) -> GaussianMixture:
    """Return the prior of a model with clusters.

    Raises:
        SupportError: The prior is no mixture of Gaussians.
    """
    prior = model.prior_distribution(c)
    if not isinstance(prior, GaussianMixture):
        raise SupportError(
            f"a prior {type(prior).__name__} has no clusters: use priors.Mixture, one Gaussian "
            "for each of them"
        )
    return prior


def start_clusters(model: LatentModel, examples: Batch) -> None:
    """Fit a mixture of Gaussians to the codes of examples, and make it the prior.

    Of several starts the one with the best likelihood is kept; no label is looked at. The
    covariances are free while the mixture is fitted, because an autoencoder's dimensions mean
    nothing by themselves, and the prior takes the variances of each cluster.

    Arguments:
        model: A model whose prior is a ``Mixture``.
        examples: Training examples.

    Raises:
        SupportError: The prior is no ``Mixture``.
        OptionError: Fewer examples than clusters.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Fit

    prior = model.prior
    if not isinstance(prior, Mixture):
        raise SupportError(
            f"a prior {type(prior).__name__} has no clusters to start: use priors.Mixture"
        )
    codes = torch.cat([model.encode(part.x, part.c) for part in in_chunks(examples, 1000)])
    z = codes.double().cpu().numpy()
    k = len(prior.logits)
    if len(z) < k:
        raise OptionError(
            f"n_clusters={k}: there are only {len(z)} training examples to start them at; ask for "
            "fewer clusters, or give more examples"
        )
    # A floor under the variances: a cluster of one example would have none.
    floor = float(1e-4 * z.var(0).mean() + 1e-6)
    kind = "full" if len(z) > 10 * k * z.shape[1] else "diag"
    fits = []
    for start in range(ROUNDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(Fit(k, covariance_type=kind, reg_covar=floor, random_state=start).fit(z))
    weights = max(fits, key=lambda fit: fit.lower_bound_).predict_proba(z)
    sizes = weights.sum(0)[:, None] + 1e-9
    loc = weights.T @ z / sizes
    variance = weights.T @ np.square(z) / sizes - np.square(loc) + floor
    for parameter, value in (
        (prior.logits, np.log(sizes[:, 0])),
        (prior.loc, loc),
        (prior.log_scale, 0.5 * np.log(np.maximum(variance, floor))),
    ):
        parameter.data.copy_(torch.from_numpy(value))
