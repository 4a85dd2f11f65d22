r"""Where a model trains: the device, the precision, and one process or several.

One device needs nothing but torch. Several devices or nodes are started by lightning-fabric, which
is imported only then, since its import takes as long as that of torch. Every process has the whole
model and a share of every batch, and the gradients are averaged,

.. math:: \nabla \mathcal L = \sum_r \frac{n_r}{n} \nabla \mathcal L_r,

where process r has :math:`n_r` of the n examples.
"""

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from reparam.errors import LostError, OptionError, unknown
from reparam.utils.arguments import numbers
from reparam.utils.launch import check_launch
from reparam.utils.terminal import stderr

T = TypeVar("T")

PRECISIONS = ("float32", "bfloat16", "float64")
"""The precisions by name."""

PATIENCE = timedelta(seconds=60)
"""The time in which all processes must take part in a step. One that has ended is noticed at once
by gloo; one that has stopped, or whose machine is gone, after this time."""

LONGEST = timedelta(days=1)
"""The time in which all processes must reach a place where they wait for the first one."""

_LOST = re.compile(
    r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|Timed out|monitoredBarrier|TCPStore"
)
"""How torch describes that another process of the run does not answer."""


@contextmanager
def answered() -> Iterator[None]:
    """Within the context, replace the errors of torch by which other processes do not answer.

    Raises:
        LostError: Another process has ended or does not answer.

    Example:
        >>> with answered():
        ...     raise RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1")
        Traceback (most recent call last):
        reparam.errors.LostError: another process of this run has ended; start it again
    """
    try:
        yield
    except RuntimeError as error:
        if _LOST.search(str(error)):
            raise LostError from error
        raise


class SingleDevice:
    """One device in one process.

    Arguments:
        device: The device.
        precision: One of ``PRECISIONS``.
    """

    rank = 0
    world_size = 1

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass: torch's autocast to bfloat16, or none."""
        return _autocast(self.device, self.precision)

    def alone(self) -> "SingleDevice":
        """Return the runtime of this process without the others: itself."""
        return self

    def average(self, values: Sequence[Tensor], weight: float = 1.0) -> None:
        """Average tensors over processes: there is one."""

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over processes: the tensor itself."""
        return value

    def first(self, value: T) -> T:
        """Return the value of the first process: the value itself."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes: the value itself."""
        return [value]

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights of the first one: there is one process."""


class _Started(NamedTuple):
    """This process among those that were started.

    Arguments:
        device: Its device.
        rank: Its number.
        world_size: The number of processes.
        steps: The group whose processes take part in every step.
        waits: The group whose processes wait for the first one, with values on the CPU.
    """

    device: torch.device
    rank: int
    world_size: int
    steps: "dist.ProcessGroup"
    waits: "dist.ProcessGroup"


class _SaysLost(logging.Handler):
    """Say that a process has ended, where lightning-fabric is about to end the others.

    Its watcher looks every 5 seconds, and ends processes that have not noticed it themselves.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print the sentence in place of the message of lightning-fabric."""
        print(f"reparam: {LostError()}", file=stderr(), flush=True)


@cache
def _started(device: str, devices: int, nodes: int) -> _Started:
    """Start the other processes, or join them if another program has started all."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.launchers import subprocess_script

    # Its messages say nothing else.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    watcher = logging.getLogger(subprocess_script.__name__)
    watcher.setLevel(logging.INFO)
    watcher.addHandler(_SaysLost())
    watcher.propagate = False
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=DDPStrategy())
    fabric.launch()
    steps = dist.new_group(timeout=PATIENCE)
    waits = dist.new_group(backend="gloo", timeout=LONGEST)
    return _Started(fabric.device, fabric.global_rank, fabric.world_size, steps, waits)


