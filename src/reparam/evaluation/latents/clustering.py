"""Agreement of clusters, found without labels, with the labels."""

from typing import NamedTuple

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.figure import Figure
from reparam.isolation import blocks, isolated
from reparam.models.latent import LatentModel
from reparam.objectives.clustering_elbo import mixture_of
from reparam.utils.arguments import numbers


class Clustering(NamedTuple):
    """Measures of the agreement of clusters with labels.

    Arguments:
        n_clusters: The number of clusters that could have been used.
        hungarian: The accuracy under the best one-to-one matching of clusters and labels.
        majority: The accuracy where each cluster predicts its most frequent label.
        mutual_information: The normalized mutual information, from 0 to 1.
    """

    n_clusters: int
    hungarian: Figure
    majority: Figure
    mutual_information: Figure


@numbers(chunk=1)
def assigned_clusters(model: LatentModel, batch: Batch, chunk: int = 1024) -> Tensor:
    r"""Return the likeliest cluster of each example, :math:`\arg\max_k p(k \mid \mathbb E_q[z])`.

    Arguments:
        model: The model, which computes where it is.
        batch: The examples, anywhere; their labels are not used.
        chunk: The number of examples that are computed at once.

    Returns:
        Numbers of clusters on the CPU, with shape (N,).

    Raises:
        SupportError: The prior is no mixture of Gaussians.

    References:
        Jiang et al., IJCAI 2017, eq. 16.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.cluster_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> assigned_clusters(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).shape
        torch.Size([5])
    """

    def assigned(part: Batch) -> Tensor:
        z = model.encode(part.x, part.c)
        return mixture_of(model, part.c).responsibilities(z).argmax(-1).cpu()

    with isolated(model) as device:
        return torch.cat([assigned(part) for part in blocks(batch, chunk, device)])


@numbers(n_clusters=1)
def clustering(assigned: Tensor, labels: Tensor, n_clusters: int) -> Clustering:
    """Return all measures of the agreement of clusters with labels.

    Arguments:
        assigned: The cluster of each example, with shape (N,).
        labels: Its label, with shape (N,).
        n_clusters: The number of clusters that could have been used.

    Raises:
        ShapeError: Not one cluster and one label for each example.

    Example:
        >>> found = clustering(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1]), n_clusters=2)
        >>> found.hungarian.value, found.mutual_information.value
        (1.0, 1.0)
    """
    return Clustering(
        n_clusters=n_clusters,
        hungarian=hungarian_accuracy(assigned, labels),
        majority=majority_accuracy(assigned, labels),
        mutual_information=normalized_mutual_information(assigned, labels),
    )


def hungarian_accuracy(assigned: Tensor, labels: Tensor) -> Figure:
    r"""Return the accuracy of clusters under the best one-to-one matching with the labels.

    .. math:: \max_{\pi} \frac1N \sum_n [\pi(k_n) = y_n]

    If there are more clusters than labels, the members of an unmatched cluster count as wrong.

    Arguments:
        assigned: The cluster k of each example, with shape (N,).
        labels: Its label y, with shape (N,).

    Raises:
        ShapeError: Not one cluster and one label for each example.

    References:
        Kuhn, The Hungarian method for the assignment problem, 1955; Jiang et al., IJCAI 2017,
        section 4.

    Example:
        >>> hungarian_accuracy(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1])).value
        0.75
    """
    from scipy.optimize import linear_sum_assignment

    counts = contingency(assigned, labels)
    clusters, matched = linear_sum_assignment(counts.numpy(), maximize=True)
    # A cluster that is matched with no label has a name that no example has.
    names = torch.full((len(counts),), -1)
    names[torch.as_tensor(clusters)] = torch.as_tensor(matched)
    return Figure.mean(names[assigned.long()] == labels)


def majority_accuracy(assigned: Tensor, labels: Tensor) -> Figure:
    r"""Return the accuracy of clusters, each of which predicts its most frequent label.

    .. math:: \frac1N \sum_k \max_y |\{n : k_n = k,\ y_n = y\}|

    It rises with the number of any clusters: with one for each example it is 1.

    Arguments:
        assigned: The cluster k of each example, with shape (N,).
        labels: Its label y, with shape (N,).

    Raises:
        ShapeError: Not one cluster and one label for each example.

    Example:
        >>> majority_accuracy(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 1])).value
        1.0
    """
    names = contingency(assigned, labels).argmax(1)
    return Figure.mean(names[assigned.long()] == labels)


def normalized_mutual_information(assigned: Tensor, labels: Tensor) -> Figure:
    r"""Return the normalized mutual information of clusters and labels, from 0 to 1.

    .. math:: R = \frac{2 I(k; y)}{H(k) + H(y)}, \qquad \mathrm{stderr} = \frac{1}{\sqrt N}\,
              \mathrm{std}_n\Bigl(\frac{2 i_n - R (h_n + h'_n)}{H(k) + H(y)}\Bigr)

    for examples whose pointwise information and surprises are i, h and h', by the infinitesimal
    jackknife. Where all examples are in one cluster and of one label, it is 1.

    Arguments:
        assigned: The cluster k of each example, with shape (N,).
        labels: Its label y, with shape (N,).

    References:
        Vinh, Epps & Bailey, JMLR 2010, table 2 (NMI-sum); Efron, The jackknife, the bootstrap and
        other resampling plans, 1982, section 6.3.

    Example:
        >>> normalized_mutual_information(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1])).value
        1.0
    """
    joint = contingency(assigned, labels).double() / len(labels)
    of_cluster, of_label = -joint.sum(1).log()[assigned], -joint.sum(0).log()[labels]
    both = of_cluster + of_label
    information = joint[assigned, labels].log() + both
    entropies = float(both.mean())
    if entropies == 0:
        return Figure(1.0, 0.0, len(labels))
    value = min(1.0, max(0.0, 2 * float(information.mean()) / entropies))
    influence = Figure.mean((2 * information - value * both) / entropies)
    return Figure(value, influence.stderr, influence.n)


def contingency(assigned: Tensor, labels: Tensor) -> Tensor:
    """Return how many examples of each label are in each cluster, with shape (K, number of labels).

    Raises:
        ShapeError: Not one cluster and one label for each example.

    Example:
        >>> contingency(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1]))
        tensor([[0, 1],
                [2, 0]])
    """
    if assigned.dim() != 1 or assigned.shape != labels.shape or len(labels) == 0:
        raise ShapeError(
            f"clusters of shape {tuple(assigned.shape)} beside labels of shape "
            f"{tuple(labels.shape)}: give one of each for every example, as (N,)"
        )
    if min(int(assigned.min()), int(labels.min())) < 0:
        raise OptionError("clusters and labels are numbered from 0: none may be negative")
    n_clusters, n_labels = int(assigned.max()) + 1, int(labels.max()) + 1
    flat = assigned.long() * n_labels + labels.long()
    return flat.bincount(minlength=n_clusters * n_labels).reshape(n_clusters, n_labels)
