"""Docstrings are plain text with code and formulas: shapes such as (B, *shape) are no markup.

``help`` shows them as they are written. Here the characters that reStructuredText would read as
emphasis, as a substitution or as a link are escaped, outside code, formulas and examples.
"""

import re
from itertools import groupby
from operator import itemgetter
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"(``.*?``|:[a-z:]+:`.*?`)", re.DOTALL)
_MARKUP = re.compile(r"(\*|\||(?<=\w)_(?![\w`]))")


def is_verbatim(lines: list[str]) -> list[bool]:
    """Return for each line whether it belongs to a directive, such as a formula, or to an example.

    Arguments:
        lines: The lines of a docstring.
    """
    found: list[bool] = []
    begun: int | None = None  # the indentation of the directive or of the example
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if begun is not None and line.strip() and indent <= begun:
            begun = None
        if line.lstrip().startswith(".. "):
            begun = indent
        elif line.lstrip().startswith(">>>"):
            begun = indent - 1
        found.append(begun is not None)
    return found


def escaped(lines: list[str]) -> list[str]:
    r"""Return the lines of a docstring without markup by accident.

    Arguments:
        lines: The lines.

    Example:
        >>> escaped(["Draws of p(x | z), with shape (N, *shape): see ``*args``."])
        ['Draws of p(x \\| z), with shape (N, \\*shape): see ``*args``.']
    """
    found: list[str] = []
    flags = is_verbatim(lines)
    for verbatim, group in groupby(zip(flags, lines, strict=True), key=itemgetter(0)):
        text = "\n".join(line for _, line in group)
        if not verbatim:
            # Code and formulas may go over the end of a line.
            parts = _CODE.split(text)
            parts[::2] = [_MARKUP.sub(r"\\\1", part) for part in parts[::2]]
            text = "".join(parts)
        found += text.split("\n")
    return found


def process(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Escape the lines of a docstring in place."""
    lines[:] = escaped(lines)


def skip(app: Sphinx, what: str, name: str, value: object, skipped: bool, options: object) -> bool:
    """Leave out the methods that scikit-learn makes for the routing of metadata."""
    return skipped or bool(re.fullmatch(r"(set_\w+_request|get_metadata_routing)", name))


def setup(app: Sphinx) -> dict[str, Any]:
    """Escape docstrings before their sections are read."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
