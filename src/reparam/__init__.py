"""Variational autoencoders: compose, train, measure, look, use."""

__version__ = "0.1.0"
