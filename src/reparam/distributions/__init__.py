"""Distributions that torch lacks, one file each, and functions of any torch distribution.

Every class here is a ``torch.distributions.Distribution``: a batch of events, with ``log_prob`` in
nats and ``sample`` or, with gradients, ``rsample``.
"""

import reparam.distributions.closed_forms  # noqa: F401  (registers them)
from reparam.utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
