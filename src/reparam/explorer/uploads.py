"""Uploaded files as examples: pictures, rows, arrays and text, decoded safely and prepared."""

import io
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data.sources.array import read_arrays
from reparam.data.sources.images import cropped
from reparam.errors import DataError, ReparamError
from reparam.pictures import is_picturable
from reparam.runs.run import Run
from reparam.spec import DataSpec

MOST_BYTES = 5_000_000
"""The size of the largest file that is taken."""

MOST_PIXELS = 40_000_000
"""The largest number of pixels of a picture, since a small file may hold a huge one."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_TABLES = (".csv", ".tsv", ".parquet")


def endings(run: Run) -> tuple[str, ...]:
    """Return the endings of the files that are examples of a run.

    Arguments:
        run: The run.
    """
    if run.vocabulary is not None:
        return (".txt",)
    if run.spec.schema is not None:
        return _TABLES
    return (*_PICTURES, ".npy") if is_picturable(run.spec) else (".npy",)


def read_upload(run: Run, name: str, content: bytes, c: Tensor | None = None) -> Batch:
    """Return the first example in an uploaded file, prepared for the model.

    Arguments:
        run: The run.
        name: The name of the file.
        content: Its bytes.
        c: The condition of the example, with shape (1, C), where the file has none.

    Raises:
        DataError: A file that is too large, damaged, of another kind, or of other values than the
            training data could have.
    """
    known, ending = endings(run), Path(name).suffix.lower()
    if len(content) > MOST_BYTES:
        raise DataError(
            f"{name} has {len(content) / 1e6:.1f} MB: upload a file of at most "
            f"{MOST_BYTES / 1e6:.0f} MB"
        )
    if ending not in known:
        raise DataError(f"{name} is of another kind: upload a file that ends in {', '.join(known)}")
    if ending in _PICTURES:
        pixels = _pixels(name, content, run.spec)
        return run.examples(Batch(as_image(pixels, run.spec), c=c))
    if ending == ".txt":
        return run.examples(Batch(_tokens(run, name, content), c=c))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{ending}"
        path.write_bytes(content)
        try:
            return _of_file(run, path, c)
        except ReparamError as error:
            # The user knows the name of the file only.
            raise DataError(str(error).replace(str(path), name)) from error


def as_image(pixels: Tensor, spec: DataSpec) -> Tensor:
    """Return bytes of an image as x: on the grid of its levels, black and white, or real.

    Arguments:
        pixels: uint8 with shape (N, C, H, W).
        spec: The shape and support of x.

    Example:
        >>> pixels = torch.tensor([0, 100, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
        >>> as_image(pixels, DataSpec((1, 1, 3), "binary")).flatten()
        tensor([0., 0., 1.])
        >>> as_image(pixels, DataSpec((1, 1, 3), "unit", levels=3)).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """
    x = pixels.float() / 255
    if spec.support == "binary":
        return (x >= 0.5).float()
    if spec.dequantized_from is not None:
        n = spec.dequantized_from
        return ((x * (n - 1)).round() + 0.5) / n  # the middle of the cell of its level
    return x if spec.levels is None else (x * (spec.levels - 1)).round() / (spec.levels - 1)


def _pixels(name: str, content: bytes, spec: DataSpec) -> Tensor:
    """Return the central part of a picture in the size of the data, uint8 (1, C, H, W)."""
    from PIL import Image

    channels, height, width = spec.shape
    fix = f"upload another picture, as {', '.join(_FORMATS)}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                n = image.width * image.height
                if n <= MOST_PIXELS:
                    mode = "L" if channels == 1 else "RGB"
                    part = np.array(cropped(image, (height, width), mode))
    # Decoders raise anything for damaged bytes, from KeyError to MemoryError.
    except Exception as error:
        raise DataError(f"{name} cannot be read as a picture: {fix}") from error
    if n > MOST_PIXELS:
        raise DataError(
            f"{name} has {n / 1e6:.0f} million pixels: upload a picture of at most "
            f"{MOST_PIXELS / 1e6:.0f} million"
        )
    return torch.from_numpy(part).reshape(1, height, width, channels).permute(0, 3, 1, 2)


def _tokens(run: Run, name: str, content: bytes) -> Tensor:
    """Return the first window of a text as tokens, with shape (1, T)."""
    words, length = run.vocabulary, run.spec.dim
    if words is None:
        raise ValueError("a run without a vocabulary reads no text")
    try:
        text: str | bytes = content if words.unit == "bytes" else content.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text in UTF-8: save it as UTF-8") from error
    return words.windows([text], length, name)


def _of_file(run: Run, path: Path, c: Tensor | None) -> Batch:
    """Return the first example of a table or of arrays."""
    if path.suffix != ".npy":
        return run.examples(run.read(path), "train", limit=1)
    stored, _, _ = read_arrays(path)
    shape = run.spec.shape
    whole = stored[None] if stored.shape == shape else stored
    if whole.ndim == 0 or len(whole) == 0:
        raise DataError(f"{path} holds no example: give one of the shape {shape}")
    x = torch.from_numpy(np.ascontiguousarray(whole[:1]))
    if x.dtype == torch.uint8 and is_picturable(run.spec) and x.shape[1:] == shape:
        x = as_image(x, run.spec)
    return run.examples(Batch(x, c=c))
