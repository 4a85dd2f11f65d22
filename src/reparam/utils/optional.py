"""Optional packages, which an extra of reparam installs."""

from importlib import import_module
from types import ModuleType

from reparam.errors import MissingPackageError


def optional_module(name: str, extra: str, what: str) -> ModuleType:
    """Return the module of an optional package.

    Arguments:
        name: The module.
        extra: The extra of reparam that installs it.
        what: What needs it, as the subject of a sentence.

    Raises:
        MissingPackageError: It is not installed.

    Example:
        >>> optional_module("no_such_module", "circles", "a circle")
        Traceback (most recent call last):
        reparam.errors.MissingPackageError: a circle needs no_such_module: pip install ...
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError(f"{what} needs {name}: pip install 'reparam[{extra}]'") from error
