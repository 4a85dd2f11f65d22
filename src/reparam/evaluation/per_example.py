"""The identity of examples, and the files of an evaluation: figures, and values of the examples."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from reparam.utils.files import read_json, read_regular, write_atomic, write_json

CHECKSUM = "per_example_sha256"
"""The key of ``evaluation.json`` for the checksum of the tensors beside it."""


def data_sha256(x: Tensor) -> str:
    r"""Return the identity of examples x, with shape (N, \*shape): a SHA-256 in hexadecimal.

    It is the digest of one line of text and of the values, so that other programs can compute it:

    1. the dtype and the shape, as ``float32 (10000, 1, 28, 28)``, and a line feed, in ASCII;
    2. all values in C order, little-endian, without padding.

    Two draws of a binarization, another order of the examples, another dtype: other digests.

    Example:
        >>> import torch
        >>> data_sha256(torch.zeros(1, 2))[:16]
        '7338305d1d8d770f'
    """
    values = x.detach().cpu().contiguous().numpy()
    digest = sha256(f"{values.dtype} {tuple(values.shape)}\n".encode())
    digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def save_evaluation(
    path: Path, values: Mapping[str, object], per_example: Mapping[str, Tensor]
) -> None:
    """Write the figures of an evaluation as JSON, and the values of the examples beside it.

    The tensors come first and the JSON holds their checksum, so that a write that is killed in
    between leaves no pair that looks like one.

    Arguments:
        path: The JSON file; the tensors take its name with the ending ``.safetensors``.
        values: Plain values.
        per_example: The values of the examples by figure, with shape (N,).

    Raises:
        RunError: The disk is full, or the place cannot be written to.
    """
    # Copies, since safetensors refuses tensors that share memory.
    content = tensors_to_bytes({k: t.contiguous().clone() for k, t in per_example.items()})
    write_atomic(path.with_suffix(".safetensors"), content)
    write_json(path, {**values, CHECKSUM: sha256(content).hexdigest()})


def load_evaluation(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return what ``save_evaluation`` wrote; None where files are missing, damaged or no pair.

    Arguments:
        path: The JSON file.
    """
    try:
        values = read_json(path)
        content = read_regular(path.with_suffix(".safetensors"))
        if sha256(content).hexdigest() != values.pop(CHECKSUM):
            return None
        return values, tensors_from_bytes(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None
