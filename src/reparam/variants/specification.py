"""The specification of a variant: data, networks, posterior, prior, likelihood and objective.

A variant is a preset of one specification. The parts that a user names are merged into it, and the
model is built once, from the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from torch import nn

from reparam.families import POSTERIORS, Family
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional, family_of
from reparam.models.latent import LatentModel
from reparam.nn.standardize import Standardize
from reparam.objectives import ELBO, OBJECTIVES, ModelObjective
from reparam.objectives.recipe import Milestone, Player
from reparam.priors import PRIORS, Prior
from reparam.priors.prior import Setting
from reparam.spec import DataSpec
from reparam.utils.arguments import as_int
from reparam.utils.equality import by_value
from reparam.utils.registry import Part, PartRegistry

T = TypeVar("T")

OptionValue = str | int | float | Sequence[int] | Family | None
"""The value of an option of a variant."""

NetworkMaker = Callable[[DataSpec, int], tuple[nn.Module, nn.Module]]
"""A function from data and the number of latent dimensions to the networks of encoder, decoder."""

PartMaker = Callable[[DataSpec, int], nn.Module]
"""A function from data and the number of latent dimensions to a part of a model."""


@by_value
@dataclass(frozen=True, kw_only=True)
class Composition:
    """The exchangeable parts of a model.

    Arguments:
        networks: A function that creates the networks of encoder and decoder.
        latent_dim: The number of dimensions of z.
        posterior: q(z | x).
        prior: p(z).
        likelihood: p(x | z), by name or as a family; None for the default of the data.
        has_likelihood: Whether the decoder's network is followed by the family of the likelihood.
        parts: Functions that create further parts of the model, such as a discriminator, by name.
    """

    networks: NetworkMaker
    latent_dim: int
    posterior: Part[Family] = POSTERIORS["gaussian"]
    prior: Part[Prior] = PRIORS["standard-normal"]
    likelihood: str | Family | None = None
    has_likelihood: bool = True
    parts: Mapping[str, PartMaker] = field(default_factory=dict)

    def build(self, spec: DataSpec) -> LatentModel:
        """Build the model for data.

        Arguments:
            spec: The shape, support and condition of the data.
        """
        as_int("latent_dim", self.latent_dim, minimum=1)
        network, decoder = self.networks(spec, self.latent_dim)
        family = self.posterior.kind.for_latents(self.latent_dim, self.posterior.options)
        encoder = Conditional(network, family)
        if self.has_likelihood:
            decoder = Conditional(decoder, likelihood_of(spec, self.likelihood))
        setting = Setting(self.latent_dim, spec, encoder, self.posterior.kind.is_gaussian)
        prior = self.prior.kind.for_model(setting, self.prior.options)
        parts = {name: create(spec, self.latent_dim) for name, create in self.parts.items()}
        return LatentModel(encoder, decoder, prior, standardize_condition_of(spec), **parts)


@dataclass(frozen=True)
class Specification:
    """The data, model and objective of a variant.

    Arguments:
        data: The shape, support and condition of the data.
        model: The parts of the model; or a model whose parts are made for each other.
        objective: The objective to maximize.
        players: Further players, for adversarial objectives.
        milestones: Actions at a point of the training, such as fitting a mixture to the codes.
    """

    data: DataSpec
    model: Composition | nn.Module
    objective: ModelObjective = field(default_factory=ELBO)
    players: tuple[Player, ...] = ()
    milestones: tuple[Milestone, ...] = ()

    @property
    def composition(self) -> Composition | None:
        """The exchangeable parts of the model; None for a model whose parts are made together."""
        return self.model if isinstance(self.model, Composition) else None

    @property
    def q(self) -> type[Family]:
        """The family of the posterior."""
        return _Joint if self.composition is None else self.composition.posterior.kind

    @property
    def p(self) -> type[Prior]:
        """The class of the prior."""
        return _JointPrior if self.composition is None else self.composition.prior.kind

    @property
    def is_text(self) -> bool:
        """Whether the data are tokens."""
        return self.data.support == "tokens"

    @property
    def part_names(self) -> dict[str, str]:
        """The names of the parts, as far as they have names."""
        names = {"objective": self.objective.name or type(self.objective).__name__}
        if self.composition is not None:
            names["posterior"] = self.composition.posterior.name
            names["prior"] = self.composition.prior.name
        return names

    @property
    def likelihood(self) -> Family | None:
        """The family of the decoder; None for a decoder that is not a network and a family."""
        if not isinstance(self.model, Composition):
            return family_of(self.model.decoder) if isinstance(self.model, LatentModel) else None
        model = self.model
        return likelihood_of(self.data, model.likelihood) if model.has_likelihood else None

    @property
    def has_learned_prior(self) -> bool:
        """Whether the prior has parameters."""
        if self.composition is not None:
            return self.composition.prior.kind.is_learned
        model = self.model
        learned = model.prior.parameters() if isinstance(model, LatentModel) else ()
        return any(parameter.requires_grad for parameter in learned)


def standardize_condition_of(spec: DataSpec) -> Standardize | None:
    """Create the standardization of the covariates in the condition of a model, if it has some."""
    return Standardize(spec.context) if spec.given_covariates else None


class _Joint(Family):
    """The declarations of a posterior that depends on its prior, as in a hierarchy."""

    factorizes = False


class _JointPrior(Prior):
    """The declarations of a prior that depends on its posterior."""

    space = None


def merged(own: Specification, options: Mapping[str, OptionValue]) -> Specification:
    """Return a specification with the parts, and options of parts, that the user names.

    A part of the same name as the variant's own keeps the variant's options. Parts that cannot be
    exchanged stay: ``compatibility.check`` refuses to replace them.

    Arguments:
        own: The specification of the variant.
        options: The names ``posterior``, ``prior`` and ``objective``, and the options of parts.

    Raises:
        OptionError: A name that does not exist.
    """
    given = {name: value for name, value in options.items() if value is not None}
    model, objective = own.model, own.objective
    if isinstance(model, Composition):
        model = replace(
            model,
            posterior=_chosen(model.posterior, POSTERIORS, given.get("posterior"), given),
            prior=_chosen(model.prior, PRIORS, given.get("prior"), given),
        )
    if objective.name:
        part = Part(objective.name, type(objective), vars(objective))
        part = _chosen(part, OBJECTIVES, given.get("objective"), given)
        objective = part.kind(**part.options)
    return replace(own, model=model, objective=objective)


def _chosen(
    own: Part[T], registry: PartRegistry[T], name: OptionValue, options: Mapping[str, OptionValue]
) -> Part[T]:
    """Return the part of a name, or the variant's own, with the user's options of it."""
    named = own if name is None else registry[name]  # type: ignore[index]
    part = own if named.name == own.name else named
    declared: Sequence[str] = part.kind.options  # type: ignore[attr-defined]
    return part.with_options(**{name: options[name] for name in declared if name in options})
