"""Variational autoencoders: compose one, train it, measure it, look at it, use it.

::

    import reparam as rp

    data = rp.data.load("digits")
    run = rp.fit(rp.variants.vae(data.spec, latent_dim=8), data, out="runs/first")
    print(run.evaluate(n_samples=500))
"""

from reparam.utils.lazy import lazy
from reparam.version import __version__ as __version__

# `reparam --help` does not wait for torch.
__getattr__, __dir__, __all__ = lazy(__name__, __file__)
