"""Parts by name, so that any of them goes with any variant: what it cannot go with is said here."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from dataclasses import replace as with_changes
from functools import partial
from typing import Any

import torch
from torch import nn

from reparam import priors
from reparam.batch import Batch
from reparam.data.condition import conditions
from reparam.errors import OptionError, SupportError, named
from reparam.families import (
    Deterministic,
    Family,
    Flow,
    FullCovarianceGaussian,
    Gaussian,
    GumbelSoftmax,
    Uniform,
    VonMisesFisher,
)
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.objectives import (
    ELBO,
    IWAE,
    MMD,
    Contractive,
    DReG,
    NaivePenalty,
    Objective,
    Reconstruction,
    TotalCorrelation,
)
from reparam.objectives.corruption import Corruption
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.seeding import seeded
from reparam.variants.recipe import Milestone, Recipe, replace


@numbers(n_components=1, n_importance=1, free_bits=0)
@dataclass(frozen=True)
class Parts:
    """The parts that can take the place of a variant's own.

    Arguments:
        posterior: q(z | x), by name.
        prior: p(z), by name.
        n_components: Pseudo-inputs of the prior vamp, 500 by default (50 where the posterior is no
            diagonal Gaussian); Gaussians of the prior mixture, 100 by default.
        objective: What is maximized, by name.
        n_importance: Draws of each example in the objectives iwae and dreg; 5 by default.
        free_bits: Nats of KL that each latent dimension has for nothing, with the objective elbo.
        start_at_mean: Start the decoder at the mean of 10,000 training examples, whatever the code
            is, so that the first steps need not learn it. It is for pixels, with a Bernoulli or the
            cross-entropy; a Gaussian that learns its variance fares worse with it.

    References:
        Burda, Grosse & Salakhutdinov, ICLR 2016: their code starts the bias of the pixels there.
    """

    posterior: str | None = None
    prior: str | None = None
    n_components: int | None = None
    objective: str | None = None
    n_importance: int | None = None
    free_bits: float | None = None
    start_at_mean: bool = False


PARTS = tuple(field.name for field in fields(Parts))

POSTERIORS: Mapping[str, Callable[[int], Family]] = {
    "gaussian": Gaussian,
    "full-covariance": FullCovarianceGaussian,
    "iaf": Flow,
    "coupling": partial(Flow, passes=2),
    "uniform": Uniform,
    "von-mises-fisher": VonMisesFisher,
    "gumbel": lambda latent_dim: GumbelSoftmax(*code_shape(latent_dim)),
    "deterministic": Deterministic,
}
"""What turns the encoder's features into q(z | x), given the number of latent dimensions."""

PRIORS: Mapping[str, Callable[[LatentModel, DataSpec, int, int | None], nn.Module]] = {
    "standard-normal": lambda model, spec, n, k: priors.StandardNormal(n),
    "mixture": lambda model, spec, n, k: priors.Mixture(n, 100 if k is None else k),
    "vamp": lambda model, spec, n, k: vamp(model, spec, k),
    "flow": lambda model, spec, n, k: priors.Flow(n, spec.context),
    "class-conditional": lambda model, spec, n, k: priors.ClassConditional(n, labels(spec)),
    "sphere": lambda model, spec, n, k: priors.HypersphericalUniform(n),
    "uniform-codes": lambda model, spec, n, k: priors.UniformCodes(*code_shape(n)),
}
"""What makes p(z), given the model, the data, and the numbers of dimensions and of components."""

OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "elbo": ELBO,
    "iwae": IWAE,
    "dreg": DReG,
    "tc": TotalCorrelation,
    "mmd": MMD,
    "naive": NaivePenalty,
    "reconstruction": Reconstruction,
    "denoising": lambda: Reconstruction(Corruption()),
    "contractive": Contractive,
}
"""What is maximized, given its options."""

EXCHANGEABLE = (
    ELBO,
    IWAE,
    DReG,
    TotalCorrelation,
    MMD,
    NaivePenalty,
    Reconstruction,
    Contractive,
)
"""The objectives that ask nothing special of a model, so that another may take their place."""

