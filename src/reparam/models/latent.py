r"""The latent-variable model: a prior, a decoder and an encoder, each a conditional distribution.

.. math:: p(x \mid c) = \int p(x \mid z, c)\, p(z \mid c)\, dz, \qquad q(z \mid x, c)

Objectives, evaluation and runs use the methods of ``LatentModel``. They also take any module that
has these methods (the protocol ``Latent``), and any module with parts called ``encoder``,
``decoder`` and ``prior``, from which ``as_latent`` creates a ``LatentModel``.
"""

from math import log
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import in_type_of, weights_type
from reparam.distributions import DeclaredDistribution, mean_or_mode, rsample
from reparam.distributions.queries import sample_in_range
from reparam.divergence import check_comparable, is_real
from reparam.errors import OptionError, ShapeError
from reparam.families import Mixed
from reparam.models.conditional import family_of, part_of
from reparam.nn.context import with_condition
from reparam.nn.standardize import Standardize
from reparam.utils.arguments import as_float, numbers
from reparam.utils.equality import by_value

LARGEST_TEMPERATURE = 1e6
"""The largest factor on z that ``sample`` takes; above it float32 overflows in many decoders."""

N_REDRAWS = 10
"""The largest number of times that z is drawn again for a row that is not possible."""

PARTS = ("encoder", "decoder", "prior")
"""The names of the parts of a latent-variable model; each returns a distribution."""


