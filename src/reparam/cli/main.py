"""The command ``reparam``: find the verb, and turn errors into one sentence."""

import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from reparam.errors import Interrupted, OptionError, ReparamError, folded, nearest, unknown

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
    """Run the command line, and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # Signs that the locale has not, such as ±, and names that are no text are escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from reparam.version import __version__

        print(f"reparam {__version__}")
        return 0
    # OpenMP's threads wait for each other in a spin, by default for so long that a second process
    # on the same cores makes a run two times slower. Too short a spin ends within every step, which
    # costs a fifth; this one ends between them. It is read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        run_verb(arguments[0], arguments[1:])
    except Interrupted as error:
        print(f"reparam: {error}", file=sys.stderr)
        return 128 + error.signal_number
    except OptionError as error:
        print(f"reparam: {error}", file=sys.stderr)
        return 2
    except ReparamError as error:
        print(f"reparam: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reparam: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has left, as `head` does.
        sys.stderr.close()
        return 141
    return 0


def run_verb(verb: str, arguments: Sequence[str]) -> None:
    """Run one verb.

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
    _imported(f"reparam.cli.{verb}").main(list(arguments))


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