REFUSALS = (
    (
        "a deterministic posterior with elbo, iwae, dreg, tc or naive",
        "a point has no density, and its KL to any prior with one is infinite",
    ),
    (
        "posterior and prior on different spaces (real vectors, the sphere, codes)",
        "each gives no mass to where the other lives, so that the KL is infinite",
    ),
    (
        "a uniform posterior with the vamp prior",
        "a box does not nest in a mixture of other boxes, so that the KL is infinite",
    ),
    (
        "a gumbel posterior with iwae or dreg, or with a prior other than uniform-codes",
        "a relaxed draw lies between classes, where a prior over classes has no mass",
    ),
    (
        "tokens with the vamp prior, or with denoising or contractive",
        "the number of a token is neither a shade that noise changes nor has it a gradient",
    ),
    (
        "tc with a posterior that does not factorize",
        "log q(z_j | x) of a single dimension has no closed form",
    ),
    (
        "a learned prior (mixture, vamp, flow, class-conditional) with reconstruction, denoising, "
        "contractive, or mmd without a KL",
        "draws from it pass no gradient, so that nothing would train it",
    ),
    ("naive with a posterior other than gaussian", "it is a penalty on a Gaussian's μ and log σ²"),
    (
        "free_bits with another objective than elbo, n_importance with others than iwae and dreg, "
        "n_components with other priors than vamp and mixture",
        "there is nothing that they would change",
    ),
    (
        "the class-conditional prior, or a condition on labels, without labels",
        "there is nothing to condition on",
    ),
    (
        "start_at_mean with a likelihood of levels, classes or a mixture, or with a decoder that "
        "is no network and family",
        "its mean is no function of one number for each entry",
    ),
    (
        "another posterior or prior in a variant whose posterior is not a network and a family, or "
        "that starts them at the data; another objective in one with players or phases of its own",
        "these parts are made for each other",
    ),
)
"""What is refused, and the reason. Every other combination trains."""


def with_parts(recipe: Recipe, parts: Parts) -> Recipe:
    """Return a recipe with some of its parts replaced by others.

    The recipe that is given stays as it is: the model of the new one is a copy.

    Raises:
        OptionError: A part that does not exist, or that the variant does not let go.
        SupportError: A combination that makes no sense: see ``REFUSALS``.

    Example:
        >>> from reparam import variants
        >>> spec = DataSpec((1, 8, 8), "binary")
        >>> recipe = with_parts(variants.vae(spec), Parts(prior="vamp", objective="iwae"))
        >>> type(recipe.model.prior).__name__, recipe.objective
        ('Vamp', IWAE(n_importance=5))
    """
    if parts == Parts():
        return recipe
    model, spec = recipe.model, recipe.spec
    if not isinstance(model, LatentModel) or spec is None:
        raise OptionError(
            "this variant has no latent variables, so no posterior, prior or objective that could "
            "be another one: take these options to a variant such as 'vae'"
        )
    model = deepcopy(model)
    milestones = recipe.milestones
    is_mixture = parts.prior in ("vamp", "mixture") or isinstance(model.prior, priors.VampPrior)
    if parts.n_components is not None and not is_mixture:
        raise OptionError(
            f"n_components={parts.n_components}: the components of a mixture; add --prior vamp or "
            "mixture"
        )
    if parts.posterior is not None or parts.prior is not None:
        if milestones and not isinstance(model.prior, priors.VampPrior):
            raise OptionError(
                "this variant starts its posterior and its prior at training examples, each for "
                "the other: --posterior and --prior do not apply; start from a variant such as "
                "'vae'"
            )
        encoder = _encoder(model)
        (latent_dim,) = encoder.family.event_shape
        if parts.posterior is not None:
            family = named("posterior", parts.posterior, POSTERIORS)(latent_dim)
            model.encoder = Conditional(encoder.network, family)
        prior = parts.prior
        if prior is None and isinstance(model.prior, priors.VampPrior):
            prior = "vamp"
        if prior is not None:
            model.prior = named("prior", prior, PRIORS)(model, spec, latent_dim, parts.n_components)
            milestones = started(model.prior)
    if parts.objective is not None and type(recipe.objective) not in EXCHANGEABLE:
        raise OptionError(
            f"objective {type(recipe.objective).__name__} is a part of what this variant is: "
            "--objective does not apply; start from a variant such as 'vae'"
        )
    objective = _objective(recipe.objective, parts)
    trains_no_prior = isinstance(objective, Reconstruction | Contractive)
    if trains_no_prior and any(p.requires_grad for p in model.prior.parameters()):
        raise SupportError(
            f"objective {type(objective).__name__} does not ask for a prior, so that nothing would "
            "train this one: drop --prior, or use --objective elbo"
        )
    if parts.start_at_mean:
        milestones = (*milestones, _started_at_mean(model))
    source = recipe.source
    if source is not None:
        # The same variant with the same parts builds it again.
        usual = Parts()
        chosen = {k: v for k, v in asdict(parts).items() if v != getattr(usual, k)}
        source = with_changes(source, options={**source.options, **chosen})
    recipe = replace(recipe, model=model, objective=objective, milestones=milestones, source=source)
    check(recipe)
    return recipe


def started(prior: nn.Module) -> tuple[Milestone, ...]:
    """Return the milestone of a prior that begins at training examples, if it does."""
    if not isinstance(prior, priors.VampPrior):
        return ()
    return (Milestone(start_prior, n_examples=1000),)


def start_prior(model: Any, examples: Batch) -> None:
    """Start a model's prior at training examples."""
    model.prior.start(with_changes(examples, x=model.as_input(examples.x)))


