"""Messages of the library, with options of the command line in place of Python arguments.

Messages of the library speak of Python arguments, such as ``n_samples=500``. On the command line
they become the options that people type, such as ``--n-samples 500``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ARGUMENT = re.compile(
    r"""
      fit\(\.\.\.,\ out=(?P<run>'[^']*'|"[^"]*"),\ resume=True\)
    | run\.with_prior\('(?P<prior>[a-z]+)'\)
    | (?P<stays>[\w.]+\([^()]*\) | \.ya?ml:\ [\w.]+=)
    | (?<![\w./\\-])(?P<name>[a-z]\w*)=
      (?P<value>'[^']*' | "[^"]*" | \[[^\]]*\] | \([^)]*\) | \.\.\.
        | [^\s,;:()'"/\\]*[^\s,;:()'"/\\.])?
      (?=\.*(?:[\s,;:)]|\Z))
    """,
    re.VERBOSE,
)
"""A call that goes on with a run or fits its prior, what stays as it is (a call, a key of a file),
or an argument.

A part of a path, such as ``runs/seed=3/a``, is no argument.
"""


def in_flags(text: str, types: Callable[[], Mapping[str, Any]], quoted: Sequence[str] = ()) -> str:
    """Return a text with the options of the command line in place of Python arguments.

    Arguments:
        text: A message, a note or a report.
        types: A function that returns the types of the options by name; it is called only for a
            text that has an argument in it.
        quoted: Words of the user, such as paths; an argument that is a part of one stays.

    Example:
        >>> options = {"n_samples": int, "hidden": tuple[int, ...], "probe": bool, "prior": str}
        >>> in_flags("n_samples=0: must be at least 1; try hidden=[8, 8]", lambda: options)
        '--n-samples 0: must be at least 1; try --hidden 8 8'
        >>> in_flags("set prior='vamp', probe=True or a larger n_samples=", lambda: options)
        'set --prior vamp, --probe or a larger --n-samples'
        >>> in_flags("as in fit(model, n_samples=...), of size=3", lambda: options)
        'as in fit(model, n_samples=...), of size=3'
        >>> in_flags("run.with_prior('flow') fits a prior", lambda: options)
        'reparam refit-prior RUN --prior flow fits a prior'
    """

    def words(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"] or ""
        if match["run"] is not None:
            return f"reparam train --resume {match['run'][1:-1]}"
        if match["prior"] is not None:
            return f"reparam refit-prior RUN --prior {match['prior']}"
        if name is None or name not in known or any(match[0] in word for word in quoted):
            return match[0]
        flag = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
        if value == "" or (value == "True" and known[name] != bool | None):
            return flag
        plain = value[1:-1] if value[0] in "[('\"" else value
        return f"{flag} {plain.replace(',', '') if value[0] in '[(' else plain}"

    known = types() if _ARGUMENT.search(text) else {}
    return _ARGUMENT.sub(words, text)


def types_of(options: type | None, others: Sequence[type] = ()) -> dict[str, Any]:
    """Return the types of the options of a verb and of those of training, by name.

    Arguments:
        options: The dataclass of the options of the verb; None for train.
        others: Those of other verbs that its messages speak of.
    """
    from reparam.cli.parse import option_types
    from reparam.cli.train_options import FolderOptions
    from reparam.runs.config import COMMON
    from reparam.variants import names
    from reparam.variants.options import options_of

    found = {o.name: o.type for name in names() for o in options_of(name).values()}
    own = [] if options is None else [options]
    for group in (*others, *COMMON, FolderOptions, *own):
        found |= option_types(group)
    return found
