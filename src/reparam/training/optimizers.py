"""Optimizers: by name, or from a function of the user's own.

``Adam`` is written with torch's functional update: the first object of one of torch's optimizer
classes imports torch's compiler, which takes as long as the first epoch of a short run, and each of
its steps repeats checks that are not needed here.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from reparam.errors import OptionError, unknown
from reparam.training.options import OptimizerName


def decay_groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters in groups with their weight decay, as optimizers take them.

    Matrices and kernels, the parameters with two or more dimensions, are decayed. Biases, the
    scales of normalizations and other vectors are not.

    >>> [(len(group["params"]), group["weight_decay"])
    ...  for group in decay_groups(list(nn.Linear(2, 3).parameters()), 0.1)]
    [(1, 0.1), (1, 0.0)]
    """
    if not weight_decay:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    decayed = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() < 2]
    groups = ((decayed, weight_decay), (others, 0.0))
    return [{"params": some, "weight_decay": decay} for some, decay in groups if some]


class Adam:
    r"""Adam with decoupled weight decay, which is AdamW.

    .. math:: m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
              v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \quad
              \theta_t = (1 - \eta \lambda) \theta_{t-1} - \eta\,
              \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    It has the methods of a ``torch.optim`` optimizer that training uses, with the same names in its
    state.

    Arguments:
        parameters: The parameters to update.
        lr: η; a tensor on the device where the update is recorded as a graph.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ, for the parameters that ``decay_groups`` selects.

    References:
        Kingma & Ba, Adam, ICLR 2015, algorithm 1; Loshchilov & Hutter, Decoupled weight decay
        regularization, ICLR 2019, algorithm 2.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> optimizer = Adam([weight], lr=0.1)
        >>> weight.square().sum().backward()
        >>> optimizer.step()
        >>> round(weight.item(), 4)
        0.9
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        lr: float | Tensor,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.betas, self.eps = betas, eps
        self.param_groups = decay_groups(parameters, weight_decay)
        for group in self.param_groups:
            group["lr"] = lr
        self.parameters: list[nn.Parameter] = [
            parameter for group in self.param_groups for parameter in group["params"]
        ]
        self.state: dict[int, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Remove the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        first = 0
        for group in self.param_groups:
            numbered = enumerate(group["params"], first)
            moved = {number: p for number, p in numbered if p.grad is not None}
            first += len(group["params"])
            if moved:
                self._update(moved, group["lr"], group["weight_decay"])

    def state_dict(self) -> dict[str, Any]:
        """Return the states, by the numbers of their parameters, and the learning rates."""
        groups = [{"lr": group["lr"]} for group in self.param_groups]
        return {"state": self.state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the states that ``state_dict`` returned; the learning rate stays as it is."""
        self.state = {
            number: {
                # The count of steps is float32 for parameters of every type.
                name: value.to(self.parameters[number].device, copy=True)
                for name, value in values.items()
            }
            for number, values in state["state"].items()
        }

    def _update(self, moved: dict[int, nn.Parameter], lr: Any, weight_decay: float) -> None:
        states = [self._state(number, parameter) for number, parameter in moved.items()]
        parameters = list(moved.values())
        device = parameters[0].device
        adam(
            parameters,  # type: ignore[arg-type]
            [parameter.grad for parameter in parameters],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=device.type in ("cpu", "cuda"),
            capturable=device.type == "cuda",
            decoupled_weight_decay=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=lr,
            weight_decay=weight_decay,
            eps=self.eps,
            maximize=False,
        )

    def _state(self, number: int, parameter: nn.Parameter) -> dict[str, Tensor]:
        if number not in self.state:
            self.state[number] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        return self.state[number]


Optimizer = Adam | torch.optim.Optimizer
"""An optimizer: our Adam, or any of torch."""

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
    Adam, but each step costs more. It is faster with batches of some hundred examples.

    Arguments:
        name: ``adam`` or ``muon``.
        parameters: The parameters to update.
        lr: η, the learning rate.
        device: The device of the parameters.
        matrices: The parameters among them that Muon updates; see ``linear_weights``.
        weight_decay: λ, decoupled from the gradient; see ``decay_groups``.
        of_torch: Whether all are torch's own classes, as torch's schedulers require.

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
