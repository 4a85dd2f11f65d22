"""The networks of encoder and decoder that variants share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from torch import nn

from reparam.errors import SupportError
from reparam.families import POSTERIORS, Family
from reparam.nn import MLP, ConvDecoder, ConvEncoder, IgnoreContext
from reparam.nn.conv import Norm
from reparam.priors import PRIORS, Prior
from reparam.spec import DataSpec
from reparam.utils.registry import Part
from reparam.variants.specification import Composition, Networks, PartMaker


class Net(TypedDict, total=False):
    """The options of variants with multilayer perceptrons, as those of ``vae``."""

    hidden: Sequence[int]
    likelihood: str | Family | None
    activation: str


@dataclass(frozen=True)
class Perceptrons(Networks):
    """Creates two multilayer perceptrons, the decoder's layers in reverse order.

    Arguments:
        hidden: The sizes of the encoder's layers.
        activation: The nonlinearity.
    """

    hidden: Sequence[int]
    activation: str

    def __call__(self, spec: DataSpec, latent_dim: int) -> tuple[nn.Module, nn.Module]:
        """Create the networks of the encoder and of the decoder.

        Raises:
            SupportError: Tokens, which are no quantities.
        """
        if spec.support == "tokens":
            raise SupportError(
                f"{spec.name!r} is text, whose tokens are no quantities that a multilayer "
                "perceptron could weigh: use the variant text-vae"
            )
        sizes, context, activation = self.hidden, spec.context, self.activation
        return (
            MLP(spec.shape, *sizes, context=context, activation=activation),
            MLP(latent_dim, *reversed(sizes), context=context, activation=activation),
        )


@dataclass(frozen=True)
class Convolutions(Networks):
    """Creates convolutional networks, the decoder's layers in reverse order.

    Arguments:
        channels: The filters of the encoder's layers.
        activation: The nonlinearity.
        norm: ``batch`` for batch normalization before every nonlinearity.
        padding: The zeros around the maps of the encoder.
    """

    channels: Sequence[int]
    activation: str
    norm: Norm | None
    padding: int

    def __call__(self, spec: DataSpec, latent_dim: int) -> tuple[nn.Module, nn.Module]:
        """Create the networks of the encoder and of the decoder."""
        shared: dict[str, Any] = {
            "context": spec.context,
            "activation": self.activation,
            "norm": self.norm,
        }
        return (
            ConvEncoder(spec.shape, self.channels, padding=self.padding, **shared),
            ConvDecoder(latent_dim, spec.shape[1:], self.channels[::-1], **shared),
        )


@dataclass(frozen=True)
class WithoutContext(Networks):
    """Creates networks that ignore the condition of the data.

    Arguments:
        networks: The networks without a condition.
    """

    networks: Networks

    def __call__(self, spec: DataSpec, latent_dim: int) -> tuple[nn.Module, nn.Module]:
        """Create the networks of the encoder and of the decoder."""
        encoder, decoder = self.networks(spec.conditioned(None), latent_dim)
        return IgnoreContext(encoder), IgnoreContext(decoder)


def perceptrons(
    latent_dim: int,
    posterior: Part[Family] = POSTERIORS["gaussian"],
    prior: Part[Prior] = PRIORS["standard-normal"],
    parts: Mapping[str, PartMaker] | None = None,
    **net: Unpack[Net],
) -> Composition:
    """Return the parts of a model with multilayer perceptrons.

    Arguments:
        latent_dim: The number of dimensions of z.
        posterior: q(z | x).
        prior: p(z).
        parts: Functions that create further parts of the model, by name.
        net: All options in ``Net``.
    """
    return Composition(
        networks=Perceptrons(net["hidden"], net["activation"]),
        latent_dim=latent_dim,
        posterior=posterior,
        prior=prior,
        likelihood=net["likelihood"],
        parts=parts or {},
    )
