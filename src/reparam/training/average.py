"""The exponential moving average of the weights of a model."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn


class MovingAverage:
    r"""A copy of a model with an average of its weights over the steps.

    .. math:: \bar\theta_{t+1} = d_t \bar\theta_t + (1 - d_t) \theta_{t+1}, \qquad
              d_t = \min\bigl(d, \tfrac{1 + t}{10 + t}\bigr), \qquad d_0 = 0

    The decay grows from zero, so that the average forgets the first weights. Buffers, such as the
    statistics of batch normalization, are averaged too. The number of updates is a tensor on the
    device, so that nothing waits for it.

    Arguments:
        model: The model.
        decay: d, below one.

    References:
        Polyak & Juditsky, SIAM J. Control and Optimization 1992.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = MovingAverage(model, 0.99)
        >>> average.update(model)
        >>> bool(average.module.weight == model.weight)
        True
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.n_averaged = torch.zeros((), device=next(model.parameters()).device)
        self._model: nn.Module | None = None
        self._parameters: list[tuple[Tensor, Tensor]] = []
        self._buffers: list[tuple[nn.Module, nn.Module, str]] = []

    def _find(self, model: nn.Module) -> None:
        """Find what is averaged, once: to go through all modules in each step takes longer.

        Arguments:
            model: A model with the modules of the average. Its parameters are the same in all
                steps, as for an optimizer; a buffer may be another tensor in each step.
        """
        self._model = model
        own_parameters = self.module.parameters()
        self._parameters = list(zip(own_parameters, model.parameters(), strict=True))
        found: dict[int, tuple[nn.Module, nn.Module, str]] = {}
        for own, theirs in zip(self.module.modules(), model.modules(), strict=True):
            for name, buffer in own.named_buffers(recurse=False):
                found.setdefault(id(buffer), (own, theirs, name))
        self._buffers = list(found.values())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model."""
        if model is not self._model:
            self._find(model)
        t = self.n_averaged
        decay = ((1 + t) / (10 + t)).clamp(max=self.decay) * (t > 0)
        buffers = [(a.get_buffer(name), m.get_buffer(name)) for a, m, name in self._buffers]
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for average, value in (*self._parameters, *buffers):
            each = by_type.setdefault(average.dtype, ([], []))
            each[0].append(average)
            each[1].append(value)
        for dtype, (old, new) in by_type.items():
            if dtype.is_floating_point:
                # Buffers that do not change stay exactly the same.
                change = torch._foreach_sub(new, old)
                torch._foreach_mul_(change, (1 - decay).to(dtype))
                torch._foreach_add_(old, change)
            else:
                torch._foreach_copy_(old, new)
        t += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average and the number of its updates."""
        state = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        return {"n_averaged": self.n_averaged, **state}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the tensors that ``state_dict`` returned."""
        self.n_averaged.copy_(state["n_averaged"])
        prefix = "module."
        self.module.load_state_dict(
            {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
        )
