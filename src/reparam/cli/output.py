"""The output of a verb: a report, a picture, an array, text, or commands to run next."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from reparam.cli.flags import in_flags, types_of
from reparam.data import Dataset
from reparam.data.cells import filled_cells
from reparam.data.tables import Table, write_frame
from reparam.errors import OptionError, WriteError
from reparam.models.label_inference import infers_label
from reparam.pictures import check_picturable, save
from reparam.runs.options import EvaluationOptions
from reparam.runs.run import Run
from reparam.spec import DataSpec
from reparam.utils.files import write_array, write_atomic

if TYPE_CHECKING:
    from PIL.Image import Image


def show(report: object, options: type) -> None:
    """Print a report in the words of the command line, or a mapping as JSON.

    Arguments:
        report: A result of the library; a mapping of its figures for JSON.
        options: The dataclass of the options of the verb.
    """
    if isinstance(report, dict):
        print(json.dumps(report, indent=2))
    else:
        # A report advises on the options of evaluate too.
        print(in_flags(str(report), lambda: types_of(options, [EvaluationOptions])))


@contextmanager
def elsewhere(out: Path | None) -> Iterator[None]:
    """Advise ``--out`` if the run's own folder cannot be written to.

    Arguments:
        out: The place that was given; None for the run's folder.

    Raises:
        WriteError: The place cannot be written to.
    """
    try:
        yield
    except WriteError as error:
        if out is not None:
            raise
        raise WriteError(f"{error}; name another place with --out") from error


def write(
    out: Path | None,
    default: Path,
    values: Tensor,
    spec: DataSpec,
    picture: Callable[[], "Image"] | None,
    said: str = "",
) -> None:
    """Write values as an array to a file that ends in ``.npy``, and as a picture to others.

    Arguments:
        out: The file; None for the default.
        default: The file in the run's folder.
        values: The values.
        spec: The shape and support of the values.
        picture: The function that makes their picture; None for values without one.
        said: The description of the picture, printed behind its name.

    Raises:
        OptionError: An unknown ending, or data that no picture can show.
        RunError: The file cannot be written.
    """
    path = out or default
    with elsewhere(out):
        if path.suffix == ".npy":
            write_array(path, values.cpu().numpy())
        elif picture is None:
            raise OptionError(
                f"--out {path}: codes are written as an array, so end the name in .npy"
            )
        else:
            check_picturable(spec)
            save(picture(), path)
    print(f"{path}  ({said})" if said and path.suffix != ".npy" else path)


def write_lines(out: Path | None, lines: Sequence[str], tokens: Tensor) -> None:
    """Print lines of text, or write them to a file; a file that ends in ``.npy`` gets the tokens.

    Raises:
        OptionError: An unknown ending.
        RunError: The file cannot be written.
    """
    if out is None:
        print("\n".join(lines))
        return
    if out.suffix == ".npy":
        write_array(out, tokens.cpu().numpy())
    elif out.suffix == ".txt":
        write_atomic(out, "\n".join(lines) + "\n")
    else:
        raise OptionError(f"--out {out}: end the name in .txt for text, in .npy for its tokens")
    print(out)


def write_table(
    out: Path | None, default: Path, rows: Tensor, run: Run, table: Table | None = None
) -> None:
    """Write rows of a table with the columns and classes of the training data.

    Arguments:
        out: The file, .csv, .parquet or .npy; None for the default.
        default: The file in the run's folder.
        rows: The rows x, with shape (N, D).
        run: The run.
        table: The table whose missing cells get the values of the rows; None for new rows.

    Raises:
        OptionError: An unknown ending.
        RunError: The file cannot be written.
    """
    path = out or default
    with elsewhere(out):
        if path.suffix == ".npy":
            write_array(path, rows.cpu().numpy())
        elif path.suffix in (".csv", ".parquet"):
            schema = run.spec.schema
            if table is None or schema is None:
                write_frame(path, run.to_table(rows), None if schema is None else schema.written)
            else:
                write_frame(path, filled_cells(table, schema, rows, path.suffix == ".csv"))
        else:
            raise OptionError(f"--out {path}: end the name of a table in .csv, .parquet or .npy")
    print(path)


def as_line(text: str) -> str:
    """Return a text on one line: ⏎ for the end of a line, and escapes for invisible signs.

    >>> as_line("a b\\nc\\t")
    'a b⏎c\\\\t'
    """
    shown = text.replace("\n", "⏎")
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown
    )


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


def print_next(run: Run) -> None:
    """Print the folder of the run and the commands to type next."""
    if run.folder is None or not run.is_main:
        return
    path, reparam, variant = run.folder.path, command(), run.config["variant"]
    # Very few examples have no test split.
    has_test = not isinstance(run.data, Dataset) or "test" in run.data.splits
    next_verbs = [f"evaluate {path}{'' if has_test else ' --split train'}", f"doctor {path}"]
    if variant == "dae":
        next_verbs.append(f"denoise {path}")
    if variant not in ("classifier", "ae", "dae", "cae"):
        takes_label = run.spec.given_label or infers_label(run.model)
        next_verbs.append(f"sample {path}{' --label 0' if takes_label else ''}")
    print(f"\nThe run is in {path}. Next:")
    for verb in (*next_verbs, f"plot {path}", f"report {path}"):
        print(f"  {reparam} {verb}")
    print(f"  tensorboard --logdir {run.folder.events}")
