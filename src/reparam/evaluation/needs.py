"""The needs of a metric: properties that a model and examples must have for it to apply."""

from enum import Flag, auto


class Needs(Flag):
    """The needs of a metric: properties of a model and of examples."""

    NOTHING = 0
    LATENTS = auto()
    """Latent variables."""
    DENSITY = auto()
    """A posterior with a density, and so a KL."""
    LABELS = auto()
    """Examples with known labels."""
