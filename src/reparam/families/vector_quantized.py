"""The codes of a codebook that are nearest to the encoder's vectors."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from reparam.distributions import QuantizedCodes
from reparam.families.family import Family
from reparam.nn.codebook import Codebook
from reparam.utils.arguments import numbers


@numbers()
class Quantized(Family):
    r"""For each of P positions, the code that is nearest to the encoder's vector.

    .. math:: z = (e_{k_1}, \dots, e_{k_P}), \qquad k_i = \arg\min_k \|v_i - e_k\|, \quad
              v = \mathrm{head}(f)

    Arguments:
        codebook: The codes e of d numbers each; an event is P of them, with P · d numbers.
        positions: The shape of the positions: (P,), or (h, w) for a feature map.

    Raises:
        OptionError: A size below one.

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, eq. 1 and 2.

    Example:
        >>> q = Quantized(Codebook(8, 3), (4,)).attach((400,))(torch.zeros(5, 400))
        >>> q.rsample().shape, q.indices.shape
        (torch.Size([5, 12]), torch.Size([5, 4]))
    """

    space = "codes of a codebook"
    factorizes = False

    def __init__(self, codebook: Codebook, positions: Sequence[int]) -> None:
        n_positions, code_dim = prod(positions), codebook.codes.shape[-1]
        super().__init__(n_positions * code_dim, 1)
        self.codebook = codebook
        self.n_positions = n_positions
        self.raw_shape = torch.Size([1, code_dim, *positions])

    def distribution(self, raw: Tensor) -> QuantizedCodes:
        """Return the point mass on the codes nearest to the raw parameters of each position."""
        vectors = raw.flatten(2 - len(self.raw_shape)).squeeze(-3).transpose(-1, -2)
        return QuantizedCodes(vectors, self.codebook.codes)
