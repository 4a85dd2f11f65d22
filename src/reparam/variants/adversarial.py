"""Autoencoders whose decoder is also trained against a discriminator."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from reparam.errors import OptionError
from reparam.families import Bernoulli, Categorical
from reparam.models.conditional import Conditional
from reparam.nn import MLP, ConditionedSequential
from reparam.objectives.adversarial import (
    Classification,
    Discriminator,
    Generator,
    PerceptualEncoder,
)
from reparam.objectives.recipe import Player
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons, refuse_mixed
from reparam.variants.specification import PartMaker, Specification


def example_discriminator(critic: Sequence[int], spec: DataSpec, latent_dim: int) -> Conditional:
    """Create the discriminator of examples, whose first layer gives its features."""
    width, *others = critic
    first = MLP(spec.shape, width, context=spec.context, activation="leaky-relu")
    rest = MLP(width, *others, activation="leaky-relu")
    return Conditional(ConditionedSequential(first, rest), Bernoulli(()))


def label_classifier(critic: Sequence[int], spec: DataSpec, latent_dim: int) -> Conditional:
    """Create the classifier of the labels, by the sizes of its layers."""
    network = MLP(spec.shape, *critic, activation="leaky-relu")
    return Conditional(network, Categorical(spec.context))


def gan(
    spec: DataSpec,
    latent_dim: int,
    gamma: float,
    pixels: float,
    critic: Sequence[int],
    player_lr: float,
    has_classifier: bool = False,
    **net: Unpack[Net],
) -> Specification:
    """Return the specification of a VAE with a discriminator of examples, and a classifier."""
    refuse_mixed(spec)
    if not critic:
        raise OptionError("critic=(): the discriminator needs at least one layer")
    parts: dict[str, PartMaker] = {"discriminator": partial(example_discriminator, critic)}
    players = [
        Player("decoder", Generator(gamma, pixels), player_lr),
        Player("discriminator", Discriminator(), player_lr),
    ]
    if has_classifier:
        parts["classifier"] = partial(label_classifier, critic)
        players.append(Player("classifier", Classification(), player_lr))
    model = replace(perceptrons(latent_dim, **net), parts=parts)
    return Specification(spec, model, PerceptualEncoder(gamma, pixels), tuple(players))


@variant("vae-gan", year=2016, paper="Larsen et al., ICML 2016")
def vae_gan(
    spec: DataSpec,
    latent_dim: int = 20,
    gamma: float = 1.0,
    pixels: float = 1.0,
    critic: Sequence[int] = (400, 200),
    player_lr: float = 1e-3,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE with a discriminator, in whose features it reconstructs (VAE-GAN).

    Encoder, decoder and discriminator are trained as three players. Use it for sharper images than
    a likelihood of single pixels gives. Train it on grey values (binarize='none'), because decoded
    images are grey.

    Limits: the objective bounds no log p(x), and the game may not converge.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L_x = w \log p(x \mid z)
                  - \tfrac\gamma2 \|h_D(x) - h_D(\hat x)\|^2, \quad
                  \mathcal L_{\mathrm{enc}} = \mathcal L_x - \mathrm{KL}, \quad
                  \mathcal L_{\mathrm{dec}} = \mathcal L_x + \log D(\hat x) + \log D(\hat x_p)

    Symbols:
        w (pixels): The weight of the likelihood of single pixels.
        γ (gamma): The weight of the distance between features.
        D (critic): The discriminator: the probability that an image is an example.
        h_D: The features of its first layer.
        x̂: The reconstruction of x, decoded from its code.
        x̂_p: A sample, decoded from a draw of the prior.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        gamma: γ.
        pixels: w; 0 in the source, which needs careful tuning.
        critic: The sizes of the discriminator's layers; the first gives its features h_D.
        player_lr: The learning rate of decoder and discriminator.
        net: The other options of ``vae``.

    Example:
        >>> [player.module for player in vae_gan(DataSpec((1, 8, 8), "binary")).players]
        ['decoder', 'discriminator']
    """
    return gan(spec, latent_dim, gamma, pixels, critic, player_lr, **net)


@variant("cvae-gan", year=2017, paper="Bao et al., ICCV 2017")
def cvae_gan(
    spec: DataSpec,
    latent_dim: int = 20,
    gamma: float = 1.0,
    pixels: float = 1.0,
    critic: Sequence[int] = (400, 200),
    player_lr: float = 1e-3,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE-GAN given a label, with a classifier whose features are matched.

    Encoder, decoder, discriminator and classifier are trained as four players. Use it to generate
    examples of one class that are sharper than those of ``cvae``: run.sample(label=2).

    Limits: as for ``vae-gan``; every example needs a label.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z, c)

    Objective:
        .. math:: \mathcal L_{\mathrm{dec}} = \log D(\hat x) + \log D(\hat x_p)
                  + w \log p(x \mid z, c)
                  - \tfrac\gamma2 \bigl(
                  \|h_D(x) - h_D(\hat x)\|^2 + \|h_C(x) - h_C(\hat x)\|^2\bigr)
                  - \tfrac12 \|\mathbb E h_C(x) - \mathbb E h_C(\hat x_p)\|^2

    Symbols:
        c: The one-hot label.
        w (pixels): The weight of the likelihood of single pixels.
        γ (gamma): The weight of the distances between features.
        D (critic): The discriminator: the probability that an image is an example.
        h_D, h_C: The features of the discriminator and of the classifier of labels.
        x̂: The reconstruction of x, decoded from its code.
        x̂_p: A sample, decoded from a draw of the prior.

    Arguments:
        spec: The shape and support of the data, with labels.
        latent_dim: The number of dimensions of z.
        gamma: γ.
        pixels: w.
        critic: The sizes of the layers of discriminator and classifier.
        player_lr: The learning rate of all but the encoder.
        net: The other options of ``vae``.

    Example:
        >>> recipe = cvae_gan(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> [player.module for player in recipe.players]
        ['decoder', 'discriminator', 'classifier']
    """
    spec = spec.conditioned("label")
    return gan(spec, latent_dim, gamma, pixels, critic, player_lr, has_classifier=True, **net)
