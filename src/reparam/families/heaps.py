"""Which of several frequent values a quantity is, or none of them."""

from collections.abc import Sequence
from math import inf, nan

import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution

from reparam.distributions import Heaped
from reparam.distributions.heaped import atom_of
from reparam.errors import OptionError
from reparam.families.family import Family
from reparam.nn.heads import set_bias
from reparam.schema import Column


class Heaps(Family):
    r"""One softmax for each quantity that has atoms, over these and any other value.

    .. math:: P(x) = \pi_0 \, P_{\mathrm{rest}}(x) + \sum_k \pi_k \, 1[x = a_k], \qquad
              \pi = \mathrm{softmax}(\mathrm{head}(f))

    It is a part of the likelihood ``mixed``: see ``distributions.Heaped``.

    Arguments:
        quantities: The columns of the quantities, of which one or more has atoms.

    Raises:
        OptionError: No column with atoms.

    Example:
        >>> hours = Column("hours", "count", atoms=(40.0, 50.0))
        >>> family = Heaps([Column("pay", "real"), hours]).attach((8,))
        >>> family(torch.zeros(5, 8)).logits.shape
        torch.Size([5, 1, 3])
    """

    atoms: Tensor
    entries: Tensor
    slots: Tensor
    columns: Tensor
    numbers: Tensor

    def __init__(self, quantities: Sequence[Column]) -> None:
        entries = [i for i, column in enumerate(quantities) if column.atoms]
        if not entries:
            raise OptionError("quantities: no column has atoms; give one that has some")
        # float32 holds the differences from the origin, as it does of x.
        atoms = [[a - quantities[i].origin for a in quantities[i].atoms] for i in entries]
        super().__init__((len(atoms),), 1)
        self.sizes = [1 + len(each) for each in atoms]
        self.raw_shape = torch.Size([sum(self.sizes)])
        most = max(self.sizes)
        padded = [[*each, *[nan] * (most - 1 - len(each))] for each in atoms]
        # Of each logit of the head, its place among those that are padded to the most atoms.
        slots = [i * most + k for i, size in enumerate(self.sizes) for k in range(size)]
        # Of each indicator that the encoder reads, its column and the number of its atom.
        pairs = [(i, k) for i, size in enumerate(self.sizes) for k in range(1, size)]
        constants = {
            "entries": torch.tensor(entries),
            "atoms": torch.tensor(padded),
            "slots": torch.tensor(slots),
            "columns": torch.tensor([i for i, _ in pairs]),
            "numbers": torch.tensor([k for _, k in pairs]),
        }
        for name, values in constants.items():
            self.register_buffer(name, values, persistent=False)

    def distribution(self, raw: Tensor) -> TorchCategorical:
        r"""Return which value each quantity is: 0 for one that is no atom.

        Arguments:
            raw: The logits of all columns, side by side.
        """
        return TorchCategorical(logits=self._padded(raw), validate_args=False)

    def _padded(self, raw: Tensor) -> Tensor:
        r"""Return the logits of each column, with shape (\*, m, K + 1)."""
        m, most = len(self.sizes), max(self.sizes)
        padded = raw.new_full((*raw.shape[:-1], m * most), -inf)
        return padded.index_copy(-1, self.slots, raw).unflatten(-1, (m, most))

    def over(self, base: Distribution, raw: Tensor, width: Tensor) -> Heaped:
        r"""Return the distribution of quantities that have atoms, or not.

        Arguments:
            base: The distribution of the values that are no atoms, with batch shape (\*, n).
            raw: The logits of all columns, side by side.
            width: The widths of the cells of the quantities, with shape (n,).
        """
        logits = self._padded(raw)
        return Heaped(base, logits, self.atoms, width[self.entries], self.entries)

    def indicators(self, x: Tensor, width: Tensor) -> Tensor:
        r"""Return whether each quantity is each of its atoms, with shape (\*, number of atoms).

        Arguments:
            x: The quantities, with shape (\*, n), NaN where missing.
            width: The widths of their cells, with shape (n,).
        """
        which = atom_of(x[..., self.entries], self.atoms, width[self.entries])
        return (which[..., self.columns] == self.numbers).to(x)

    def start_at_values(self, x: Tensor, width: Tensor) -> None:
        """Start at the frequencies of the atoms, with half an example more of each.

        Arguments:
            x: The quantities of training rows, with shape (N, n), NaN where missing.
            width: The widths of their cells, with shape (n,).

        Raises:
            OptionError: The family has no head yet.
        """
        seen = x[:, self.entries]
        which = atom_of(seen, self.atoms.to(x), width[self.entries])
        there, found = ~seen.isnan(), []
        for i, size in enumerate(self.sizes):
            counts = torch.bincount(which[there[:, i], i], minlength=size).double() + 0.5
            found.append((counts / counts.sum()).log())
        set_bias(self._attached(), 0, torch.cat(found))
