"""Measure protocols: ``python -m experiments.own_data``."""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import experiments.own_data as package
from experiments.ledger.provenance import ROOT, provenance
from experiments.own_data.protocols import PROTOCOLS
from experiments.own_data.report import page

STORED = ROOT / "docs" / "own-data"
"""The folder of the rows, a file for each protocol."""


def main() -> None:
    """Measure what no stored row has."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.own_data",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(PROTOCOLS)
    parser.add_argument("protocols", nargs="*", help=f"of {names}; none to write the page alone")
    parser.add_argument("--data-dir", default=os.environ.get("REPARAM_DATA_DIR"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--sets", nargs="+", help="these sets only")
    parser.add_argument("--contenders", nargs="+", help="these contenders only")
    parser.add_argument("--rows", default=str(STORED), help="the folder of the rows")
    options = parser.parse_args()
    unknown = [name for name in options.protocols if name not in PROTOCOLS]
    if unknown:
        parser.error(f"no protocol {unknown[0]!r}: name some of {names}")
    if options.data_dir is None and options.protocols:
        parser.error("give --data-dir, or set REPARAM_DATA_DIR")
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    words = [Path(word).name if os.path.isabs(word) else word for word in sys.argv[1:]]
    command = shlex.join(["python", "-m", "experiments.own_data", *words])
    facts = provenance(command, threads=torch.get_num_threads())
    folder = Path(options.rows)
    folder.mkdir(parents=True, exist_ok=True)
    for protocol in options.protocols:
        place = folder / f"{protocol}.jsonl"
        lines = place.read_text("utf-8").splitlines() if place.exists() else []
        known = {(r["set"], r["contender"], r["seed"]) for r in map(json.loads, lines)}
        for seed in options.seeds:
            for case in PROTOCOLS[protocol](Path(options.data_dir), seed):
                is_left_out = any(
                    given and value not in given
                    for given, value in (
                        (options.sets, case.name),
                        (options.contenders, case.contender),
                    )
                )
                if is_left_out or (case.name, case.contender, seed) in known:
                    continue
                row: dict[str, Any] = {"set": case.name, "contender": case.contender, "seed": seed}
                row["figures"] = case.measure()
                if versions := case.versions():
                    row["versions"] = dict(versions)
                with place.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**row, **facts}, allow_nan=False) + "\n")
                shown = ", ".join(f"{k} {v:.4g}" for k, v in row["figures"].items())
                print(f"{protocol} {case.name}, {case.contender}, seed {seed}: {shown}", flush=True)
    folder.with_suffix(".md").write_text(page(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
