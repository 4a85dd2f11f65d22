"""Optimizers by name."""

from collections.abc import Sequence
from typing import Any, Protocol, get_args

import torch
from torch import nn

from reparam.errors import unknown
from reparam.training.adam import Adam
from reparam.training.options import OptimizerName


class Optimizer(Protocol):
    """What training asks of an optimizer; torch's own have it."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> object:
        """Update the parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Any) -> None:
        """Take up a state."""
        ...


def make_optimizers(
    name: str,
    parameters: Sequence[nn.Parameter],
    lr: float,
    device: torch.device,
    *,
    matrices: Sequence[nn.Parameter] = (),
    of_torch: bool = False,
) -> list[Optimizer]:
    r"""Return what updates the parameters, all with one learning rate.

    ``adam``: Adam, whose whole update is one kernel. ``muon``: matrices move along their momentum
    with all its singular values set to one,

    .. math:: B_t = \mu B_{t-1} + G_t, \qquad
              W_t = W_{t-1} - 0.2 \eta \sqrt{\max(m, n)}\; U V^\top, \quad
              U S V^\top = G_t + \mu B_t,

    and everything else by Adam; the factor gives a step the size that Adam's have, so that one
    learning rate serves both. On multilayer perceptrons it takes several times fewer steps than
    Adam, each of which costs more: it pays with batches of some hundred examples.

    Arguments:
        name: ``adam`` or ``muon``.
        parameters: What to update.
        lr: η, the learning rate.
        device: Where the parameters are.
        matrices: Those among them that Muon is for; see ``linear_weights``.
        of_torch: Whether all must be torch's optimizers, as lightning-fabric wants them.

    Raises:
        OptionError: An unknown optimizer, with the nearest one.

    References:
        Kingma & Ba, ICLR 2015 (Adam); Jordan et al., Muon, 2024; Liu et al., Muon is scalable for
        LLM training, 2025, section 2.2 (the factor).

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> [type(o).__name__ for o in make_optimizers(
        ...     "muon", list(layer.parameters()), 1e-3, torch.device("cpu"),
        ...     matrices=linear_weights(layer))]
        ['Muon', 'Adam']
    """
    if name not in get_args(OptimizerName):
        raise unknown("optimizer", name, get_args(OptimizerName))
    maps = {id(matrix) for matrix in matrices} if name == "muon" else set()
    moved = [p for p in parameters if id(p) in maps]
    others = [p for p in parameters if id(p) not in maps]
    optimizers: list[Optimizer] = []
    if moved:
        optimizers.append(
            torch.optim.Muon(moved, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        )
    if others:
        fused = device.type in ("cpu", "cuda")
        plain: Any = torch.optim.Adam(others, lr=lr, fused=fused) if of_torch else None
        optimizers.append(plain or Adam(others, lr))
    return optimizers


def linear_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the linear layers, the matrices that map features to features.

    The means of a mixture and the codes of a codebook are matrices too, of rows that have nothing
    to do with each other.

    >>> [tuple(w.shape) for w in linear_weights(nn.Sequential(nn.Linear(3, 2), nn.Embedding(5, 4)))]
    [(2, 3)]
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear]
    return [layer.weight for layer in layers if isinstance(layer.weight, nn.Parameter)]