@by_value
class Draws(NamedTuple):
    """Draws from the posterior, and their log-densities in nats.

    Arguments:
        z: The draws, with shape (K, B, D).
        log_likelihood: log p(x | z, c), with shape (K, B).
        log_prior: log p(z | c), with shape (K, B).
        log_posterior: log q(z | x, c), with shape (K, B).
    """

    z: Tensor
    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor

    @property
    def log_weight(self) -> Tensor:
        """The log importance weights log p(x, z | c) - log q(z | x, c), with shape (K, B)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


class LatentModel(nn.Module):
    r"""A latent-variable model p(x | z, c) p(z | c) with an approximate posterior q(z | x, c).

    Arguments:
        encoder: A module from x (and c) to q(z | x, c).
        decoder: A module from z (and c) to p(x | z, c).
        prior: A module from c (or nothing) to p(z | c).
        standardize_condition: The map from c to the condition that every part gets; None for c
            itself.
        parts: More modules by name, such as a discriminator or a classifier, which an objective
            uses.

    References:
        Kingma & Welling, Auto-encoding variational Bayes, ICLR 2014.

    Example:
        >>> from reparam import families, nn, priors
        >>> from reparam.models.conditional import Conditional
        >>> model = LatentModel(
        ...     encoder=Conditional(nn.MLP(784, 400), families.Gaussian(20)),
        ...     decoder=Conditional(nn.MLP(20, 400), families.Bernoulli((1, 28, 28))),
        ...     prior=priors.StandardNormal(20),
        ... )
        >>> model.sample(5).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        standardize_condition: Standardize | None = None,
        **parts: nn.Module,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.standardize_condition = standardize_condition
        for name, part in parts.items():
            self.add_module(name, part)

    def part(self, name: str) -> Any:
        """Return one of the further parts.

        Raises:
            OptionError: The model has no such part.
        """
        parts = dict(self.named_children())
        if name not in parts:
            raise OptionError(
                f"this model has no {name}, which its objective needs: give it one, as in "
                f"LatentModel(encoder, decoder, prior, {name}=...)"
            )
        return parts[name]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c), as ``posterior`` does."""
        return self.posterior(x, c)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c) for x with shape (B, *event), or flattened to (B, D).

        Raises:
            ShapeError: The encoder's distribution has another batch shape than (B,).
        """
        q = _distribution(self.encoder, self.as_input(x), self.as_condition(c))
        if q.batch_shape != x.shape[:1]:
            raise ShapeError(
                f"the encoder returns a {type(q).__name__} with batch shape {tuple(q.batch_shape)} "
                f"for {len(x)} examples: its batch shape must be ({len(x)},); wrap entries as "
                "torch.distributions.Independent(q, 1)"
            )
        return q

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Return p(x | z, c) for z with shape (*, B, D)."""
        return _distribution(self.decoder, z, self.as_condition(c))

    def prior_distribution(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c), with batch shape (B,), or () without a condition."""
        c = self.as_condition(c)
        return self.prior() if c is None else self.prior(in_type_of(self.prior, c))

    @numbers(n_samples=1)
    def draw_prior(self, n_samples: int, c: Tensor | None = None) -> Tensor:
        """Draw z ~ p(z | c), with shape (n, D); a condition c has n rows."""
        p = self.prior_distribution(c)
        return p.sample(torch.Size() if p.batch_shape else torch.Size([n_samples]))

    def as_event(self, x: Tensor) -> Tensor:
        """Return x with the shape of the decoder's events, where that shape is known.

        Floats get the type of the weights, and float32 where the weights have less.

        Raises:
            ShapeError: x has another number of entries than an event, or axes in another order.
        """
        dtype = weights_type(self)
        if dtype is not None and x.is_floating_point():
            x = x.to(torch.promote_types(dtype, torch.float32))
        family = family_of(self.decoder)
        if family is None or x.shape[1:] == family.event_shape:
            return x
        given, event = x.shape[1:], family.event_shape
        is_flat = 1 in (len(given), len(event)) and given.numel() == event.numel()
        # Axes of size one may be missing; other axes in another order hold other values.
        if not is_flat and [n for n in given if n > 1] != [n for n in event if n > 1]:
            raise ShapeError(
                f"x of shape {tuple(x.shape)}: the decoder describes events of shape "
                f"{tuple(event)}, so x must have the shape (B, {', '.join(map(str, event))})"
            )
        return x.reshape(-1, *event)

    def as_input(self, x: Tensor) -> Tensor:
        """Return x as the encoder's input: as ``as_event`` does, with log(1 + x) for counts.

        Raises:
            ShapeError: As of ``as_event``.
        """
        x, family = self.as_event(x), family_of(self.decoder)
        return x if family is None else family.as_input(x)

    def as_condition(self, c: Tensor | None) -> Tensor | None:
        """Return c as the parts get it, with standardized covariates in the model of a variant."""
        layer = self.standardize_condition
        return c if c is None or layer is None else layer(c.to(layer.loc))

    @numbers(n_samples=1)
    def draw(self, x: Tensor, c: Tensor | None = None, n_samples: int = 1) -> Draws:
        """Draw z ~ q(z | x, c), and compute the log-density of each draw in every part."""
        x = self.as_event(x)
        q, p = self.posterior(x, c), self.prior_distribution(c)
        check_comparable(q, p)
        z = rsample(q, n_samples, x.device)
        return Draws(z, self.likelihood(z, c).log_prob(x), p.log_prob(z), q.log_prob(z))

    @numbers(n_samples=1, temperature=0)
    def sample(
        self,
        n_samples: int,
        c: Tensor | None = None,
        *,
        mean: bool = False,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw z from the prior and x from p(x | z, c), with shape (n, *event).

        Arguments:
            n_samples: The number of examples n.
            c: Their conditions, with shape (n, C).
            mean: Whether to return the mean of p(x | z, c) instead of a draw from it.
            temperature: A factor on z; below one the examples are more typical and less varied.

        Raises:
            OptionError: n_samples below one; a temperature that is negative or too large; a
                temperature other than 1 for codes or directions, which have no scale.
        """
        as_float("temperature", temperature, maximum=LARGEST_TEMPERATURE)
        if temperature != 1.0 and not is_real(self.prior_distribution(c)):
            raise OptionError(
                f"temperature={temperature}: a factor on real vectors; codes and directions have "
                "no scale, so leave it at 1"
            )
        p = self.likelihood(temperature * self.draw_prior(n_samples, c), c)
        if mean:
            return mean_or_mode(p)
        x = sample_in_range(p)
        if not isinstance(p, DeclaredDistribution):
            return x
        # Of a z whose rows are hardly possible by the training data another one is drawn.
        outside = (~p.in_range(x)).nonzero().squeeze(-1)
        for _ in range(N_REDRAWS):
            if not len(outside):
                break
            of_rows = None if c is None else c[outside]
            again = self.likelihood(temperature * self.draw_prior(len(outside), of_rows), of_rows)
            x[outside] = sample_in_range(again)
            outside = outside[~p.in_range(x)[outside]]
        return x

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of q(z | x, c), with shape (B, D)."""
        return mean_or_mode(self.posterior(x, c))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z, c), with shape (*, *event)."""
        return mean_or_mode(self.likelihood(z, c))

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the decoded mean of the posterior, with shape (B, *event)."""
        return self.decode(self.encode(x, c), c)

    @numbers(n_samples=1)
    def log_likelihood(
        self, x: Tensor, c: Tensor | None = None, n_samples: int = 100, chunk: int | None = None
    ) -> Tensor:
        r"""Estimate log p(x | c) by importance sampling from the posterior.

        .. math:: \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)},
                  \quad z_l \sim q(z \mid x)

        The estimate is below log p(x) in mean and rises with L; with L = 1 its mean is the ELBO.

        Arguments:
            x: The examples, with shape (B, *event).
            c: Their conditions, with shape (B, C).
            n_samples: The number L of draws for each example.
            chunk: The largest number of draws of each example held in memory; None for all.

        Returns:
            Nats, with shape (B,).

        Raises:
            OptionError: n_samples below one.

        References:
            Rezende, Mohamed & Wierstra, ICML 2014, appendix E; Burda et al., ICLR 2016, eq. 8.
        """
        chunk = n_samples if chunk is None else max(1, chunk)
        sizes = [min(chunk, n_samples - start) for start in range(0, n_samples, chunk)]
        parts = [self.draw(x, c, size).log_weight.logsumexp(0) for size in sizes]
        return torch.stack(parts).logsumexp(0) - log(n_samples)


