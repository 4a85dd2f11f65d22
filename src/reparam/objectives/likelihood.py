"""Maximum likelihood, for models in which all variables are observed."""

from dataclasses import dataclass

from reparam.batch import Batch
from reparam.models.directed import DirectedModel
from reparam.objectives.terms import ModelObjective, Terms


@dataclass(frozen=True)
class MaximumLikelihood(ModelObjective):
    r"""The log-likelihood itself, :math:`\log p(x)` or :math:`\log p(y \mid x)`.

    References:
        Kingma & Welling, An introduction to variational autoencoders, 2019, eq. 1.6 and 1.11.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.classifier(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> batch = Batch(torch.zeros(5, 1, 8, 8), y=torch.arange(5))
        >>> MaximumLikelihood()(recipe.model, batch).bound.shape
        torch.Size([5])
    """

    has_latents = False
    needs_prior = False

    def terms(self, model: DirectedModel, batch: Batch) -> Terms:
        """Return the terms of one batch; the reconstruction is the log-likelihood."""
        log_prob = model.log_prob(model.values(batch))
        return Terms(bound=log_prob, reconstruction=log_prob)
