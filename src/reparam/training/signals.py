"""Requests to stop training: Ctrl-C, SIGTERM, or a callback.

A signal is remembered and handled after the current step, so that the state can be saved.
"""

import signal
import threading
from types import FrameType
from typing import Self

import torch

from reparam.training.runtime import Runtime


class StopRequests:
    """The requests to stop that came while the context lasts. A second signal acts at once.

    Example:
        >>> with StopRequests() as requests:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     requests.signal == signal.SIGTERM
        True
    """

    def __init__(self) -> None:
        self.signal = 0
        """The number of the signal that came; 0 for none."""
        self.ends_training = False
        """Whether a callback has ended the training, in all processes."""
        self._by_callback = False
        self._before: dict[int, object] = {}

    def from_callback(self) -> None:
        """Request the end of the training, as a callback does."""
        self._by_callback = True

    def agreed(self, runtime: Runtime) -> int:
        """Return the signal that came to any process, and set ``ends_training`` in all of them.

        All processes must stop at the same step, since each waits for the others in a step.
        """
        if runtime.world_size == 1:
            self.ends_training = self._by_callback
            return self.signal
        flags = torch.tensor([float(self.signal > 0), float(self._by_callback)])
        by_signal, self.ends_training = (runtime.mean(flags) > 0).tolist()
        return self.signal or (signal.SIGTERM if by_signal else 0)

    def __enter__(self) -> Self:
        self.signal, self.ends_training, self._by_callback = 0, False, False
        # Only the main thread may set handlers; elsewhere the signals keep their usual effect.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
