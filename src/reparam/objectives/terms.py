"""What an objective says of one batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce, wraps
from math import inf
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.models.latent import as_latent
from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Terms:
    """The parts of an objective on one batch, in nats per example unless said otherwise.

    Arguments:
        bound: What the objective maximizes, with shape (B,): for the ELBO the ELBO itself, weighted
            as asked.
        reconstruction: E_q[log p(x | z)], with shape (B,).
        kl: KL(q‖p) of each group of latents, unweighted, with shape (B,), by the group's name.
        kl_method: How the KL was computed: ``closed form`` or ``Monte Carlo``.
        log_weight: log p(x, z) - log q(z | x) of each draw, with shape (K, B), where there is one.
        penalties: What is subtracted for the whole batch: numbers by name.
        surrogate: A loss to differentiate instead, where its gradient is not that of the bound.
    """

    bound: Tensor
    reconstruction: Tensor
    kl: Mapping[str, Tensor] = field(default_factory=dict)
    kl_method: str = ""
    log_weight: Tensor | None = None
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
    surrogate: Tensor | None = None

    @cached_property
    def total_kl(self) -> Tensor:
        """The KL of all groups together, with shape (B,)."""
        if not self.kl:
            return torch.zeros_like(self.reconstruction)
        return reduce(torch.add, self.kl.values())

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, reconstruction - KL with no weights, with shape (B,)."""
        return self.reconstruction - self.total_kl

    @cached_property
    def loss(self) -> Tensor:
        """The number that training minimizes."""
        if self.surrogate is not None:
            return self.surrogate
        return reduce(torch.add, self.penalties.values(), -self.bound.mean())

    @torch.no_grad()
    def scalars(self) -> dict[str, Tensor]:
        """Return the batch means that are logged, as tensors on the device, without gradients."""
        reconstruction = self.reconstruction.mean()
        names = {"loss": self.loss, "reconstruction": reconstruction}
        if self.kl:
            kl = self.total_kl.mean()
            names |= {"elbo": reconstruction - kl, "kl": kl}
        if len(self.kl) > 1:
            names |= {f"kl/{name}": value.mean() for name, value in self.kl.items()}
        names |= {f"penalty/{name}": value for name, value in self.penalties.items()}
        # What was computed before has its gradients still, as a surrogate or a penalty has.
        return {name: value.detach() for name, value in names.items()}


def check_weights(**weights: float) -> None:
    """Refuse a weight of an objective that is none.

    Raises:
        OptionError: A weight that is negative, infinite or not a number.

    Example:
        >>> check_weights(gamma=-1.0)
        Traceback (most recent call last):
        reparam.errors.OptionError: gamma=-1.0: a weight must be finite, 0 or more
    """
    for name, weight in weights.items():
        if not 0 <= weight < inf:
            raise OptionError(f"{name}={weight}: a weight must be finite, 0 or more")


Call = TypeVar("Call", bound=Callable[..., Terms])


def of_batches(call: Call) -> Call:
    """Let the ``__call__`` of an objective refuse what is no batch."""

    @wraps(call)
    def checked(self: Any, model: Any, batch: Batch) -> Terms:
        if not isinstance(batch, Batch):
            raise OptionError(
                f"batch of type {type(batch).__name__}: {type(self).__name__} takes a Batch, so "
                "give Batch(x), or Batch(x, y) with labels"
            )
        if not isinstance(batch.x, Tensor) or len(batch.x) == 0:
            what = f"of {len(batch.x)} examples" if isinstance(batch.x, Tensor) else "of an array"
            raise OptionError(
                f"x {what}: {type(self).__name__} takes a tensor of at least one example, so give "
                "Batch(torch.as_tensor(x))"
            )
        return call(self, model, batch)

    return cast(Call, checked)


def of_latents(call: Call) -> Call:
    """Let the ``__call__`` of an objective take any model that ``as_latent`` takes, and a batch."""

    @of_batches
    @wraps(call)
    def seen(self: Any, model: Any, batch: Batch) -> Terms:
        return call(self, as_latent(model), batch)

    return cast(Call, seen)


class Objective(Protocol):
    """Anything that can be called with a model and a batch, and returns ``Terms``."""

    def __call__(self, model: Any, batch: Batch) -> Terms:
        """Return the terms of this batch."""
        ...
