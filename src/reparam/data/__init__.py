"""Data: named data sets, the user's own, and minibatches of both on the device."""

from reparam.data import sources as sources
from reparam.data.batches import Batches
from reparam.data.dataset import Dataset, Split
from reparam.data.download import Remote, find
from reparam.data.image_set import ImageSet
from reparam.data.in_memory import as_dataset, from_arrays
from reparam.data.registry import SOURCES, OwnFiles, Source, load
from reparam.data.sources.images import load_images
from reparam.data.sources.text import load_text
from reparam.data.stream import Stream, StreamBatches
from reparam.data.transforms import Identity, Pixels
from reparam.data.vocabulary import Vocabulary

__all__ = [
    "SOURCES",
    "Source",
    "ImageSet",
    "OwnFiles",
    "Remote",
    "find",
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
