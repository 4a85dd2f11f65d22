"""A prior that was fitted to the codes of a trained model, and takes the place of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self, get_args

from torch import nn

from reparam.errors import OptionError, unknown
from reparam.models.hierarchy import TopDownPrior
from reparam.models.label_inference import LabelPrior, StackedPrior
from reparam.models.latent import LatentModel, as_latent
from reparam.priors import PRIORS, Prior, Standardized
from reparam.priors.prior import Setting
from reparam.priors.standardized import Covariance
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.registry import parameters_of

FittedKind = Literal["flow", "mixture", "vamp", "diffusion"]
"""The priors that are fitted after training."""


@numbers(latent_dim=1, seed=0, steps=0)
@dataclass(frozen=True)
class FittedPrior:
    """The description of a fitted prior, from which it is built again.

    Arguments:
        prior: Its name.
        latent_dim: The number of dimensions of the codes.
        options: Keyword arguments of its class.
        seed: The seed of its first weights and of the codes that it was fitted to.
        steps: The number of optimizer steps until its weights.
        run: The folder of the run whose codes they are; None for a run in memory.
        weights_sha256: The checksum of the weights of that run.
        covariance: The covariance that codes are standardized by, ``diagonal`` or ``full``.

    Raises:
        OptionError: An unknown prior, options that it does not have, or an unknown covariance.

    Example:
        >>> FittedPrior("mixture", 2, {"n_components": 5}).build(DataSpec((4,), "binary"), None)
        Standardized(
          (prior): Mixture()
        )
    """

    prior: FittedKind
    latent_dim: int
    options: Mapping[str, Any]
    seed: int = 0
    steps: int = 0
    run: str | None = None
    weights_sha256: str | None = None
    covariance: Covariance = "diagonal"

    def __post_init__(self) -> None:
        if self.prior not in get_args(FittedKind):
            raise unknown("prior", str(self.prior), get_args(FittedKind))
        if self.covariance not in get_args(Covariance):
            raise unknown("covariance", str(self.covariance), get_args(Covariance))
        if self.prior == "vamp" and self.covariance == "full":
            raise OptionError("covariance='full': prior='vamp' does not standardize codes; drop it")
        known = parameters_of(PRIORS[self.prior].kind)
        for name in self.options:
            if name not in known:
                raise unknown(f"option of the prior {self.prior!r}", str(name), known)

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Return the description that ``to_dict`` wrote.

        Raises:
            OptionError: Other keys or values.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("options"), Mapping):
            raise OptionError(f"fitted_prior={values!r}: must be keys and values with 'options'")
        try:
            return cls(**values)
        except TypeError as error:
            raise OptionError(f"fitted_prior={dict(values)!r}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as YAML holds them."""
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in self.options.items()}
        return asdict(self) | {"options": options}

    def build(self, spec: DataSpec, encoder: nn.Module | None) -> Prior:
        """Return the prior with its first weights.

        Arguments:
            spec: The shape, support and condition of the data.
            encoder: The encoder of the model, whose posteriors are the components of ``vamp``.
        """
        setting = Setting(self.latent_dim, spec, encoder or nn.Identity(), is_gaussian=True)
        prior = PRIORS[self.prior].kind.for_model(setting, self.options)
        if self.prior == "vamp":
            return prior
        return Standardized(prior, self.latent_dim, self.covariance)


class Place(NamedTuple):
    """The place of a prior in a model.

    Arguments:
        holder: The module that holds it.
        name: The name of the attribute.
        columns: The entries of z that it describes.
    """

    holder: nn.Module
    name: str
    columns: slice


def place_of(model: LatentModel) -> Place:
    """Return the place of the prior of a model; of a hierarchy, that of its top layer.

    The layers below the top, and the labels, keep the distribution that the model was trained with.
    """
    match model.prior:
        case TopDownPrior() as prior:
            return Place(prior, "top", slice(prior.sizes[0]))
        case LabelPrior() as prior:
            return Place(prior, "prior", slice(prior.sizes[0], None))
        case StackedPrior(labels=labels) as prior:
            return Place(labels, "prior", slice(prior.n_features + labels.sizes[0], None))
    return Place(model, "prior", slice(None))


def with_fitted_prior(model: nn.Module, spec: DataSpec, fitted: FittedPrior) -> LatentModel:
    """Return a model with a fitted prior, with its first weights, in place of its own.

    Arguments:
        model: The model, which is changed where it is a ``LatentModel``.
        spec: The shape, support and condition of the data.
        fitted: The description of the prior.

    Raises:
        OptionError: A model that is not made of an encoder, a decoder and a prior.
    """
    found = as_latent(model)
    if not isinstance(found, LatentModel):
        raise OptionError(
            f"{type(model).__name__} has its own prior_distribution: give a LatentModel, or a "
            "module with an encoder, a decoder and a prior"
        )
    holder, name, _ = place_of(found)
    setattr(holder, name, fitted.build(spec, found.encoder))
    return found
