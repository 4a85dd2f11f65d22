"""The options of a run of an experiment."""

from dataclasses import dataclass
from pathlib import Path

from reparam.errors import OptionError


@dataclass(frozen=True)
class Options:
    """How to run an experiment.

    Arguments:
        data_dir: The folder that holds the folder of the data set; no other place is searched.
        seed: The seed of the weights, the order of the data and every draw.
        seeds: The number of seeds, from that one on; figures are then means over them.
        epochs: Passes over the training data; those of the protocol when None.
        full: Whether to do the long run of an experiment that has one.
        n_samples: Draws for each estimate; those of the protocol when None.
        device: ``auto``, ``cpu``, ``cuda`` …
        runs: The folder of the training runs, which are continued; None to keep none.
        progress: Whether to show progress on standard error.

    Raises:
        OptionError: A number that is too small.
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
        for name, least in (("epochs", 1), ("n_samples", 2), ("seeds", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name}={value}: must be at least {least}")
        if self.runs is not None:
            object.__setattr__(self, "runs", Path(self.runs).expanduser())
