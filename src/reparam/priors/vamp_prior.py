"""The VampPrior: a mixture of the posteriors of learned pseudo-inputs."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    Uniform,
)

from reparam.batch import Batch
from reparam.distributions import GaussianMixture, base_distribution
from reparam.errors import SupportError
from reparam.priors.gate import Gate
from reparam.priors.prior import Prior, Setting, as_prior
from reparam.utils.arguments import numbers


@as_prior("vamp")
@numbers(shape=1, n_components=1, context=0, label_context=0, weights_context=0)
class VampPrior(Prior):
    r"""The mixture of the posteriors of learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    Under a condition each pseudo-input has a learned condition, and p(z) does not depend on c. With
    ``weights_context`` the weights 1/K become :math:`\pi_k(c)`.

    Arguments:
        encoder: q(z | x, c), the encoder of the model. Its weights are not those of the prior.
        shape: The shape of one x.
        n_components: The number of pseudo-inputs K; in a variant 50 where the posterior is not
            a diagonal Gaussian.
        context: The size of a condition c; 0 without one.
        label_context: The number of first entries of c that are a one-hot label; all when None.
        weights_context: The size of a condition c that the weights depend on; 0 for equal weights.

    Raises:
        OptionError: A size below one.

    References:
        Tomczak & Welling, VAE with a VampPrior, AISTATS 2018, eq. 9.

    Example:
        >>> from reparam.models.conditional import Conditional
        >>> from reparam.families import Gaussian
        >>> encoder = Conditional(nn.Linear(4, 8), Gaussian(2))
        >>> VampPrior(encoder, (4,), n_components=3)().sample((5,)).shape
        torch.Size([5, 2])
    """

    space = None
    is_learned = True
    needs_gradient_of_x = True
    options = ("n_components",)

    def __init__(
        self,
        encoder: nn.Module,
        shape: Sequence[int],
        n_components: int = 500,
        context: int = 0,
        label_context: int | None = None,
        weights_context: int = 0,
    ) -> None:
        super().__init__()
        self.gate = Gate(weights_context, n_components) if weights_context else None
        self.label_context = context if label_context is None else label_context
        # The encoder is a part of the model: in a tuple it is not a submodule here.
        self._encoder = (encoder,)
        self.pseudo_inputs = nn.Parameter(torch.rand(n_components, *shape))
        self.pseudo_logits: nn.Parameter | None = None
        if context:
            self.pseudo_logits = nn.Parameter(torch.randn(n_components, context))

    @classmethod
    def for_model(cls, setting: Setting, options: Mapping[str, object]) -> Self:
        """Create the prior for a model's encoder.

        The default is 500 pseudo-inputs, and 50 where the posterior is not a diagonal Gaussian,
        because only for Gaussians is the density under every component cheap.
        """
        n_components = 500 if setting.is_gaussian else 50
        return super().for_model(setting, {"n_components": n_components, **options})

    def start(self, examples: Batch) -> None:
        """Set the pseudo-inputs to training examples and their conditions."""
        n = min(len(examples), len(self.pseudo_inputs))
        self.pseudo_inputs.data[:n] = examples.x[:n].reshape(-1, *self.pseudo_inputs.shape[1:])
        if examples.c is not None and self.pseudo_logits is not None:
            k = self.label_context
            self.pseudo_logits.data[:n, :k] = 4.0 * examples.c[:n, :k]
            self.pseudo_logits.data[:n, k:] = examples.c[:n, k:]

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c); a condition is ignored without ``weights_context``."""
        (encoder,) = self._encoder
        own: tuple[Tensor, ...] = ()
        if self.pseudo_logits is not None:
            label, covariates = self.pseudo_logits.tensor_split([self.label_context], -1)
            own = (torch.cat([label.softmax(-1), covariates], -1),)
        q = encoder(self.pseudo_inputs, *own)
        logits = self.pseudo_inputs.new_zeros(len(self.pseudo_inputs))
        if self.gate is not None:
            logits = self.gate(c)
        normal = base_distribution(q)
        if isinstance(normal, Normal) and isinstance(q, Independent):
            return GaussianMixture(logits, normal.loc, normal.scale)
        if isinstance(normal, Uniform):
            raise SupportError(
                "a uniform posterior is not inside the mixture of other boxes, and its KL to "
                "the vamp prior is infinite: use prior='standard-normal', or posterior='gaussian'"
            )
        weights = Categorical(logits=logits, validate_args=False)
        return MixtureSameFamily(weights, q, validate_args=False)
