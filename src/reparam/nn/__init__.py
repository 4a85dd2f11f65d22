"""Networks: tensors in, features out. Depth and size are arguments."""

from reparam.nn.conv import ConvDecoder, ConvEncoder
from reparam.nn.heads import head
from reparam.nn.mlp import MLP

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "head"]
