"""Damaged examples that are left out on request: their number, and the names of the first."""

from collections.abc import Collection

from reparam.errors import DataError

N_NAMED = 3
"""The largest number of examples or files that a note names."""


def listed(names: Collection[str]) -> str:
    """Return the first few names, and an ellipsis if there are more.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d"])
    ('a, b', 'a, b, c, …')
    """
    some = list(names)[:N_NAMED]
    return ", ".join([*some, *(["…"] if len(names) > N_NAMED else [])])


def counted(n: int, what: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "file"), counted(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def left_out(names: Collection[str], n_damaged: int, n: int, what: str, place: object) -> str:
    """Return the note on damaged examples that are left out.

    Arguments:
        names: The names of the first of them; more than ``N_NAMED`` where there are more.
        n_damaged: Their number.
        n: The number of all examples.
        what: What an example is.
        place: The file or folder in messages.

    Raises:
        DataError: More than half of the examples are damaged.

    Example:
        >>> left_out(["line 3", "line 7"], 2, 10, "row", "a.csv")
        'left out 2 of 10 rows as damaged (line 3, line 7)'
    """
    if 2 * n_damaged > n:
        raise DataError(
            f"{place} has {counted(n, what)}, and {n_damaged:,} of them are damaged "
            f"({listed(names)}): at most half are left out by skip_damaged=True, so repair them"
        )
    return f"left out {n_damaged:,} of {counted(n, what)} as damaged ({listed(names)})"
