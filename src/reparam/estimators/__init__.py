"""Estimators with the interface of scikit-learn: for a table, without a training loop."""

from reparam.utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
