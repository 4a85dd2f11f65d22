"""The terms that an objective returns for a batch, and the declarations of an objective.

An objective is a callable from a model and a batch to ``Terms``. Those of the library declare which
models they need; the rules of ``variants.compatibility`` read these declarations.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError, SupportError
from reparam.models.latent import as_latent
from reparam.utils.equality import by_value
from reparam.utils.registry import PartRegistry


@by_value
@dataclass(frozen=True)
class Terms:
    """The terms of an objective on one batch, in nats per example.

    Arguments:
        bound: The value to maximize, with shape (B,); for ``ELBO`` the weighted ELBO.
        reconstruction: E_q[log p(x | z)], with shape (B,).
        kl: KL(q‖p) of each group of latents, unweighted, with shape (B,), by the group's name.
        kl_method: How the KL was computed: ``closed form`` or ``Monte Carlo``.
        log_weight: log p(x, z) - log q(z | x) of each draw, with shape (K, B); None without
            importance weights.
        penalties: Numbers by name that are subtracted from the mean bound of the batch.
        surrogate: A loss to differentiate instead, where its gradient is not that of the bound.

    Example:
        >>> terms = Terms(torch.tensor([-3.0, -1.0]), torch.tensor([-2.0, 0.0]))
        >>> terms.loss, terms.elbo
        (tensor(2.), tensor([-2.,  0.]))
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
        """Return the batch means to log, as tensors on the device, without gradients."""
        reconstruction = self.reconstruction.mean()
        names = {"loss": self.loss, "reconstruction": reconstruction}
        if self.kl:
            kl = self.total_kl.mean()
            names |= {"elbo": reconstruction - kl, "kl": kl}
        if len(self.kl) > 1:
            names |= {f"kl/{name}": value.mean() for name, value in self.kl.items()}
        names |= {f"penalty/{name}": value for name, value in self.penalties.items()}
        # Terms that were computed before this call still have their gradients.
        return {name: value.detach() for name, value in names.items()}


class Objective(Protocol):
    """Anything that can be called with a model and a batch, and returns ``Terms``."""

    def __call__(self, model: Any, batch: Batch) -> Terms:
        """Return the terms of this batch."""
        ...


class ModelObjective(ABC):
    """Abstract: an objective that declares which models it needs.

    Calling it checks the batch, takes any model that ``as_latent`` takes, and returns ``terms``.

    Attributes:
        options: The fields that are options of any variant with this objective.
        has_latents: Whether the model has latent variables.
        needs_prior: Whether codes are compared with the prior.
        is_importance_weighted: Whether densities of draws are compared, which relaxed draws lack.
        needs_factorizing: Whether the posterior has to factorize over dimensions.
        needs_gaussian: Whether the posterior has to be a diagonal Gaussian.
        repeats_labeled: Whether every batch needs labeled examples, however few there are.
    """

    options: ClassVar[tuple[str, ...]] = ()
    has_latents: ClassVar[bool] = True
    needs_prior: ClassVar[bool] = True
    is_importance_weighted: ClassVar[bool] = False
    needs_factorizing: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    repeats_labeled: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name in ``OBJECTIVES``; empty for an objective that cannot replace another one."""
        return next((part.name for part in OBJECTIVES.values() if part.kind is type(self)), "")

    @property
    def has_kl(self) -> bool:
        """Whether it has a KL or importance weights, which need densities and train the prior."""
        return self.needs_prior

    @property
    def n_draws(self) -> int:
        """The number of draws of z for each example."""
        return 1

    @property
    def needs_gradient_of_x(self) -> bool:
        """Whether x has to be real-valued, as noise or a derivative needs."""
        return False

    def __call__(self, model: Any, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            OptionError: An argument that is not a batch of at least one example.
            SupportError: An x of whole numbers, where the objective needs real numbers.
        """
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
        if self.needs_gradient_of_x and not batch.x.is_floating_point():
            raise SupportError(
                "x holds whole numbers, such as tokens, to which noise cannot be added and which "
                "have no derivative: use objective='reconstruction'"
            )
        return self.terms(as_latent(model) if self.has_latents else model, batch)

    @abstractmethod
    def terms(self, model: Any, batch: Batch) -> Terms:
        """Return the terms of one batch."""


OBJECTIVES: PartRegistry[ModelObjective] = PartRegistry("objective")
"""The objectives that can replace that of a variant, by name."""

as_objective = OBJECTIVES.part
"""A decorator that registers an objective, by the name and keyword arguments of the class."""


def check_share(name: str, share: float) -> None:
    """Refuse a share of the steps outside [0, 1).

    Raises:
        OptionError: Such a share.
    """
    if not 0 <= share < 1:
        raise OptionError(f"{name}={share}: must be a share of the steps in [0, 1)")
