"""The ledger: experiments by name, each with its source, its protocol and its targets."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from reparam.errors import OptionError, folded, unknown
from reparam.evaluation.statistics import mean_and_stderr
from reparam.pictures import save
from reparam.plots import save_figure
from reparam.reproduce.result import Drawing, Findings, Result
from reparam.training.runtime import resolve_device
from reparam.utils.files import as_path, read_json, write_json
from reparam.utils.seeding import reseed, seeded
from reparam.utils.terminal import stderr
from reparam.version import __version__

FORMAT = 1
"""The format of a stored result."""


@dataclass(frozen=True)
class Options:
    """How to run an entry.

    Arguments:
        data_dir: The folder that holds the data set's folder; nothing else is looked at then.
        seed: Of the weights, the order of the data and every draw.
        epochs: Instead of the protocol's, for a quick look; the targets are for the protocol's.
        full: The long run of an entry that has one: more epochs than a CPU pays in an hour.
        n_samples: Draws behind each estimate, instead of the protocol's.
        seeds: How many seeds, from that one on; figures are then means over them.
        device: ``auto``, ``cpu``, ``cuda`` …
        runs: Where to keep the training runs, and go on with those that are there; without it
            they are not kept.
        progress: Show progress on standard error.

    Raises:
        OptionError: A number below one, or a negative seed.
    """

    data_dir: str | None = None
    seed: int = 0
    seeds: int = 1
    epochs: int | None = None
    full: bool = False
    n_samples: int | None = None
    device: str = "auto"
    runs: Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("n_samples", 2), ("seeds", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name}={value}: must be at least {least}")
        if self.seed < 0:
            raise OptionError(f"seed={self.seed}: must be 0 or more")
        if self.runs is not None:
            object.__setattr__(self, "runs", as_path(self.runs, "runs"))


@dataclass(frozen=True)
class Protocol:
    """The options of an entry with its own values where none were asked for.

    Arguments:
        options: What was asked for.
        epochs: Passes over the training data; 0 for an entry that trains nothing.
        n_samples: Draws behind each estimate.
        folder: Where the result will lie; None where nothing is written.
    """

    options: Options
    epochs: int
    n_samples: int
    folder: Path | None = None

    @property
    def seed(self) -> int:
        """The seed."""
        return self.options.seed

    def say(self, what: str) -> None:
        """Tell on standard error what comes next, where progress is shown."""
        if self.options.progress:
            print(what, file=stderr(), flush=True)


Experiment = Callable[[Protocol], Findings]


@dataclass(frozen=True)
class Entry:
    """A registered experiment.

    Arguments:
        name: What the command line calls it.
        experiment: What runs it.
        source: Where the published figures, or the claim, are from.
        protocol: What is done, in a sentence.
        data: The data set that it needs; None for none.
        epochs: Passes over the training data; 0 where nothing is trained.
        n_samples: Draws behind each estimate; 0 where nothing is drawn.
        minutes: About how long it takes on one core.
        full_epochs: Passes in the long run; 0 where there is none.
        full_samples: Draws behind each estimate in the long run; 0 for as many as otherwise.
    """

    name: str
    experiment: Experiment
    source: str
    protocol: str
    data: str | None
    epochs: int
    n_samples: int
    minutes: float
    full_epochs: int = 0
    full_samples: int = 0

    @property
    def summary(self) -> str:
        """The first line of the experiment's docstring."""
        return (self.experiment.__doc__ or "").strip().partition("\n")[0]


_ENTRIES: dict[str, Entry] = {}


