r"""Models with the label as a latent variable: M2, and M2 on the features of another VAE.

They are ``LatentModel`` like any other. The latent vector of M2 is (y, z), with y as one of K
numbers that is one; that of the stack is (features, y, z). Given a condition c, which is the label,
y is no longer unknown.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, OneHotCategoricalStraightThrough

from reparam.distributions import Chain
from reparam.distributions.chain import Factor, expanded
from reparam.distributions.reordered import Reordered
from reparam.errors import OptionError
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.nn.activations import activation as make_activation
from reparam.nn.mlp import flatten_example
from reparam.utils.arguments import numbers


@numbers(n_classes=1)
class LabelNetwork(nn.Module):
    r"""A multilayer perceptron of x and a label y, for many labels of each x.

    .. math:: h_1 = \phi(W x + V y + b), \qquad h_l = \phi(W_l h_{l-1} + b_l)

    It is ``MLP`` with a context, but W x is computed once for all labels.

    Arguments:
        in_features: The size of x, or its shape.
        n_classes: The number of labels K.
        hidden: The sizes of the layers, one at least.
        activation: The nonlinearity after every layer.

    Raises:
        OptionError: No layers, or a size below one.

    Example:
        >>> network = LabelNetwork((1, 8, 8), 3, 16)
        >>> network(torch.zeros(5, 1, 8, 8), torch.zeros(3, 5, 3)).shape
        torch.Size([3, 5, 16])
    """

    def __init__(
        self,
        in_features: int | Sequence[int],
        n_classes: int,
        *hidden: int,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise OptionError(f"hidden={hidden}: give one layer at least, of 1 or more units")
        self.in_shape = (in_features,) if isinstance(in_features, int) else tuple(in_features)
        self.of_x = nn.Linear(prod(self.in_shape), hidden[0])
        self.of_label = nn.Linear(n_classes, hidden[0], bias=False)
        self.activation = make_activation(activation)
        self.rest = MLP(hidden[0], *hidden[1:], activation=activation)
        self.out_shape = self.rest.out_shape

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return features, with shape (\*, B, F), of x and of y with shape (\*, B, K)."""
        first = self.of_x(flatten_example(x, self.in_shape)) + self.of_label(y)
        return self.rest(self.activation(first))


