"""The command that runs this program."""

import os
import shutil
import sys
from pathlib import Path


def command() -> str:
    """Return ``reparam`` where the shell finds it, else the path that this program runs from.

    >>> command().split()[0] != ""
    True
    """
    program = Path(sys.argv[0])
    found = shutil.which("reparam")
    if program.name == "reparam" and (found is None or Path(found).resolve() != program.resolve()):
        relative = os.path.relpath(program)
        return str(program) if relative.startswith("..") else relative
    if program.name == "__main__.py":
        return "python -m reparam"
    return "reparam"
