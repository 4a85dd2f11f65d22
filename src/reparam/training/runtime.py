"""Where a model trains: the device, the precision, and one process or several.

One device needs nothing but torch. Several devices or nodes use lightning-fabric, which is imported
only then, since its import takes as long as that of torch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from reparam.errors import OptionError, unknown
from reparam.training.optimizers import Optimizer
from reparam.utils.arguments import numbers

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float64": "64-true"}
"""Precisions by name, with the names of lightning-fabric."""


class SingleDevice:
    """One device in one process.

    Arguments:
        device: The device.
        precision: A key of ``PRECISIONS``.
    """

    rank = 0
    world_size = 1

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision

    def setup(
        self, module: nn.Module, optimizers: Sequence[Optimizer]
    ) -> tuple[nn.Module, Sequence[Optimizer]]:
        """Return the module and the optimizers, ready to train: as they are."""
        return module, optimizers

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass: torch's autocast to bfloat16, or none."""
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over processes: the tensor itself."""
        return value

    def broadcast(self, value: str) -> str:
        """Return the text of the first process: the text itself."""
        return value

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights of the first one: there is one process."""


class SeveralDevices:
    """Several devices or nodes, through lightning-fabric.

    Arguments:
        device: The type of device, ``cpu`` or ``cuda``.
        precision: A key of ``PRECISIONS``.
        devices: The number of devices of each node, one process each.
        nodes: The number of nodes.
        has_players: Whether the recipe has players, whose losses use a part of the parameters.
    """

    def __init__(
        self, device: str, precision: str, devices: int, nodes: int, has_players: bool
    ) -> None:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

        self._fabric = Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            # The loss of a player may use a part of the parameters only.
            strategy=DDPStrategy(find_unused_parameters=has_players),
            precision=PRECISIONS[precision],  # type: ignore[arg-type]
        )
        self._fabric.launch()
        self.device = self._fabric.device
        self.rank: int = self._fabric.global_rank
        self.world_size: int = self._fabric.world_size

    def setup(
        self, module: nn.Module, optimizers: Sequence[Optimizer]
    ) -> tuple[nn.Module, Sequence[Optimizer]]:
        """Return the module and the optimizers wrapped by fabric, which averages gradients."""
        ready, *wrapped = self._fabric.setup(module, *optimizers)  # type: ignore[arg-type]
        return ready, wrapped

    def autocast(self) -> AbstractContextManager[Any]:
        """Return no context: fabric's modules set the precision themselves."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over processes."""
        self._fabric.backward(loss)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over processes, on the CPU."""
        mean = self._fabric.all_reduce(value.to(self.device), reduce_op="mean")
        return mean.cpu()  # type: ignore[union-attr]

    def broadcast(self, value: str) -> str:
        """Return the text of the first process."""
        return str(self._fabric.broadcast(value))

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights and buffers of the first one."""
        for tensor in module.state_dict().values():
            tensor.copy_(self._fabric.broadcast(tensor))


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
        name: ``auto`` or a key of ``PRECISIONS``.
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
def make_runtime(
    device: str, precision: str, devices: int = 1, nodes: int = 1, has_players: bool = False
) -> Runtime:
    """Create the runtime for a number of devices.

    Arguments:
        device: The name of a device; see ``resolve_device``.
        precision: ``float32``, ``bfloat16`` or ``float64``; see ``resolve_precision``.
        devices: The number of devices of each node.
        nodes: The number of nodes.
        has_players: Whether the recipe has players, whose losses use a part of the parameters.

    Raises:
        OptionError: Fewer than one device or node, or a device that this machine does not have.
    """
    place = resolve_device(device)
    if devices == nodes == 1:
        return SingleDevice(place, precision)
    return SeveralDevices(place.type, precision, devices, nodes, has_players)
