"""The Bernoulli distribution, for pixels that are 0 or 1."""

from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from reparam.families.family import Family, Shape, as_likelihood


@as_likelihood("bernoulli")
class Bernoulli(Family):
    r"""Independent Bernoulli variables, the likelihood of binary data.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d + (1 - x_d) \log(1 - \mu_d)

    Arguments:
        event_shape: The shape of the event.

    References:
        Kingma & Welling, ICLR 2014, appendix C.1.

    Example:
        >>> import torch
        >>> p = Bernoulli((1, 28, 28)).attach((400,))(torch.zeros(5, 400))
        >>> p.log_prob(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5])
    """

    supports = ("binary",)
    starts_at_mean = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(TorchBernoulli(logits=logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return clamped(mean).logit()


def clamped(mean: Tensor) -> Tensor:
    """Return means clamped to [0.01, 0.99], where gradients of their logits do not vanish.

    >>> import torch
    >>> clamped(torch.tensor([0.0, 0.3, 1.0]))
    tensor([0.0100, 0.3000, 0.9900])
    """
    return mean.clamp(0.01, 0.99)
