"""Variants that find clusters without labels."""

from collections.abc import Sequence
from typing import cast

import torch

from reparam.batch import Batch, in_chunks
from reparam.families import Family, Gaussian
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives.clustering_elbo import ClusteringELBO
from reparam.objectives.recipe import Milestone
from reparam.priors import Mixture
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import jittered, latent_model
from reparam.variants.specification import Specification


def start_clusters(model: LatentModel, examples: Batch) -> None:
    """Fit the clusters of a model to the codes of examples, without labels."""
    codes = [model.encode(part.x, part.c) for part in in_chunks(examples, 1000)]
    cast(Mixture, model.prior).fit(torch.cat(codes))


@variant("cluster-vae", year=2017, paper="Jiang et al., IJCAI 2017")
def cluster_vae(
    spec: DataSpec,
    n_clusters: int = 10,
    latent_dim: int = 10,
    hidden: Sequence[int] = (500, 500),
    pretraining: float = 0.8,
    jitter: bool = True,
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The VAE with a mixture of Gaussians as prior, for clustering without labels (VaDE).

    The model is trained as an autoencoder first. Then a mixture of Gaussians is fitted to its codes
    and becomes the prior, and the bound of Jiang et al. (VaDE) is trained. With jitter the encoder
    gets randomly rotated, shifted and deformed images in training, so that codes depend on shape
    more than on slant.

    Use it to find clusters in data without labels, and to draw examples of each.

    Limits: the number of clusters has to be known; clusters that the fit merges stay merged, and
    clusters need not be classes. With jitter samples are smooth.

    Generative process:
        .. math:: y \sim \pi, \quad z \sim \mathcal N(\mu_y, \mathrm{diag}(\sigma_y^2)), \qquad
                  x \sim p(x \mid z)

    Posterior:
        .. math:: q(y \mid x) = p(y \mid z), \qquad z \sim q(z \mid x)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \sum_k q(k \mid x)\, \mathrm{KL}(q(z \mid x) \| p(z \mid k))
                  - \mathrm{KL}(q(y \mid x) \| p(y))

    Symbols:
        y (n_clusters): The cluster, one of so many.
        π: The probabilities of the clusters.
        μ_y, σ_y: The mean and the standard deviation of cluster y.

    Arguments:
        spec: The shape and support of the data.
        n_clusters: The number of clusters.
        latent_dim: The number of dimensions of z.
        hidden: The sizes of the encoder's layers; the decoder has them in reverse order.
        pretraining: The share of all steps in which the model is an autoencoder.
        jitter: Whether the encoder gets deformed images in training.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Example:
        >>> cluster_vae(DataSpec((1, 28, 28), "binary"), n_clusters=3).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    prior = Mixture(latent_dim, n_clusters)
    network = MLP(spec.input_shape, *hidden, context=spec.context, activation=activation)
    decoder = MLP(latent_dim, *reversed(hidden), context=spec.context, activation=activation)
    encoder = Conditional(jittered(network, spec, jitter), Gaussian(latent_dim))
    model = latent_model(spec, encoder, decoder, prior, likelihood)
    milestone = Milestone(start_clusters, at=pretraining)
    return Specification(spec, model, ClusteringELBO(pretraining), milestones=(milestone,))
