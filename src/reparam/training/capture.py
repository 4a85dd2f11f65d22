"""A whole step of training as one CUDA graph, which a GPU replays without the host.

Everything that changes from step to step lies on the device: the order of the epoch, the number of
the batch and of the step, the learning rates. A step that waits for the device cannot be a graph: a
schedule, an objective or an optimizer with a condition on a tensor does, and so does a copy of a
number of the host. The first step is watched for that, and training then goes on without graphs.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reparam.batch import Batch
from reparam.training.batches import Batches, IndexedBatches
from reparam.training.events import EventHandler, every_step
from reparam.training.signals import StopRequests
from reparam.training.step import Step

WARM_UP = 3
"""Steps before the recording, in which libraries make their plans and optimizers their state."""

_READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2")


class Watch(TorchDispatchMode):
    """Note the operations that read a number or a size from the device.

    >>> with Watch() as watch:
    ...     _ = float(torch.ones(()))
    >>> watch.reads
    ['aten::_local_scalar_dense']
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is torch's
        """Call an operation, and note it if it reads from the device."""
        if func.name() in _READS:
            self.reads.append(func.name())
        return func(*args, **(kwargs or {}))


@contextmanager
def waits(device: torch.device) -> Iterator[list[str]]:
    """Collect what torch says of operations that wait for a GPU, after the context.

    Unlike ``Watch``, it also knows those within an operation. Elsewhere the list is empty.
    """
    found: list[str] = []
    if device.type != "cuda":
        yield found
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for each in caught:
        if "called a synchronizing" in str(each.message):
            found.append(str(each.message))
        elif "prototype feature" not in str(each.message):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


class CapturedStep:
    """The steps of whole batches, as a graph on a GPU and as the same calls elsewhere.

    Arguments:
        step: The step, with learning rates by a schedule of the options.
        batches: The training split, whose examples lie on the device.
    """

    def __init__(self, step: Step, batches: IndexedBatches) -> None:
        self.step, self.batches = step, batches
        self.device = device = step.runtime.device
        self.n_whole = batches.n_examples // batches.size
        """The number of whole batches of an epoch; a shorter last one is not captured."""
        self.is_possible = True
        """Whether steps can be taken in this way, as far as is known."""
        self.names: list[str] = []
        self._order = torch.arange(batches.n_examples, device=device)
        self._within = torch.arange(batches.size, device=device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._taken = torch.zeros((), dtype=torch.int64, device=device)
        self._log = torch.empty(0)
        self._lr: list[tuple[Tensor, Tensor]] = []
        for turn in step.turns:
            if turn.rate is None:
                continue
            # A table has the schedule's own values; a formula on the device would round otherwise.
            table = torch.tensor(
                [turn.rate(t) for t in range(step.n_steps)], dtype=torch.float32, device=device
            )
            for group in turn.groups:
                group["lr"] = table[0].clone()
                self._lr.append((group["lr"], table))
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_warm = 0

    def take(
        self, epoch: int, start: int, requests: StopRequests, most: float = inf
    ) -> tuple[list[str], Tensor]:
        """Take the whole batches of an epoch that are left, until a signal comes.

        It waits for the device at the end, and nowhere else.

        Arguments:
            epoch: The index of the epoch.
            start: The number of the first batch.
            requests: The requests to stop.
            most: The largest number of batches.

        Returns:
            The names of the scalars and their values, with shape (K, n), of the K steps taken.
        """
        self.step.begin()
        # A milestone may replace tensors that a graph refers to.
        is_possible = not self.step.has_milestones_ahead
        order = self.batches.order(epoch)
        if order is not None:
            self._order.copy_(order)
        self._number.fill_(start)
        self._taken.fill_(self.step.n_taken)
        number = start
        end = min(self.n_whole, start + most)
        while is_possible and number < end and not requests.signal:
            self()
            number += 1
            is_possible = self.is_possible
        self.step.n_taken += number - start
        self.step.position = max(self.step.n_taken - 1, 0)
        values = self._log[start:number].clone()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.names, values

    def __call__(self) -> None:
        """Take the next step."""
        if self._graph is not None:
            self._graph.replay()
        elif self._n_warm == 0:
            with waits(self.device) as waited, Watch() as watch:
                self._run_beside()
            if watch.reads or waited:
                self._give_up()
        elif self.device.type != "cuda":
            self._run()
        elif self._n_warm < WARM_UP:
            self._run_beside()
        else:
            self._graph = self._recorded()
            if self._graph is None:
                self._give_up()
                self._run()
            else:
                self._graph.replay()

    def _recorded(self) -> torch.cuda.CUDAGraph | None:
        """Return a step as a graph, which is not taken yet; None where it cannot be recorded."""
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self.device.index or 0]
        state = generator.clone_state()
        try:
            with torch.cuda.graph(graph):
                self._run()
        except RuntimeError:
            # The generator would go on to draw as within a recording.
            generator.graphsafe_set_state(state)
            return None
        return graph

    def _give_up(self) -> None:
        """Go on without graphs, with learning rates that the host sets."""
        self.is_possible = False
        for group in (group for turn in self.step.turns for group in turn.groups):
            group["lr"] = float(group["lr"])

    def _run_beside(self) -> None:
        """Take a step on another stream than the main one, as a recording requires before it."""
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
        progress = self._taken / self.step.n_steps
        scalars = self.step.update(Batch(batch.x, batch.y, batch.c, self._taken, progress))
        values = torch.stack([value.float() for value in scalars.values()])
        if not self.names:
            self.names = list(scalars)
            self._log = values.new_zeros(self.n_whole, len(values))
        self._log.index_copy_(0, self._number[None], values[None])
        self._number += 1
        self._taken += 1


def captured_step(
    step: Step, batches: Batches, callbacks: Sequence[EventHandler], capture: bool | None
) -> CapturedStep | None:
    """Return the captured form of a step, where there can be one.

    A graph cannot contain changes that the host makes in every step: annealed modules, optimizers
    and schedulers of the user, callbacks that receive every step, and schedules by a clock.

    Arguments:
        step: The step.
        batches: The training split.
        callbacks: The callbacks of the training.
        capture: Whether to capture; on a GPU when None.
    """
    is_wanted = step.runtime.device.type == "cuda" if capture is None else capture
    indexed = batches.indexed() if is_wanted else None
    on_host = every_step(callbacks) or step.annealed or step.has_own_optimizer or step.clock
    if indexed is None or on_host or step.runtime.world_size > 1:
        return None
    return CapturedStep(step, indexed)
