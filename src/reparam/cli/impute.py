"""``reparam impute``: fill in the missing values of a table."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import ExampleOptions, ProcessOptions, RunOptions
from reparam.cli.output import write_table
from reparam.cli.parse import verb
from reparam.data.remarks import broken_formulas, stay_empty, unused_results
from reparam.errors import OptionError
from reparam.utils.terminal import note


@dataclass(frozen=True)
class Options:
    """Write the rows of a table with a value in every cell of the columns of the model.

    A missing quantity becomes its mean given the other cells of the row, and a missing class the
    most probable one. Rows keep their order, and the cells of a file that are known their values.

    Arguments:
        n_samples: The number of importance samples for each row.
        n_draws: The number of drawn tables to write instead, as FILE-1.csv, FILE-2.csv ...
        out: The file, .csv, .parquet or .npy; imputed.csv in the run's folder by default.
    """

    run: RunOptions
    examples: ExampleOptions
    processes: ProcessOptions
    n_samples: int = 1000
    n_draws: int = 0
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Impute the rows and write them."""
    run, given = options.run.load(), options.examples.data
    if (
        given is not None
        and options.out is not None
        and options.out.resolve() == Path(given).resolve()
    ):
        raise OptionError(f"--out {options.out}: is the file of --data too; name another file")
    table = options.examples.table(run)
    rows: object = options.examples.of(run, options.run.seed) if table is None else table
    found = run.impute(
        rows,
        n_samples=options.n_samples,
        n_draws=options.n_draws,
        seed=options.run.seed,
        **vars(options.processes),
    )
    if not run.is_main:
        return None
    options.examples.tell(len(found.x))
    if table is not None and run.spec.schema is not None:
        for remarks in (stay_empty, unused_results, broken_formulas):
            for text in remarks(table, run.spec.schema):
                note(text)
    default = options.run.folder / "imputed.csv"
    if not options.n_draws:
        return write_table(options.out, default, found.x, run, table)
    path = options.out or default
    for i, drawn in enumerate(found.draws, start=1):
        write_table(path.with_stem(f"{path.stem}-{i}"), default, drawn, run, table)
    return None
