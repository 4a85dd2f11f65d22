"""The command line of the experiments: list them, run one and print its table, write the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from experiments.ledger import page
from experiments.ledger.options import Options
from experiments.ledger.registry import experiments, names
from experiments.ledger.rows import Result, table, verdict
from reparam.cli.table import print_table
from reparam.errors import Interrupted, OptionError


def main(given: Mapping[str, Any], command: str) -> None:
    """Do what the options of ``reparam reproduce`` ask for.

    Arguments:
        given: The options: ``list``, ``page``, ``name``, ``out`` and those of ``Options``.
        command: The command line, for the record.

    Raises:
        OptionError: See ``run``.
    """
    others = dict(given)
    name, out, folder, lists = (others.pop(key) for key in ("name", "out", "page", "list"))
    if lists:
        print_list()
    elif folder is not None:
        print(page.write_page(folder))
    else:
        run(name, Options(**others), out, command)


def run(name: str | None, options: Options, out: Path | None, command: str) -> None:
    """Run an experiment, and print its figures.

    Arguments:
        name: The experiment.
        options: How to run it.
        out: The JSON file to write.
        command: The command line, for the record.

    Raises:
        OptionError: No experiment, or one that does not exist.
        Interrupted: Training was stopped.
    """
    if name is None:
        raise OptionError(f"name an experiment: {', '.join(names())}")
    # It imports torch.
    from experiments.ledger.run import reproduce

    try:
        result = reproduce(name, options, out=out, command=command)
    except Interrupted as error:
        # The message of a training run is about resuming that run, not the experiment.
        resume = (
            "no runs were kept: with a folder runs=... the same command continues where it stopped"
            if options.runs is None
            else f"the same command continues with the runs in {options.runs}"
        )
        raise Interrupted(f"stopped; {resume}", error.signal_number) from None
    print_result(result, out)


def print_list() -> None:
    """Print the table of experiments."""
    print_table(
        ("experiment", "what it shows", "data", "minutes on one core"),
        [
            (e.name, e.summary.rstrip("."), e.data or "none", f"{e.minutes:g}")
            for e in experiments()
        ],
    )
    print(
        "\nreparam reproduce NAME --out FILE.json stores the figures, with plots beside the file."
    )


def print_result(result: Result, out: Path | None) -> None:
    """Print the figures beside the published ones, with the notes on them."""
    print(fill(f"{result.name}: {result.protocol}.", 100))
    print(fill(f"source: {result.source}", 100))
    print_table(*table(result.rows))
    for note in result.findings.notes:
        print(fill(f"note: {note}", 100, subsequent_indent="  "))
    print(f"\n{verdict(result.rows)}, in {result.facts['seconds']:,.0f} s")
    files: Sequence[Path] = () if out is None else (out, *map(out.with_name, result.figures))
    for path in files:
        print(path)
    if out is None:
        print("--out FILE.json stores this result, with plots beside the file")
