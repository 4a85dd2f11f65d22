"""The methods that an evaluation requires of a user's model."""

from typing import cast

from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.models.conditional import part_of
from reparam.models.latent import LatentModel, as_latent, is_latent

METHODS = ("posterior", "likelihood", "prior_distribution", "encode", "reconstruct")
"""The methods of a ``LatentModel`` that an evaluation calls."""


def as_measurable(model: nn.Module, *methods: str) -> LatentModel:
    """Return a model with latent variables, or a module with the methods of one.

    Arguments:
        model: The model.
        methods: Further methods that it must have.

    Raises:
        OptionError: A method is missing.

    Example:
        >>> as_measurable(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: a Linear has no posterior, no likelihood, no ...
    """
    names = (*METHODS, *methods)
    missing = [name for name in names if not callable(part_of(model, name))]
    if missing and is_latent(model):
        return as_latent(model)
    if missing:
        raise OptionError(
            f"a {type(model).__name__} has no {', no '.join(missing)}: evaluation takes a "
            "LatentModel, a DirectedModel or a module with the methods of LatentModel"
        )
    return cast(LatentModel, model)


def as_event(model: nn.Module, x: Tensor) -> Tensor:
    """Return x in the shape that the decoder describes, for a model that knows this shape."""
    known = part_of(model, "as_event")
    return cast(Tensor, known(x)) if callable(known) else x
