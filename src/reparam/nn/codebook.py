r"""The codebook of a quantized latent, learned by moving averages instead of gradients.

.. math:: e_k = \frac{\text{moving average of the sum of the vectors nearest to code } k}
                     {\text{moving average of their number}}
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from reparam.errors import OptionError, ShapeError
from reparam.utils.arguments import numbers
from reparam.utils.autocast import without_autocast


@numbers(n_codes=1, code_dim=1)
class Codebook(nn.Module):
    r"""K codes of d numbers, each the moving average of the vectors that are nearest to it.

    .. math:: N_k \leftarrow \gamma N_k + (1 - \gamma)\, n_k, \qquad
              m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i : k_i = k} v_i, \qquad
              e_k = m_k / N_k

    where n_k of a batch's vectors v_i are nearest to code k. A code that is almost never nearest is
    moved to a random vector of the batch (a restart).

    Arguments:
        n_codes: The number of codes K.
        code_dim: The number of dimensions d of a code.
        decay: The decay γ of the moving averages.
        restart_below: The share of the mean count below which a code is restarted; 0 for never.

    Raises:
        OptionError: A size below one, or a decay or share outside [0, 1).

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, appendix A.1,
        eq. 6 to 8; Dhariwal et al., Jukebox, 2020, section 3.1 (restarts).

    Example:
        >>> codebook = Codebook(n_codes=1, code_dim=2, decay=0.5)
        >>> codebook.start(torch.zeros(1, 2))
        >>> codebook.update(torch.ones(1, 2), torch.tensor([0]))
        >>> codebook.codes
        tensor([[0.5000, 0.5000]])
    """

    def __init__(
        self, n_codes: int, code_dim: int, decay: float = 0.99, restart_below: float = 0.02
    ) -> None:
        super().__init__()
        for name, share in (("decay", decay), ("restart_below", restart_below)):
            if not 0 <= share < 1:
                raise OptionError(f"{name}={share}: must be in [0, 1)")
        self.decay = decay
        self.restart_below = restart_below
        self.codes: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.register_buffer("codes", torch.randn(n_codes, code_dim))
        self.register_buffer("counts", torch.ones(n_codes))
        self.register_buffer("sums", self.codes.clone())

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        r"""Set the codes to vectors, out of (\*, d), that lie far apart (k-means++).

        References:
            Arthur & Vassilvitskii, k-means++, SODA 2007, section 2.2.
        """
        # Imported here, because scikit-learn takes a second to import.
        from sklearn.cluster import kmeans_plusplus

        n_codes = len(self.codes)
        flat = self._flat(vectors)
        # A subset, for speed; fewer vectors than codes are repeated.
        some = flat[torch.randperm(len(flat))[: max(20_000, n_codes)]].cpu()
        some = some.repeat(-(-n_codes // len(some)), 1).double()
        seed = int(torch.randint(2**31, ()))
        seeds, _ = kmeans_plusplus(some.numpy(), n_codes, random_state=seed)
        self.codes.copy_(torch.from_numpy(seeds))
        # Each start has the weight of one vector, so that the first batches move it.
        self.counts.fill_(1.0)
        self.sums.copy_(self.codes)

    @torch.no_grad()
    def update(self, vectors: Tensor, indices: Tensor) -> None:
        r"""Move the codes towards the vectors that are nearest to them.

        Arguments:
            vectors: The vectors v, with shape (\*, d).
            indices: The number k of each vector's code, with shape (\*,).
        """
        flat = self._flat(vectors)
        members = one_hot(indices.reshape(-1), len(self.codes)).to(flat)
        self.counts.lerp_(members.sum(0), 1 - self.decay)
        with without_autocast(flat.device):
            self.sums.lerp_(members.T @ flat, 1 - self.decay)
        even = self.counts.mean()
        # A random vector for every code, used or not, so that nothing waits for the device.
        others = flat[torch.randint(len(flat), (len(self.codes),), device=flat.device)]
        is_dead = self.counts < self.restart_below * even
        self.counts.copy_(torch.where(is_dead, even, self.counts))
        self.sums.copy_(torch.where(is_dead[:, None], even * others, self.sums))
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-9)[:, None])

    def _flat(self, vectors: Tensor) -> Tensor:
        if vectors.shape[-1] != self.codes.shape[-1]:
            raise ShapeError(
                f"vectors of shape {tuple(vectors.shape)}: their last size must be "
                f"{self.codes.shape[-1]}, that of the codes"
            )
        return vectors.reshape(-1, vectors.shape[-1]).to(self.codes)
