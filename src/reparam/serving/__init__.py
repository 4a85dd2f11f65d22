"""Trained runs behind an HTTP server.

::

    reparam serve runs/people-vae-1 --port 8000

In Python ``serve`` does the same, and ``application`` returns the ASGI application alone.
"""

from typing import Any

from reparam.utils.lazy import lazy
from reparam.utils.optional import optional_module

_attribute, __dir__, __all__ = lazy(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Return a name of the package; all but the limits need the packages of a server."""
    if name in ("application", "serve"):
        for package in ("fastapi", "uvicorn", "prometheus_client"):
            optional_module(package, "serve", "a server")
    return _attribute(name)
