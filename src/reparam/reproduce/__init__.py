"""Reproduce: published tables and instructive experiments, run again and set beside the figures."""

# Importing these modules registers their entries, in the order in which they are listed.
from reparam.reproduce import (  # noqa: I001
    mnist as _mnist,  # noqa: F401
    noise as _noise,  # noqa: F401
    gradients as _gradients,  # noqa: F401
    divergences as _divergences,  # noqa: F401
    posteriors as _posteriors,  # noqa: F401
    likelihoods as _likelihoods,  # noqa: F401
    conditional as _conditional,  # noqa: F401
    codes as _codes,  # noqa: F401
    autoencoders as _autoencoders,  # noqa: F401
    aggregate as _aggregate,  # noqa: F401
    convolutional as _convolutional,  # noqa: F401
    clustering as _clustering,  # noqa: F401
    semi_supervised as _semi_supervised,  # noqa: F401
    text as _text,  # noqa: F401
    cifar as _cifar,  # noqa: F401
    importance_weighted as _importance_weighted,  # noqa: F401
    published as _published,  # noqa: F401
    zoo as _zoo,  # noqa: F401
)
from reparam.reproduce.registry import Entry, Options, entries, entry, get, reproduce
from reparam.reproduce.result import Findings, Result, Row

__all__ = [
    "Entry",
    "Findings",
    "Options",
    "Result",
    "Row",
    "entries",
    "entry",
    "get",
    "reproduce",
]
