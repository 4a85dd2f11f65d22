"""Autoencoders whose decoder is also judged by a discriminator."""

from collections.abc import Sequence
from typing import Any

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
from reparam.spec import DataSpec
from reparam.variants.classic import vae
from reparam.variants.recipe import Player, Recipe, replace
from reparam.variants.registry import variant


@variant("vae-gan", year=2016, paper="Larsen et al., ICML 2016")
def vae_gan(
    spec: DataSpec,
    latent_dim: int = 20,
    gamma: float = 1.0,
    pixels: float = 1.0,
    critic: Sequence[int] = (400, 200),
    player_lr: float = 1e-3,
    **net: Any,
) -> Recipe:
    r"""The VAE whose decoder must fool a discriminator, in whose features it reconstructs.

    .. math:: \mathcal L_x = w \log p(x \mid z) - \tfrac\gamma2 \|h_D(x) - h_D(\hat x)\|^2, \quad
              \mathcal L_{\mathrm{enc}} = \mathcal L_x - \mathrm{KL}, \quad
              \mathcal L_{\mathrm{dec}} = \mathcal L_x + \log D(\hat x) + \log D(\hat x_p)

    Three players in one loop: encoder, decoder and discriminator. Use it for sharper images than a
    likelihood of single pixels asks for; train it on grey values (``--binarize none``), as what the
    decoder makes is grey.

    Limits: nothing here bounds log p(x); like every game it may not settle.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        gamma: γ.
        pixels: w; 0 as in the source, which then needs careful tuning.
        critic: The sizes of the discriminator's layers; the first gives its features h_D.
        player_lr: The learning rate of decoder and discriminator.
        net: The other options of ``vae``.

    Example:
        >>> [player.module for player in vae_gan(DataSpec((1, 8, 8), "binary")).players]
        ['decoder', 'discriminator']
    """
    if not critic:
        raise OptionError("critic=(): the discriminator needs at least one layer")
    recipe = vae(spec, latent_dim, **net)
    first = MLP(spec.shape, critic[0], context=spec.context, activation="leaky-relu")
    rest = MLP(critic[0], *critic[1:], activation="leaky-relu")
    recipe.model.discriminator = Conditional(ConditionedSequential(first, rest), Bernoulli(()))
    players = (
        Player("decoder", Generator(gamma, pixels), player_lr),
        Player("discriminator", Discriminator(), player_lr),
    )
    return replace(recipe, objective=PerceptualEncoder(gamma, pixels), players=players)


@variant("cvae-gan", year=2017, paper="Bao et al., ICCV 2017")
def cvae_gan(
    spec: DataSpec,
    latent_dim: int = 20,
    gamma: float = 1.0,
    pixels: float = 1.0,
    critic: Sequence[int] = (400, 200),
    player_lr: float = 1e-3,
    **net: Any,
) -> Recipe:
    r"""The VAE-GAN under a label, with a classifier whose features its examples must match.

    .. math:: \mathcal L_{\mathrm{dec}} = \log D(\hat x) + \log D(\hat x_p) + w \log p(x \mid z)
              - \tfrac\gamma2 \bigl(
              \|h_D(x) - h_D(\hat x)\|^2 + \|h_C(x) - h_C(\hat x)\|^2\bigr)
              - \tfrac12 \|\mathbb E h_C(x) - \mathbb E h_C(\hat x_p)\|^2

    Four players in one loop: encoder, decoder, discriminator and classifier. Use it to generate
    examples of one class, sharper than ``cvae``: ``reparam sample RUN --label 2``.

    Limits: as ``vae-gan``; it needs a label for every example.

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
    recipe = vae_gan(spec, latent_dim, gamma, pixels, critic, player_lr, **net)
    network = MLP(spec.shape, *critic, activation="leaky-relu")
    recipe.model.classifier = Conditional(network, Categorical(spec.context))
    players = (*recipe.players, Player("classifier", Classification(), player_lr))
    return replace(recipe, players=players)
