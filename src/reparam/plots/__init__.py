"""Plots: loss curves, the latent space, clusters and comparisons."""

from reparam.utils.lazy import lazy

# Matplotlib is imported when a plot is drawn.
__getattr__, __dir__, __all__ = lazy(__name__, __file__)