class SeveralDevices:
    """Several devices or nodes, a process each.

    Arguments:
        device: The type of device, ``cpu`` or ``cuda``.
        precision: One of ``PRECISIONS``.
        devices: The number of devices of each node.
        nodes: The number of nodes.
    """

    def __init__(self, device: str, precision: str, devices: int, nodes: int) -> None:
        self.device, self.rank, self.world_size, self._steps, self._waits = _started(
            device, devices, nodes
        )
        self.precision = precision

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass: torch's autocast to bfloat16, or none."""
        return _autocast(self.device, self.precision)

    def alone(self) -> SingleDevice:
        """Return the runtime of this process without the others."""
        return SingleDevice(self.device, self.precision)

    @torch.no_grad()
    def average(self, values: Sequence[Tensor], weight: float = 1.0) -> None:
        """Replace tensors by their weighted averages over processes, in one message.

        Arguments:
            values: The tensors, such as gradients, of the same shapes in all processes.
            weight: The weight of this process; the mean over processes is 1.
        """
        if not values:
            return
        flat = torch.cat([value.flatten() for value in values]) * weight
        with answered():
            dist.all_reduce(flat, group=self._steps)
        parts = (flat / self.world_size).split([value.numel() for value in values])
        for value, part in zip(values, parts, strict=True):
            value.copy_(part.view_as(value))

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over processes, on the CPU."""
        total = value.to(self.device, copy=True)
        with answered():
            dist.all_reduce(total, group=self._steps)
        return (total / self.world_size).cpu()

    def first(self, value: T) -> T:
        """Return the value of the first process, for which the others wait."""
        values = [value]
        with answered():
            dist.broadcast_object_list(values, 0, group=self._waits, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes in order, once all have one; tensors on the CPU."""
        values: list[Any] = [None] * self.world_size
        with answered():
            dist.all_gather_object(values, value, group=self._waits)
        return values

    @torch.no_grad()
    def share(self, module: nn.Module) -> None:
        """Give all processes the weights and buffers of the first one."""
        tensors = [each for each in (*module.parameters(), *module.buffers()) if each.numel()]
        # As bytes, which every backend can send.
        parts = [each.contiguous().flatten().view(torch.uint8) for each in tensors]
        flat = torch.cat([each.to(self.device) for each in parts])
        with answered():
            dist.broadcast(flat, 0, group=self._steps)
        for tensor, part in zip(tensors, flat.split([len(each) for each in parts]), strict=True):
            tensor.copy_(part.clone().view(tensor.dtype).view(tensor.shape))


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


Runtime = SingleDevice | SeveralDevices
"""Where a model trains."""


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of a name; ``auto`` is a GPU if there is one.

    Raises:
        OptionError: A device that torch does not know, or that this machine does not have.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    try:
        device = torch.device("cpu" if name == "auto" else name)
    except RuntimeError:
        raise unknown("device", name, ["auto", "cpu", "cuda", "cuda:0", "mps"]) from None
    if name != "auto" and device.type == "cpu":
        return device
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return accelerator or device
    found = 0 if accelerator is None else torch.accelerator.device_count()
    if accelerator is None or accelerator.type != device.type or (device.index or 0) >= found:
        raise OptionError(
            f"device={name!r} is not on this machine, which has {found} accelerators: "
            "use device='cpu' or device='auto'"
        )
    return device


def resolve_precision(
    name: str, device: torch.device, weights: torch.dtype | None = torch.float32
) -> str:
    """Return the precision of a name; ``auto`` is bfloat16 if the machine computes in it.

    Arguments:
        name: ``auto`` or one of ``PRECISIONS``.
        device: The device that computes.
        weights: The type of the model's weights; ``auto`` leaves float64 as it is.

    Raises:
        OptionError: An unknown precision, or one that does not fit the type of the weights.

    Example:
        >>> resolve_precision("float32", torch.device("cpu"))
        'float32'
    """
    if name not in ("auto", *PRECISIONS):
        raise unknown("precision", name, ["auto", *PRECISIONS])
    if weights in (torch.float16, torch.bfloat16):
        raise OptionError(
            f"weights of type {weights}: the updates of training are too small for this type; give "
            "model.float(), and precision='bfloat16' to compute in bfloat16"
        )
    if weights == torch.float64:
        if name not in ("auto", "float64"):
            raise OptionError(
                f"precision={name!r}: the weights are float64; leave it at 'auto' to train them as "
                "they are, or give model.float()"
            )
        return "float64"
    if name == "auto":
        return "bfloat16" if _computes_in_bfloat16(device) else "float32"
    return name


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without these instructions bfloat16 is emulated, and slower than float32.
        return torch.cpu._is_avx512_bf16_supported()
    return False


@numbers(devices=1, nodes=1)
def make_runtime(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Runtime:
    """Create the runtime for a number of devices.

    Several devices start the other processes at the first call, unless another program has.

    Arguments:
        device: The name of a device; see ``resolve_device``.
        precision: ``float32``, ``bfloat16`` or ``float64``; see ``resolve_precision``.
        devices: The number of devices of each node.
        nodes: The number of nodes.

    Raises:
        OptionError: Fewer than one device or node, a device that this machine does not have, or
            another number of processes than were started: see ``check_launch``.
    """
    place = resolve_device(device)
    if devices == nodes == 1:
        return SingleDevice(place, precision)
    check_launch(devices, nodes)
    found = devices if place.type == "cpu" else torch.accelerator.device_count()
    if devices > found:
        raise OptionError(
            f"devices={devices}: this machine has {found} of type {place.type!r}; give "
            f"devices={found}, or device='cpu'"
        )
    if sys.flags.interactive or "ps1" in vars(sys):
        raise OptionError(
            f"devices={devices}: the other processes run the same program from its start, which a "
            "notebook or an interactive session has not; put it into a file, or give devices=1"
        )
    return SeveralDevices(place.type, precision, devices, nodes)
