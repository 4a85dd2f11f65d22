"""Run an experiment: seeds, means over seeds, figures, and the JSON file with the provenance."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import reparam as rp
from experiments.ledger.options import Options
from experiments.ledger.protocol import Protocol
from experiments.ledger.provenance import provenance
from experiments.ledger.records import read_json, write_json
from experiments.ledger.registry import Experiment, get
from experiments.ledger.rows import Findings, Result
from reparam.errors import OptionError


def reproduce(
    name: str,
    options: Options | None = None,
    *,
    out: str | Path | None = None,
    command: str | None = None,
) -> Result:
    """Run an experiment, and return its figures beside the published ones.

    Arguments:
        name: The experiment.
        options: How to run it; its protocol when None.
        out: The JSON file to write, with the figures beside it; None to write nothing.
        command: The command line, for the record; that of this process when None.

    Raises:
        OptionError: An unknown experiment, an option that has no meaning for it, or a file that
            holds something else.
        DataError: Its data are missing or damaged.
        OSError: The file cannot be written.

    Example:
        >>> reproduce("swapped-gradient", Options(n_samples=1000)).rows[0].cells()[3]
        '6.76'
    """
    entry, options = get(name), options or Options()
    path = None if out is None else _checked_file(Path(out).expanduser(), entry.name)
    protocol = _protocol(entry, options, None if path is None else path.parent)
    uses_runs = options.runs is not None and options.runs.is_dir() and any(options.runs.iterdir())
    began = time.perf_counter()
    findings = _over_seeds([_with_seed(entry, protocol, seed) for seed in _seeds(options)])
    facts = provenance(
        command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        device=_device(options.device),
        threads=torch.get_num_threads(),
    )
    facts |= {
        "seed": options.seed,
        "seeds": options.seeds,
        "options": {"epochs": protocol.epochs, "n_samples": protocol.n_samples},
        "data": entry.data,
        "seconds": round(time.perf_counter() - began, 1),
        "takes_up_runs": uses_runs,
    }
    changed = [
        f"{key} {value} instead of {getattr(entry, key)}"
        for key, value in facts["options"].items()
        if value != getattr(entry, key)
    ]
    if changed:
        note = f"Not the protocol: {', '.join(changed)}. The targets are for the protocol."
        findings = replace(findings, notes=(note, *findings.notes))
    figures = () if path is None else _draw(path, findings)
    result = Result(entry.name, entry.source, entry.protocol, findings, facts, figures)
    if path is not None:
        write_json(path, result.to_dict())
    return result


def _protocol(entry: Experiment, options: Options, folder: Path | None = None) -> Protocol:
    """Return the protocol of a run, if every option has a meaning for the experiment."""
    for name in ("epochs", "n_samples", "data_dir", "runs", "full"):
        lacks = {
            "epochs": None if entry.epochs else "trains nothing",
            "n_samples": None if entry.n_samples else "draws nothing",
            "full": None if entry.full_epochs else "has no long run",
        }.get(name, None if entry.data else "needs no data")
        given = getattr(options, name)
        if given and lacks:
            value = str(given) if isinstance(given, Path) else given
            raise OptionError(f"{name}={value!r}: {entry.name!r} {lacks}; drop it")
    epochs = options.epochs or (entry.full_epochs if options.full else entry.epochs)
    n_samples = options.n_samples or (options.full and entry.full_samples) or entry.n_samples
    return Protocol(options, epochs, n_samples, folder)


def _seeds(options: Options) -> range:
    return range(options.seed, options.seed + options.seeds)


def _with_seed(entry: Experiment, protocol: Protocol, seed: int) -> Findings:
    """Run an experiment with one seed; the random state is the same afterwards."""
    options = replace(protocol.options, seed=seed, seeds=1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return entry.run(replace(protocol, options=options))


def _over_seeds(findings: Sequence[Findings]) -> Findings:
    """Return the findings of several seeds as one: means, with standard errors over the seeds.

    >>> from experiments.ledger.rows import Row
    >>> one, other = Findings((Row("x", 1.0, target=1.0),)), Findings((Row("x", 3.0, target=1.0),))
    >>> _over_seeds([one, other]).rows[0].cells()[3]
    '2.0 ± 1.0'
    """
    first, n = findings[0], len(findings)
    if n == 1:
        return first
    rows = []
    for same in zip(*(found.rows for found in findings), strict=True):
        values = [row.ours for row in same if row.ours is not None]
        if len(values) < n or {row.what for row in same} != {same[0].what}:
            continue
        ours = torch.tensor(values, dtype=torch.float64)
        # A target that is the figure of another model differs from seed to seed.
        targets = [row.target for row in same if row.target is not None]
        target = sum(targets) / n if len(targets) == n else None
        stderr = float(ours.std() / n**0.5)
        rows.append(replace(same[0], ours=float(ours.mean()), stderr=stderr, target=target))
    notes = (f"Means over {n} seeds; standard errors are over the seeds.", *first.notes)
    details: dict[str, Any] = {f"seed {i}": dict(found.details) for i, found in enumerate(findings)}
    details["rows"] = [[row.to_dict() for row in found.rows] for found in findings]
    return Findings(tuple(rows), notes, first.figures, details)


def _checked_file(path: Path, name: str) -> Path:
    """Return the file of a result, if writing it overwrites nothing but such a result."""
    if path.suffix != ".json":
        raise OptionError(f"out={str(path)!r}: must end in .json, the result is JSON")
    if path.is_dir():
        raise OptionError(f"out={str(path)!r}: is a folder; name a file in it")
    if path.exists():
        try:
            before = read_json(path)
        except (OSError, ValueError):
            before = None
        if not isinstance(before, dict) or before.get("name") != name:
            raise OptionError(
                f"out={str(path)!r}: holds something else than a result of {name!r}; choose "
                "another name"
            )
    return path


def _draw(path: Path, findings: Findings) -> tuple[str, ...]:
    """Write the figures beside the file of the result, and return their names."""
    from PIL.Image import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    files = {path.with_name(f"{path.stem}-{key}.png"): d for key, d in findings.figures.items()}
    for file, drawing in files.items():
        if isinstance(drawing, Image):
            drawing.save(file)
        else:
            rp.plots.save_figure(drawing, file)
    return tuple(file.name for file in files)


def _device(device: str) -> str:
    """Return the name of the device that a run with ``device=device`` uses."""
    is_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return torch.cuda.get_device_name() if is_cuda else "cpu"
