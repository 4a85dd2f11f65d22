"""Pictures of clusters: a row of members, and a row of samples, for each."""

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.evaluation.latents.clustering import assigned_clusters
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.objectives.clustering_elbo import mixture_of
from reparam.utils.arguments import numbers

N_COLUMNS = 12
_PAPER = 1.0


@numbers(n_columns=1)
def member_rows(model: LatentModel, batch: Batch, n_columns: int = N_COLUMNS) -> Tensor:
    """Return the first members of each cluster among examples, cluster by cluster.

    Arguments:
        model: A model whose prior is a mixture.
        batch: The examples, with shape (N, C, H, W); labels are not looked at.
        n_columns: The members of each cluster; white where it has fewer.

    Returns:
        Images, with shape (K · n_columns, C, H, W).

    Raises:
        SupportError: The prior is no mixture of Gaussians.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.cluster_vae(DataSpec((1, 8, 8), "binary"), n_clusters=3).model
        >>> member_rows(model, Batch(torch.zeros(5, 1, 8, 8)), n_columns=4).shape
        torch.Size([12, 1, 8, 8])
    """
    assigned = assigned_clusters(model, batch)
    n_clusters = len(mixture_of(model).loc)
    rows = batch.x.new_full((n_clusters, n_columns, *batch.x.shape[1:]), _PAPER)
    for k in range(n_clusters):
        members = batch.x[assigned == k][:n_columns]
        rows[k, : len(members)] = members
    return rows.flatten(0, 1)


@numbers(n_columns=1)
def sample_rows(model: LatentModel, n_columns: int = N_COLUMNS, seed: int = 0) -> Tensor:
    r"""Return samples of each cluster, :math:`z \sim \mathcal N(\mu_k, \sigma_k^2)`, decoded.

    Arguments:
        model: A model whose prior is a mixture; it computes where it is.
        n_columns: The samples of each cluster.
        seed: The seed of the draws.

    Returns:
        The means of p(x | z) on the CPU, with shape (K · n_columns, *event), cluster by cluster.

    Raises:
        SupportError: The prior is no mixture of Gaussians.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.cluster_vae(DataSpec((1, 8, 8), "binary"), n_clusters=3).model
        >>> sample_rows(model, n_columns=4).shape
        torch.Size([12, 1, 8, 8])
    """
    with isolated(model, seed=seed) as device:
        prior = mixture_of(model)
        n_clusters, latent_dim = prior.loc.shape
        noise = torch.randn(n_clusters, n_columns, latent_dim, device=device)
        z = prior.loc[:, None] + prior.scale[:, None] * noise
        return model.decode(z.flatten(0, 1)).cpu()
