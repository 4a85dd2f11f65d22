"""The latent-variable model: a prior p(z | c), a decoder p(x | z, c) and an encoder q(z | x, c)."""

from math import log
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import in_type_of, weights_type
from reparam.distributions import center, rsample
from reparam.divergence import check_comparable, is_real
from reparam.errors import OptionError, ShapeError
from reparam.families import Family
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value


@by_value
class Draws(NamedTuple):
    """Draws from the posterior and what every density says of them.

    Arguments:
        z: The draws, with shape (K, B, D).
        log_likelihood: log p(x | z, c) in nats, with shape (K, B).
        log_prior: log p(z | c), with shape (K, B).
        log_posterior: log q(z | x, c), with shape (K, B).
    """

    z: Tensor
    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z | c) - log q(z | x, c), with shape (K, B)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


class LatentModel(nn.Module):
    r"""A latent-variable model, composed of three conditional distributions.

    .. math:: p(x \mid c) = \int p(x \mid z, c)\, p(z \mid c)\, dz, \qquad q(z \mid x, c)

    Arguments:
        encoder: A module from x (and c) to q(z | x, c).
        decoder: A module from z (and c) to p(x | z, c).
        prior: A module from c (or nothing) to p(z | c).
        parts: Further parts, by name, that an objective or a player uses: a discriminator, a
            classifier.

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
        self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module, **parts: nn.Module
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        for name, part in parts.items():
            self.add_module(name, part)

    def part(self, name: str) -> Any:
        """Return a further part by its name.

        Raises:
            OptionError: The model has no such part.
        """
        if name not in dict(self.named_children()):
            raise OptionError(
                f"this model has no {name}, which its objective asks for: give it one, as in "
                f"LatentModel(encoder, decoder, prior, {name}=...)"
            )
        return getattr(self, name)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c), as ``posterior`` does."""
        return self.posterior(x, c)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c) for x with shape (B, *event), or flattened to (B, D).

        Raises:
            ShapeError: The encoder's distribution is not one of z for each example.
        """
        q = _call(self.encoder, self.as_input(x), c)
        if q.batch_shape != x.shape[:1]:
            raise ShapeError(
                f"the encoder returns a {type(q).__name__} with batch shape {tuple(q.batch_shape)} "
                f"for {len(x)} examples: its batch shape must be ({len(x)},); wrap entries as "
                "torch.distributions.Independent(q, 1)"
            )
        return q

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Return p(x | z, c) for z with shape (*, B, D)."""
        return _call(self.decoder, z, c)

    def prior_distribution(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c), with batch shape (B,), or () without a condition."""
        return self.prior() if c is None else self.prior(in_type_of(self.prior, c))

    @numbers(n_samples=1)
    def draw_prior(self, n_samples: int, c: Tensor | None = None) -> Tensor:
        """Draw z ~ p(z | c), with shape (n, D); where there is a condition c, of n examples."""
        p = self.prior_distribution(c)
        return p.sample(torch.Size() if p.batch_shape else torch.Size([n_samples]))

    def as_event(self, x: Tensor) -> Tensor:
        """Return x with the shape of the decoder's events, where that shape is known.

        Floats get the type of the weights too, or float32 where those have less.

        Raises:
            ShapeError: x has another number of entries than an event.
        """
        dtype = weights_type(self)
        if dtype is not None and x.is_floating_point():
            x = x.to(torch.promote_types(dtype, torch.float32))
        event_shape = getattr(getattr(self.decoder, "family", None), "event_shape", None)
        if event_shape is None or x.shape[1:] == event_shape:
            return x
        given = x.shape[1:]
        is_flat = 1 in (len(given), len(event_shape)) and given.numel() == event_shape.numel()
        # Axes of size one may be there or not; other axes in another order hold other values.
        if not is_flat and [n for n in given if n > 1] != [n for n in event_shape if n > 1]:
            raise ShapeError(
                f"x of shape {tuple(x.shape)}: the decoder describes events of shape "
                f"{tuple(event_shape)}, so x must have the shape (B, "
                f"{', '.join(map(str, event_shape))})"
            )
        return x.reshape(-1, *event_shape)

    def as_input(self, x: Tensor) -> Tensor:
        """Return x as the encoder gets it: in the decoder's event shape; log(1 + x) for counts.

        Raises:
            ShapeError: x has another number of entries than an event.
        """
        x, family = self.as_event(x), getattr(self.decoder, "family", None)
        return family.as_input(x) if isinstance(family, Family) else x

    @numbers(n_samples=1)
    def draw(self, x: Tensor, c: Tensor | None = None, n_samples: int = 1) -> Draws:
        """Draw z ~ q(z | x, c), and score each draw under every part of the model."""
        x = self.as_event(x)
        q = self.posterior(x, c)
        p = self.prior_distribution(c)
        check_comparable(q, p)
        z = rsample(q, n_samples, x.device)
        return Draws(
            z=z,
            log_likelihood=self.likelihood(z, c).log_prob(x),
            log_prior=p.log_prob(z),
            log_posterior=q.log_prob(z),
        )

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
            c: A condition for each of them, with shape (n, C).
            mean: Return the mean of p(x | z), as pictures show it, and no draw from it.
            temperature: A factor on z; below one, more typical and less varied examples.

        Raises:
            OptionError: Fewer than one example; a temperature that is negative or not finite, or
                one for codes or directions, which have no size.
        """
        if temperature > LARGEST_TEMPERATURE:
            raise OptionError(
                f"temperature={temperature:g}: a factor on z, whose entries are around one: must "
                f"be at most {LARGEST_TEMPERATURE:g}"
            )
        if temperature != 1.0 and not is_real(self.prior_distribution(c)):
            raise OptionError(
                f"temperature={temperature}: a factor on real vectors; codes and directions have "
                "no size, so leave it at 1"
            )
        p = self.likelihood(temperature * self.draw_prior(n_samples, c), c)
        return center(p) if mean else p.sample()

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of q(z | x, c), with shape (B, D)."""
        return center(self.posterior(x, c))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z, c), with shape (*, *event)."""
        return center(self.likelihood(z, c))

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the decoded mean of the posterior, with shape (B, *event)."""
        return self.decode(self.encode(x, c), c)

    @numbers()
    def log_likelihood(
        self, x: Tensor, c: Tensor | None = None, n_samples: int = 100, chunk: int | None = None
    ) -> Tensor:
        r"""Estimate log p(x | c) by importance sampling from the posterior.

        .. math:: \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)},
                  \quad z_l \sim q(z \mid x)

        The estimate is below log p(x) in mean and rises with L; with L = 1 its mean is the ELBO.

        Arguments:
            x: The examples, with shape (B, *event).
            c: Their condition, with shape (B, C).
            n_samples: L; exactly so many draws are made for each example.
            chunk: At most so many draws of each example are held in memory; None for all.

        Returns:
            Nats, with shape (B,).

        Raises:
            OptionError: Fewer than one sample.

        References:
            Rezende, Mohamed & Wierstra, ICML 2014, appendix E; Burda et al., ICLR 2016, eq. 8.
        """
        if n_samples < 1:
            raise OptionError(f"n_samples={n_samples}: importance sampling needs at least one draw")
        chunk = n_samples if chunk is None else max(1, chunk)
        sizes = [min(chunk, n_samples - start) for start in range(0, n_samples, chunk)]
        parts = [self.draw(x, c, size).log_weight.logsumexp(0) for size in sizes]
        return torch.stack(parts).logsumexp(0) - log(n_samples)


@runtime_checkable
class Latent(Protocol):
    """What objectives, figures and runs ask of a model; a module of your own may have it all."""

    def as_event(self, x: Tensor) -> Tensor:
        """Return x with the shape that ``likelihood`` describes."""
        ...

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """Return q(z | x, c)."""
        ...

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Return p(x | z, c)."""
        ...

    def prior_distribution(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c)."""
        ...

    def draw_prior(self, n_samples: int, c: Tensor | None = None) -> Tensor:
        """Draw z ~ p(z | c), with shape (n, D)."""
        ...

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of q(z | x, c), with shape (B, D)."""
        ...

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z, c), with shape (*, *event)."""
        ...

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the decoded mean of the posterior, with shape (B, *event)."""
        ...


