"""Registries: mappings from names to variants, families, priors, data sources and the like."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from reparam.errors import OptionError, folded, unknown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
C = TypeVar("C", bound=type)


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to entries of one kind, in the order in which they were added.

    Names are compared in lower case, with dashes for underscores.

    Arguments:
        kind: The word for an entry in messages, such as ``variant``.

    Example:
        >>> priors = Registry("prior")
        >>> priors.add("standard-normal", 1)
        1
        >>> priors["Standard_Normal"], list(priors)
        (1, ['standard-normal'])
        >>> priors["standard-norm"]
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown prior 'standard-norm': did you mean ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Add an entry, and return it.

        Raises:
            OptionError: The name exists already.
        """
        if folded(name) in self._entries:
            raise OptionError(f"{self.kind} {name!r} exists already: choose another name")
        self._entries[folded(name)] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds the decorated object under a name."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        """Return the entry of a name.

        Raises:
            OptionError: An unknown name; the message has the nearest one.
        """
        found = folded(name)
        if not isinstance(name, str) or found not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[found]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and folded(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class Part(Generic[T_co]):
    """A registered class and the options of its constructor; the object is made later.

    Parts are compared by value, and class attributes are readable without an instance.

    Arguments:
        name: The name of the part.
        kind: The class.
        options: Keyword arguments of the class.
    """

    name: str
    kind: type[T_co]
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_options(self, **options: object) -> "Part[T_co]":
        """Return the part with further options.

        >>> Part("fraction", int).with_options(base=2).options
        {'base': 2}
        """
        return replace(self, options={**self.options, **options})


class PartRegistry(Registry[Part[T]], Generic[T]):
    """A registry of classes of which a model is composed, such as priors.

    Example:
        >>> parts = PartRegistry[object]("part")
        >>> @parts.part("pair", size=2)
        ... class Group: ...
        >>> parts["pair"].options
        {'size': 2}
    """

    def part(self, name: str, **options: object) -> Callable[[C], C]:
        """Return a decorator that registers a class as a part.

        Arguments:
            name: The name of the part.
            options: Keyword arguments of the class that the name stands for.
        """

        def decorated(kind: C) -> C:
            self.add(name, Part(name, kind, options))
            return kind

        return decorated


def parameters_of(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class's constructor by name."""
    return inspect.signature(kind).parameters


def discover(package: str, path: Iterable[str]) -> list[str]:
    """Import all modules of a package, so that each registers what it defines.

    Arguments:
        package: The name of the package.
        path: Its ``__path__``.

    Returns:
        The names that the package itself has imported from its modules, for its ``__all__``.
    """
    for module in iter_modules(path):
        import_module(f"{package}.{module.name}")
    names = vars(import_module(package))
    return [
        name
        for name, value in names.items()
        if not (name.startswith("_") or inspect.ismodule(value) or value is discover)
    ]
