"""``reparam score``: write log p(x) of every example, and of every value given the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.cli.options import ExampleOptions, ProcessOptions, RunOptions
from reparam.cli.output import elsewhere
from reparam.cli.parse import verb
from reparam.data.frames import to_arrow
from reparam.data.remarks import broken_formulas
from reparam.data.tables import Table, write_frame
from reparam.errors import OptionError
from reparam.schema import Schema
from reparam.utils.terminal import note

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Options:
    """Write the log-likelihood of every example in nats, in the order of the examples.

    Low values are unusual examples. With --columns the table has log p(x_j | the others) of each
    entry too, which names the unusual value of a row. Columns of a file that are no part of x, such
    as names, are written beside the scores.

    Arguments:
        n_samples: The number of importance samples for each example.
        columns: Also write log p(x_j | the others) of each entry.
        out: The file, .csv or .parquet; scores.csv in the run's folder by default.
    """

    run: RunOptions
    examples: ExampleOptions
    processes: ProcessOptions
    n_samples: int = 100
    columns: bool = False
    out: Path | None = None


def beside(table: Table, schema: Schema) -> "dict[str, pa.ChunkedArray]":
    """Return the columns of a file that are no part of x, by name, as they stand in the file.

    Arguments:
        table: The table in the file.
        schema: The columns of the run.
    """
    found = to_arrow(table.columns) if table.cells is None else table.cells
    ignored = [column.name for column in schema.columns if column.kind == "ignored"]
    return {name: found.column(name) for name in ignored if name in found.column_names}


@verb
def main(options: Options) -> None:
    """Score a split and write the scores."""
    run, seed = options.run.load(), options.run.seed
    path = options.out or options.run.folder / "scores.csv"
    if path.suffix not in (".csv", ".parquet"):
        raise OptionError(f"--out {path}: end the name of the table in .csv or .parquet")
    table, schema = options.examples.table(run), run.spec.schema
    if table is not None and schema is not None and run.is_main:
        for text in broken_formulas(table, schema):
            note(text)
    batch = options.examples.of(run, seed) if table is None else run.examples(table, seed=seed)
    n, processes = options.n_samples, vars(options.processes)
    found = {"log_likelihood": run.log_likelihood(batch, n_samples=n, seed=seed, **processes)}
    if options.columns:
        each = run.log_conditionals(batch, n_samples=max(2, n), seed=seed, **processes)
        names = run.spec.columns or [f"x{i}" for i in range(each.shape[1])]
        found |= {f"log p({name})": each[:, i] for i, name in enumerate(names)}
    if not run.is_main:
        return
    import pyarrow as pa  # slow to import, and not needed for --help

    with elsewhere(options.out):
        # An entry that is not known has no score, and its cell is empty.
        parts = {k: pa.array(v.numpy(), from_pandas=True) for k, v in found.items()}
        if table is not None and schema is not None:
            others = beside(table, schema)
            # A column of the file can have the name of a score.
            named = {f"{k} (data)" if k in parts else k: v for k, v in others.items()}
            parts = {**named, **parts}
        write_frame(path, pa.table(parts))
    print(path)
    options.examples.tell(len(batch))
