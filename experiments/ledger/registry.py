"""The experiments by name: their sources, protocols and sizes, and the options to run them.

An experiment is a function from a ``Protocol`` to ``Findings``, in a separate file, registered by
the decorator ``Experiment``. Its name is that of the file, with dashes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.ledger.rows import Findings
from reparam.errors import folded, unknown

if TYPE_CHECKING:
    from experiments.ledger.protocol import Protocol


@dataclass(frozen=True)
class Experiment:
    """An experiment; as a decorator it registers a function under the name of its file.

    Arguments:
        source: The citation of the published figures, or of the claim.
        protocol: Data, networks and training, in a sentence.
        data: The data set that it needs; None for none.
        epochs: Passes over the training data; 0 if nothing is trained.
        n_samples: Draws for each estimate; 0 if nothing is drawn.
        minutes: About how long it takes on one core.
        full_epochs: Passes in the long run; 0 if there is none.
        full_samples: Draws for each estimate in the long run; 0 for as many as otherwise.
        name: Its name, set when it is registered.
        run: The function, set when it is registered.
    """

    source: str
    protocol: str
    data: str | None = None
    epochs: int = 0
    n_samples: int = 0
    minutes: float = 0.5
    full_epochs: int = 0
    full_samples: int = 0
    name: str = ""
    run: Callable[["Protocol"], Findings] = lambda protocol: Findings(())

    def __call__(
        self, function: Callable[["Protocol"], Findings]
    ) -> Callable[["Protocol"], Findings]:
        """Register a function, and return it."""
        name = function.__module__.rpartition(".")[2].replace("_", "-")
        _EXPERIMENTS[name] = replace(self, name=name, run=function)
        return function

    @property
    def summary(self) -> str:
        """The first line of the docstring of the function."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


_EXPERIMENTS: dict[str, Experiment] = {}


def names() -> list[str]:
    """Return the names of all experiments, in alphabetical order; nothing is imported.

    >>> names()[:2]
    ['aggregate-posterior', 'autoencoders']
    """
    files = Path(__file__).parents[1].glob("*.py")
    return sorted(f.stem.replace("_", "-") for f in files if not f.stem.startswith("_"))


def get(name: str) -> Experiment:
    """Return the experiment of a name; underscores and capitals make no difference.

    Raises:
        OptionError: A name that does not exist, with the nearest one.

    Example:
        >>> get("Table_4_1").name
        'table-4-1'
    """
    known = folded(name)
    if known not in names():
        raise unknown("experiment", name, names())
    if known not in _EXPERIMENTS:
        import_module(f"experiments.{known.replace('-', '_')}")
    return _EXPERIMENTS[known]


def experiments() -> list[Experiment]:
    """Return all experiments, in alphabetical order."""
    return [get(name) for name in names()]
