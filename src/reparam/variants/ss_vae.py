"""Variants that learn from few labels and many examples without one."""

from collections.abc import Sequence

from torch import nn

from reparam.families import Categorical, Family, Gaussian
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional
from reparam.models.label_inference import (
    LabelDecoder,
    LabelEncoder,
    LabelNetwork,
    LabelPrior,
    StackedDecoder,
    StackedEncoder,
    StackedPrior,
)
from reparam.models.latent import LatentModel
from reparam.nn import MLP, RandomAffine
from reparam.objectives.semi_supervised import SemiSupervised, Stacked
from reparam.priors import StandardNormal
from reparam.spec import DataSpec
from reparam.variants.builder import variant
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
    """Return encoder, decoder and prior of M2: a classifier, and a VAE given the label."""
    k = class_count(spec)
    classifier: nn.Module = MLP(spec.shape, *hidden, activation=activation)
    encoder: nn.Module = LabelNetwork(spec.shape, k, *hidden, activation=activation)
    if jitter and spec.is_image:
        classifier, encoder = (
            RandomAffine(classifier, spec.shape),
            RandomAffine(encoder, spec.shape),
        )
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
    r"""The semi-supervised VAE (M2), for which the label is a latent variable where it is unknown.

    .. math:: p(x, y, z) = p(y)\, p(z)\, p(x \mid y, z), \qquad
              q(y, z \mid x) = q(y \mid x)\, q(z \mid x, y)

    Use it where labels are dear and examples cheap; keep few with ``labels_per_class``. Evaluation
    takes every label as unknown, and tells how many of them q(y | x) finds.

    In training, q sees images a little turned, moved and bent: it is a q like any other, so that
    the bounds hold, and what is left for the label to say is shape.

    Limits: each step costs as many decodings of an example as there are classes; all classes are
    taken to be equally common; the source has no distorted images.

    Arguments:
        spec: The shape and support of the data, with labels.
        latent_dim: The number of dimensions of z.
        alpha: The weight of the classification of labeled examples, in nats of an example.
        hidden: The sizes of the layers of classifier and encoder; the decoder's in reverse order.
        jitter: Whether classifier and encoder see images distorted in training.
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

    .. math:: p(x, h, y, z) = p(y)\, p(z)\, p(h \mid y, z)\, p(x \mid h), \qquad
              q(h, y, z \mid x) = q(h \mid x)\, q(y \mid h)\, q(z \mid h, y)

    Use it as ``ss-vae``, where one class takes many shapes. M1 learns features h of all examples;
    M2 learns from draws of them, and M1 nothing from M2. In training, M1's encoder sees images a
    little turned, moved and bent, and its KL counts little, so that the features keep what tells
    shapes apart.

    Limits: what M1 leaves out of its features M2 cannot tell apart; the bound that evaluation
    reports is that of the whole, which was not trained as one; the source has no distorted images,
    and M1's KL in full.

    Arguments:
        spec: The shape and support of the data, with labels.
        feature_dim: The number of dimensions of h.
        latent_dim: The number of dimensions of z.
        alpha: The weight of the classification of labeled examples, in nats of an example.
        beta: The weight of M1's KL; 1 in the source.
        start: The share of all steps before M2 begins.
        hidden: The sizes of the layers of M1's encoder; its decoder has them in reverse order.
        label_hidden: The sizes of the layers of M2's classifier and encoder, and in reverse order
            of its decoder.
        jitter: Whether M1's encoder sees images distorted in training.
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
    network: nn.Module = MLP(spec.shape, *hidden, activation=activation)
    network = RandomAffine(network, spec.shape) if jitter and spec.is_image else network
    decoder = MLP(feature_dim, *reversed(hidden), activation=activation)
    model = LatentModel(
        encoder=StackedEncoder(Conditional(network, Gaussian(feature_dim)), inner[0]),
        decoder=StackedDecoder(Conditional(decoder, likelihood_of(spec, likelihood)), feature_dim),
        prior=StackedPrior(inner[2], inner[1]),
    )
    return Specification(spec, model, Stacked(alpha, start, beta))
