"""What an objective is given: one minibatch."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One minibatch on the device.

    Arguments:
        x: The examples, with shape (B, *shape).
        y: Their labels, with shape (B,); None without labels.
        c: What the model is conditioned on, with shape (B, C); None for an unconditional model.
        step: The number of optimizer steps taken before this batch, for schedules. None outside
            training, where every schedule has its last value.
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None
    step: int | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])
