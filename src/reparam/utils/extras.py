"""Packages that only a part of the library needs."""

from importlib import import_module
from typing import Any

from reparam.errors import ReparamError, RunError


def imported(package: str, extra: str, what: str, error: type[ReparamError] = RunError) -> Any:
    """Return the module of an optional package.

    Arguments:
        package: The name of the module.
        extra: The extra of this library that installs it.
        what: What needs it, as the message begins.
        error: The class of the error.

    Raises:
        ReparamError: The package is not installed, with the command that installs it.

    Example:
        >>> imported("no_such_package", "sweep", "a sweep")
        Traceback (most recent call last):
        reparam.errors.RunError: a sweep needs no_such_package: pip install 'reparam[sweep]'
    """
    try:
        return import_module(package)
    except ImportError as missing:
        raise error(f"{what} needs {package}: pip install 'reparam[{extra}]'") from missing
