"""``reparam data``: list the data sets."""

from dataclasses import dataclass

from reparam.cli.parse import verb
from reparam.cli.table import print_table
from reparam.data import SOURCES, ImageSet


@dataclass(frozen=True)
class Options:
    """List the data sets: their size, how they are prepared, and where they come from."""


def preparation(images: ImageSet) -> str:
    """Return the default preparation of a data set of images."""
    if images.binarize == "none":
        return f"{images.levels} levels"
    return f"binarize {images.binarize}"


@verb
def main(options: Options) -> None:
    """Print the table of data sets."""
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
        "\nEach is read from a folder of its name under --data-dir; without it, under "
        "$REPARAM_DATA_DIR\nor from the cache, and is downloaded if it is in neither. "
        "digits needs no file.\n\nOther data, as --data NAME:"
    )
    for name, source in SOURCES.items():
        if not isinstance(source, ImageSet):
            place = "" if source.path is None else f" --path {source.path}"
            print(f"  {name}{place}: {source.description}")
