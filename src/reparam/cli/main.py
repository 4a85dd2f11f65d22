"""The command ``reparam``: find the verb, run it, and turn errors into one sentence.

A verb is a module of this package whose docstring begins with ``reparam VERB`` and a summary, as
that of ``train`` does; dashes in the verb are underscores in the name of the module. Its function
``main`` gets the words after the verb, or with the decorator ``verb`` the options that they give.
``ADVISES_ON`` has the options of other verbs that its messages speak of.
Help lists the verbs without importing them, or torch.
"""

import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Self

import reparam.cli
from reparam.cli.flags import in_flags, types_of
from reparam.errors import Interrupted, OptionError, ReparamError, folded, nearest, unknown
from reparam.utils.terminal import flush, prepare_streams, stderr, worded

FIRST = ("demo", "train", "evaluate")
"""The verbs of a first session, which help lists first."""


def verbs() -> dict[str, str]:
    """Return the summaries of all verbs, by name.

    >>> verbs()["train"]
    'train a variant on data'
    """
    found = {}
    for file in (file for folder in reparam.cli.__path__ for file in Path(folder).glob("*.py")):
        text = file.read_text(encoding="utf-8")
        name = file.stem.replace("_", "-")
        summary = re.match(rf'"""``reparam {name}``: (.+?)\.(?:"""|\n)', text)
        if summary is not None:
            found[name] = summary[1]
    first = [verb for verb in FIRST if verb in found]
    return {verb: found[verb] for verb in (*first, *sorted(found.keys() - first))}


def usage() -> str:
    """Return the help of the command itself; made without importing torch.

    >>> usage().splitlines()[0]
    'usage: reparam VERB [OPTIONS]'
    """
    from reparam.version import __version__

    found = verbs()
    width = max(map(len, found))
    lines = [f"  {verb:<{width}}  {summary}" for verb, summary in found.items()]
    return (
        "usage: reparam VERB [OPTIONS]\n\n"
        f"reparam {__version__}: variational autoencoders, composed, trained and measured.\n\n"
        + "\n".join(lines)
        + "\n\nreparam VERB --help shows the options of a verb; start with: reparam demo"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Arguments:
        argv: The words after ``reparam``; those that the process was started with when None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def as_typed(message: str) -> str:
        module = sys.modules.get(_module(arguments[0])) if arguments else None
        known = {} if module is None else vars(module)
        options, others = known.get("Options"), known.get("ADVISES_ON", ())
        # A value that was typed, such as a path with a "=", is shown as it was typed.
        typed = [word.partition("=")[2] if word.startswith("--") else word for word in arguments]
        return in_flags(message, lambda: types_of(options, others), typed)

    with CtrlC(is_process=argv is None) as ctrl_c, worded(as_typed):
        try:
            prepare_streams()
            try:
                _run(arguments, ctrl_c)
            finally:
                flush(sys.stdout)
            return 0
        except (Exception, KeyboardInterrupt) as error:
            # An interrupted import ends with an exception of the code that was running.
            was_stopped = ctrl_c.came and not isinstance(error, Interrupted)
            code, said = outcome(KeyboardInterrupt() if was_stopped else error)
            if code is None:
                raise
            if said:
                print(f"reparam: {as_typed(said)}", file=stderr())
            return code
        finally:
            with suppress(OSError):
                flush(sys.stderr)


class CtrlC:
    """The effect of Ctrl-C: it ends the process during imports, and raises later.

    An exception that is raised within the import of a library may become another one, or get lost.

    Arguments:
        is_process: Whether the process runs this command only. If not, Ctrl-C never ends it.
    """

    def __init__(self, is_process: bool) -> None:
        self.came = False
        self.leaves_at_once = self._is_process = is_process
        self._before: Any = None

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        # A shell makes commands in the background ignore it.
        if is_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._handle)
        if self._is_process:
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *error: object) -> None:
        self.leaves_at_once = self._is_process
        if self._before is not None and not self._is_process:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if self.leaves_at_once:
            self._leave()
        raise KeyboardInterrupt

    def _unraisable(self, ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, KeyboardInterrupt):
            self._leave()
        sys.__unraisablehook__(ignored)

    def _leave(self) -> None:
        with suppress(OSError):
            os.write(2, b"reparam: stopped\n")
        os._exit(128 + signal.SIGINT)


def outcome(error: BaseException) -> tuple[int | None, str]:
    """Return the exit code of an error, and its message; None for an unexpected error.

    >>> outcome(OptionError("n=0: must be at least 1"))
    (2, 'n=0: must be at least 1')
    """
    match error:
        case Interrupted():
            return 128 + error.signal_number, str(error)
        case OptionError():
            return 2, str(error)
        case ReparamError():
            return 1, str(error)
        case KeyboardInterrupt():
            return 128 + signal.SIGINT, "stopped"
        case BrokenPipeError():
            # The reader of a pipe has ended, as `head` does.
            return 141, ""
        case MemoryError() | RuntimeError():
            from reparam.utils.memory import memory_error

            needed = memory_error(error)
            return (None, "") if needed is None else (2, str(needed))
        case OSError(filename=None):
            return 1, f"the output cannot be written: {error.strerror or error}"
        case OSError():
            return 1, f"{error.filename}: {error.strerror or error}"
    return None, ""


def _run(arguments: list[str], ctrl_c: CtrlC) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] == "--version":
        from reparam.version import __version__

        print(f"reparam {__version__}")
        return
    # OpenMP's threads wait for each other in a spin, by default for so long that a second process
    # on the same cores makes a run two times slower. Too short a spin ends within every step, which
    # costs a fifth of the speed; this one ends between steps. Torch reads it when it is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    verb = verb_of(arguments[0])
    ctrl_c.leaves_at_once = False
    verb.main(arguments[1:])


def verb_of(verb: str) -> ModuleType:
    """Return the module of a verb.

    Raises:
        OptionError: A verb that does not exist, with the nearest one.
    """
    known = verbs()
    if verb not in known:
        if nearest(verb, known, cutoff=0.7) is None:
            from reparam.variants import names

            name = folded(verb)
            if name in names():
                raise OptionError(f"{verb!r} is a variant: train it with reparam train {name}")
        raise unknown("verb", verb, known)
    return _imported(_module(verb))


def _module(verb: str) -> str:
    return f"reparam.cli.{verb.replace('-', '_')}"


def _imported(name: str) -> ModuleType:
    """Import a module, and exclude its objects from garbage collection.

    The collector would look through torch's objects many times during the import and once more at
    the end of the process: half a second of every command.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
