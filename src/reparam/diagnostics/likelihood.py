"""Checks of likelihood and objective: whether their numbers are nats of a bound."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from reparam.batch import Batch, to_device
from reparam.diagnostics.context import DiagnosticContext
from reparam.diagnostics.finding import Evidence, Finding, NotApplicable, check
from reparam.distributions import (
    ContaminatedNormal,
    ContinuousBernoulli,
    CrossEntropy,
    GivenTotal,
    RoundedNormal,
    Spiked,
    Standardized,
    base_distribution,
    is_normalized,
)
from reparam.evaluation.figure import Figure
from reparam.families import Family, Gaussian, default_likelihood
from reparam.isolation import isolated
from reparam.objectives import ELBO, Objective
from reparam.objectives.bounds import value_at

SCALE_ADVICE, SCALE_PROBLEM = 1.25, 2.0
"""Factors between σ and the residuals' rms, either way: 1.25 weighs the KL by 1.6, 2 by 4."""
AT_FLOOR = 0.05
"""The share of entries whose σ may lie at its floor before these alone make the likelihood."""
NEAR_FLOOR = 1.1
"""A σ within this factor of the floor is held up by it."""
BETA_NEAR = 0.01
"""A weight this close to one is one, as rounding goes."""
EXPLAINED = 0.999
"""The share of a bound that a weighted sum must explain before its weights are used."""
BLUR = 0.2
"""By how much two spreads of the same reconstruction differ, when one of them is of few draws."""


@check("likelihood")
def cross_entropy(context: DiagnosticContext) -> Finding:
    """Check for cross-entropy on values between 0 and 1, which is no likelihood."""
    model = context.latent

    def likelihood(part: Batch) -> tuple[Distribution, Tensor | None]:
        p = model.likelihood(model.posterior(part.x, part.c).sample(), part.c)
        single = base_distribution(p)
        return p, missing_nats(single, part.x) if isinstance(single, CrossEntropy) else None

    found = context.on_unseen.each(likelihood, seed=context.seed)
    normalized = [p for p, _ in found if is_normalized(p)]
    if normalized:
        name = type(base_distribution(normalized[0])).__name__
        return Evidence(f"{name} is normalized").fine("log p(x | z) is a log-probability")
    given = [p for p, _ in found if isinstance(base_distribution(p), GivenTotal)]
    if given:
        return Evidence("each row is scored given its own total").fine(
            "log p(x | z, total) is comparable with other likelihoods given the total only"
        )
    x = context.unseen.x
    grey = float(((x > 0) & (x < 1)).double().mean())
    evidence = Evidence(f"{grey:.1%} of the pixels lie between 0 and 1", share_grey=grey)
    if not context.on_unseen.draws.has_density:
        return evidence.fine("cross-entropy serves as a loss")
    missing = [nats for _, nats in found if nats is not None]
    if missing:
        nats = Figure.mean(torch.cat(missing))
        evidence.add(f"; its missing log-normalizer is {nats} nats an example", missing_nats=nats)
    return evidence.problem(
        "Cross-entropy on grey values is no likelihood: it does not sum to one, and no figure of "
        "this run can be compared with one in nats",
        f"likelihood={default_likelihood(context.run.spec)!r}, or binarize='dynamic' with "
        "likelihood='bernoulli'",
    )


def missing_nats(p: CrossEntropy, x: Tensor) -> Tensor:
    """Return the log-normalizer that the continuous Bernoulli has, in nats with shape (B,)."""
    whole = ContinuousBernoulli(logits=p.logits)
    return (whole.log_prob(x) - p.log_prob(x)).flatten(1).sum(1).cpu().double()


@check("decoder-scale")
def decoder_scale(context: DiagnosticContext) -> Finding:
    """Check whether the σ of a Gaussian decoder is that of its residuals."""
    train, model = context.with_density(context.on_train), context.latent
    _, family = context.families

    def residuals(part: Batch) -> tuple[Tensor, Tensor, Tensor]:
        whole = model.likelihood(model.posterior(part.x, part.c).sample(), part.c)
        p, x = base_distribution(whole), part.x
        unit: Tensor | float = 1.0
        of_rest = torch.ones_like(x)
        if isinstance(p, Spiked):  # σ describes what is no spike
            of_rest, p = (~p.is_spike(x)).to(x), p.base
        if isinstance(p, Standardized):
            # The columns of a table have their own units; other entries share one.
            unit = 1.0 if p.scale.numel() == x[0].numel() else p.scale
            x, p = p.standardized(x)
        if not isinstance(p, Normal | RoundedNormal | ContaminatedNormal):
            raise NotApplicable(f"the likelihood is a {type(p).__name__}")
        share = of_rest
        if isinstance(p, ContaminatedNormal):  # nor an outlier
            share, p = share * p.share_of_normal(x), p.normal
        values = (unit * unit * (x - p.mean).square(), unit * p.stddev, share)
        square, scale, share = (v.expand_as(x).cpu().double().flatten(1) for v in values)
        return square, scale, share

    parts = train.each(residuals, seed=context.seed)
    square, scale, share = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    square = square * share / share.mean()
    if float(scale.max()) <= float(scale.min()) * (1 + 1e-4):
        return _one_scale(family, square, float(scale.mean()))
    return _learned_scale(family, square, scale)


def _root(square: Figure) -> Figure:
    """Return the root of a figure, with its error to first order."""
    return Figure(square.value**0.5, (square.stderr or 0.0) / (2 * square.value**0.5), square.n)


