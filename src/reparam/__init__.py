"""Variational autoencoders: compose one, train it, measure it, look at it, use it.

::

    import reparam as rp

    data = rp.data.load("digits")
    run = rp.fit(rp.variants.vae(data.spec, latent_dim=8), data, out="runs/first")
    print(run.evaluate(n_samples=500))
"""

from typing import TYPE_CHECKING

from reparam.lazy import lazy
from reparam.version import __version__ as __version__

if TYPE_CHECKING:
    from reparam import data as data
    from reparam import distributions as distributions
    from reparam import doctor as doctor
    from reparam import evaluation as evaluation
    from reparam import families as families
    from reparam import nn as nn
    from reparam import objectives as objectives
    from reparam import priors as priors
    from reparam import report as report
    from reparam import training as training
    from reparam import variants as variants
    from reparam.batch import Batch as Batch
    from reparam.comparing.compare import compare as compare
    from reparam.conditional import Conditional as Conditional
    from reparam.conditional import Unconditional as Unconditional
    from reparam.corruption import Corruption as Corruption
    from reparam.directed import DirectedModel as DirectedModel
    from reparam.directed import Node as Node
    from reparam.divergence import kl as kl
    from reparam.errors import ReparamError as ReparamError
    from reparam.model import LatentModel as LatentModel
    from reparam.run import Run as Run
    from reparam.run import fit as fit
    from reparam.run import load as load
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
        "doctor",
        "evaluation",
        "families",
        "nn",
        "objectives",
        "priors",
        "report",
        "training",
        "variants",
    )
} | {"schedules": "reparam.training.schedules"}
_NAMES = {
    "Batch": "reparam.batch",
    "compare": "reparam.comparing.compare",
    "Conditional": "reparam.conditional",
    "Unconditional": "reparam.conditional",
    "Corruption": "reparam.corruption",
    "DirectedModel": "reparam.directed",
    "Node": "reparam.directed",
    "kl": "reparam.divergence",
    "ReparamError": "reparam.errors",
    "LatentModel": "reparam.model",
    "Run": "reparam.run",
    "fit": "reparam.run",
    "load": "reparam.run",
    "DataSpec": "reparam.spec",
    "Player": "reparam.variants",
    "Recipe": "reparam.variants",
    "replace": "reparam.variants",
}

__all__ = [*_MODULES, *_NAMES]
__getattr__ = lazy("reparam", _NAMES, _MODULES)


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])
