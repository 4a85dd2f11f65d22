"""Plots: loss curves, the latent space, clusters and comparisons.

Matplotlib is imported when a plot is drawn.
"""

from reparam.utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
