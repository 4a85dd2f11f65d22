"""The networks of encoder and decoder that variants share."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import ceil, log2
from typing import Any, TypedDict, Unpack

from torch import nn

from reparam.errors import SupportError
from reparam.families import Family, default_likelihood
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP, IgnoreContext, RandomAffine
from reparam.spec import DataSpec
from reparam.variants.specification import (
    Composition,
    NetworkMaker,
    standardize_condition_of,
)


class Net(TypedDict, total=False):
    """The options of variants with multilayer perceptrons, as those of ``vae``."""

    hidden: Sequence[int] | None
    likelihood: str | Family | None
    activation: str | None
    skip: bool | None
    dropout: float | None


# Chosen on held-out rows: see docs/defaults.md.
_NETWORKS: Mapping[bool, Mapping[str, Any]] = {
    False: {"hidden": (400,), "activation": "relu", "skip": False, "dropout": 0.0},
    True: {"hidden": (128, 128), "activation": "silu", "skip": True, "dropout": None},
}
"""The defaults of the networks, of tables (True) and of other data (False)."""


USUAL_LATENTS = 20
"""The latent dimensions of most variants; others choose a size of their own, such as a small one of
which every dimension has a meaning."""

TINY, FEW_PIXELS = 7, 32
"""The least side of an image of which two convolutions leave anything, and the largest one of an
image that they encode: see docs/defaults-images.md."""

SMALL_IMAGE, ENTRIES_PER_LATENT, MOST_LATENTS = 1000, 24, 128
"""Images of more entries than the first number, as photographs of 32 × 32 pixels, have a latent
dimension for every 24 entries, and up to 128, where the usual number is the default: see
docs/defaults-images.md."""


def filters_of(size: Sequence[int]) -> tuple[int, ...]:
    """Return the default filters of a convolutional encoder, by the size of the image.

    The smallest maps of a square image have sides of 8 or less. Large maps have few filters,
    because the layers of the decoder that make them take most of the time.

    Arguments:
        size: The height and width.

    Example:
        >>> filters_of((28, 28)), filters_of((64, 48)), filters_of((128, 128))
        ((32, 64), (16, 32, 64), (16, 16, 32, 64))
        >>> filters_of((5, 5))
        (64,)
    """
    if min(size) < TINY:
        return (64,)
    n_more = max(0, ceil(log2(min(size) / FEW_PIXELS)))
    return (*[16] * n_more, 32, 64)


def with_data_defaults(
    values: Mapping[str, Any], given: Collection[str], spec: DataSpec
) -> dict[str, Any]:
    """Return the options of a variant with the defaults that depend on the data.

    An option of a network that is None gets the default of a table or of other data, and a
    likelihood that is None the one of the support. Unless ``latent_dim`` is given, a code of a
    table has at most as many dimensions as the table has columns, and that of a large image more
    than that of a small one.

    Arguments:
        values: The options by name.
        given: The names of the options that the user has given.
        spec: The shape and support of the data.

    Example:
        >>> with_data_defaults({"latent_dim": 20, "hidden": None}, (), DataSpec((4,), "real"))
        {'latent_dim': 4, 'hidden': (128, 128)}
        >>> with_data_defaults({"latent_dim": 20}, (), DataSpec((3, 32, 32), "unit", levels=256))
        {'latent_dim': 128}
    """
    defaults = {
        **_NETWORKS[spec.is_table],
        "likelihood": default_likelihood(spec),
        "channels": filters_of(spec.shape[-2:]),
    }
    found: dict[str, Any] = {
        k: defaults.get(k) if value is None else value for k, value in values.items()
    }
    if found.get("likelihood", "") is None:
        found["likelihood"] = default_likelihood(spec)
    if "latent_dim" in found and "latent_dim" not in given:
        size = found["latent_dim"]
        if spec.is_table:
            found["latent_dim"] = min(size, max(2, spec.dim))
        elif spec.is_image and spec.dim > SMALL_IMAGE and size == USUAL_LATENTS:
            found["latent_dim"] = max(size, min(spec.dim // ENTRIES_PER_LATENT, MOST_LATENTS))
    return found


def multilayer_perceptrons(
    spec: DataSpec,
    latent_dim: int,
    hidden: Sequence[int],
    activation: str,
    skip: bool = False,
    dropout: float | None = 0.0,
) -> tuple[nn.Module, nn.Module]:
    """Create two multilayer perceptrons, the decoder's layers in reverse order.

    Arguments:
        spec: The shape, support and condition of the data.
        latent_dim: The number of dimensions of z.
        hidden: The sizes of the encoder's layers.
        activation: The nonlinearity.
        skip: Whether the features contain the input: see ``MLP``.
        dropout: The share of features that are set to 0 in training: see ``MLP``.

    Raises:
        SupportError: Tokens, which are not quantities.
    """
    if spec.support == "tokens":
        raise SupportError(
            f"{spec.name!r} is text, whose tokens are not quantities, as a multilayer perceptron "
            "needs: use the variant text-vae"
        )
    shared: dict[str, Any] = {
        "context": spec.context,
        "activation": activation,
        "skip": skip,
        "dropout": dropout,
    }
    return MLP(spec.input_shape, *hidden, **shared), MLP(latent_dim, *reversed(hidden), **shared)


def latent_model(
    spec: DataSpec,
    encoder: nn.Module,
    decoder: nn.Module,
    prior: nn.Module,
    likelihood: str | Family | None,
    **parts: nn.Module,
) -> LatentModel:
    """Create a model whose parts cannot be exchanged.

    Arguments:
        spec: The shape, support and condition of the data.
        encoder: q(z | x, c).
        decoder: The network of p(x | z, c).
        prior: p(z | c).
        likelihood: The family of p(x | z, c), by name or as a family; None for the default.
        parts: Further parts by name.
    """
    family = likelihood_of(spec, likelihood)
    conditional, layer = Conditional(decoder, family), standardize_condition_of(spec)
    return LatentModel(encoder, conditional, prior, layer, **parts)


def refuse_mixed(spec: DataSpec) -> None:
    """Refuse rows of a mixed table, for a variant with a network on x itself.

    Raises:
        SupportError: Such rows, which have classes and missing values.
    """
    if spec.schema is not None:
        raise SupportError(
            f"{spec.name!r} is a table whose columns have kinds, and this variant has a network "
            "that takes x as numbers: use a variant such as 'vae', or 'ss-vae' for labels, or give "
            "columns that are all quantities as an array"
        )


def jittered(network: nn.Module, spec: DataSpec, jitter: bool) -> nn.Module:
    """Return a network that gets deformed images in training, if ``jitter`` and x is an image."""
    return RandomAffine(network, spec.shape) if jitter and spec.is_image else network


def without_context(
    spec: DataSpec, latent_dim: int, networks: NetworkMaker
) -> tuple[nn.Module, nn.Module]:
    """Create networks that ignore the condition of the data.

    Arguments:
        spec: The shape, support and condition of the data.
        latent_dim: The number of dimensions of z.
        networks: A function that creates the networks without a condition.
    """
    encoder, decoder = networks(spec.conditioned(None), latent_dim)
    return IgnoreContext(encoder), IgnoreContext(decoder)


def perceptrons(latent_dim: int, **net: Unpack[Net]) -> Composition:
    """Return a composition of multilayer perceptrons, a Gaussian posterior and a normal prior.

    Arguments:
        latent_dim: The number of dimensions of z.
        net: All options in ``Net``.
    """
    options: dict[str, Any] = {k: value for k, value in net.items() if k != "likelihood"}
    return Composition(
        networks=partial(multilayer_perceptrons, **options),
        latent_dim=latent_dim,
        likelihood=net["likelihood"],
    )
