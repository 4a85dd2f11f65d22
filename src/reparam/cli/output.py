"""Where a verb's result goes: a picture, or an array."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from reparam.errors import OptionError
from reparam.files import write_array
from reparam.report.pictures import check_picturable, save
from reparam.spec import DataSpec

if TYPE_CHECKING:
    from PIL.Image import Image


def write(
    out: Path, values: Tensor, spec: DataSpec, picture: Callable[[], "Image"] | None, said: str = ""
) -> None:
    """Write values as an array where the file ends in ``.npy``, as a picture elsewhere.

    Arguments:
        out: The file.
        values: The values.
        spec: What the values are.
        picture: Makes the picture of them; None for what has none.
        said: What is seen in it, printed behind its name.

    Raises:
        OptionError: An ending that is not understood, or data that no picture can show.
        RunError: The file cannot be written.
    """
    if out.suffix == ".npy":
        write_array(out, values.cpu().numpy())
    elif picture is None:
        raise OptionError(f"--out {out}: codes are written as an array, so end the name in .npy")
    else:
        check_picturable(spec)
        save(picture(), out)
    print(f"{out}  ({said})" if said and out.suffix != ".npy" else out)
