"""Trained models as files that run without this library: ONNX and torch.export."""

from reparam.export.files import Export as Export
from reparam.export.files import Format as Format
from reparam.export.files import export as export

__all__ = ["Export", "Format", "export"]
