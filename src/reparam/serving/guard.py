"""What every request passes before it is answered: the key, the host, the state, the clock."""

import asyncio
import hmac
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reparam.serving.answers import answer_of
from reparam.serving.metrics import Metrics
from reparam.serving.problems import Problem, unavailable

PROBES = ("/health", "/ready")
"""The paths that need no key, and that a server which stops answers too."""

LOOPBACK_NAMES = (b"localhost", b"127.0.0.1", b"[::1]")
"""The names under which a server without a key is addressed."""


class Guard:
    """The middleware around all routes.

    Without a key only requests to a name of this machine are answered. Otherwise a page in a
    browser could let its own name point here, and read the answers.

    Arguments:
        app: The application.
        key: The key that requests must have; None for a server on this machine alone.
        metrics: The counters.
        max_seconds: The time that a request may take.
        is_draining: Returns whether the server stops.
    """

    def __init__(
        self,
        app: ASGIApp,
        key: str | None,
        metrics: Metrics,
        max_seconds: float,
        is_draining: Callable[[], bool],
    ) -> None:
        self._app, self._metrics, self._max_seconds = app, metrics, max_seconds
        self._key = None if key is None else key.encode()
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            try:
                self._check(scope)
                async with asyncio.timeout(self._max_seconds):
                    await self._app(scope, receive, counted)
            except Problem as problem:
                await answer_of(problem)(scope, receive, counted)
            except asyncio.CancelledError:
                # A server that stops waits for so long, and then ends what is not answered.
                if status == 0:
                    await answer_of(unavailable("the server is stopping"))(scope, receive, counted)
            except TimeoutError:
                late = unavailable(f"a request takes at most {self._max_seconds:g} seconds")
                if status == 0:
                    late.headers = {**late.headers, "Connection": "close"}
                    await answer_of(late)(scope, receive, counted)
        finally:
            # Unknown paths are counted together, so that clients cannot add counters.
            route = scope.get("route")
            path = "other" if route is None else route.path
            self._metrics.done(path, status or 500, perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        """Refuse a request without the key, to another host, or while the server stops.

        Raises:
            Problem: Why it is refused.
        """
        headers = dict(scope["headers"])
        if self._key is None:
            host = headers.get(b"host", b"")
            name = host[: host.rfind(b"]") + 1] or host.partition(b":")[0]
            if name.lower() not in LOOPBACK_NAMES:
                raise Problem(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "without a key the server is addressed as localhost",
                    "use http://127.0.0.1, or start the server with a key",
                    "Host",
                )
        elif scope["path"] not in PROBES:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._key):
                raise Problem(
                    HTTPStatus.UNAUTHORIZED,
                    "the key of the server is needed",
                    "send the header 'Authorization: Bearer KEY'",
                    "Authorization",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if self._is_draining() and scope["path"] not in PROBES:
            raise unavailable("the server is stopping")
