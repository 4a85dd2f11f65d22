"""Run the jobs of a measurement, store every record, and write the page."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import environments, process
from benchmarks.jobs import ALONE, JOBS
from benchmarks.jobs.frontier import picture
from benchmarks.report import page, rows_of
from benchmarks.settings import HERE, Settings
from experiments.ledger.provenance import ROOT, provenance
from experiments.ledger.records import Records
from experiments.ledger.rows import markdown
from reparam.errors import DataError

STORED = ("cpu", *ALONE, "cuda")
"""The files of results that the page is written from."""

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "pictures" / "frontier.png"


def main(description: str | None = None) -> None:
    """Measure, write the JSON and, unless sizes are small, the page."""
    options = parsed(description)
    try:
        measure_all(options)
    except (process.ContenderError, DataError) as error:
        sys.exit(f"benchmarks: {error}")


def measure_all(options: argparse.Namespace) -> None:
    """Measure with the options of the command line."""
    out = Path(options.out)
    facts = {
        **provenance(command_line(sys.argv), threads=options.threads),
        "seed": 0,
        "repeats": options.repeats,
        "quick": options.quick,
        "images": options.images,
    }
    fixed = ("machine", "quick", "images", "commit")
    records = Records(out, facts, resume=options.resume, fixed=fixed)
    alone = alone_in(options)
    settings = Settings(
        data_dir=str(Path(options.data_dir or downloaded()).expanduser().resolve()),
        threads=options.threads,
        work=out.parent.resolve() / ".work" / out.stem,
        pythae=None
        if alone in ("scaling", "memory", "serving", "explorer")
        else interpreter(options, facts["machine"]["torch"]),
        quick=options.quick,
        images=options.images,
        minutes=options.minutes,
    )
    if not options.resume:
        shutil.rmtree(settings.work, ignore_errors=True)
    settings.work.mkdir(parents=True, exist_ok=True)
    for name in options.jobs or [name for name in JOBS if name not in ALONE]:
        measure(name, options.repeats, settings, records)
    print("\n".join(markdown(rows_of(records.values))))
    if not options.quick and not options.no_page:
        found = {name: stored(name) for name in STORED}
        found[alone or "cpu"] = records.values
        if found["cpu"] is not None:
            PAGE.write_text(page(found), encoding="utf-8")
        if found["frontier"] is not None:
            PICTURE.parent.mkdir(exist_ok=True)
            picture(found["frontier"]["records"]).savefig(PICTURE, dpi=110)
        print(f"\nwritten: {out}, {PAGE}")


def alone_in(options: argparse.Namespace) -> str | None:
    """Return the job that is run by itself; None for the others."""
    return next((name for name in ALONE if name in options.jobs), None)


def stored(name: str) -> dict[str, Any] | None:
    """Return the results in a file of the repository; None if there is none."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def parsed(description: str | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}; all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("REPARAM_DATA_DIR"),
        help="with mnist/*.gz, and for cifar with cifar10/cifar-10-batches-bin; "
        "by default $REPARAM_DATA_DIR, else reparam's cache",
    )
    parser.add_argument("--out", help="where the JSON goes")
    parser.add_argument("--resume", action="store_true", help="skip the records that exist")
    parser.add_argument("--quick", action="store_true", help="small sizes: no measurement")
    parser.add_argument(
        "--images", type=int, default=2000, help="of the likelihood, 10,000 at most"
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the load test at half of its rate"
    )
    parser.add_argument("--pythae-python", help="an interpreter that has pythae already")
    parser.add_argument("--no-pythae", action="store_true", help="leave pythae out")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/benchmarks.md")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    unknown = [name for name in options.jobs if name not in JOBS]
    if unknown:
        parser.error(f"no job {unknown[0]!r}: name some of {', '.join(JOBS)}")
    alone = alone_in(options)
    if alone is not None and len(options.jobs) > 1:
        parser.error(f"{alone} has a file of its own: run it by itself")
    if options.device == "cuda":
        parser.error("the jobs for a GPU are those of: python -m benchmarks.gpu")
    if options.repeats < 3 and not options.quick:
        parser.error("a median needs --repeats of at least 3; --quick does with one")
    if options.quick:
        options.repeats = 1
    name = "quick.json" if options.quick else f"{alone or 'cpu'}.json"
    options.out = options.out or str(HERE / "results" / name)
    return options


def measure(name: str, repeats: int, settings: Settings, records: Records) -> None:
    """Run the pieces of a job that have no record yet, one repetition after the other."""
    for repetition in range(repeats):
        pieces = JOBS[name].pieces(settings, repetition)
        if not pieces:
            print(f"{name}: its data are not in {settings.data_dir}; left out", file=sys.stderr)
            return
        for piece in pieces:
            key = {"job": name, "contender": piece.contender, "repetition": repetition}
            if records.has(**key):
                continue
            command = piece.command([r for r in records.records if r["job"] == name])
            load = os.getloadavg()[0]
            record = {**key, "command": public(command, settings), "load_before": load}
            record |= process.run(command, settings.environment())
            if piece.measure is not None:
                checked = process.run(piece.measure(), settings.environment())
                record["checked"] = checked["result"]
            records.add(record)
            seconds = f"{record['wall_s']:.1f} s"
            print(
                f"{name} {repetition + 1}/{repeats} {piece.contender}: {seconds}", file=sys.stderr
            )


def public(command: Sequence[str], settings: Settings) -> str:
    """Return a command line without the folders of this machine.

    >>> some = Settings(data_dir="/there", threads=1, work=Path("/here"))
    >>> public([sys.executable, "/here/run", "--data-dir=/there"], some)
    'python WORK/run --data-dir=DATA'
    """
    places = {
        str(settings.pythae or "/nowhere"): "python-of-pythae",
        sys.executable: "python",
        str(settings.work): "WORK",
        settings.data_dir: "DATA",
        str(HERE): "benchmarks",
    }
    words = []
    for word in command:
        for place, name in places.items():
            word = word.replace(place, name)
        words.append(word)
    return shlex.join(words)


def command_line(argv: Sequence[str]) -> str:
    """Return the command line of this program, with the names of folders only.

    >>> command_line(["/there/benchmarks/run.py", "cifar", "--data-dir", "/there/data"])
    'python benchmarks/run.py cifar --data-dir data'
    """
    words = [Path(word).name if os.path.isabs(word) else word for word in argv[1:]]
    return shlex.join(["python", "benchmarks/run.py", *words])


def interpreter(options: argparse.Namespace, torch_version: str) -> Path | None:
    """Return the interpreter that has pythae; its environment is made in an ignored folder."""
    needed = {"to-elbo", "throughput", "likelihood", "frontier"} & set(options.jobs or JOBS)
    if options.no_pythae or not needed:
        return None
    if options.pythae_python:
        return Path(options.pythae_python).absolute()
    return environments.make(environments.PYTHAE, torch_version)


def downloaded() -> str:
    """Return the cache of reparam, after a download of MNIST if it is not there."""
    # In a separate process: this one must not import torch.
    code = (
        "import reparam as rp; from reparam.data.download import cache_folder; "
        "rp.data.load('mnist'); print(cache_folder())"
    )
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()  # noqa: S603
