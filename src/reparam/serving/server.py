"""A server on a socket: its address, its key, and how it stops."""

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import uvicorn

from reparam.errors import OptionError
from reparam.runs.run import Run
from reparam.serving.app import application
from reparam.serving.limits import Limits
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, reason
from reparam.utils.terminal import note

VARIABLE = "REPARAM_API_KEY"
"""The environment variable that holds the key."""

SHORTEST_KEY = 16
"""The least number of characters of a key."""

MOST_CONNECTIONS = 1000
"""The largest number of connections; further ones are answered 503."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def api_key(file: str | Path | None = None) -> str | None:
    """Return the key in a file or, without one, in the environment; None where there is none.

    Arguments:
        file: The file, which holds the key alone.

    Raises:
        OptionError: A file that cannot be read, or a key that is short or no visible ASCII.
    """
    if file is None:
        name, text = VARIABLE, os.environ.get(VARIABLE)
        if text is None:
            return None
    else:
        path = as_path(file, "api_key_file")
        name = f"api_key_file={str(path)!r}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OptionError(f"{name}: cannot be read ({reason(error)}); give another") from error
    key = text.strip()
    if len(key) < SHORTEST_KEY or not all("!" <= character <= "~" for character in key):
        raise OptionError(
            f"{name}: a key has at least {SHORTEST_KEY} visible ASCII characters; make one, for "
            "example by python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return key


@numbers(port=0, drain_seconds=1)
def serve(
    runs: Mapping[str, Run],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key_file: str | Path | None = None,
    limits: Limits | None = None,
    drain_seconds: int = 30,
    started: Callable[[str], None] = note,
) -> None:
    """Answer requests for runs until the process is asked to stop (Ctrl-C, SIGTERM).

    Then no further requests are taken, those that wait are answered, and the signal takes its usual
    effect, after at most ``drain_seconds`` and two seconds.

    Arguments:
        runs: The runs by the names that they have in addresses.
        host: The address to listen on; beyond this machine a key is needed.
        port: The port; 0 for any that is free.
        api_key_file: The file that holds the key which every request must have; without it the
            environment variable ``REPARAM_API_KEY`` may hold one.
        limits: The limits of a request.
        drain_seconds: The time for requests that were taken before, in seconds.
        started: Called with a sentence that holds the address.

    Raises:
        OptionError: An address beyond this machine without a key, or that cannot be listened on;
            a key that cannot be used.
    """
    key = api_key(api_key_file)
    if key is None and not is_loopback(host):
        raise OptionError(
            f"host={host!r}: listens beyond this machine, which needs a key; give a file that "
            f"holds one as api_key_file=..., or set {VARIABLE}"
        )
    server: uvicorn.Server
    app = application(runs, api_key=key, limits=limits, is_draining=lambda: server.should_exit)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=drain_seconds,
    )
    server = uvicorn.Server(config)
    with listening(host, port) as own:
        place = own.getsockname()
        name = f"[{place[0]}]" if own.family == socket.AF_INET6 else place[0]
        started(f"serving {', '.join(runs)} on http://{name}:{place[1]}; Ctrl-C stops it")
        server.run(sockets=[own])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OptionError: An unknown host, or a port that is in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found[4][:2], family=found[0])
    except (OSError, OverflowError) as error:
        raise OptionError(
            f"host={host!r}, port={port}: cannot be listened on ({reason(error)}); give another"
        ) from error
