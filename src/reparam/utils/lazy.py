"""Lazy imports: the public names of a package are imported when they are first used.

The names stand once, in the stub ``__init__.pyi`` of the package, as the imports that type checkers
and editors read. At run time the same stub says where a name is imported from.
"""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from reparam.errors import nearest


def stub_imports(stub: str) -> dict[str, tuple[str, str]]:
    """Return the names that the text of a stub imports, each with its module and its name there.

    Each name is imported by its own statement, so that a parser is not needed.

    >>> stub_imports("from math import pi as pi\\nfrom math import sqrt as root")
    {'pi': ('math', 'pi'), 'root': ('math', 'sqrt')}
    """
    imports = re.findall(r"^from (\S+) import \(?\s*(\w+) as (\w+)", stub, re.MULTILINE)
    return {name: (module, known) for module, known, name in imports}


def lazy(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package with a stub.

    Arguments:
        package: The name of the package.
        file: Its ``__file__``; the stub is beside it.

    References:
        Scientific Python, SPEC 1: Lazy loading of submodules and functions, 2023.
    """
    where = stub_imports(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))

    def attribute(name: str) -> Any:
        from importlib.util import find_spec  # slow to import, and not needed for --help

        module, known = where.get(name, (package, name))
        if module == package and find_spec(f"{package}.{known}"):
            return import_module(f"{package}.{known}")  # a file or folder of the package
        if name not in where:
            close = nearest(name, where)
            hint = f": did you mean {close!r}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        return getattr(import_module(module), known)  # a module is an object with any names

    public = [name for name in where if not name.startswith("_")]
    return attribute, lambda: sorted(where), public
