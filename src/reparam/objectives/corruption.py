"""The noise that a denoising autoencoder learns to remove."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from reparam.errors import OptionError, unknown
from reparam.utils.arguments import numbers

Kind = Literal["gaussian", "masking", "salt-and-pepper"]


@numbers()
@dataclass(frozen=True)
class Corruption:
    r"""A random change of x, C(x̃ | x), from which a denoising autoencoder restores x.

    - ``gaussian``: :math:`\tilde x = x + \sigma \varepsilon`, with the level σ.
    - ``masking``: every entry is 0 with the level as its probability.
    - ``salt-and-pepper``: every entry is, with the level as its probability, 0 or 1 at random.

    Arguments:
        kind: The kind of noise.
        level: σ, or the probability that an entry is changed.

    Raises:
        OptionError: Another kind; a negative level, or a share above one.

    References:
        Vincent et al., Stacked denoising autoencoders, JMLR 2010, section 3.3.

    Example:
        >>> Corruption("masking", 1.0)(torch.ones(3))
        tensor([0., 0., 0.])
    """

    kind: Kind = "gaussian"
    level: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("corruption", str(self.kind), get_args(Kind))
        if not 0 <= self.level < inf or (self.kind != "gaussian" and self.level > 1):
            top = "finite" if self.kind == "gaussian" else "at most 1"
            raise OptionError(f"level={self.level}: a {self.kind} level is at least 0 and {top}")

    def __call__(self, x: Tensor) -> Tensor:
        """Return x with new noise, with the same shape."""
        if self.kind == "gaussian":
            return x + self.level * torch.randn_like(x)
        changed = torch.rand_like(x) < self.level
        if self.kind == "masking":
            return x.masked_fill(changed, 0.0)
        return torch.where(changed, (torch.rand_like(x) < 0.5).to(x), x)


def corruption_of(
    config: Mapping[str, Any], kind: Kind | None = None, level: float | None = None
) -> Corruption:
    """Return the noise of the training of a run, or another one.

    Arguments:
        config: The options of the run.
        kind: The kind of noise; None for that of the training, else ``gaussian``.
        level: Its level; None for that of the training where the kind is the same, else 0.5.

    Example:
        >>> corruption_of({"corruption": "masking", "level": 0.3})
        Corruption(kind='masking', level=0.3)
        >>> corruption_of({}, level=0.2)
        Corruption(kind='gaussian', level=0.2)
    """
    own = (config.get("corruption"), config.get("level"))
    kind = kind or own[0] or "gaussian"
    level = own[1] if level is None and kind == own[0] else level
    return Corruption(kind, 0.5 if level is None else level)
