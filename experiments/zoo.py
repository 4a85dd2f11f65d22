"""Every experiment that measures a variant, and one table of them all."""

from pathlib import Path
from typing import Any

from experiments.common import Experiment, Findings, Options, Protocol, Row, get, reproduce
from experiments.ledger.records import read_json

MEMBERS = (
    "better-bound",
    "learned-priors",
    "flow-posterior",
    "ladder-vae",
    "vmf-vae",
    "vmf-vae-long",
    "gumbel-vae",
    "labels-asked-for",
    "vq-vae",
    "autoencoders",
    "aggregate-posterior",
    "tf-cvae",
    "cluster-vae",
    "ss-vae",
    "ss-vae-stacked",
    "text-vae",
    "cifar10-mixture",
)


@Experiment(
    source="those of the experiments, in their own sections",
    protocol=(
        "every experiment that measures a variant, one after the other, each by its own protocol; "
        "with --out FILE.json each result is kept beside the file, and what is there is not run "
        "again"
    ),
    data="mnist",
    minutes=240,
)
def zoo(protocol: Protocol) -> Findings:
    """Every variant of the zoo with its figure and target, in one table."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for name in MEMBERS:
        get(name)  # before hours of work, not after them
    for name in MEMBERS:
        result = finished(protocol.folder, name, protocol.options)
        if result is None:
            protocol.say(f"zoo: {name}")
            path = stored(protocol.folder, name, protocol.seed)
            result = reproduce(name, protocol.options, out=path).to_dict()
        rows += [
            Row.of({**row, "what": f"{name}: {row['what']}"})
            for row in result["rows"]
            if row["target"] is not None or row.get("beside")
        ]
        details[name] = {key: result[key] for key in ("seconds", "seed", "commit", "command")}
    notes = (
        "These are the figures with a target, and those that belong beside them. All others, and "
        "the pictures, are in the sections of the experiments; the JSON has the seed, command and "
        "commit of each.",
    )
    return Findings(tuple(rows), notes, details=details)


def stored(folder: Path | None, name: str, seed: int) -> Path | None:
    """Return the file of the result of an experiment, one for each seed; None without a folder.

    >>> stored(Path("docs"), "vq-vae", 1)
    PosixPath('docs/vq-vae-seed-1.json')
    """
    return None if folder is None else folder / f"{name}{f'-seed-{seed}' if seed else ''}.json"


def finished(folder: Path | None, name: str, options: Options) -> dict[str, Any] | None:
    """Return the stored result of an experiment, if its protocol is still the same."""
    path = stored(folder, name, options.seed)
    if path is None or not path.exists():
        return None
    found = get(name)
    asked = {"epochs": found.epochs, "n_samples": found.n_samples}
    try:
        result: dict[str, Any] = read_json(path)
        facts = (result["protocol"], result["seed"], result["seeds"], result["options"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if facts == (found.protocol, options.seed, 1, asked) else None
