"""Variants: names for compositions, each a short builder registered once."""

from reparam.variants.classic import beta_vae, conv_vae, full_covariance_vae, vae
from reparam.variants.observed import classifier, directed
from reparam.variants.recipe import Player, Recipe, Source, replace
from reparam.variants.registry import Variant, build, get, names, variant

__all__ = [
    "Player",
    "Recipe",
    "Source",
    "Variant",
    "build",
    "get",
    "names",
    "replace",
    "variant",
    "beta_vae",
    "classifier",
    "conv_vae",
    "directed",
    "full_covariance_vae",
    "vae",
]
