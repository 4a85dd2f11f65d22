"""Registries: mappings from names to variants, families, priors, data sources and the like."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from reparam.errors import OptionError, folded, unknown

T = TypeVar("T")


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
