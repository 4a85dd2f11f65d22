"""``reparam data``: the table of data sets and of kinds of own files."""

from collections.abc import Sequence
from dataclasses import dataclass

from reparam.cli.parse import parse
from reparam.cli.table import print_table
from reparam.data import SOURCES, ImageSet


@dataclass(frozen=True)
class Options:
    """List the data sets: their size, how they are prepared, and where they come from."""


def preparation(images: ImageSet) -> str:
    """Return the default preparation of a data set of images."""
    if images.dequantize:
        return f"{images.levels} levels, dequantized"
    if images.binarize == "none":
        return f"{images.levels} levels"
    return f"binarize {images.binarize}"


def main(arguments: Sequence[str]) -> None:
    """Print the table of data sets."""
    parse(Options, "data", arguments)
    print_table(
        ("data set", "what it is", "train + test", "shape", "by default", "where from"),
        [
            (
                name,
                source.description,
                f"{source.n_train:,} + {source.n_test:,}",
                " × ".join(map(str, source.shape)),
                preparation(source),
                source.where,
            )
            for name, source in SOURCES.items()
            if isinstance(source, ImageSet)
        ],
    )
    print(
        "\nEach is searched in a folder of its name under --data-dir, or else under "
        "$REPARAM_DATA_DIR,\nthen in the cache, and is downloaded if it is in none of them. "
        "digits needs no file.\n\nOther data, as --data NAME:"
    )
    for name, source in SOURCES.items():
        if not isinstance(source, ImageSet):
            place = "" if source.path is None else f" --path {source.path}"
            print(f"  {name}{place}: {source.description}")
