"""Adam and AdamW by torch's functional update, without torch's optimizer classes.

The first object of such a class imports torch's compiler, which takes as long as the first epoch of
a short run; and each of its steps checks again what never changes here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


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
        weight_decay: λ, for the parameters that ``decay_groups`` names.

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
                # The count of steps is a float32 number, whatever the parameter is.
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
