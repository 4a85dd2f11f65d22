"""The limits of a server: what one request may ask for, and how many may wait."""

from dataclasses import dataclass

from reparam.errors import OptionError
from reparam.utils.arguments import as_float, numbers

MOST_WINDOWS = 5
"""The number of windows that a request waits at most for others that are joined with it."""


@numbers(max_body_mb=1, max_rows=1, max_samples=2, max_waiting=1, batch_size=1)
@dataclass(frozen=True)
class Limits:
    """What one request may ask for, how many requests may wait, and how they are joined.

    Arguments:
        max_body_mb: The largest body of a request, in MiB.
        max_rows: The largest number of examples in a request, and that may be drawn by one.
        max_samples: The largest number of importance samples for each example.
        max_seconds: The time that a request may take, waiting included, in seconds.
        max_waiting: The number of requests that may wait; others are refused until some are done.
        batch_size: The number of examples from which on no further requests are joined.
        window_ms: The time that a request waits for another one that can be joined with it, in
            milliseconds. Each further request restarts this time; in all it is at most five times
            as long.

    Raises:
        OptionError: A number out of its range.

    Example:
        >>> Limits(max_rows=10).max_rows
        10
    """

    max_body_mb: int = 16
    max_rows: int = 1000
    max_samples: int = 1000
    max_seconds: float = 30.0
    max_waiting: int = 256
    batch_size: int = 64
    window_ms: float = 2.0

    def __post_init__(self) -> None:
        as_float("max_seconds", self.max_seconds, minimum=0.0, open_ends=True)
        as_float("window_ms", self.window_ms, minimum=0.0)
        if MOST_WINDOWS * self.window_ms > 1000 * self.max_seconds:
            raise OptionError(
                f"window_ms={self.window_ms}: a request may wait for {MOST_WINDOWS} windows, which "
                f"are longer than max_seconds={self.max_seconds}, the time of a whole request; "
                f"give at most {1000 * self.max_seconds / MOST_WINDOWS:g}"
            )
