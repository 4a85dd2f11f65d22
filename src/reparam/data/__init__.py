"""Data: named data sets, the user's own, and minibatches of both on the device."""

from reparam.data.batches import Batches
from reparam.data.dataset import Dataset, Split
from reparam.data.images import load_images
from reparam.data.in_memory import as_dataset, from_arrays
from reparam.data.registry import DATASETS, load
from reparam.data.stream import Stream, StreamBatches
from reparam.data.text import Vocabulary, load_text
from reparam.data.transforms import Identity, Pixels

__all__ = [
    "DATASETS",
    "load",
    "load_text",
    "load_images",
    "Vocabulary",
    "Dataset",
    "Split",
    "from_arrays",
    "as_dataset",
    "Stream",
    "Batches",
    "StreamBatches",
    "Pixels",
    "Identity",
]
