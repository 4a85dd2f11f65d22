"""Work on the newest request only: those that come while one is under way replace each other."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """A function that is called with the newest value, and with no value that is outdated.

    Arguments:
        work: The function.

    Example:
        >>> import asyncio
        >>> seen = []
        >>> async def work(value):
        ...     seen.append(value)
        ...     await asyncio.sleep(0)
        >>> async def requests():
        ...     newest = Newest(work)
        ...     await asyncio.gather(*(newest(i) for i in range(10)))
        >>> asyncio.run(requests())
        >>> seen
        [0, 9]
    """

    def __init__(self, work: Callable[[T], Awaitable[None]]) -> None:
        self._work = work
        self._waiting: list[T] = []
        self._is_busy = False

    async def __call__(self, value: T) -> None:
        """Do the work for a value, unless a newer one comes before its turn."""
        self._waiting = [value]
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._waiting:
                await self._work(self._waiting.pop())
        finally:
            self._is_busy = False