@runtime_checkable
class Latent(Protocol):
    """The methods of a latent-variable model that objectives, evaluation and runs call."""

    def as_event(self, x: Tensor) -> Tensor:
        """Return x with the shape of the events of ``likelihood``."""

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c)."""

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Return p(x | z, c)."""

    def prior_distribution(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c)."""

    def draw_prior(self, n_samples: int, c: Tensor | None = None) -> Tensor:
        """Draw z ~ p(z | c), with shape (n, D)."""

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of q(z | x, c), with shape (B, D)."""

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z, c), with shape (*, *event)."""

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the decoded mean of the posterior, with shape (B, *event)."""


@runtime_checkable
class Generates(Protocol):
    """A model with a method that draws examples."""

    def sample(self, n_samples: int) -> Tensor:
        """Return n examples, with shape (n, *event)."""


def as_latent(model: nn.Module) -> LatentModel:
    """Return a module as a latent-variable model.

    A module with the methods of ``Latent`` is returned as it is. Of any other module a
    ``LatentModel`` is made that shares its encoder, decoder and prior, and its other submodules.

    Raises:
        OptionError: The module lacks one of the three parts, or one is not a module.

    Example:
        >>> as_latent(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: Linear has no encoder: give a recipe, or a module with an ...
    """
    if isinstance(model, LatentModel | Latent):
        return cast(LatentModel, model)
    kind, parts = type(model).__name__, dict(model.named_children())
    for name in PARTS:
        part = part_of(model, name)
        if not isinstance(part, nn.Module):
            found = f"no {name}" if part is None else f"a {type(part).__name__} as its {name}"
            raise OptionError(
                f"{kind} has {found}: give a recipe, or a module with an encoder, a decoder and a "
                "prior, each a torch module that returns a distribution"
            )
        parts[name] = part
    # A submodule cannot have the name of an attribute of LatentModel.
    taken = {"self", "standardize_condition", *dir(LatentModel)}
    names = [name for name in parts if name not in taken]
    seen = LatentModel(standardize_condition=None, **{name: parts[name] for name in names})
    seen.training = model.training
    return seen


def is_latent(model: nn.Module) -> bool:
    """Return whether ``as_latent`` accepts a model.

    >>> is_latent(nn.Linear(1, 1))
    False
    """
    has_parts = all(isinstance(part_of(model, name), nn.Module) for name in PARTS)
    return has_parts or isinstance(model, LatentModel | Latent)


def standardization_of(model: nn.Module) -> Standardize | None:
    """Return the layer of a model's likelihood that standardizes the data; None without one.

    Of the rows of a mixed table it is the layer of the columns that are quantities.

    >>> standardization_of(nn.Linear(1, 1)) is None
    True
    """
    family = family_of(as_latent(model).decoder) if is_latent(model) else None
    if isinstance(family, Mixed):
        return None if family.quantities is None else family.quantities[0].standardize
    return None if family is None else family.standardize


def _distribution(part: nn.Module, value: Tensor, c: Tensor | None) -> Distribution:
    """Return a part's distribution, for a value and a condition in the type of its weights."""
    c = None if c is None else in_type_of(part, c)
    return with_condition(part, in_type_of(part, value), c)
