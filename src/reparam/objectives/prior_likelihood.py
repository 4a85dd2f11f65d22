"""The likelihood of codes under a prior, which is trained alone."""

from dataclasses import dataclass

from reparam.batch import Batch
from reparam.objectives.terms import ModelObjective, Terms
from reparam.priors import Prior


@dataclass(frozen=True)
class PriorLikelihood(ModelObjective):
    r"""The log-density of codes under a prior, :math:`\mathbb E_{q(z)} \log p(z \mid c)`.

    The model is the prior, and x of a batch are codes. In training the loss is the prior's own,
    such as that of flow matching.

    Example:
        >>> import torch
        >>> from reparam.priors import Mixture
        >>> PriorLikelihood()(Mixture(2), Batch(torch.zeros(5, 2))).bound.shape
        torch.Size([5])
    """

    has_latents = False
    needs_prior = False

    def terms(self, model: Prior, batch: Batch) -> Terms:
        """Return the terms of one batch; the reconstruction is minus the loss, or log p(z | c)."""
        if model.training:
            value = -model.fitting_loss(batch.x, batch.c)
        else:
            value = model(batch.c).log_prob(batch.x)
        return Terms(bound=value, reconstruction=value)