class LabelEncoder(nn.Module):
    r"""The posterior of M2, :math:`q(y, z \mid x) = q(y \mid x)\, q(z \mid x, y)`.

    Arguments:
        classifier: q(y | x), a ``Conditional`` with the family ``Categorical``.
        encoder: q(z | x, y), a ``Conditional`` whose network is a ``LabelNetwork``, or takes more
            draws of y than of x in another way.

    References:
        Kingma, Rezende, Mohamed & Welling, NeurIPS 2014, eq. 4.

    Example:
        >>> from reparam import families, nn
        >>> encoder = LabelEncoder(
        ...     Conditional(nn.MLP(4, 8), families.Categorical(3)),
        ...     Conditional(LabelNetwork(4, 3, 8), families.Gaussian(2)),
        ... )
        >>> encoder(torch.zeros(5, 4)).rsample((7,)).shape
        torch.Size([7, 5, 5])
    """

    def __init__(self, classifier: Conditional, encoder: Conditional) -> None:
        super().__init__()
        self.classifier = classifier
        self.encoder = encoder
        self.sizes = [classifier.family.raw_shape[0], encoder.family.event_shape[0]]

    def label(self, x: Tensor) -> Distribution:
        """Return q(y | x), over one-hot labels."""
        p: Categorical = self.classifier(x)
        return OneHotCategoricalStraightThrough(logits=p.logits, validate_args=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        r"""Return q(y, z | x), or q(z | x, y = c), for x with shape (\*, B, *event)."""
        q = self.label(x) if c is None else given(c)

        factors = {"y": partial(expanded, q), "z": partial(self.encoder, x)}
        return Chain(factors, self.sizes, q.batch_shape, x)


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
    def family(self) -> nn.Module:
        """The family of the likelihood."""
        return self.decoder.family

    def forward(self, v: Tensor, c: Tensor | None = None) -> Distribution:
        r"""Return p(x | y, z) for v = (y, z) with shape (\*, B, K + D), which c is a part of."""
        return self.decoder(v[..., self.n_classes :], v[..., : self.n_classes])


@numbers(n_classes=1)
class LabelPrior(nn.Module):
    r"""The prior of M2, :math:`p(y)\, p(z)` with all labels alike.

    Arguments:
        n_classes: The number of labels K.
        prior: p(z), which tells its size as ``latent_dim``.

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
        if c is None:
            p: Distribution = OneHotCategoricalStraightThrough(
                logits=self.logits, validate_args=False
            )
        else:
            p = given(c)
        factors = {
            "y": partial(expanded, p),
            "z": partial(expanded, self.prior()),
        }
        return Chain(factors, self.sizes, p.batch_shape, self.logits)


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

    def label(self, x: Tensor) -> Distribution:
        """Return q(y | h) at the mean of q(h | x), over one-hot labels."""
        return self.labels.label(self.features(x).mean)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Chain:
        """Return q(h, y, z | x), or q(h, z | x, y = c)."""
        q, n = self.features(x), self.n_features
        factors = {
            "features": partial(expanded, q),
            "y": partial(self._of_features, "y", c),
            "z": partial(self._of_features, "z", c),
        }
        return Chain(factors, [n, *self.labels.sizes], q.batch_shape, x)

    def _of_features(self, group: str, c: Tensor | None, before: Tensor) -> Distribution:
        """Return a group of q(y, z | h) given h and what lies between it and the group."""
        h, between = before[..., : self.n_features], before[..., self.n_features :]
        factors: Mapping[str, Factor] = self.labels(h, _repeated(c, h)).factors
        return factors[group](between)


@numbers(n_features=1)
class StackedDecoder(nn.Module):
    r"""The likelihood of M1 + M2, :math:`p(x \mid h)`, whatever y and z.

    Arguments:
        features: p(x | h), the decoder of M1.
        n_features: The size of h.
    """

    def __init__(self, features: Conditional, n_features: int) -> None:
        super().__init__()
        self.features = features
        self.n_features = n_features

    @property
    def family(self) -> nn.Module:
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
        (n,), rest = features.family.event_shape, sum(labels.sizes)  # type: ignore[misc]
        self.sizes = [*labels.sizes, n]
        # Drawn as y, z, h; the latent vector is (h, y, z).
        order = torch.cat([torch.arange(rest, rest + n), torch.arange(rest)])
        self.order: Tensor
        self.register_buffer("order", order, persistent=False)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(h, y, z), or p(h, z | y = c)."""
        p = self.labels(c)
        factors = {**p.factors, "features": self.features}
        return Reordered(Chain(factors, self.sizes, p.batch_shape, self.labels.logits), self.order)


def given(c: Tensor) -> Distribution:
    r"""Return the distribution of a label that is known, one-hot with shape (\*, K)."""
    return OneHotCategoricalStraightThrough(probs=c, validate_args=False)


def infers_label(model: nn.Module) -> bool:
    """Return whether a model has q(y | x), for labels that are not known.

    >>> infers_label(nn.Linear(1, 1))
    False
    """
    return hasattr(getattr(model, "encoder", None), "label")


def label_log_prob(model: nn.Module, x: Tensor) -> Tensor | None:
    """Return log q(y | x) of every class, with shape (B, K); None for a model that tells no labels.

    >>> label_log_prob(nn.Linear(1, 1), torch.zeros(5, 1)) is None
    True
    """
    label = getattr(getattr(model, "encoder", None), "label", None)
    if label is None:
        return None
    return label(model.as_input(x) if isinstance(model, LatentModel) else x).logits


def _repeated(c: Tensor | None, v: Tensor) -> Tensor | None:
    return None if c is None else c.expand(*v.shape[:-1], -1)
