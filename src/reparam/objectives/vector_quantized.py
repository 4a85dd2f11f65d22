"""The objective of models whose latent variables are codes of a codebook."""

from dataclasses import dataclass
from typing import cast

from reparam.batch import Batch
from reparam.distributions import QuantizedCodes
from reparam.errors import OptionError
from reparam.models.latent import LatentModel
from reparam.nn.codebook import Codebook
from reparam.objectives.bounds import forward_pass
from reparam.objectives.terms import ModelObjective, Terms
from reparam.utils.arguments import numbers


@numbers(commitment=0)
@dataclass(frozen=True)
class VectorQuantized(ModelObjective):
    r"""The ELBO of a quantized latent, and the commitment of the encoder to its codes.

    .. math:: \mathcal L = \log p(x \mid z) + \log p(z)
              - \beta \sum_{i=1}^P \|v_i - \mathrm{sg}[e_{k_i}]\|^2, \qquad
              z = (e_{k_1}, \dots, e_{k_P})

    The posterior is a point mass on a sequence of codes, so that KL(q‖p) = -log p(z), and the first
    two terms are a lower bound of log p(x). Gradients pass the quantization unchanged
    (straight-through); that of log p(z) reaches the prior only. In training the ``codebook``
    follows the encoder's vectors by moving averages, in place of the source's second term.

    Arguments:
        commitment: β, the weight of the squared distance between the vectors of an example and
            their codes, summed over positions and dimensions.

    Raises:
        OptionError: A negative weight; a posterior that is not quantized.

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, eq. 3 and
        appendix A.1.

    Example:
        >>> import torch
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vq_vae(DataSpec((1, 8, 8), "binary"), n_codes=8)
        >>> VectorQuantized()(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).elbo.shape
        torch.Size([5])
    """

    commitment: float = 0.25

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch; in training, update the codebook."""
        forward = forward_pass(model, batch)
        q = forward.q
        if not isinstance(q, QuantizedCodes):
            raise OptionError(
                f"the encoder returns a {type(q).__name__}: VectorQuantized needs a posterior on "
                "codes, as the family Quantized returns"
            )
        distance = (q.vectors.flatten(1) - q.mean.detach()).square().sum(-1)
        if model.training:
            cast(Codebook, model.codebook).update(q.vectors.detach(), q.indices)
        return forward.terms(forward.elbo, commitment=self.commitment * distance.mean())