def entry(
    name: str,
    *,
    source: str,
    protocol: str,
    data: str | None = None,
    epochs: int = 0,
    n_samples: int = 0,
    minutes: float = 0.5,
    full_epochs: int = 0,
    full_samples: int = 0,
) -> Callable[[Experiment], Experiment]:
    """Register an experiment under a name.

    Arguments:
        name: The name, in lower case with dashes.
        source: Where the published figures, or the claim, are from.
        protocol: What is done, in a sentence.
        data: The data set that it needs.
        epochs: Passes over the training data.
        n_samples: Draws behind each estimate.
        minutes: About how long it takes on one core.
        full_epochs: Passes in the long run, which ``--full`` asks for.
        full_samples: Draws behind each estimate in the long run.

    Raises:
        OptionError: The name is taken.
    """

    def register(experiment: Experiment) -> Experiment:
        if name in _ENTRIES:
            raise OptionError(f"entry {name!r} is registered already: choose another name")
        made = Entry(
            name,
            experiment,
            source,
            protocol,
            data,
            epochs,
            n_samples,
            minutes,
            full_epochs,
            full_samples,
        )
        _ENTRIES[name] = made
        return experiment

    return register


def entries() -> tuple[Entry, ...]:
    """Return all entries.

    >>> from reparam import reproduce
    >>> [found.name for found in reproduce.entries()][:2]
    ['table-4-1', 'tutorial-mnist']
    """
    return tuple(_ENTRIES.values())


def get(name: str) -> Entry:
    """Return the entry of this name; underscores and capitals are forgiven.

    Raises:
        OptionError: A name that does not exist, with the nearest one.

    Example:
        >>> from reparam import reproduce
        >>> reproduce.get("Table_4_1").name
        'table-4-1'
    """
    if folded(name) not in _ENTRIES:
        raise unknown("entry", name, _ENTRIES)
    return _ENTRIES[folded(name)]


def reproduce(
    name: str,
    options: Options | None = None,
    *,
    out: str | Path | None = None,
    command: str | None = None,
) -> Result:
    """Run an entry, and return its figures beside the published ones.

    Arguments:
        name: The entry.
        options: How to run it; the protocol's own way when None.
        out: The JSON file to write; the figures go beside it. Without it nothing is written.
        command: The command line, for the record; that of this process when None.

    Raises:
        OptionError: An unknown entry, or an option that means nothing to it.
        DataError: Its data are missing or damaged.
        RunError: The file cannot be written, or holds something else.

    Example:
        >>> reproduce("swapped-gradient", Options(n_samples=1000)).rows[0].cells()[2]
        '6.76'
    """
    found = get(name)
    asked = Options() if options is None else options
    path = None if out is None else _checked_file(as_path(out, "out"), found)
    protocol = replace(_protocol(found, asked), folder=None if path is None else path.parent)
    takes_up = asked.runs is not None and asked.runs.is_dir() and any(asked.runs.iterdir())
    began = time.perf_counter()
    with seeded(resolve_device(protocol.options.device), asked.seed):
        findings = over_seeds([found.experiment(each) for each in _each_seed(protocol)])
    facts = _facts(found, protocol, command) | {
        "seconds": round(time.perf_counter() - began, 1),
        "takes_up_runs": takes_up,
    }
    changed = [
        f"{key} {facts['options'][key]} instead of {getattr(found, key)}"
        for key in ("epochs", "n_samples")
        if facts["options"][key] != getattr(found, key)
    ]
    if changed:
        said = f"Not the protocol: {', '.join(changed)}. The targets are for the protocol."
        findings = replace(findings, notes=(said, *findings.notes))
    figures = () if path is None else tuple(_draw(path, findings))
    result = Result(found.name, found.source, found.protocol, findings, facts, figures)
    if path is not None:
        write_json(path, result.to_dict())
    return result


