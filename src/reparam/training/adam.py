"""Adam, as torch's own update of tensors, without what torch's optimizer classes bring with them.

Making one of those imports torch's compiler, which takes as long as a short run's first epoch; and
each of their steps looks again at what never changes here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    r"""Adam without weight decay.

    .. math:: m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
              v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \quad
              \theta_t = \theta_{t-1} - \eta\,
              \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    It has the methods of a ``torch.optim`` optimizer that training uses, and its states go by the
    same names.

    Arguments:
        parameters: What to update.
        lr: η; a tensor on the device where the update is recorded as a graph.
        betas: β₁ and β₂.
        eps: ε.

    References:
        Kingma & Ba, ICLR 2015, algorithm 1.

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
    ) -> None:
        self.betas, self.eps = betas, eps
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]
        self.state: dict[int, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        (group,) = self.param_groups
        parameters = group["params"]
        moved = [i for i, parameter in enumerate(parameters) if parameter.grad is not None]
        states = [self._state(i, parameters[i]) for i in moved]
        if not moved:
            return
        device = parameters[moved[0]].device
        adam(
            [parameters[i] for i in moved],
            [parameters[i].grad for i in moved],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=device.type in ("cpu", "cuda"),
            capturable=device.type == "cuda",
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the states, by the numbers of their parameters, and the learning rate."""
        return {"state": self.state, "param_groups": [{"lr": self.param_groups[0]["lr"]}]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` returned; the learning rate stays as it is."""
        parameters = self.param_groups[0]["params"]
        self.state = {
            number: {
                # The count of steps is a float32 number, whatever the parameter is.
                name: value.to(parameters[number].device, copy=True)
                for name, value in values.items()
            }
            for number, values in state["state"].items()
        }

    def _state(self, number: int, parameter: nn.Parameter) -> dict[str, Tensor]:
        if number not in self.state:
            self.state[number] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        return self.state[number]
