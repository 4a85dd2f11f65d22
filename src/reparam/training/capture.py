"""A whole step of training as one CUDA graph, which a GPU replays without asking the host.

Everything that changes from step to step lies on the device: the order of the epoch, the number of
the batch and of the step, the learning rates. A step that asks the device for a number, as a
schedule, an objective or an optimizer with a condition in it does, cannot be a graph: the first
step is watched for that, and training then goes on as it does without graphs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reparam.batch import Batch
from reparam.data.batches import Batches
from reparam.training.step import Step

WARM_UP = 3
"""Steps before the recording, in which libraries make their plans and optimizers their state."""

_ASKS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2")


class Watch(TorchDispatchMode):
    """Note the operations that ask the device for a number or for a size.

    >>> with Watch() as watch:
    ...     _ = float(torch.ones(()))
    >>> watch.asked
    ['aten::_local_scalar_dense']
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is torch's
        """Call an operation, and note it where it asks."""
        if func.name() in _ASKS:
            self.asked.append(func.name())
        return func(*args, **(kwargs or {}))


class CapturedStep:
    """The steps of whole batches, as a graph on a GPU and as the same calls elsewhere.

    Arguments:
        step: What happens to the model in one step.
        batches: The training split, which lies on the device.
        n_steps: The number of all steps.
    """

    def __init__(self, step: Step, batches: Batches, n_steps: int) -> None:
        self.step, self.batches = step, batches
        device = step.runtime.device
        self.device = device
        self.n_whole = batches.n_examples // batches.batch_size
        """How many batches of an epoch are whole; a shorter last one is no graph's business."""
        self.names: list[str] = []
        self._order = torch.arange(batches.n_examples, device=device)
        self._within = torch.arange(batches.batch_size, device=device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._taken = torch.zeros((), dtype=torch.int64, device=device)
        self._n_steps = n_steps
        self._log = torch.empty(0)
        self._lr: list[tuple[Tensor, Tensor]] = []
        for turn in step.turns:
            # A table has the schedule's own values; a formula on the device would round otherwise.
            table = torch.tensor(
                [turn.lr(t) for t in range(n_steps)], dtype=torch.float32, device=device
            )
            for optimizer in turn.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = torch.tensor(turn.lr(0), dtype=torch.float32, device=device)
                    self._lr.append((group["lr"], table))
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_warm = 0
        self.is_possible = True
        """Whether steps can be taken in this way; the first one tells."""

    def begin(self, epoch: int, number: int, taken: int) -> None:
        """Set the order of an epoch, and the number of its next batch and of all steps taken."""
        order = self.batches.order(epoch)
        if order is not None:
            self._order.copy_(order)
        self._number.fill_(number)
        self._taken.fill_(taken)

    def __call__(self) -> None:
        """Take the next step."""
        if self._graph is not None:
            self._graph.replay()
        elif self._n_warm == 0:
            with Watch() as watch:
                self._run_beside()
            if watch.asked:
                self.is_possible = False
                self._release()
        elif self.device.type != "cuda":
            self._run()
        elif self._n_warm < WARM_UP:
            self._run_beside()
        else:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._run()
            self._graph = graph
            graph.replay()

    def rows(self, start: int, stop: int) -> tuple[list[str], Tensor]:
        """Return the names and values, with shape (K, n), of the batches start … stop - 1.

        An epoch waits for the device here, and nowhere else.
        """
        values = self._log[start:stop].clone()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.names, values

    def _release(self) -> None:
        """Leave the optimizers as they were."""
        for turn in self.step.turns:
            for optimizer in turn.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = float(group["lr"])

    def _run_beside(self) -> None:
        """Take a step on another stream than the main one, as a recording wants it before."""
        self._n_warm += 1
        if self.device.type != "cuda":
            self._run()
            return
        main, beside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        beside.wait_stream(main)
        with torch.cuda.stream(beside):
            self._run()
        main.wait_stream(beside)

    def _run(self) -> None:
        index = self._order[self._number * len(self._within) + self._within]
        batch = self.batches.at(index)
        for lr, table in self._lr:
            lr.copy_(table.index_select(0, self._taken[None])[0])
        progress = self._taken / self._n_steps
        named = self.step(Batch(batch.x, batch.y, batch.c, self._taken, progress))
        values = torch.stack([value.float() for value in named.values()])
        if not self.names:
            self.names = list(named)
            self._log = values.new_zeros(self.n_whole, len(values))
        self._log.index_copy_(0, self._number[None], values[None])
        self._number += 1
        self._taken += 1
