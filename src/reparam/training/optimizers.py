"""Optimizers: by name, or from a function of the user's own."""

import inspect
from collections.abc import Callable, Sequence
from typing import get_args

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from reparam.errors import OptionError, unknown
from reparam.training.adam import Adam, decay_groups
from reparam.training.options import OptimizerName

Optimizer = Adam | torch.optim.Optimizer
"""What updates parameters."""

OptimizerFactory = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
"""A function from the parameters to the optimizer that updates them."""

SchedulerFactory = Callable[[torch.optim.Optimizer], LRScheduler]
"""A function from an optimizer to the scheduler of its learning rate."""


def make_optimizers(
    name: str,
    parameters: Sequence[nn.Parameter],
    lr: float,
    device: torch.device,
    *,
    matrices: Sequence[nn.Parameter] = (),
    weight_decay: float = 0.0,
    of_torch: bool = False,
) -> list[Optimizer]:
    r"""Create the optimizers of a name, all with one learning rate.

    ``adam``: Adam, with its whole update in one kernel. ``muon``: Muon for matrices, which moves
    them along their momentum with all its singular values set to one,

    .. math:: B_t = \mu B_{t-1} + G_t, \qquad
              W_t = (1 - \eta \lambda) W_{t-1} - 0.2 \eta \sqrt{\max(m, n)}\; U V^\top, \quad
              U S V^\top = G_t + \mu B_t,

    and Adam for everything else. The factor gives a step the size of one of Adam, so that one
    learning rate serves both. On multilayer perceptrons it takes several times fewer steps than
    Adam, each of which costs more: it pays with batches of some hundred examples.

    Arguments:
        name: ``adam`` or ``muon``.
        parameters: The parameters to update.
        lr: η, the learning rate.
        device: The device of the parameters.
        matrices: The parameters among them that Muon updates; see ``linear_weights``.
        weight_decay: λ, decoupled from the gradient, for the parameters of ``adam.decay_groups``.
        of_torch: Whether all are torch's own classes, as lightning-fabric and torch's schedulers
            require.

    Raises:
        OptionError: An unknown name, with the nearest known one.

    References:
        Kingma & Ba, ICLR 2015 (Adam); Loshchilov & Hutter, ICLR 2019 (weight decay); Jordan et al.,
        Muon, 2024; Liu et al., Muon is scalable for LLM training, 2025, section 2.2 (the factor).

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
        optimizers.append(torch.optim.Muon(moved, lr, weight_decay, adjust_lr_fn="match_rms_adamw"))
    if others and of_torch:
        groups, fused = decay_groups(others, weight_decay), device.type in ("cpu", "cuda")
        optimizers.append(torch.optim.AdamW(groups, lr=lr, fused=fused))
    elif others:
        optimizers.append(Adam(others, lr, weight_decay=weight_decay))
    return optimizers


def linear_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the linear layers, the matrices that map features to features.

    The means of a mixture and the codes of a codebook are matrices too, but their rows are separate
    vectors.

    >>> [tuple(w.shape) for w in linear_weights(nn.Sequential(nn.Linear(3, 2), nn.Embedding(5, 4)))]
    [(2, 3)]
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear]
    return [layer.weight for layer in layers if isinstance(layer.weight, nn.Parameter)]


def own_optimizer(
    factory: OptimizerFactory, parameters: list[nn.Parameter], lr: float | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer that a function of the user creates.

    Arguments:
        factory: The function.
        parameters: The parameters that the function receives.
        lr: A learning rate that replaces that of the optimizer; None to keep it.

    Raises:
        OptionError: The function returns something else, or an optimizer that evaluates the loss
            several times in a step, such as LBFGS.
    """
    if not callable(factory):
        raise OptionError(
            f"optimizer={factory!r}: must be a function from parameters to an optimizer; a name is "
            "one of the options, TrainingOptions(optimizer=...)"
        )
    made: object = factory(parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise OptionError(
            f"optimizer: the function returned an object of type {type(made).__name__}; it must "
            "return a torch.optim.Optimizer of the parameters that it receives"
        )
    closure = inspect.signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise OptionError(
            f"optimizer: {type(made).__name__} evaluates the loss several times in a step, which "
            "training does not offer; use one such as torch.optim.SGD or torch.optim.AdamW"
        )
    if lr is not None:
        for group in made.param_groups:
            group["lr"] = lr
    return made


def own_scheduler(factory: SchedulerFactory, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Return the scheduler that a function of the user creates.

    Raises:
        OptionError: The function returns something else, or a scheduler that follows a metric.
    """
    made: object = factory(optimizer)
    if not isinstance(made, LRScheduler) or isinstance(made, ReduceLROnPlateau):
        raise OptionError(
            f"scheduler: the function returned an object of type {type(made).__name__}; it must "
            "return a torch.optim.lr_scheduler.LRScheduler that steps without a metric"
        )
    return made
