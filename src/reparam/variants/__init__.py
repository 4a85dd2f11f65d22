"""Variants: names for presets of one specification, each a short function that is registered.

``build`` creates a recipe by the name of the variant, functions such as ``vae`` do it directly. The
modules of this folder are discovered, so that a new variant is one file.
"""

from reparam.objectives.recipe import Milestone as Milestone
from reparam.objectives.recipe import Player as Player
from reparam.objectives.recipe import Recipe as Recipe
from reparam.objectives.recipe import Source as Source
from reparam.objectives.recipe import replace as replace
from reparam.utils.registry import discover
from reparam.variants.adversarial import cvae_gan as cvae_gan
from reparam.variants.adversarial import vae_gan as vae_gan
from reparam.variants.autoencoders import ae as ae
from reparam.variants.autoencoders import cae as cae
from reparam.variants.autoencoders import dae as dae
from reparam.variants.bounds import beta_vae as beta_vae
from reparam.variants.bounds import conv_vae as conv_vae
from reparam.variants.bounds import dreg as dreg
from reparam.variants.bounds import iwae as iwae
from reparam.variants.bounds import vae as vae
from reparam.variants.builder import build as build
from reparam.variants.builder import variant as variant
from reparam.variants.cluster_vae import cluster_vae as cluster_vae
from reparam.variants.compatibility import REFUSALS as REFUSALS
from reparam.variants.fitted_prior import FittedPrior as FittedPrior
from reparam.variants.hierarchical import conv_ladder_vae as conv_ladder_vae
from reparam.variants.hierarchical import hierarchical_vae as hierarchical_vae
from reparam.variants.hierarchical import ladder_vae as ladder_vae
from reparam.variants.latents import class_prior_vae as class_prior_vae
from reparam.variants.latents import cvae as cvae
from reparam.variants.latents import flow_prior_vae as flow_prior_vae
from reparam.variants.latents import full_covariance_vae as full_covariance_vae
from reparam.variants.latents import gumbel_vae as gumbel_vae
from reparam.variants.latents import iaf_vae as iaf_vae
from reparam.variants.latents import vamp_vae as vamp_vae
from reparam.variants.latents import vmf_vae as vmf_vae
from reparam.variants.not_miwae import not_miwae as not_miwae
from reparam.variants.observed import classifier as classifier
from reparam.variants.observed import directed as directed
from reparam.variants.options import options_of as options_of
from reparam.variants.parts import Parts as Parts
from reparam.variants.parts import with_parts as with_parts
from reparam.variants.registry import Variant as Variant
from reparam.variants.registry import get as get
from reparam.variants.registry import names as names
from reparam.variants.regularized import factor_vae as factor_vae
from reparam.variants.regularized import info_vae as info_vae
from reparam.variants.regularized import naive_vae as naive_vae
from reparam.variants.regularized import tc_vae as tc_vae
from reparam.variants.regularized import wae as wae
from reparam.variants.specification import Composition as Composition
from reparam.variants.specification import Specification as Specification
from reparam.variants.ss_vae import ss_vae as ss_vae
from reparam.variants.ss_vae import ss_vae_stacked as ss_vae_stacked
from reparam.variants.text_vae import text_vae as text_vae
from reparam.variants.vq_vae import vq_vae as vq_vae

__all__ = discover(__name__, __path__)