def start_decoder(model: Any, examples: Batch) -> None:
    """Start a model's decoder at the mean of training examples, whatever the code is."""
    model.decoder.family.start_at(model.as_event(examples.x).mean(0))


def _started_at_mean(model: LatentModel) -> Milestone:
    """Return the milestone of a decoder that begins at the mean of training examples."""
    family = getattr(model.decoder, "family", None)
    if not isinstance(family, Family):
        raise OptionError(
            "the decoder of this variant is no network followed by a family: --start-at-mean does "
            "not apply; start from a variant such as 'vae'"
        )
    # A family that cannot start there says so now rather than in the first step.
    family.raw_of_mean(torch.full(family.event_shape, 0.5))
    return Milestone(start_decoder)


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose parts make no sense together, by trying them on a few blank examples.

    Raises:
        SupportError: A combination that makes no sense.
    """
    spec = recipe.spec
    if spec is None:
        return
    dtype = torch.long if spec.support == "tokens" else torch.float32
    x = torch.zeros(4, *spec.shape, dtype=dtype)
    batch = Batch(x, torch.zeros(4, dtype=torch.long), conditions(spec, 4), step=0, progress=0.0)
    with seeded(torch.get_default_device(), 0), torch.no_grad():
        # A copy: what networks count or average while training is none of this batch's business.
        recipe.objective(deepcopy(recipe.model).train(), batch)


def code_shape(latent_dim: int) -> tuple[int, int]:
    """Return how many variables of how many classes fill so many latent dimensions.

    Raises:
        OptionError: An odd number of dimensions.

    Example:
        >>> code_shape(320), code_shape(6)
        ((32, 10), (3, 2))
    """
    for n_classes in (10, 2):
        if latent_dim % n_classes == 0:
            return latent_dim // n_classes, n_classes
    raise OptionError(
        f"latent_dim={latent_dim}: codes of 10 or of 2 classes fill a multiple of 10 or of 2 "
        "dimensions; choose such a number"
    )


def labels(spec: DataSpec) -> int:
    """Return the size of a condition on labels.

    Raises:
        OptionError: There is no condition.
    """
    if not spec.context:
        raise OptionError(
            "prior 'class-conditional' is a Gaussian for each label, and this model is given none: "
            "add --condition label"
        )
    return spec.context


def vamp(model: LatentModel, spec: DataSpec, n_components: int | None) -> priors.VampPrior:
    """Return the vamp prior of a model.

    Raises:
        SupportError: Data whose pseudo-inputs could not be learned.
    """
    if spec.support == "tokens":
        raise SupportError(
            "prior 'vamp' learns pseudo-inputs by their gradient, which numbers of tokens do not "
            "have: use --prior mixture"
        )
    if n_components is None:
        # A draw is scored under every component: cheap for Gaussians, but a flow has to be inverted
        # for each of them.
        family = getattr(model.encoder, "family", None)
        n_components = 500 if isinstance(family, Gaussian) else 50
    return priors.VampPrior(model.encoder, spec.shape, n_components, spec.context)


def _encoder(model: LatentModel) -> Conditional:
    encoder = model.encoder
    if not isinstance(encoder, Conditional) or len(encoder.family.event_shape) != 1:
        raise OptionError(
            "the posterior of this variant is no network followed by a family, and its prior is "
            "made for it: --posterior and --prior do not apply; start from a variant such as 'vae'"
        )
    return encoder


def _objective(own: Objective, parts: Parts) -> Objective:
    options: dict[str, Any] = {}
    name = parts.objective
    if parts.n_importance is not None:
        if name not in ("iwae", "dreg"):
            raise OptionError(
                f"n_importance={parts.n_importance}: the draws of an importance-weighted bound; "
                "add --objective iwae or dreg"
            )
        options["n_importance"] = parts.n_importance
    if parts.free_bits is not None:
        if name is None and isinstance(own, Reconstruction | Contractive):
            raise SupportError(
                f"free_bits={parts.free_bits}: nats of a KL that cost nothing, and the code of an "
                "autoencoder is a point, which has no KL to any prior; take a variant such as 'vae'"
            )
        if name not in (None, "elbo") or (name is None and not isinstance(own, ELBO)):
            raise OptionError(
                f"free_bits={parts.free_bits}: nats of the KL of an ELBO, and this objective is "
                "none; add --objective elbo"
            )
        options["free_bits"] = parts.free_bits
    if name is None:
        return with_changes(own, **options) if isinstance(own, ELBO) and options else own
    made: Objective = named("objective", name, OBJECTIVES)(**options)
    if type(made) is type(own) and name != "reconstruction":
        # The variant's own, with its own weights or noise, and with what was asked for.
        return with_changes(own, **options)  # type: ignore[type-var]
    return made
