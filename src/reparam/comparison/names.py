"""Names of runs and of groups of runs, as short as they can be."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from reparam.comparison.result import Entry
from reparam.errors import OptionError, unknown
from reparam.evaluation.trained import TrainedRun

# Between the name of a group and its number of seeds.
_SEEDS = " × "


def run_names(runs: Sequence[TrainedRun]) -> list[str]:
    """Return a name for every run: the last parts of its folder that no other run shares.

    Raises:
        OptionError: A run is given twice.
    """
    known = [run.folder.path.absolute() for run in runs if run.folder is not None]
    names: list[str] = []
    for run in runs:
        if run.folder is None:
            stem = run.config.get("variant") or type(run.model).__name__
            free = [f"{stem}-{i}" for i in range(1, len(runs) + 1)]
        else:
            folder = run.folder.path.absolute()
            if known.count(folder) > 1:
                raise OptionError(f"run {folder} is given twice: give each run once")
            ends = [folder.parts[-depth:] for depth in range(1, len(folder.parts) + 1)]
            others = [other.parts for other in known if other != folder]
            free = [str(Path(*end)) for end in ends if all(p[-len(end) :] != end for p in others)]
        names.append(next(name for name in free if name not in names))
    return names


def group_names(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """Return a name for every group: that of its run, or the beginning that its runs share."""
    stems = [_stem(group) for group in groups]
    names = []
    for group, stem in zip(groups, stems, strict=True):
        others = [entry.name for other in groups if other is not group for entry in other]
        if len(group) == 1:
            names.append(group[0].name)
        elif stem and stems.count(stem) == 1 and stem not in others:
            names.append(f"{stem}{_SEEDS}{len(group)} seeds")
        else:
            names.append(", ".join(entry.name for entry in group))
    return names


def reference_of(
    to: str | None, groups: Sequence[Sequence[Entry]], names: Sequence[str], first: str
) -> str:
    """Return the name of a run of the reference.

    Arguments:
        to: The name of a run, or of a group; None for the first run.
        groups: The runs.
        names: The names of the groups.
        first: The name of the first run.

    Raises:
        OptionError: No run or group of this name.
    """
    if to is None:
        return first
    known = {name: group[0].name for group, name in zip(groups, names, strict=True)}
    listed = dict.fromkeys([*(entry.name for group in groups for entry in group), *names])
    known |= {name.rpartition(_SEEDS)[0]: run for name, run in known.items()}
    known |= {entry.name: entry.name for group in groups for entry in group}
    for name in (to, Path(to).name):
        if name in known:
            return known[name]
    raise unknown("run to compare with", to, listed)


def _stem(group: Sequence[Entry]) -> str:
    """Return the common beginning of names, in whole words and numbers; else their variant."""
    words = [re.findall(r"\d+|[^\W\d_]+|[\W_]", entry.name) for entry in group]
    common = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return "".join(column[0] for column in common).rstrip("-_./ =") or group[0].variant or ""
