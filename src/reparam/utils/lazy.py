"""Lazy imports: the public names of a package are imported when they are first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from reparam.errors import nearest


def lazy(
    package: str, names: Mapping[str, str], modules: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Return a function for ``__getattr__`` of a package, which imports a name on first use.

    Arguments:
        package: The name of the package.
        names: The full name of the module of each name.
        modules: The full name of each module that is a public name itself.

    Example:
        >>> attribute = lazy("some", {"sqrt": "math"}, {"math": "math"})
        >>> attribute("sqrt")(4.0), attribute("math").__name__
        (2.0, 'math')
    """

    known = {**names, **(modules or {})}

    def attribute(name: str) -> Any:
        if name not in known:
            close = nearest(name, known)
            hint = f": did you mean {close!r}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module = import_module(known[name])
        return getattr(module, name) if name in names else module

    return attribute
