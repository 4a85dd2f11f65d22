r"""Semi-supervised models with the label as a latent variable: M2, and M2 on features of M1.

.. math:: \text{M2:} \quad p(y)\, p(z)\, p(x \mid y, z), \qquad q(y \mid x)\, q(z \mid x, y)

.. math:: \text{M1 + M2:} \quad p(y)\, p(z)\, p(h \mid y, z)\, p(x \mid h), \qquad
          q(h \mid x)\, q(y \mid h)\, q(z \mid h, y)

They are the encoder, decoder and prior of a ``LatentModel``, whose latent vector is (y, z), with a
one-hot y of K entries, or (h, y, z). Under a condition c, which is the label, y is c.

References:
    Kingma, Rezende, Mohamed & Welling, Semi-supervised learning with deep generative models,
    NeurIPS 2014, eq. 1 to 4 and section 3.
"""

from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategoricalStraightThrough

from reparam.distributions import Chain
from reparam.distributions.chain import Reordered
from reparam.families import Family
from reparam.models.conditional import Conditional, part_of
from reparam.models.latent import LatentModel
from reparam.utils.arguments import numbers


@runtime_checkable
class InfersLabel(Protocol):
    """An encoder that infers the label too."""

    def label(self, x: Tensor) -> OneHotCategoricalStraightThrough:
        """Return q(y | x), over one-hot labels."""


class LabelEncoder(nn.Module):
    r"""The posterior of M2, :math:`q(y, z \mid x) = q(y \mid x)\, q(z \mid x, y)`.

    Arguments:
        classifier: q(y | x), a ``Conditional`` with the family ``Categorical``.
        encoder: q(z | x, y), a ``Conditional`` whose network is a ``nn.LabelNetwork``, or another
            that takes more draws of y than of x.

    Example:
        >>> from reparam import families, nn
        >>> encoder = LabelEncoder(
        ...     Conditional(nn.MLP(4, 8), families.Categorical(3)),
        ...     Conditional(nn.LabelNetwork(4, 3, 8), families.Gaussian(2)),
        ... )
        >>> encoder(torch.zeros(5, 4)).rsample((7,)).shape
        torch.Size([7, 5, 5])
    """

    def __init__(self, classifier: Conditional, encoder: Conditional) -> None:
        super().__init__()
        self.classifier = classifier
        self.encoder = encoder
        self.sizes = [classifier.family.raw_shape[0], encoder.family.event_shape[0]]

    def label(self, x: Tensor) -> OneHotCategoricalStraightThrough:
        """Return q(y | x), over one-hot labels."""
        return _one_hot(logits=self.classifier(x).logits)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        r"""Return q(y, z | x), or q(z | x, y = c), for x with shape (\*, B, *event)."""
        y = self.label(x) if c is None else _one_hot(probs=c)
        return Chain({"y": y, "z": partial(self.encoder, x)}, self.sizes)


