"""Measure contenders on sets: ``python -m experiments.defaults``."""

import argparse
import os
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import experiments.defaults as package
from experiments.defaults.measure import CONTENDERS, GROUPS, Task, measure
from experiments.defaults.report import page
from experiments.defaults.rows import STORED, add_row, read_rows
from experiments.ledger.provenance import provenance


def main() -> None:
    """Measure what no stored row has, and write the page."""
    options = parsed()
    folder = Path(options.rows)
    if not options.page:
        run(options, folder)
    place = folder.with_suffix(".md")
    place.write_text(page(read_rows(folder)), encoding="utf-8")
    print(f"written: {place}")


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.defaults",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everything = [name for group in GROUPS.values() for name in group]
    parser.add_argument("--sets", nargs="+", choices=everything, help="these sets only")
    parser.add_argument("--group", nargs="+", choices=GROUPS, default=["tables", "images", "other"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--again", action="store_true", help="measure stored rows again")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes, a thread each"
    )
    parser.add_argument("--data-dir", default=os.environ.get("REPARAM_DATA_DIR"))
    parser.add_argument("--rows", default=str(STORED), help="the folder of the rows")
    parser.add_argument("--page", action="store_true", help="only write the page")
    options = parser.parse_args()
    if options.data_dir is None and not options.page:
        parser.error("give --data-dir, or set REPARAM_DATA_DIR")
    return options


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure the rows of the options, in several processes with one thread each."""
    names = options.sets or [name for group in options.group for name in GROUPS[group]]
    data_dir = Path(options.data_dir).resolve()
    tasks = [
        Task(name, seed, contender, data_dir, folder)
        for name in names
        for contender in options.contenders
        for seed in options.seeds
    ]
    known = {} if options.again else read_rows(folder)
    waiting = [task for task in tasks if task.is_possible and task.key not in known]
    words = [Path(word).name if os.path.isabs(word) else word for word in sys.argv[1:]]
    command = shlex.join(["python", "-m", "experiments.defaults", *words])
    # Set before the processes start: each of them computes in one thread.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(measure, task): task for task in waiting}
        for done, future in enumerate(as_completed(futures), 1):
            for row in future.result():
                add_row(row | provenance(command, threads=1), folder)
                names = ("set", "seed", "contender", "score", "distances", "error", "seconds")
                shown = (f"{name} {row[name]}" for name in names if row.get(name) is not None)
                print(f"{done}/{len(waiting)}: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
