"""The compatibility of the parts of a model, as rules over a specification.

Each rule is a condition on the attributes that the parts declare, with its reason. The message of a
refusal and the table of all refusals both come from the rule. Every combination that no rule
refuses can be trained.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from reparam.errors import OptionError, ReparamError, SupportError
from reparam.utils.registry import Part
from reparam.variants.kinds import KINDS, options_of_parts
from reparam.variants.specification import OptionValue, Specification

Given = Mapping[str, OptionValue]
"""The parts, and the options of parts, that the user gave."""


class Rule(NamedTuple):
    """A combination of parts that cannot be trained.

    Arguments:
        what: The combination, for the table of all rules.
        reason: Why it cannot be trained.
        fix: An alternative that can be trained.
        about: The options that the message names.
        refuses: A function from a specification, and the options that the user gave, to whether
            the rule refuses it.
        error: The class of the error.
    """

    what: str
    reason: str
    fix: str
    about: tuple[str, ...]
    refuses: Callable[[Specification, Given], bool]
    error: type[ReparamError] = SupportError


def check(specification: Specification, given: Given) -> None:
    """Refuse parts that are incompatible.

    Arguments:
        specification: The specification of a variant, with the parts that the user named.
        given: The parts, and the options of parts, that the user gave.

    Raises:
        OptionError: A part that this variant cannot exchange, or an option that changes nothing.
        SupportError: Parts that are incompatible.
    """
    values = {**specification.part_names, **given}
    for rule in rules():
        if rule.refuses(specification, given):
            named = ", ".join(f"{name}={values[name]!r}" for name in rule.about if name in values)
            raise rule.error(f"{named}: {rule.reason}; {rule.fix}")


def _option_rule(option: str, kind: str, parts: Sequence[Part[object]]) -> Rule:
    """Return the rule that refuses an option of some parts where the model has other parts."""
    names = [part.name for part in parts]

    def refuses(s: Specification, given: Given) -> bool:
        options = {"posterior": s.q.options, "prior": s.p.options}
        return option in given and option not in options.get(kind, s.objective.options)

    return Rule(
        f"{option} with another {kind} than {' or '.join(names)}",
        f"this {kind} has no such option",
        f"add {kind}={names[0]!r}" + "".join(f", or {kind}={name!r}" for name in names[1:]),
        (option, kind),
        refuses,
        OptionError,
    )


def _has_other_space(s: Specification, given: Given) -> bool:
    """Whether a KL is computed between a posterior and a prior on different sets."""
    has_kl = s.objective.needs_prior and (s.objective.has_kl or s.q.has_density)
    return has_kl and s.p.space not in (None, s.q.space)


_MADE = [part.kind(**part.options) for part in KINDS["objective"].values()]
_WITH_PRIOR = ", ".join(objective.name for objective in _MADE if objective.needs_prior)
_WITH_KL = ", ".join(objective.name for objective in _MADE if objective.has_kl)
_LEARNED = ", ".join(part.name for part in KINDS["prior"].values() if part.kind.is_learned)

RULES: tuple[Rule, ...] = (
    Rule(
        "another posterior or prior in a variant whose parts are made for each other",
        "the posterior and the prior of this variant are made for each other, or missing",
        "start from a variant such as 'vae'",
        ("posterior", "prior"),
        lambda s, given: (
            s.composition is None and not given.keys().isdisjoint({"posterior", "prior"})
        ),
        OptionError,
    ),
    Rule(
        "another objective in a variant with its own players or phases",
        "the model of this variant is made for its own objective",
        "start from a variant such as 'vae'",
        ("objective",),
        lambda s, given: "objective" in given and not s.objective.name,
        OptionError,
    ),
    Rule(
        "free_bits in an autoencoder",
        "the code of an autoencoder is a point, which has no KL to any prior",
        "use a variant such as 'vae'",
        ("free_bits",),
        lambda s, given: (
            {"free_bits"} == given.keys() & {"free_bits", "objective"}
            and bool(s.objective.name)
            and not s.objective.needs_prior
        ),
    ),
    Rule(
        "the class-conditional prior without a condition on labels",
        "it is a Gaussian for each label, and the model has no condition",
        "add condition='label'",
        ("prior",),
        lambda s, given: s.p.needs_condition and not s.data.context,
        OptionError,
    ),
    Rule(
        f"an autoencoder without a prior with {_WITH_PRIOR}",
        "it compares codes with a prior, and an autoencoder has no prior",
        "add prior='standard-normal'",
        ("objective",),
        lambda s, given: s.objective.needs_prior and not s.p.exists,
    ),
    Rule(
        "tokens with the vamp prior",
        "its pseudo-inputs are learned by their gradient, which tokens do not have",
        "use prior='mixture'",
        ("prior",),
        lambda s, given: s.is_text and s.p.needs_gradient_of_x,
    ),
    Rule(
        "tokens with denoising or contractive",
        "noise cannot be added to a token, and a token has no derivative",
        "use objective='reconstruction'",
        ("objective",),
        lambda s, given: s.is_text and s.objective.needs_gradient_of_x,
    ),
    Rule(
        "a mixed table with denoising or contractive",
        "noise cannot be added to a class, and a class has no derivative",
        "use objective='reconstruction', or give columns that are all quantities as an array",
        ("objective",),
        lambda s, given: s.data.schema is not None and s.objective.needs_gradient_of_x,
    ),
    Rule(
        f"a deterministic posterior with {_WITH_KL}",
        "a point has no density, and its KL to any prior with one is infinite",
        "use objective='mmd' or 'reconstruction', or posterior='gaussian'",
        ("posterior", "objective"),
        lambda s, given: s.objective.has_kl and not s.q.has_density,
    ),
    Rule(
        "posterior and prior on different spaces (real vectors, the sphere, codes)",
        "neither gives mass to the space of the other, and the KL is infinite",
        "use prior='sphere' with posterior='von-mises-fisher', prior='uniform-codes' with "
        "'gumbel', and other priors with other posteriors",
        ("posterior", "prior"),
        _has_other_space,
    ),
    Rule(
        "a uniform posterior with the vamp prior",
        "a box is not inside a mixture of other boxes, and the KL is infinite",
        "use prior='standard-normal', or posterior='gaussian'",
        ("posterior", "prior"),
        lambda s, given: s.objective.needs_prior and s.q.is_bounded and s.p.space is None,
    ),
    Rule(
        "a gumbel posterior with iwae or dreg, or with the vamp prior",
        "a relaxed draw lies between classes, where a prior over classes has no mass",
        "use objective='elbo' with prior='uniform-codes'",
        ("posterior", "prior", "objective"),
        lambda s, given: (
            s.objective.needs_prior
            and s.q.is_relaxed
            and (s.p.space is None or s.objective.is_importance_weighted)
        ),
    ),
    Rule(
        "tc with a posterior that does not factorize",
        "log q(z_j | x) of a single dimension has no closed form",
        "use posterior='gaussian'",
        ("objective", "posterior"),
        lambda s, given: s.objective.needs_factorizing and not s.q.factorizes,
    ),
    Rule(
        "naive with a posterior other than gaussian",
        "it is a penalty on μ and log σ² of a Gaussian",
        "use posterior='gaussian'",
        ("objective", "posterior"),
        lambda s, given: s.objective.needs_gaussian and not s.q.is_gaussian,
    ),
    Rule(
        f"a learned prior ({_LEARNED}) with another objective than {_WITH_KL}",
        "no gradient of the objective reaches the prior, and nothing would train it",
        "use prior='standard-normal', or objective='elbo'",
        ("prior", "objective"),
        lambda s, given: s.has_learned_prior and not s.objective.has_kl,
    ),
)
"""The rules that are not about an option of a single part."""


def rules() -> tuple[Rule, ...]:
    """Return all rules, in the order in which they are checked."""
    options = (_option_rule(name, *found) for name, found in options_of_parts().items())
    return (*RULES[:3], *options, *RULES[3:])


REFUSALS = tuple((rule.what, rule.reason) for rule in rules())
"""The refused combinations with their reasons, for a table."""
