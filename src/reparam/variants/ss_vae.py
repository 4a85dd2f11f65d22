"""Variants for few labeled and many unlabeled examples."""

from collections.abc import Sequence

from reparam.families import Categorical, Family, Gaussian
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional
from reparam.models.label_inference import (
    LabelDecoder,
    LabelEncoder,
    LabelPrior,
    StackedDecoder,
    StackedEncoder,
    StackedPrior,
)
from reparam.models.latent import LatentModel
from reparam.nn import MLP, LabelNetwork
from reparam.objectives.semi_supervised import SemiSupervised, Stacked
from reparam.priors import StandardNormal
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import jittered
from reparam.variants.observed import class_count
from reparam.variants.specification import Specification


def label_parts(
    spec: DataSpec,
    latent_dim: int,
    hidden: Sequence[int],
    likelihood: Family,
    activation: str,
    jitter: bool = False,
) -> tuple[LabelEncoder, LabelDecoder, LabelPrior]:
    """Return the encoder, decoder and prior of M2: a classifier, and a VAE given the label."""
    k = class_count(spec)
    classifier = jittered(MLP(spec.input_shape, *hidden, activation=activation), spec, jitter)
    network = LabelNetwork(spec.input_shape, k, *hidden, activation=activation)
    encoder = jittered(network, spec, jitter)
    decoder = MLP(latent_dim, *reversed(hidden), context=k, activation=activation)
    return (
        LabelEncoder(
            Conditional(classifier, Categorical(k)), Conditional(encoder, Gaussian(latent_dim))
        ),
        LabelDecoder(Conditional(decoder, likelihood), k),
        LabelPrior(k, StandardNormal(latent_dim)),
    )


@variant("ss-vae", year=2014, paper="Kingma, Rezende, Mohamed & Welling, NeurIPS 2014")
def ss_vae(
    spec: DataSpec,
    latent_dim: int = 50,
    alpha: float = 1.0,
    hidden: Sequence[int] = (500,),
    jitter: bool = True,
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The semi-supervised VAE (M2), in which an unknown label is a latent variable.

    Use it where few examples have labels; ``labels_per_class`` keeps few of them. Evaluation treats
    every label as unknown, and reports the accuracy of q(y | x).

    With jitter q gets randomly rotated, shifted and deformed images in training. The bounds hold
    for any q.

    Limits: a step decodes an example once for each class; classes are assumed to be equally likely;
    the source has no jitter.

    Generative process:
        .. math:: y \sim \mathrm{Categorical}(1/K), \quad z \sim \mathcal N(0, I), \qquad
                  x \sim p(x \mid y, z)

    Posterior:
        .. math:: q(y, z \mid x) = q(y \mid x)\, q(z \mid x, y)

    Objective:
        .. math:: \mathcal L(x, y) &= \mathbb E_{q(z \mid x, y)}[\log p(x \mid y, z)] + \log p(y)
                  - \mathrm{KL}(q(z \mid x, y) \| p(z)) \\
                  \mathcal U(x) &= \sum_y q(y \mid x)\, \mathcal L(x, y) + \mathrm H(q(y \mid x)) \\
                  \mathcal J &= \overline{\mathcal L \text{ or } \mathcal U}
                  + \alpha\, \overline{\log q(y \mid x)}

    Symbols:
        y: The label, one of K classes.
        α (alpha): The weight of the classification of labeled examples.
        𝒰: The bound of an example without a label.
        𝒥: The objective: the mean over a batch, and that over its labeled examples.
        H: The entropy.

    Arguments:
        spec: The shape and support of the data, with labels.
        latent_dim: The number of dimensions of z.
        alpha: The weight of the classification of labeled examples.
        hidden: The sizes of the layers of classifier and encoder; the decoder's in reverse order.
        jitter: Whether classifier and encoder get deformed images in training.
        likelihood: p(x | y, z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Raises:
        DataError: Data without labels.
        OptionError: Labels as a condition.

    Example:
        >>> ss_vae(DataSpec((1, 28, 28), "binary", n_classes=10)).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    family = likelihood_of(spec, likelihood)
    parts = label_parts(spec, latent_dim, hidden, family, activation, jitter)
    return Specification(spec, LatentModel(*parts), SemiSupervised(alpha))


@variant("ss-vae-stacked", year=2014, paper="Kingma, Rezende, Mohamed & Welling, NeurIPS 2014")
def ss_vae_stacked(
    spec: DataSpec,
    feature_dim: int = 50,
    latent_dim: int = 50,
    alpha: float = 0.1,
    beta: float = 0.02,
    start: float = 0.25,
    hidden: Sequence[int] = (600, 600),
    label_hidden: Sequence[int] = (500,),
    jitter: bool = True,
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The semi-supervised VAE on the features of another VAE (M1 + M2).

    Use it in place of ``ss-vae`` where a class has many shapes. M1 learns features h of all
    examples, M2 learns from draws of h, without a gradient to M1. In training M1's encoder gets
    deformed images, and its KL has a small weight, so that the features keep the shapes.

    Limits: M2 cannot use what the features lack; evaluation reports the bound of the whole model,
    which is not what was trained; the source has no jitter, and a weight of 1 on M1's KL.

    Generative process:
        .. math:: y \sim \mathrm{Categorical}(1/K), \quad z \sim \mathcal N(0, I), \quad
                  h \sim p(h \mid y, z), \qquad x \sim p(x \mid h)

    Posterior:
        .. math:: q(h, y, z \mid x) = q(h \mid x)\, q(y \mid h)\, q(z \mid h, y)

    Objective:
        .. math:: \mathcal J = \overline{\mathbb E_{q(h \mid x)}[\log p(x \mid h)]
                  - \beta\, \mathrm{KL}(q(h \mid x) \| \mathcal N(0, I))} + \mathcal J_{M2}(h, y)

    Symbols:
        h (feature_dim): The features of x, the latent variables of M1; the number of their
            dimensions.
        β (beta): The weight of M1's KL.
        y: The label, one of K classes.
        𝒥_{M2} (alpha): The objective of ``ss-vae`` for h in place of x, with its weight α.

    Arguments:
        spec: The shape and support of the data, with labels.
        feature_dim: The number of dimensions of h.
        latent_dim: The number of dimensions of z.
        alpha: The weight of the classification of labeled examples.
        beta: The weight of M1's KL; 1 in the source.
        start: The share of all steps before M2 begins.
        hidden: The sizes of the layers of M1's encoder; its decoder has them in reverse order.
        label_hidden: The sizes of the layers of M2's classifier and encoder, and in reverse order
            of its decoder.
        jitter: Whether M1's encoder gets deformed images in training.
        likelihood: p(x | h) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Raises:
        DataError: Data without labels.
        OptionError: Labels as a condition.

    Example:
        >>> ss_vae_stacked(DataSpec((1, 28, 28), "binary", n_classes=10)).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    features = DataSpec((feature_dim,), "real", class_count(spec))
    family = Gaussian(feature_dim, min_scale=1e-3)
    inner = label_parts(features, latent_dim, label_hidden, family, activation)
    network = jittered(MLP(spec.input_shape, *hidden, activation=activation), spec, jitter)
    decoder = MLP(feature_dim, *reversed(hidden), activation=activation)
    model = LatentModel(
        encoder=StackedEncoder(Conditional(network, Gaussian(feature_dim)), inner[0]),
        decoder=StackedDecoder(Conditional(decoder, likelihood_of(spec, likelihood)), feature_dim),
        prior=StackedPrior(inner[2], inner[1]),
    )
    return Specification(spec, model, Stacked(alpha, start, beta))
