"""Ctrl-C and SIGTERM as a wish to stop at the next step, not as a crash in the middle of one."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class StopSignal:
    """Remember that Ctrl-C or SIGTERM came, while the context lasts. The second one is immediate.

    Example:
        >>> with StopSignal() as stop:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stop.received == signal.SIGTERM
        True
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere the signals keep their usual effect.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
