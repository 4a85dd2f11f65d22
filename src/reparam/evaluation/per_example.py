"""What was scored and what every example got: the figures behind the means, and their files."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from reparam.utils.equality import by_value
from reparam.utils.files import read_json, read_regular, write_atomic, write_json

CHECKSUM = "per_example_sha256"
"""The key of ``evaluation.json`` that ties it to the tensors beside it."""


@by_value
class PerExample(NamedTuple):
    """Figures of every example, in nats, float64 with shape (N,).

    A figure that does not exist for the model is None; one that is not finite for some example
    stays so, since leaving it out would break the pairs.

    Arguments:
        elbo: The evidence lower bound, reconstruction - kl.
        log_likelihood: log p(x) by importance sampling; exact for a directed model.
        reconstruction: E_q[log p(x | z)].
        kl: KL(q(z | x)‖p(z)).
    """

    elbo: Tensor | None = None
    log_likelihood: Tensor | None = None
    reconstruction: Tensor | None = None
    kl: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """Return the figures that exist, by name."""
        return {name: values for name, values in self._asdict().items() if values is not None}


def data_sha256(x: Tensor) -> str:
    r"""Return the identity of examples x, with shape (N, \*shape): a SHA-256 in hexadecimal.

    It is that of one line of text, then of the values, so that another program can find it again:

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


def save_evaluation(path: Path, values: Mapping[str, Any], examples: PerExample | None) -> None:
    """Write the figures of an evaluation as JSON and, beside it, those of every example.

    The tensors come first and the JSON holds their checksum, so that a write that is killed in
    between leaves no pair that looks like one.

    Arguments:
        path: The JSON file; the tensors take its name with the ending ``.safetensors``.
        values: Plain values.
        examples: The figures of every example; None for none.

    Raises:
        RunError: The disk is full, or the place cannot be written to.
    """
    checksum = None
    if examples is not None:
        # Copies, since safetensors refuses tensors that share memory.
        content = tensors_to_bytes({k: t.contiguous().clone() for k, t in examples.named().items()})
        write_atomic(path.with_suffix(".safetensors"), content)
        checksum = sha256(content).hexdigest()
    write_json(path, {**values, CHECKSUM: checksum})


def load_evaluation(path: Path) -> tuple[dict[str, Any], PerExample] | None:
    """Return what ``save_evaluation`` wrote; None where a file is missing, damaged or of another.

    Arguments:
        path: The JSON file.
    """
    try:
        values = read_json(path)
        content = read_regular(path.with_suffix(".safetensors"))
        if sha256(content).hexdigest() != values.pop(CHECKSUM):
            return None
        return values, PerExample(**tensors_from_bytes(content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None
