"""One thread that computes: requests wait in a queue, and those of one kind are joined.

The thread takes the request that waits longest, and with it those that have the same key, until
there are enough rows or a short time has passed. The rows are computed together, and every request
gets its own rows back. Only computations whose rows do not depend on each other, and that draw
nothing, have a key. All others are computed alone, under their own seed. A long one is computed in
parts of some hundred examples, and after each part the waiting requests with a key are computed. So
a result does not depend on which requests were joined, up to the rounding of float32.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from torch import Tensor

from reparam.batch import Batch, concatenated
from reparam.isolation import Progress
from reparam.serving.limits import MOST_WINDOWS, Limits
from reparam.serving.metrics import Metrics
from reparam.serving.problems import overload, unavailable

Alone = Callable[[Progress], Any]
"""A computation that is not joined. It calls its argument after every part, which may end it."""


@dataclass(frozen=True)
class Joinable:
    """A computation of one row for each example, which draws nothing.

    Arguments:
        key: What is equal of computations that can be joined.
        compute: The function of examples.
        batch: The examples.
    """

    key: Hashable
    compute: Callable[[Batch], Tensor]
    batch: Batch


@dataclass(frozen=True)
class Work:
    """What one request waits for.

    Arguments:
        operation: The name of the operation, in metrics.
        job: The computation.
        future: The place of the result.
        loop: The loop that the future belongs to.
        since: When it began to wait.
        until: When nobody waits for it any more.
    """

    operation: str
    job: Joinable | Alone
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    since: float
    until: float

    @property
    def rows(self) -> int:
        """The number of examples; 1 for work that is not joined."""
        return len(self.job.batch) if isinstance(self.job, Joinable) else 1

    def is_like(self, other: "Work") -> bool:
        """Whether the two can be computed together."""
        if not isinstance(self.job, Joinable) or not isinstance(other.job, Joinable):
            return False
        return self.operation == other.operation and self.job.key == other.job.key

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the result."""
        return self.future.done() or monotonic() > self.until

    def check(self) -> None:
        """End a computation that nobody waits for.

        Raises:
            Problem: Its time is over.
        """
        if self.is_over:
            raise unavailable("the time of the request is over")


@dataclass
class Batcher:
    """The queue, and the thread that works on it.

    Arguments:
        limits: The largest batch, the time to wait for it, and the number that may wait.
        metrics: The counters.
    """

    limits: Limits
    metrics: Metrics
    _waiting: deque[Work] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_closed: bool = False
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="reparam-model", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Finish what waits, for at most so long, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether the thread works."""
        return self._thread is not None and self._thread.is_alive() and not self._is_closed

    @property
    def n_waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    async def result(self, operation: str, job: Joinable | Alone) -> Any:
        """Return the result of a computation, in its turn.

        Arguments:
            operation: The name of the operation.
            job: The computation.

        Raises:
            Problem: The queue is full or closed.
        """
        loop, now = asyncio.get_running_loop(), monotonic()
        until = now + self.limits.max_seconds
        work = Work(operation, job, loop.create_future(), loop, now, until)
        with self._changed:
            if self._is_closed:
                raise unavailable("the server is stopping")
            if len(self._waiting) >= self.limits.max_waiting:
                self._waiting = deque(work for work in self._waiting if not work.is_over)
            if len(self._waiting) >= self.limits.max_waiting:
                raise overload(self.limits.max_waiting)
            self._waiting.append(work)
            self._changed.notify()
        return await work.future

    def _work(self) -> None:
        while (works := self._next()) is not None:
            self._compute(works)

    def _compute(self, works: list[Work]) -> None:
        """Compute one work, or several that can be joined, and give each its result."""
        started = [work for work in works if not work.is_over]
        if started:
            self.metrics.batch_size.labels(started[0].operation).observe(
                sum(work.rows for work in started)
            )
            _deliver(started, self._computed(started))

    def _computed(self, works: list[Work]) -> list[Any]:
        """Return the result, or the error, of one work, or of each of several of one kind."""
        first, *others = works
        try:
            if not isinstance(first.job, Joinable):
                return [first.job(self._after_part(first))]
            batches = [work.job.batch for work in works if isinstance(work.job, Joinable)]
            joint = concatenated(batches, sum(map(len, batches))) if others else first.job.batch
            return list(first.job.compute(joint).split([len(batch) for batch in batches]))
        except Exception as error:
            # Of several, only some may be to blame.
            return [self._computed([work])[0] for work in works] if others else [error]

    def _after_part(self, work: Work) -> Progress:
        """Return what a computation calls after every part of it.

        It ends the computation if nobody waits for it, and computes what waits and can be joined.
        """

        def check(done: int, of: int) -> None:
            work.check()
            if done >= of:
                return
            with self._changed:
                short = next((w for w in self._waiting if isinstance(w.job, Joinable)), None)
                passing = [] if short is None else self._taken(short)
            self._compute(passing)

        return check

    def _window(self, first: Work) -> float:
        """Return until when others can be joined: as long as requests keep coming, up to a limit.

        So a request alone waits for one window, and many requests make few large batches.
        """
        window = self.limits.window_ms / 1000
        last = max((w.since for w in self._waiting if w.is_like(first)), default=first.since)
        return min(last + window, first.since + MOST_WINDOWS * window)

    def _next(self) -> list[Work] | None:
        """Wait, and return works to compute together; None when the queue is closed and empty."""
        most = self.limits.batch_size
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if not self._waiting:
                return None
            first = self._waiting[0]
            if not isinstance(first.job, Joinable):
                return [self._waiting.popleft()]
            while not self._is_closed and (left := self._window(first) - monotonic()) > 0:
                if sum(work.rows for work in self._waiting if work.is_like(first)) >= most:
                    break
                self._changed.wait(left)
            return self._taken(first)

    def _taken(self, first: Work) -> list[Work]:
        """Take a work out of the queue, and those that fit into one batch with it."""
        works: list[Work] = []
        others: deque[Work] = deque()
        n = 0
        for work in self._waiting:
            fits = work.is_like(first) and n + work.rows <= self.limits.batch_size
            if fits or work is first:
                works.append(work)
                n += work.rows
            else:
                others.append(work)
        self._waiting = others
        return works


def _deliver(works: list[Work], results: list[Any]) -> None:
    """Give results to the works, in the loop that waits for them."""

    def set_all() -> None:
        for work, result in zip(works, results, strict=True):
            if work.future.done():
                continue
            if isinstance(result, Exception):
                work.future.set_exception(result)
            else:
                work.future.set_result(result)

    try:
        works[0].loop.call_soon_threadsafe(set_all)
    except RuntimeError:  # the loop is closed, and nobody waits
        return
