"""The server of an explorer, on this machine unless another address is given."""

import errno
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

from reparam.errors import RunError
from reparam.explorer.explored import Explored
from reparam.explorer.neighbors import Neighbors
from reparam.explorer.shown import Looks
from reparam.runs.run import Run
from reparam.utils.arguments import as_int
from reparam.utils.optional import optional_module

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The addresses that only this machine reaches."""

LAST_PORT = 65_535


def explore(
    run: Run,
    data: object = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    browser: bool = True,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Show an app on a trained run in the browser, until it is stopped by Ctrl-C.

    Arguments:
        run: The run.
        data: The data that the run was trained on, where they are not loaded by name.
        host: The address to listen at; by default only this machine reaches it.
        port: The port to listen at; 0 for any that is free.
        browser: Whether to open the page in a browser.
        seed: The seed of every draw.
        say: A function that is called with the address of the page.

    Raises:
        MissingPackageError: NiceGUI is not installed.
        OptionError: A model without latent variables, or a port outside 0 to 65,535.
        RunError: A port that is in use, or an address that this machine does not have.
    """
    optional_module("nicegui", "app", "the explorer")
    source = run.dataset() if data is None else run.prepared(data)
    explored = Explored(run, source, seed)
    bound = listening(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{bound.getsockname()[1]}"
    with bound:
        _serve(explored, bound, host, address, browser, say)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Arguments:
        host: The address.
        port: The port; 0 for any that is free.

    Raises:
        OptionError: A port outside 0 to 65,535.
        RunError: A port that is in use, or an address that this machine does not have.
    """
    as_int("port", port, maximum=LAST_PORT)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RunError(f"port={port}: another program uses it; give another, or 0") from error
        raise RunError(f"host={host!r}, port={port}: cannot be listened at ({error})") from error


def _serve(
    explored: Explored,
    bound: socket.socket,
    host: str,
    address: str,
    browser: bool,
    say: Callable[[str], None],
) -> None:
    """Serve pages until the process is interrupted."""
    import uvicorn
    from fastapi import FastAPI
    from nicegui import ui
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from reparam.explorer.panels.page import build

    looks, neighbors = Looks(explored), Neighbors(explored)
    site = FastAPI(openapi_url=None)
    if host in LOOPBACK:
        # Another site that names this machine by a host of its own is refused.
        site.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])
    ui.run_with(
        site,
        root=lambda: build(looks, neighbors),
        title=f"{explored.view.name}: reparam explore",
        dark=None,
        tailwind=False,
        show_welcome_message=False,
    )
    say(f"exploring {explored.view.name} at {address} (Ctrl-C ends it)")
    if browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    config = uvicorn.Config(site, log_level="warning", timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
