"""Networks: modules from tensors, and a condition where there is one, to features.

Depth and sizes are arguments. Every network declares the shape of its features as ``out_shape``.
"""

from reparam.utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
