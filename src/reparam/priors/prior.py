"""Abstract: a prior p(z | c), a module from a condition c to a distribution.

A prior declares its latent space and whether it is learned. The rules of ``variants.compatibility``
read these declarations.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.batch import Batch
from reparam.distributions.declared import Space
from reparam.spec import DataSpec
from reparam.utils.registry import PartRegistry, parameters_of


@runtime_checkable
class StartsAtData(Protocol):
    """A prior whose parameters start at training examples."""

    def start(self, examples: Batch) -> None:
        """Set the parameters, given examples as the encoder reads them."""
        ...


@dataclass(frozen=True)
class Setting:
    """The parts of a model that its prior may depend on.

    Arguments:
        latent_dim: The number of dimensions of z.
        data: The shape, support and condition of the data.
        encoder: q(z | x, c).
        is_gaussian: Whether q is a diagonal Gaussian.
    """

    latent_dim: int
    data: DataSpec
    encoder: nn.Module
    is_gaussian: bool


class Prior(nn.Module, ABC):
    """Abstract: a module from a condition c, or nothing, to the distribution p(z | c).

    Attributes:
        space: The set that z lies in; None for that of the posterior.
        exists: Whether there is a distribution at all.
        is_learned: Whether there are parameters, which only the gradient of a KL trains.
        needs_condition: Whether the distribution is defined given a condition c only.
        needs_gradient_of_x: Whether inputs of the encoder are learned, so that x is real-valued.
        options: The arguments of the constructor that are options of any variant with this prior.
    """

    space: ClassVar[Space | None] = "real vectors"
    exists: ClassVar[bool] = True
    is_learned: ClassVar[bool] = False
    needs_condition: ClassVar[bool] = False
    needs_gradient_of_x: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def for_model(cls, setting: Setting, options: Mapping[str, object]) -> Self:
        """Create the prior of a model.

        Arguments of the constructor that are called ``latent_dim``, ``context``, ``label_context``,
        ``shape`` or ``encoder`` have the values of the model.

        Arguments:
            setting: The model's latent dimensions, data and encoder.
            options: Further keyword arguments of the constructor.
        """
        known = {
            "latent_dim": setting.latent_dim,
            "context": setting.data.context,
            "label_context": setting.data.label_context,
            "shape": setting.data.input_shape,
            "encoder": setting.encoder,
        }
        return cls(**{k: v for k, v in known.items() if k in parameters_of(cls)}, **options)

    @abstractmethod
    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""


PRIORS: PartRegistry[Prior] = PartRegistry("prior")
"""The priors p(z) by name. ``part.kind.for_model`` creates one."""

as_prior = PRIORS.part
"""A decorator that registers a prior, by the name and keyword arguments of the class."""


def diagonal_normal(loc: Tensor, scale: Tensor) -> Distribution:
    """Return the Gaussian of independent dimensions, whose last axis is the event.

    >>> import torch
    >>> diagonal_normal(torch.zeros(5, 2), torch.ones(5, 2)).log_prob(torch.zeros(2)).shape
    torch.Size([5])
    """
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
