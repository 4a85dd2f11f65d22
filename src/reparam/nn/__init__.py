"""Networks: modules from tensors, and a condition where there is one, to features.

Depth and sizes are arguments. Every network declares the shape of its features as ``out_shape``.
"""

from reparam.nn.causal import CausalTransformer
from reparam.nn.codebook import Codebook
from reparam.nn.conv import ConvDecoder, ConvEncoder
from reparam.nn.heads import head
from reparam.nn.ignore_context import IgnoreContext
from reparam.nn.mlp import MLP, LabelNetwork
from reparam.nn.pyramid import Downsample, Pyramid, Residual
from reparam.nn.random_affine import RandomAffine
from reparam.nn.sequence import TextDecoder, TextEncoder
from reparam.nn.sequential import ConditionedSequential
from reparam.nn.take_last import TakeLast

__all__ = [
    "IgnoreContext",
    "CausalTransformer",
    "RandomAffine",
    "TakeLast",
    "Codebook",
    "LabelNetwork",
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Downsample",
    "Pyramid",
    "Residual",
    "ConditionedSequential",
    "TextDecoder",
    "TextEncoder",
    "head",
]