def _one_scale(family: Family | None, square: Tensor, sigma: float) -> Finding:
    """Return the finding about one σ for all entries."""
    if not bool((square > 0).any()):
        raise NotApplicable("the decoder gives the data back without any error")
    best = _root(Figure.mean(square.mean(1)))
    ratio = sigma / best.value
    beta, plain = ratio**2, 2 * sigma**2
    text = f"σ = {sigma:.4g}, and the residuals' rms is {best.value:.4g} ± {best.stderr:.1g}"
    evidence = Evidence(
        text, sigma=sigma, best_sigma=best, beta_beside_best=beta, beta_beside_squared_error=plain
    )
    factor = max(ratio, 1 / ratio)
    if factor <= SCALE_ADVICE:
        return evidence.fine("σ fits the residuals")
    is_fixed = not isinstance(family, Gaussian) or not isinstance(family.scale, str)
    fixed = f"likelihood='gaussian-optimal', or a Gaussian with scale={best.value:.3g}"
    return evidence.advice(
        f"The decoder's σ is too {'large' if ratio > 1 else 'small'}: the KL weighs as with "
        f"β = {beta:.3g} at the best σ, and as with β = 2σ² = {plain:.3g} beside squared errors",
        fixed if is_fixed else "more epochs=, or likelihood='gaussian-optimal'",
        is_problem=factor > SCALE_PROBLEM,
    )


def _learned_scale(family: Family | None, square: Tensor, scale: Tensor) -> Finding:
    """Return the finding about a σ of every entry."""
    rms = _root(Figure.mean((square / scale.square()).mean(1)))
    floor = family.min_scale if isinstance(family, Gaussian) else 0.0
    is_low = scale <= NEAR_FLOOR * floor
    layer = None if family is None else family.standardize
    if layer is not None and layer.per_entry:  # the mass of a rounded value is bounded
        is_low = is_low & (layer.width == 0).cpu()
    held_up = float(is_low.double().mean()) if floor else 0.0
    text = f"residuals are {rms} σ (rms), median σ {float(scale.median()):.3g}"
    evidence = Evidence(text, rms_in_sigmas=rms, share_at_floor=held_up)
    if held_up > AT_FLOOR:
        evidence.add(f"; {held_up:.1%} of all σ are at the floor of {floor:.3g}")
        return evidence.advice(
            "The learned σ lies at its floor where values repeat exactly, and the likelihood is "
            "mostly that of these entries: its height is the floor's",
            "likelihood='gaussian-shared', or likelihood='logistic-mixture' for grey levels",
        )
    factor = max(rms.value, 1 / rms.value)
    if factor <= SCALE_ADVICE:
        return evidence.fine("σ fits the residuals")
    return evidence.advice(
        f"The learned σ is too {'small' if rms.value > 1 else 'large'} for the residuals",
        "likelihood='gaussian-shared', whose one σ cannot follow single values",
        is_problem=factor > SCALE_PROBLEM,
    )


@check("beta")
def kl_weight(context: DiagnosticContext) -> Finding:
    """Check the weight of the KL in nats, as the objective declares it or as its values show."""
    _ = context.latent
    objective = context.with_objective()
    if isinstance(objective, ELBO):
        beta = float(value_at(objective.beta, None))
        return _weight(context, beta, Evidence(f"β = {beta:g}", beta=beta))
    if type(objective).__module__.startswith("reparam."):
        raise NotApplicable(f"{type(objective).__name__} is no weighted ELBO")
    return _weight_of_values(context, objective)


def _weight_of_values(context: DiagnosticContext, objective: Objective) -> Finding:
    """Return the finding about the weight that the values of an unknown objective show.

    Its bound is fitted by a·(reconstruction) - b·(KL) + constant over examples, as it reports both,
    and its reconstruction is compared with log p(x | z): b/a is β in nats, which an average over
    pixels, a ≈ 1/D, hides.
    """
    draws = context.with_density(context.on_train).draws
    with isolated(context.latent, seed=context.seed) as device:
        terms = objective(context.latent, to_device(context.train, device))
    bound, reconstruction, divergence = (
        value.cpu().double() for value in (terms.bound, terms.reconstruction, terms.total_kl)
    )
    if not bound.shape == reconstruction.shape == divergence.shape == draws.kl.shape:
        raise NotApplicable("the objective's terms are not those of single examples")
    inputs = torch.stack([reconstruction, -divergence, torch.ones_like(bound)], 1)
    weights = torch.linalg.lstsq(inputs, bound[:, None]).solution[:, 0]
    explained = 1 - float((bound - inputs @ weights).var() / bound.var())
    # Both spread alike over examples if they are the same; other draws blur that a little.
    ratio = float(reconstruction.std() / draws.reconstruction.std())
    scale = 1.0 if abs(ratio - 1) < BLUR else ratio
    a, b = float(weights[0]) * scale, float(weights[1])
    if explained < EXPLAINED or a <= 0:
        raise NotApplicable("the objective is no weighted sum of reconstruction and KL")
    text = f"the objective is {a:.3g} log p(x | z) - {b:.3g} KL, which explains {explained:.2%}"
    evidence = Evidence(text, beta=b / a, weight_of_reconstruction=a, weight_of_kl=b)
    return _weight(context, b / a, evidence)


def _weight(context: DiagnosticContext, beta: float, evidence: Evidence) -> Finding:
    if abs(beta - 1) <= BETA_NEAR:
        return evidence.fine("the objective gives the KL its weight of one")
    averaged = evidence.figures.get("weight_of_reconstruction", 1.0) < 0.5
    fix = "beta=1, for a bound that training tightens"
    if averaged:
        fix = "sum the reconstruction over the entries of x instead of averaging it"
    elif context.option("variant") == "beta-vae":
        fix = "variant='vae', unless plainer codes are worth the nats; evaluate reports β = 1"
    return evidence.advice(
        f"In nats the KL has the weight β = {beta:.4g}: training maximizes no bound of log p(x)",
        fix,
        is_problem=averaged,
    )
