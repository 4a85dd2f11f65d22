"""Variational autoencoders: compose one, train it, measure it, look at it, use it.

::

    import reparam as rp

    data = rp.data.load("digits")
    run = rp.fit(rp.variants.vae(data.spec, latent_dim=8), data, out="runs/first")
    print(run.evaluate(n_samples=500))
"""

from typing import TYPE_CHECKING

from reparam.utils.lazy import lazy
from reparam.version import __version__ as __version__

if TYPE_CHECKING:
    from reparam import data as data
    from reparam import diagnostics as diagnostics
    from reparam import distributions as distributions
    from reparam import evaluation as evaluation
    from reparam import families as families
    from reparam import nn as nn
    from reparam import objectives as objectives
    from reparam import plots as plots
    from reparam import priors as priors
    from reparam import training as training
    from reparam import variants as variants
    from reparam.batch import Batch as Batch
    from reparam.comparison.compare import compare as compare
    from reparam.divergence import kl as kl
    from reparam.errors import ReparamError as ReparamError
    from reparam.models.conditional import Conditional as Conditional
    from reparam.models.conditional import Unconditional as Unconditional
    from reparam.models.directed import DirectedModel as DirectedModel
    from reparam.models.directed import Node as Node
    from reparam.models.latent import LatentModel as LatentModel
    from reparam.objectives.corruption import Corruption as Corruption
    from reparam.runs.fit import fit as fit
    from reparam.runs.load import load as load
    from reparam.runs.run import Run as Run
    from reparam.spec import DataSpec as DataSpec
    from reparam.training import schedules as schedules
    from reparam.variants import Player as Player
    from reparam.variants import Recipe as Recipe
    from reparam.variants import replace as replace

# Names are imported when they are first used, so that `reparam --help` does not wait for torch.
_MODULES = {
    name: f"reparam.{name}"
    for name in (
        "data",
        "distributions",
        "diagnostics",
        "evaluation",
        "families",
        "nn",
        "objectives",
        "priors",
        "plots",
        "training",
        "variants",
    )
} | {"schedules": "reparam.training.schedules"}
_NAMES = {
    "Batch": "reparam.batch",
    "compare": "reparam.comparison.compare",
    "Conditional": "reparam.models.conditional",
    "Unconditional": "reparam.models.conditional",
    "Corruption": "reparam.objectives.corruption",
    "DirectedModel": "reparam.models.directed",
    "Node": "reparam.models.directed",
    "kl": "reparam.divergence",
    "ReparamError": "reparam.errors",
    "LatentModel": "reparam.models.latent",
    "Run": "reparam.runs.run",
    "fit": "reparam.runs.fit",
    "load": "reparam.runs.load",
    "DataSpec": "reparam.spec",
    "Player": "reparam.variants",
    "Recipe": "reparam.variants",
    "replace": "reparam.variants",
}

__all__ = [*_MODULES, *_NAMES]
__getattr__ = lazy("reparam", _NAMES, _MODULES)


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])
