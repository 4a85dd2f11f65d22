"""The missing prior of an autoencoder."""

from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import SupportError
from reparam.priors.prior import Prior


class NoPrior(Prior):
    """No prior: an autoencoder has none, so that its codes cannot be drawn.

    Example:
        >>> NoPrior()()
        Traceback (most recent call last):
        reparam.errors.SupportError: an autoencoder has no prior, so that its codes cannot ...
    """

    exists = False

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Refuse.

        Raises:
            SupportError: Always.
        """
        raise SupportError(
            "an autoencoder has no prior, so that its codes cannot be drawn: train the variant wae "
            "or vae"
        )