@runtime_checkable
class Generates(Protocol):
    """A model that draws examples itself."""

    def sample(self, n_samples: int) -> Tensor:
        """Return so many examples, with shape (n, *event)."""
        ...


LARGEST_TEMPERATURE = 1e6
"""A larger factor on z says nothing any more, and overflows."""

PARTS = ("encoder", "decoder", "prior")
"""The parts that make a module a latent-variable model, which each return a distribution."""


def as_latent(model: nn.Module) -> LatentModel:
    """Return what an objective or a figure sees of a model with latent variables.

    That is a model with the methods of ``Latent`` as it is. Of any other module it is a
    ``LatentModel`` of its parts, which stay that module's: its encoder, decoder and prior, and all
    further parts by their names.

    Raises:
        OptionError: A module without these parts, or with one that is no module.

    Example:
        >>> as_latent(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: Linear has no encoder: give a recipe, or a module with an ...
    """
    if isinstance(model, LatentModel | Latent):
        return cast(LatentModel, model)
    for name in PARTS:
        if not has_part(model, name):
            if hasattr(model, name):
                kind = type(getattr(model, name)).__name__
                raise OptionError(
                    f"the {name} of {type(model).__name__} is a {kind}: it must be a torch module "
                    "whose forward pass returns a distribution"
                )
            raise OptionError(
                f"{type(model).__name__} has no {name}: give a recipe, or a module with an "
                "encoder, a decoder and a prior that return distributions"
            )
    parts = {name: getattr(model, name) for name in PARTS}
    others = {
        name: part
        for name, part in model.named_children()
        # Names of what a LatentModel has itself are not to be had as parts.
        if name not in (*PARTS, "self") and not hasattr(LatentModel, name)
    }
    seen = LatentModel(**parts, **others)
    seen.training = model.training
    return seen


def is_latent(model: nn.Module) -> bool:
    """Return whether ``as_latent`` takes a model.

    >>> is_latent(nn.Linear(1, 1))
    False
    """
    return isinstance(model, LatentModel | Latent) or all(has_part(model, p) for p in PARTS)


def has_part(model: nn.Module, name: str) -> bool:
    """Return whether a module has another of this name, as a submodule or a property."""
    return isinstance(getattr(model, name, None), nn.Module)


def _call(part: nn.Module, value: Tensor, c: Tensor | None) -> Distribution:
    value = in_type_of(part, value)
    return part(value) if c is None else part(value, in_type_of(part, c))
