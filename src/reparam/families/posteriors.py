"""The families that can be a posterior q(z | x), by name."""

from reparam.families.family import Family
from reparam.utils.registry import Part, Registry

POSTERIORS: Registry[Part[Family]] = Registry("posterior")
"""What turns the encoder's features into q(z | x). ``part.kind.for_latents`` creates it."""