def over_seeds(findings: Sequence[Findings]) -> Findings:
    """Return the findings of several seeds as one: means, with standard errors over the seeds.

    >>> from reparam.reproduce.result import Row
    >>> one, other = Findings((Row("x", 1.0, target=1.0),)), Findings((Row("x", 3.0, target=1.0),))
    >>> over_seeds([one, other]).rows[0].cells()[2]
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
        mean, stderr = mean_and_stderr(torch.tensor(values, dtype=torch.float64))
        # A target that is another model's figure differs from seed to seed.
        targets = [row.target for row in same if row.target is not None]
        target = sum(targets) / n if len(targets) == n else None
        rows.append(replace(same[0], ours=mean, stderr=stderr, target=target))
    notes = (f"Means over {n} seeds; standard errors are over the seeds.", *first.notes)
    details: dict[str, Any] = {f"seed {i}": dict(found.details) for i, found in enumerate(findings)}
    details["rows"] = [[row.to_dict() for row in found.rows] for found in findings]
    return Findings(tuple(rows), notes, first.figures, details)


def _each_seed(protocol: Protocol) -> Iterator[Protocol]:
    options = protocol.options
    for seed in range(options.seed, options.seed + options.seeds):
        reseed(resolve_device(options.device), seed)
        yield replace(protocol, options=replace(options, seed=seed, seeds=1))


def _protocol(found: Entry, asked: Options) -> Protocol:
    for name in ("epochs", "n_samples"):
        if getattr(asked, name) is not None and not getattr(found, name):
            does = "trains nothing" if name == "epochs" else "draws nothing"
            raise OptionError(f"{name}={getattr(asked, name)}: {found.name!r} {does}, so drop it")
    for name in ("data_dir", "runs"):
        if getattr(asked, name) is not None and found.data is None:
            raise OptionError(
                f"{name}={str(getattr(asked, name))!r}: {found.name!r} needs no data, so drop it"
            )
    if asked.full and not found.full_epochs:
        raise OptionError(f"full=True: {found.name!r} has no long run, so drop it")
    epochs = asked.epochs or (found.full_epochs if asked.full else found.epochs)
    n_samples = (asked.full and found.full_samples) or found.n_samples
    return Protocol(asked, epochs, asked.n_samples or n_samples)


def _checked_file(path: Path, found: Entry) -> Path:
    """Return the file of a result, once it is seen that nothing else would be lost by writing it.

    Raises:
        OptionError: It does not end in ``.json``, or holds something else than such a result.
    """
    if path.suffix != ".json":
        raise OptionError(f"out={str(path)!r}: the result is JSON, so end the name in .json")
    if path.is_dir():
        raise OptionError(f"out={str(path)!r} is a folder: name a file in it")
    if path.exists():
        try:
            before = read_json(path)
        except (OSError, ValueError):
            before = None
        name = before.get("name") if isinstance(before, dict) else None
        if name != found.name:
            raise OptionError(
                f"out={str(path)!r} holds something else than a result of {found.name!r}: "
                "choose another name"
            )
    return path


def _draw(path: Path, findings: Findings) -> list[str]:
    """Write the figures beside the file of the result, and return their names."""
    names = []
    for name, drawing in findings.figures.items():
        file = path.with_name(f"{path.stem}-{name}.png")
        _save(drawing, file)
        names.append(file.name)
    return names


def _save(drawing: Drawing, file: Path) -> None:
    from PIL.Image import Image

    if isinstance(drawing, Image):
        save(drawing, file)
    else:
        save_figure(drawing, file)


def _facts(found: Entry, protocol: Protocol, command: str | None) -> dict[str, Any]:
    options = protocol.options
    said = command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {
        "format": FORMAT,
        "command": said,
        "version": __version__,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "seed": options.seed,
        "seeds": options.seeds,
        "options": {"epochs": protocol.epochs, "n_samples": protocol.n_samples},
        "data": found.data,
        "machine": machine(options.device),
    }


def commit() -> str | None:
    """Return the commit of the source that runs, marked where files differ from it.

    None where the source is not in a repository of its own, as in an installed package.
    """
    folder = Path(__file__).resolve().parent.parent
    # An installed package may lie inside someone else's repository, whose commit says nothing.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    found = _git(folder, "rev-parse", "HEAD")
    differs = _git(folder, "status", "--porcelain", "--", ".")
    return f"{found}-dirty" if found and differs else found


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed words, and no shell)
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine(device: str = "auto") -> dict[str, Any]:
    """Return what the figures of time depend on.

    >>> sorted(machine("cpu"))
    ['cores', 'cpu', 'device', 'python', 'system', 'threads', 'torch']
    """
    place = resolve_device(device)
    named = torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"
    return {
        "cores": os.cpu_count(),
        "cpu": _processor(),
        "device": named,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
