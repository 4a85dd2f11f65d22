"""``reparam reproduce``: a published or instructive experiment, run again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import tyro

from reparam.cli.parse import parse
from reparam.cli.table import print_table
from reparam.errors import Interrupted, OptionError
from reparam.reproduce import Entry, Result, entries, reproduce
from reparam.reproduce import Options as ReproduceOptions
from reparam.reproduce.index import write_page


@dataclass(frozen=True)
class Options:
    """Run an experiment of the ledger again, and set its figures beside the published ones."""

    name: tyro.conf.Positional[str | None] = None
    """The experiment; --list tells which there are."""
    list: bool = False
    """List the experiments."""
    page: Path | None = None
    """Write the page of the results stored in this folder beside it, as FOLDER.md."""
    data_dir: str | None = None
    """The folder that holds the data set's folder; nothing else is looked at then."""
    out: Path | None = None
    """The JSON file to write; the figures go beside it."""
    seed: int = 0
    """Of the weights, the order of the data and every draw."""
    seeds: int = 1
    """How many seeds, from that one on; figures are then means over them."""
    epochs: int | None = None
    """Instead of the protocol's, for a quick look."""
    full: bool = False
    """The long run of an experiment that has one."""
    n_samples: int | None = None
    """Draws behind each estimate, instead of the protocol's."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runs: Path | None = None
    """Where to keep the training runs, and go on with those that are there."""


def main(arguments: Sequence[str]) -> None:
    """Run an experiment and print its table, or list the experiments."""
    options = parse(Options, "reproduce", arguments)
    if options.list:
        print_list(entries())
        return
    if options.page is not None:
        print(write_page(options.page))
        return
    if options.name is None:
        names = "|".join(entry.name for entry in entries())
        raise OptionError(f"which experiment? Name one: reparam reproduce {names}")
    asked = ReproduceOptions(
        data_dir=options.data_dir,
        seed=options.seed,
        seeds=options.seeds,
        epochs=options.epochs,
        full=options.full,
        n_samples=options.n_samples,
        device=options.device,
        runs=options.runs,
    )
    command = shlex.join(["reparam", "reproduce", *arguments])
    try:
        found = reproduce(options.name, asked, out=options.out, command=command)
    except Interrupted as error:
        # What training says of the way on is for a run of its own.
        go_on = (
            "nothing of it was kept: with --runs FOLDER the same command goes on where it stopped"
            if options.runs is None
            else f"the same command goes on with the runs in {options.runs}"
        )
        raise Interrupted(f"stopped; {go_on}", error.signal_number) from None
    print_result(found, options.out)


def print_list(found: Sequence[Entry]) -> None:
    """Print the table of experiments."""
    print_table(
        ("experiment", "what it shows", "data", "minutes on one core"),
        [(e.name, e.summary.rstrip("."), e.data or "none", f"{e.minutes:g}") for e in found],
    )
    print("\nreparam reproduce NAME --out FILE.json keeps the figures, and draws them beside it.")


def print_result(result: Result, out: Path | None) -> None:
    """Print the figures beside the published ones, and what must be said with them."""
    print(fill(f"{result.name}: {result.protocol}.", 100))
    print(fill(f"source: {result.source}", 100))
    rows = [row.cells() for row in result.rows]
    header = ("what", "published", "ours", "unit", "wanted", "met", "training, s")
    # A column that no row fills says nothing.
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    print_table([header[i] for i in used], [[row[i] for i in used] for row in rows])
    for note in result.findings.notes:
        print(fill(f"note: {note}", 100, subsequent_indent="  "))
    print(f"\n{result.verdict()}, in {result.facts['seconds']:,.0f} s")
    if out is None:
        print("--out FILE.json keeps this, and draws its figures beside it")
        return
    for path in (out, *(out.with_name(name) for name in result.figures)):
        print(path)
