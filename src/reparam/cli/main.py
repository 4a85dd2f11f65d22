"""The command ``reparam``: find the verb, and turn errors into one sentence."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any, Self

from reparam.errors import Interrupted, OptionError, ReparamError, folded, nearest, unknown
from reparam.utils.terminal import flush, prepare_streams, stderr

VERBS = {
    "demo": "train, measure and picture a VAE on embedded data, in a minute",
    "train": "train a variant on data",
    "evaluate": "measure a run: likelihood, ELBO, KL, with standard errors",
    "compare": "set runs beside each other: paired differences on the same test points",
    "doctor": "say in words what is amiss with a run or data, and what to change",
    "sample": "draw examples from a run's prior",
    "reconstruct": "show inputs beside their reconstructions",
    "denoise": "let a run clean corrupted inputs",
    "interpolate": "walk between examples through the latent space",
    "encode": "write the latent codes of a split",
    "plot": "draw loss curves and the latent space",
    "models": "list the variants",
    "data": "list the data sets",
    "reproduce": "run a published or instructive experiment again",
}


def usage() -> str:
    """Return the help of the command itself; made without importing torch.

    >>> usage().splitlines()[0]
    'usage: reparam VERB [OPTIONS]'
    """
    from reparam.version import __version__

    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {said}" for verb, said in VERBS.items()]
    return "\n".join(
        [
            "usage: reparam VERB [OPTIONS]",
            "",
            f"reparam {__version__}: variational autoencoders, composed, trained and measured.",
            "",
            *lines,
            "",
            "reparam VERB --help tells the options of a verb; start with: reparam demo",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Arguments:
        argv: The words after ``reparam``; those that the process was started with when None.
    """
    with CtrlC(is_process=argv is None) as ctrl_c:
        try:
            prepare_streams()
            try:
                _run(list(sys.argv[1:] if argv is None else argv), ctrl_c)
            finally:
                flush(sys.stdout)
            return 0
        except (Exception, KeyboardInterrupt) as error:
            # What ends an interrupted import depends on whose code was being run.
            was_stopped = ctrl_c.came and not isinstance(error, Interrupted)
            code, said = outcome(KeyboardInterrupt() if was_stopped else error)
            if code is None:
                raise
            if said:
                print(f"reparam: {said}", file=stderr())
            return code
        finally:
            with suppress(OSError):
                flush(sys.stderr)


class CtrlC:
    """What Ctrl-C does while a command runs: it leaves at once during imports, later it raises.

    An exception that is raised within the import of a library may come out as another one, or not
    at all.

    Arguments:
        is_process: Whether the process is this command's alone. If not, nothing leaves it.
    """

    def __init__(self, is_process: bool) -> None:
        self.came = False
        self.leaves_at_once = self._is_process = is_process
        self._before: Any = None

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        # A shell lets commands in the background ignore it.
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
    """Return the exit code of an error, and what is said of it; None for one that nobody foresaw.

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
            # The reader of a pipe has left, as `head` does.
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
    # costs a fifth; this one ends between them. It is read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    verb = verb_of(arguments[0])
    ctrl_c.leaves_at_once = False
    verb.main(arguments[1:])


def run_verb(verb: str, arguments: Sequence[str]) -> None:
    """Run one verb.

    Raises:
        OptionError: A verb that does not exist, with the nearest one.
    """
    verb_of(verb).main(list(arguments))


def verb_of(verb: str) -> ModuleType:
    """Return the module of a verb.

    Raises:
        OptionError: A verb that does not exist, with the nearest one.
    """
    if verb not in VERBS:
        if nearest(verb, VERBS, cutoff=0.7) is None:
            from reparam.variants import names

            name = folded(verb)
            if name in names():
                raise OptionError(f"{verb!r} is a variant: train it with reparam train {name}")
        raise unknown("verb", verb, VERBS)
    return _imported(f"reparam.cli.{verb}")


def _imported(name: str) -> ModuleType:
    """Import a module, and let the garbage collector forget what lives as long as the process.

    It would look through torch's objects many times while they are made and once more when the
    process ends: half a second of every command.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
