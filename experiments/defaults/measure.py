"""One row: a contender on a set with a seed."""

import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.defaults import images, ours
from experiments.defaults.cells import cell_log_prob
from experiments.defaults.classical import CLASSICAL, fitted
from experiments.defaults.rows import Key, Stored
from experiments.defaults.sets import MORE, TABLES, table

GROUPS: dict[str, tuple[str, ...]] = {
    "tables": tuple(TABLES),
    "more": tuple(MORE),
    "images": tuple(images.IMAGES),
    "other": tuple(ours.OTHER),
}
"""The names of the sets."""

LONG = ("mnist", "cifar10", "tiny-shakespeare")
"""Sets with the seed 0 only, so that the suite takes an hour."""

CONTENDERS = (*CLASSICAL, "ours", "ours-array", "ours-scaled", "oracle")
"""On images, ours brings pythae's VAE along, which trains as long."""


@dataclass(frozen=True)
class Task:
    """What is measured at once.

    Arguments:
        set: The set.
        seed: The seed of the split, and of the contender.
        contender: The contender.
        data_dir: The folder of all data sets.
        folder: The folder of the rows, and of the pictures.
    """

    set: str
    seed: int
    contender: str
    data_dir: Path
    folder: Path

    @property
    def group(self) -> str:
        """The group of the set."""
        return next(group for group, names in GROUPS.items() if self.set in names)

    @property
    def key(self) -> Key:
        """Set, seed and contender."""
        return self.set, self.seed, self.contender

    @property
    def is_possible(self) -> bool:
        """Whether the contender takes the set; oracle and scaled columns have the seed 0 only."""
        if self.contender == "ours":
            return self.seed == 0 or self.set not in LONG
        in_table = self.group in ("tables", "more")
        in_all = (*CLASSICAL, "ours-array")
        return in_table and (self.contender in in_all or self.seed == 0)


def measure(task: Task) -> list[Stored]:
    """Return the rows of a task. If the contender fails, its score is None."""
    row: Stored = {"set": task.set, "group": task.group, "seed": task.seed}
    row |= {"contender": task.contender, "unit": "nats", "score": None, "stderr": None}
    began = time.perf_counter()
    try:
        found = _measured(task)
    except Exception as error:  # any failure of the plain command is a result
        traceback.print_exc()
        found = [{"error": f"{type(error).__name__}: {error}"}]
    seconds = {"seconds": round(time.perf_counter() - began, 1)}
    return [row | one | seconds for one in found]


def _measured(task: Task) -> list[Stored]:
    if task.group == "images":
        return images.measure(task.set, task.seed, task.data_dir, task.folder)
    if task.group == "other":
        return [ours.on_other(task.set, task.seed, task.data_dir)]
    data = table(task.set, task.seed, task.data_dir)
    if task.contender in CLASSICAL:
        began = time.perf_counter()
        log_density, settings = fitted(task.contender, data.train, data.widths, task.seed)
        found: Stored = {"settings": settings, "fit_seconds": time.perf_counter() - began}
        scores = cell_log_prob(log_density, data.test, data.widths, seed=task.seed)
    else:
        scores, found = ours.on_table(task.contender, data, task.seed)
    impossible = int((~np.isfinite(scores)).sum())
    if impossible:
        return [dict(data.facts) | found | {"error": f"{impossible} rows are impossible"}]
    mean, stderr = float(scores.mean()), float(scores.std() / len(scores) ** 0.5)
    return [dict(data.facts) | found | {"score": mean, "stderr": stderr}]
