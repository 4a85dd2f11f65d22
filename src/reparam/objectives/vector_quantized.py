"""The objective of models whose latents are codes from a codebook."""

from dataclasses import dataclass
from typing import cast

from reparam.batch import Batch
from reparam.distributions import QuantizedCodes
from reparam.errors import OptionError
from reparam.models.latent import LatentModel
from reparam.nn.codebook import Codebook
from reparam.objectives.bounds import passed
from reparam.objectives.terms import Terms, check_weights, of_latents
from reparam.utils.arguments import numbers


@numbers()
@dataclass(frozen=True)
class VectorQuantized:
    r"""The ELBO of a quantized latent, and what keeps the encoder near its codes.

    .. math:: \mathcal L = \log p(x \mid z) + \log p(z)
              - \beta \sum_{i=1}^P \|v_i - \mathrm{sg}[e_{k_i}]\|^2, \qquad
              z = (e_{k_1}, \dots, e_{k_P})

    The posterior is a mass of one on a sequence of codes, so that KL(q‖p) = -log p(z), and the
    first two terms are a lower bound of log p(x). The gradient reaches the encoder straight through
    the quantization; that of log p(z) reaches the prior alone. While the model trains, its
    ``codebook`` follows the vectors by moving averages, which stand for the source's second term.

    Arguments:
        commitment: β, on the squared distance of an example's vectors from their codes, summed
            over its P positions and their dimensions, as log p(x | z) is summed over pixels.

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

    def __post_init__(self) -> None:
        check_weights(commitment=self.commitment)

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch, and move the codes where the model trains."""
        made = passed(model, batch)
        q = made.q
        if not isinstance(q, QuantizedCodes):
            raise OptionError(
                f"the encoder returns a {type(q).__name__}: VectorQuantized needs a posterior on "
                "codes, from the family Quantized"
            )
        distance = (q.vectors.flatten(1) - q.mean.detach()).square().sum(-1)
        if model.training:
            cast(Codebook, model.codebook).update(q.vectors.detach(), q.indices)
        return made.terms(made.elbo, commitment=self.commitment * distance.mean())
