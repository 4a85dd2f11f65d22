"""Networks: tensors in, features out. Depth and size are arguments."""

from reparam.nn.blind import Blind
from reparam.nn.causal import CausalTransformer
from reparam.nn.codebook import Codebook
from reparam.nn.conv import ConvDecoder, ConvEncoder
from reparam.nn.heads import head
from reparam.nn.jitter import Jittered
from reparam.nn.last import Last
from reparam.nn.mlp import MLP
from reparam.nn.pyramid import Halved, Pyramid, Residual
from reparam.nn.stacked import Stacked
from reparam.nn.text import TextDecoder, TextEncoder

__all__ = [
    "Blind",
    "CausalTransformer",
    "Jittered",
    "Last",
    "Codebook",
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Halved",
    "Pyramid",
    "Residual",
    "Stacked",
    "TextDecoder",
    "TextEncoder",
    "head",
]
