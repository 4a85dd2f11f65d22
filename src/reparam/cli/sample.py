"""``reparam sample``: draw examples from a run's prior."""

from dataclasses import dataclass
from pathlib import Path
from shlex import shlex

from torch import Tensor

from reparam.cli.options import Count, RunOptions
from reparam.cli.output import as_line, write, write_lines, write_table
from reparam.cli.parse import verb
from reparam.data.condition import covariates_in
from reparam.errors import OptionError
from reparam.models.latent import is_latent
from reparam.pictures import grid
from reparam.runs.run import Run


@dataclass(frozen=True)
class Options:
    """Generate examples from a run's prior, as a picture or (--out FILE.npy) as an array.

    The examples are the means of p(x | z), as is usual in pictures, or with --draw draws from it.
    Text is always drawn, and printed, one example on each line. Rows of a table are always drawn,
    and written as a table (--out FILE.csv or FILE.parquet).

    Arguments:
        n: The number of examples.
        label: The label to generate, for a model under a condition: its number, or the name of
            its class; all in turn by default.
        covariates: The covariates of the examples, for a model under a condition on them, such as
            age=40,batch=A.
        given: Values of some columns of a table, such as age=40,sex=F; the others are drawn given
            these. A value with a comma has quotes, as in 'city="Paris, France"'. A time without a
            zone is one of the zone of its column; a duration is seconds, or such as 1h30m.
        draw: Write draws from p(x | z) instead of its means; also in a file .npy.
        out: The file, .png or .npy; in the run's folder by default. For text .txt or .npy, for
            rows of a table .csv, .parquet or .npy.
    """

    run: RunOptions
    n: Count = 64
    label: str | None = None
    covariates: str | None = None
    given: str | None = None
    draw: bool = False
    out: Path | None = None


def rows(run: Run, options: Options) -> Tensor:
    """Return drawn rows of a table."""
    seed = options.run.seed
    if options.given is None:
        return run.sample(options.n, seed, options.label, covariates_of(run, options))
    return run.sample_given(as_mapping(options.given), options.n, seed)


def covariates_of(run: Run, options: Options) -> dict[str, object] | None:
    """Return the covariates that the options give; None without any."""
    if options.covariates is None:
        return None
    words = as_mapping(options.covariates, "--covariates")
    return covariates_in(words, run.spec.covariates)


def as_mapping(words: str, flag: str = "--given") -> dict[str, str]:
    """Return the values of columns that are written as ``age=40,sex=F``.

    Arguments:
        words: The names and values.
        flag: The option in messages.

    Raises:
        OptionError: A part without a name or a value, or a quote without its end.

    Example:
        >>> as_mapping('age=40,city="Paris, France"')
        {'age': '40', 'city': 'Paris, France'}
    """
    cells = shlex(words, posix=True)
    cells.whitespace, cells.whitespace_split, cells.commenters = ",", True, ""
    cells.quotes, cells.escape = '"', ""
    try:
        parts = list(cells)
    except ValueError:
        raise OptionError(f"{flag} {words}: a quote has no end; close it") from None
    found = {}
    for part in parts:
        name, mark, value = part.partition("=")
        if not mark or not name.strip():
            raise OptionError(f"{flag} {words}: give names and values, such as age=40,sex=F")
        if name.strip() in found:
            raise OptionError(f"{flag} {words}: {name.strip()} is given twice; give it once")
        found[name.strip()] = value.strip()
    return found


@verb
def main(options: Options) -> None:
    """Draw examples and write them."""
    run = options.run.load()
    if run.spec.schema is not None:
        default = options.run.folder / "samples.csv"
        return write_table(options.out, default, rows(run, options), run)
    if options.given is not None:
        raise OptionError(f"--given {options.given}: this run was not trained on a table; drop it")
    is_drawn = options.draw or run.vocabulary is not None or not is_latent(run.model)
    seed = options.run.seed
    given = covariates_of(run, options)
    examples = run.sample(options.n, seed, options.label, given, mean=not is_drawn)
    if run.vocabulary is not None:
        lines = [as_line(text) for text in run.vocabulary.texts(examples)]
        return write_lines(options.out, lines, examples)
    seen = f"{'draws from' if is_drawn else 'the means of'} p(x | z) for z drawn from the prior"
    labeled = options.label is not None
    name = "draws" if options.draw else "samples"
    name += f"-label-{options.label}.png" if labeled else ".png"
    return write(
        options.out,
        options.run.folder / name,
        examples,
        run.spec,
        lambda: grid(examples.cpu()),
        f"{seen}, under label {options.label}" if labeled else seen,
    )
