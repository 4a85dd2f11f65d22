"""``reparam data``: list the data sets."""

import inspect
from dataclasses import dataclass

from reparam.cli.parse import verb
from reparam.cli.table import print_table
from reparam.data import DATASETS
from reparam.data.registry import OWN_FILES, Entry


@dataclass(frozen=True)
class Options:
    """List the data sets: their size, how they are prepared, and where they come from."""


def prepared(entry: Entry) -> str:
    """Return how a data set is prepared by default."""
    if entry.dequantize:
        return f"{entry.levels} levels, dequantized"
    if entry.binarize == "none":
        return f"{entry.levels} levels"
    return f"binarize {entry.binarize}"


@verb
def main(options: Options) -> None:
    """Print the table of data sets."""
    print_table(
        ("data set", "what it is", "train + test", "shape", "by default", "where from"),
        [
            (
                entry.name,
                entry.description,
                f"{entry.n_train:,} + {entry.n_test:,}",
                " × ".join(map(str, entry.shape)),
                prepared(entry),
                entry.where,
            )
            for entry in DATASETS.values()
        ],
    )
    print(
        "\nEach is read from a folder of its name under --data-dir; without it, under "
        "$REPARAM_DATA_DIR\nor from the cache, and is downloaded if it is in neither. "
        "digits needs no file.\n\nYour own files, by --path:"
    )
    for name, load in OWN_FILES.items():
        said = (inspect.getdoc(load) or "").partition("\n")[0]
        print(f"  --data {name} --path {'FOLDER' if name == 'faces' else 'FILE'}: {said}")
