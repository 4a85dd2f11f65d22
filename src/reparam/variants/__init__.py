"""Variants: names for presets of one specification, each a short function that is registered.

``build`` creates a recipe by the name of the variant, functions such as ``vae`` do it directly. The
modules of this folder are discovered, so that a new variant is one file.
"""

from reparam.objectives.recipe import Milestone, Player, Recipe, Source, replace
from reparam.utils.registry import discover
from reparam.variants.adversarial import cvae_gan, vae_gan
from reparam.variants.autoencoders import ae, cae, dae
from reparam.variants.bounds import beta_vae, conv_vae, dreg, iwae, vae
from reparam.variants.builder import build, variant
from reparam.variants.cluster_vae import cluster_vae
from reparam.variants.compatibility import REFUSALS
from reparam.variants.hierarchical import conv_ladder_vae, hierarchical_vae, ladder_vae
from reparam.variants.latents import (
    class_prior_vae,
    cvae,
    flow_prior_vae,
    full_covariance_vae,
    gumbel_vae,
    iaf_vae,
    vamp_vae,
    vmf_vae,
)
from reparam.variants.observed import classifier, directed
from reparam.variants.options import options_of
from reparam.variants.registry import Variant, get, names
from reparam.variants.regularized import factor_vae, info_vae, naive_vae, tc_vae, wae
from reparam.variants.specification import Composition, Specification
from reparam.variants.ss_vae import ss_vae, ss_vae_stacked
from reparam.variants.text_vae import text_vae
from reparam.variants.vq_vae import vq_vae

discover(__name__, __path__)

__all__ = [
    "Milestone",
    "Composition",
    "Player",
    "REFUSALS",
    "Recipe",
    "Source",
    "Specification",
    "Variant",
    "build",
    "get",
    "names",
    "options_of",
    "replace",
    "variant",
    "ae",
    "beta_vae",
    "cae",
    "class_prior_vae",
    "classifier",
    "cluster_vae",
    "conv_ladder_vae",
    "conv_vae",
    "cvae",
    "cvae_gan",
    "dae",
    "directed",
    "dreg",
    "factor_vae",
    "flow_prior_vae",
    "full_covariance_vae",
    "gumbel_vae",
    "hierarchical_vae",
    "iaf_vae",
    "info_vae",
    "iwae",
    "ladder_vae",
    "naive_vae",
    "ss_vae",
    "ss_vae_stacked",
    "tc_vae",
    "text_vae",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vmf_vae",
    "vq_vae",
    "wae",
]
