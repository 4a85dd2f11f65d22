"""The autoregressive prior over the codes of a codebook."""

from functools import partial

from torch import Tensor

from reparam.distributions import Autoregressive, CodeSequence
from reparam.nn.codebook import Codebook
from reparam.nn.sequence import CausalTransformer
from reparam.priors.prior import Prior
from reparam.utils.arguments import numbers


@numbers(n_positions=1)
class CodebookPrior(Prior):
    r"""An autoregressive distribution over P codes, the prior of a quantized latent.

    .. math:: \log p(z \mid c) = \sum_{i=1}^P \log p(k_i \mid k_1, \dots, k_{i-1}, c), \qquad
              z = (e_{k_1}, \dots, e_{k_P})

    Arguments:
        codebook: The codes e, which the encoder shares.
        n_positions: P.
        network: From indices of codes, and c, to the logits of each code given those before it.

    Raises:
        OptionError: A size below one.

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, section 3.3.

    Example:
        >>> prior = CodebookPrior(Codebook(8, 3), 4, CausalTransformer(8, 4))
        >>> prior().sample((5,)).shape
        torch.Size([5, 12])
    """

    space = "codes of a codebook"
    is_learned = True

    def __init__(self, codebook: Codebook, n_positions: int, network: CausalTransformer) -> None:
        super().__init__()
        self.codebook = codebook
        self.n_positions = n_positions
        self.network = network

    def forward(self, c: Tensor | None = None) -> CodeSequence:
        """Return p(z | c) for c with shape (B, C)."""
        codes = self.codebook.codes
        sequence = Autoregressive(
            logits=partial(self.network, c=c),
            length=self.n_positions,
            batch_shape=() if c is None else c.shape[:-1],
            device=codes.device,
            step=partial(self.network.step, c=c),
        )
        return CodeSequence(sequence, codes)
