"""One root error, and the sentences that errors are made of.

Every message names the thing, its value, the rule that it breaks and the fix.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Named = TypeVar("Named")


class ReparamError(Exception):
    """The root of every error that reparam raises on purpose."""


class OptionError(ReparamError, ValueError):
    """An option, argument or configuration key that is unknown or has a value it cannot have."""


class DataError(ReparamError, ValueError):
    """Data that are missing, damaged, out of range or of the wrong length."""


class ShapeError(ReparamError, ValueError):
    """A tensor whose shape does not fit the part it was given to."""


class SupportError(ReparamError, ValueError):
    """A distribution asked about values, or about another distribution, outside its support."""


class RunError(ReparamError, RuntimeError):
    """A run folder that cannot be used as asked."""


class WriteError(RunError):
    """A file or folder that cannot be written."""


class CheckpointError(RunError):
    """A checkpoint that is damaged, missing or from another format."""


class MissingPackageError(ReparamError, ImportError):
    """An optional package that is not installed."""


class LostError(RunError):
    """Another process of the same run, which has ended or does not answer.

    Arguments:
        advice: One clause on what to do.
    """

    def __init__(self, advice: str = "start it again") -> None:
        super().__init__(f"another process of this run has ended; {advice}")


class NonFiniteError(ReparamError, ArithmeticError):
    """A loss that became infinite or not a number."""


class Interrupted(ReparamError):
    """A run that was asked to stop (Ctrl-C, SIGTERM) and has saved itself.

    Arguments:
        message: What was saved, and how to go on.
        signal_number: The signal that asked.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


_MANY = 12
"""With a suggestion at hand, longer lists of names are left out."""


def nearest(name: object, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name closest to ``name``, or None when nothing is close.

    Arguments:
        name: What was written.
        known: What exists.
        cutoff: The least likeness, from 0 to 1.

    >>> nearest("beta-vea", ["vae", "beta-vae"])
    'beta-vae'
    """
    by_folded = {folded(k): k for k in known}
    close = get_close_matches(folded(name), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def folded(name: object) -> str:
    """Return a name in lower case with dashes for underscores, as names are compared."""
    return str(name).lower().replace("_", "-")


def named(kind: str, name: object, known: Mapping[str, Named]) -> Named:
    """Return what goes by a name.

    Raises:
        OptionError: A name that is none of these, or no text at all.

    Example:
        >>> named("constant", "pi", {"pi": 3.14})
        3.14
        >>> named("constant", ["pi"], {"pi": 3.14})
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown constant ['pi']: did you mean 'pi'? Known: pi
    """
    if not isinstance(name, str) or name not in known:
        raise unknown(kind, name, known)
    return known[name]


def unknown(kind: str, name: object, known: Iterable[str]) -> OptionError:
    """Return the error for a name that is not one of those known.

    >>> print(unknown("variant", "beta-vea", ["vae", "beta-vae"]))
    unknown variant 'beta-vea': did you mean 'beta-vae'? Known: vae, beta-vae
    """
    known = list(known)
    close = nearest(name, known)
    hint = f" did you mean {close!r}?" if close else ""
    listed = "" if close and len(known) > _MANY else f" Known: {', '.join(known) or 'none'}"
    return OptionError(f"unknown {kind} {name!r}:{hint}{listed}")
