"""Data: named data sets, the user's own, and minibatches of both on the device."""

from reparam.data import sources as sources
from reparam.utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
