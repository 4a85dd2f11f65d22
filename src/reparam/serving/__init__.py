"""Trained runs behind an HTTP server.

::

    reparam serve runs/people-vae-1 --port 8000

In Python ``serve`` does the same, and ``application`` returns the ASGI application alone.
"""

from reparam.utils.lazy import lazy
from reparam.utils.optional import optional_module

for _name in ("fastapi", "uvicorn", "prometheus_client"):
    optional_module(_name, "serve", "a server")

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
