"""Packages whose names are imported when they are first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from reparam.errors import nearest


def lazy(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that imports a name when it is first asked for.

    Arguments:
        package: The name of the package.
        where: The module that each name is in; a module's own name for the module itself.

    Example:
        >>> attribute = lazy("some", {"sqrt": "math", "math": "math"})
        >>> attribute("sqrt")(4.0), attribute("math").__name__
        (2.0, 'math')
    """

    def attribute(name: str) -> Any:
        if name not in where:
            close = nearest(name, where)
            hint = f": did you mean {close!r}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module = import_module(where[name])
        return module if where[name].rpartition(".")[2] == name else getattr(module, name)

    return attribute
