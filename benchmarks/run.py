"""Measure reparam beside a tutorial's loop, a loop by hand, pythae and the limit of the machine.

    python benchmarks/run.py --data-dir DIR --threads 2 --repeats 3
    python benchmarks/run.py throughput imports --data-dir DIR --resume
    python benchmarks/run.py --quick

All contenders of a job run one after the other, then again: what disturbs the machine disturbs all
of them. Each is a process of its own. Every finished piece is written at once, and ``--resume``
leaves out what is there already.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import process
import pythae_environment
from jobs import JOBS
from report import page, table
from settings import HERE, Settings

ROOT = HERE.parent
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure, write the JSON and, unless it is only quick, the page."""
    options = parsed()
    out = Path(options.out)
    results = begun(out, options)
    settings = Settings(
        data_dir=str(Path(options.data_dir or downloaded()).expanduser().resolve()),
        threads=options.threads,
        work=out.parent.resolve() / ".work" / out.stem,
        pythae=interpreter(options, results),
        quick=options.quick,
        images=options.images,
    )
    if not options.resume:
        shutil.rmtree(settings.work, ignore_errors=True)
    settings.work.mkdir(parents=True, exist_ok=True)
    for name in options.jobs or JOBS:
        measure(name, options.repeats, settings, results, out)
    print(table(results))
    if not options.quick and not options.no_page:
        PAGE.write_text(page(results))
        print(f"\nwritten: {out}, {PAGE}")


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
    parser.add_argument("--resume", action="store_true", help="leave out what is there already")
    parser.add_argument("--quick", action="store_true", help="small sizes: no measurement")
    parser.add_argument(
        "--images", type=int, default=2000, help="of the likelihood, 10,000 at most"
    )
    parser.add_argument("--pythae-python", help="an interpreter that has pythae already")
    parser.add_argument("--no-pythae", action="store_true", help="leave pythae out")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/benchmarks.md")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    unknown = [name for name in options.jobs if name not in JOBS]
    if unknown:
        parser.error(f"no job {unknown[0]!r}: name some of {', '.join(JOBS)}")
    if options.device == "cuda":
        parser.error("the GPU jobs are functions of benchmarks/gpu.py: run that")
    if options.repeats < 3 and not options.quick:
        parser.error("a median needs --repeats of at least 3; --quick does with one")
    if options.quick:
        options.repeats = 1
    name = "quick.json" if options.quick else "cpu.json"
    options.out = options.out or str(HERE / "results" / name)
    return options


def begun(out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the results so far, of this machine and these options, or new ones."""
    results = {
        "machine": machine(),
        "torch": said_by(sys.executable, "import torch; print(torch.__version__)"),
        "python": platform.python_version(),
        "threads": options.threads,
        "repeats": options.repeats,
        "quick": options.quick,
        "images": options.images,
        "commit": commit(),
        "command": said_of(sys.argv),
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "pieces": [],
    }
    if not options.resume or not out.exists():
        return results
    before = json.loads(out.read_text(encoding="utf-8"))
    for key in ("machine", "torch", "threads", "quick", "images", "commit"):
        if before[key] != results[key]:
            sys.exit(
                f"{out} was measured with {key} {before[key]!r}, now it is {results[key]!r}: "
                "begin anew, without --resume"
            )
    return {**before, "repeats": options.repeats}


def measure(
    name: str, repeats: int, settings: Settings, results: dict[str, Any], out: Path
) -> None:
    """Run the pieces of a job that are not there yet, each repetition after the other."""
    for repetition in range(repeats):
        pieces = JOBS[name].pieces(settings, repetition)
        if not pieces:
            print(f"{name}: its data are not in {settings.data_dir}; left out", file=sys.stderr)
            return
        for piece in pieces:
            key = {"job": name, "contender": piece.contender, "repetition": repetition}
            if any(key.items() <= record.items() for record in results["pieces"]):
                continue
            mine = [record for record in results["pieces"] if record["job"] == name]
            command = piece.command(mine)
            load = os.getloadavg()[0]
            record = {**key, "command": public(command, settings), "load_before": load}
            record |= process.run(command, settings.environment())
            if piece.measure is not None:
                checked = process.run(piece.measure(), settings.environment())
                record["checked"] = checked["result"]
            results["pieces"].append(record)
            write(out, results)
            said = f"{record['wall_s']:.1f} s"
            print(f"{name} {repetition + 1}/{repeats} {piece.contender}: {said}", file=sys.stderr)


def public(command: Sequence[str], settings: Settings) -> str:
    """Return a command line without the places of this machine.

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


def said_of(argv: Sequence[str]) -> str:
    """Return the command line of this program, with the names of folders only.

    >>> said_of(["/there/benchmarks/run.py", "cifar", "--data-dir", "/there/data", "--threads=2"])
    'python benchmarks/run.py cifar --data-dir data --threads=2'
    """
    words = [Path(word).name if os.path.isabs(word) else word for word in argv[1:]]
    return shlex.join(["python", "benchmarks/run.py", *words])


def write(out: Path, results: dict[str, Any]) -> None:
    """Write the results, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=1) + "\n")
    unfinished.replace(out)


def interpreter(options: argparse.Namespace, results: dict[str, Any]) -> Path | None:
    """Return the interpreter that has pythae; its environment is made in an ignored folder."""
    needed = {"to-elbo", "throughput", "likelihood"} & set(options.jobs or JOBS)
    if options.no_pythae or not needed:
        return None
    if options.pythae_python:
        return Path(options.pythae_python).absolute()
    print("an environment for pythae ...", file=sys.stderr)
    folder = HERE / "results" / ".work" / "pythae"
    return pythae_environment.make(folder, results["torch"], ROOT / "constraints.txt")


def downloaded() -> str:
    """Return reparam's cache, into which MNIST is downloaded if it is not there."""
    return said_by(
        sys.executable,
        "from reparam import data; from reparam.data.download import cache_folder; "
        "data.load('mnist'); print(cache_folder())",
    )


def machine() -> dict[str, Any]:
    """Return what is known of the machine."""
    model, flags = platform.processor(), ""
    known = Path("/proc/cpuinfo")
    if known.exists():
        lines = dict(
            line.split(":", 1)
            for line in known.read_text(encoding="utf-8").splitlines()
            if ":" in line
        )
        entries = {key.strip(): value.strip() for key, value in lines.items()}
        model, flags = entries.get("model name", model), entries.get("flags", "")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "bfloat16": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags.split()],
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str:
    """Return the commit that is measured, with a plus where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        name = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True)  # noqa: S603
        differs = subprocess.check_output([*git, "status", "--porcelain", "src"], text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.strip() + ("+" if differs.strip() else "")


def said_by(python: str, code: str) -> str:
    """Return what a line of Python prints, in a process of its own: this one stays small."""
    return subprocess.check_output([python, "-c", code], text=True).strip()  # noqa: S603


if __name__ == "__main__":
    try:
        main()
    except process.ContenderError as error:
        sys.exit(f"benchmarks: {error}")