@numbers(n_classes=1)
class LabelDecoder(nn.Module):
    r"""The likelihood of M2, :math:`p(x \mid y, z)`.

    Arguments:
        decoder: A ``Conditional`` from z, with the label as its context.
        n_classes: The number of labels K.

    Example:
        >>> from reparam import families, nn
        >>> decoder = Conditional(nn.MLP(2, 8, context=3), families.Bernoulli(4))
        >>> LabelDecoder(decoder, 3)(torch.zeros(5, 5)).sample().shape
        torch.Size([5, 4])
    """

    def __init__(self, decoder: Conditional, n_classes: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.n_classes = n_classes

    @property
    def family(self) -> Family:
        """The family of the likelihood."""
        return self.decoder.family

    def forward(self, v: Tensor, c: Tensor | None = None) -> Distribution:
        r"""Return p(x | y, z) for v = (y, z) with shape (\*, B, K + D), which c is a part of."""
        return self.decoder(v[..., self.n_classes :], v[..., : self.n_classes])


@numbers(n_classes=1)
class LabelPrior(nn.Module):
    r"""The prior of M2, :math:`p(y)\, p(z)`, with a uniform p(y).

    Arguments:
        n_classes: The number of labels K.
        prior: p(z), with its number of dimensions as ``latent_dim``.

    Example:
        >>> from reparam.priors import StandardNormal
        >>> LabelPrior(3, StandardNormal(2))().sample((5,)).shape
        torch.Size([5, 5])
    """

    def __init__(self, n_classes: int, prior: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.sizes = [n_classes, int(prior.latent_dim)]  # type: ignore[arg-type]
        self.logits: Tensor
        self.register_buffer("logits", torch.zeros(n_classes), persistent=False)

    def forward(self, c: Tensor | None = None) -> Chain:
        """Return p(y, z), or p(z) at y = c."""
        y = _one_hot(logits=self.logits) if c is None else _one_hot(probs=c)
        return Chain({"y": y, "z": self.prior()}, self.sizes)


class StackedEncoder(nn.Module):
    r"""The posterior of M1 + M2, :math:`q(h \mid x)\, q(y \mid h)\, q(z \mid h, y)`.

    Arguments:
        features: q(h | x), the encoder of M1.
        labels: q(y, z | h), the encoder of M2, over h.
    """

    def __init__(self, features: Conditional, labels: LabelEncoder) -> None:
        super().__init__()
        self.features = features
        self.labels = labels
        self.n_features = features.family.event_shape[0]

    def label(self, x: Tensor) -> OneHotCategoricalStraightThrough:
        """Return q(y | h) at the mean of q(h | x), over one-hot labels."""
        return self.labels.label(self.features(x).mean)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        """Return q(h, y, z | x), or q(h, z | x, y = c)."""
        factors = {"features": self.features(x), "labels": partial(self._given, c)}
        return Chain(factors, [self.n_features, sum(self.labels.sizes)])

    def _given(self, c: Tensor | None, h: Tensor) -> Chain:
        """Return q(y, z | h), or q(z | h, y = c)."""
        return self.labels(h, None if c is None else c.expand(*h.shape[:-1], -1))


@numbers(n_features=1)
class StackedDecoder(nn.Module):
    r"""The likelihood of M1 + M2, :math:`p(x \mid h)`, which depends on neither y nor z.

    Arguments:
        features: p(x | h), the decoder of M1.
        n_features: The number of dimensions of h.
    """

    def __init__(self, features: Conditional, n_features: int) -> None:
        super().__init__()
        self.features = features
        self.n_features = n_features

    @property
    def family(self) -> Family:
        """The family of the likelihood."""
        return self.features.family

    def forward(self, v: Tensor, c: Tensor | None = None) -> Distribution:
        r"""Return p(x | h) for v = (h, y, z) with shape (\*, B, H + K + D)."""
        return self.features(v[..., : self.n_features])


class StackedPrior(nn.Module):
    r"""The prior of M1 + M2, :math:`p(y)\, p(z)\, p(h \mid y, z)`.

    Arguments:
        labels: p(y, z), the prior of M2.
        features: p(h | y, z), the decoder of M2.
    """

    def __init__(self, labels: LabelPrior, features: LabelDecoder) -> None:
        super().__init__()
        self.labels = labels
        self.features = features
        self.n_features = features.family.event_shape[0]
        # Drawn as (y, z, h); the latent vector is (h, y, z).
        order = torch.arange(self.n_features + sum(labels.sizes)).roll(self.n_features)
        self.order: Tensor
        self.register_buffer("order", order, persistent=False)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(h, y, z), or p(h, z | y = c)."""
        chain = self.labels(c).then("features", self.features, self.n_features)
        return Reordered(chain, self.order)


def infers_label(model: nn.Module) -> bool:
    """Return whether a model has q(y | x), for labels that are not known.

    >>> infers_label(nn.Linear(1, 1))
    False
    """
    return isinstance(part_of(model, "encoder"), InfersLabel)


def label_log_prob(model: nn.Module, x: Tensor) -> Tensor | None:
    """Return log q(y | x) of every class, with shape (B, K); None for a model that infers no label.

    >>> label_log_prob(nn.Linear(1, 1), torch.zeros(5, 1)) is None
    True
    """
    encoder = part_of(model, "encoder")
    if not isinstance(encoder, InfersLabel):
        return None
    return encoder.label(model.as_input(x) if isinstance(model, LatentModel) else x).logits


def _one_hot(**parameter: Tensor) -> OneHotCategoricalStraightThrough:
    """Return the distribution of a one-hot label, by its logits or probabilities."""
    return OneHotCategoricalStraightThrough(**parameter, validate_args=False)
