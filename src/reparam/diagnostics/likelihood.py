"""What the doctor sees of likelihood and objective: what is called nats, and is none."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from reparam.batch import to_device
from reparam.diagnostics.context import Context, events, is_ours, option
from reparam.diagnostics.finding import (
    NO_KL,
    NO_LATENT,
    UNKNOWN_OBJECTIVE,
    Finding,
    estimate,
    skipped,
)
from reparam.distributions import (
    ContinuousBernoulli,
    CrossEntropy,
    base_distribution,
    is_normalized,
)
from reparam.evaluation.statistics import mean_and_stderr
from reparam.families import Gaussian
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO
from reparam.objectives.bounds import value_at

SCALE_ADVICE, SCALE_PROBLEM = 1.25, 2.0
"""Factors between σ and the residuals' rms, either way: 1.25 weighs the KL by 1.6, 2 by 4."""
AT_FLOOR = 0.05
"""The share of entries whose σ may lie at its floor before these alone make the likelihood."""
NEAR_FLOOR = 1.1
"""A σ within so much of the floor is held up by it."""
BETA_NEAR = 0.01
"""A weight this close to one is one, as rounding goes."""
EXPLAINED = 0.999
"""What a weighted sum must explain of a bound before its weights are believed."""
BLUR = 0.2
"""By how much two spreads of the same reconstruction differ, when one of them is of few draws."""


def cross_entropy(patient: Context) -> Finding:
    """Look for a likelihood that is none: cross-entropy on values between 0 and 1."""
    model = patient.latent
    if model is None:
        return skipped("likelihood", NO_LATENT)
    missing = []
    with events(model, patient.unseen, patient.seed) as parts:
        for x, c in parts:
            p = model.likelihood(model.posterior(x, c).sample(), c)
            if is_normalized(p):
                return Finding(
                    "likelihood",
                    "fine",
                    "log p(x | z) is a log-probability",
                    f"{type(base_distribution(p)).__name__} is normalized",
                )
            single: Any = base_distribution(p)
            if isinstance(single, CrossEntropy):
                missing.append(_missing(single, x))
    seen = patient.on_unseen
    grey = float(((patient.unseen.x > 0) & (patient.unseen.x < 1)).double().mean())
    figures, shown = {"share_grey": grey}, f"{grey:.1%} of the pixels lie between 0 and 1"
    if seen is not None and not seen.has_density:
        # Where there is no KL beside it, no likelihood is claimed.
        return Finding(
            "likelihood", "fine", "cross-entropy serves as a loss", shown, figures=figures
        )
    if missing:
        mean, stderr = mean_and_stderr(torch.cat(missing))
        figures |= {"missing_nats": mean, "missing_nats_stderr": stderr or 0.0}
        shown += f"; what is missing to a likelihood is {estimate(mean, stderr)} nats an example"
    return Finding(
        "likelihood",
        "problem",
        "Cross-entropy on grey values is no likelihood: it does not sum to one, and no figure of "
        "this run can be compared with one in nats",
        shown,
        "--likelihood continuous-bernoulli, or --binarize dynamic with --likelihood bernoulli",
        figures,
    )


def _missing(p: CrossEntropy, x: Tensor) -> Tensor:
    """Return the log-normalizer that the continuous Bernoulli has, with shape (B,)."""
    whole = ContinuousBernoulli(logits=p.logits)
    return (whole.log_prob(x) - p.log_prob(x)).flatten(1).sum(1).cpu().double()


def decoder_scale(patient: Context) -> Finding:
    """Look at whether a Gaussian decoder's σ is that of what it leaves over."""
    model, seen = patient.latent, patient.on_train
    if model is None or seen is None or not seen.has_density:
        return skipped("decoder-scale", NO_LATENT if seen is None else NO_KL)
    squares, scales = [], []
    with events(model, patient.train, patient.seed) as parts:
        for x, c in parts:
            p: Any = base_distribution(model.likelihood(model.posterior(x, c).sample(), c))
            if not isinstance(p, Normal):
                return skipped("decoder-scale", f"the likelihood is a {type(p).__name__}")
            squares.append((x - p.loc).cpu().double().square().flatten(1))
            scales.append(p.scale.expand_as(p.loc).cpu().double().flatten(1))
    square, scale = torch.cat(squares), torch.cat(scales)
    if float(scale.max()) <= float(scale.min()) * (1 + 1e-4):
        return _one_scale(model, square, float(scale.mean()))
    return _learned_scale(model, square, scale)


def _one_scale(model: LatentModel, square: Tensor, sigma: float) -> Finding:
    """Return what there is to say of one σ for all entries."""
    variance, error = mean_and_stderr(square.mean(1))
    best, stderr = variance**0.5, (error or 0.0) / (2 * variance**0.5)
    ratio = sigma / best
    beta, plain = ratio**2, 2 * sigma**2
    figures = {"sigma": sigma, "best_sigma": best, "best_sigma_stderr": stderr}
    figures |= {"beta_beside_best": beta, "beta_beside_squared_error": plain}
    shown = f"σ = {sigma:.4g}, and the residuals' rms is {best:.4g} ± {stderr:.1g}"
    factor = max(ratio, 1 / ratio)
    if factor <= SCALE_ADVICE:
        return Finding("decoder-scale", "fine", "σ fits the residuals", shown, figures=figures)
    is_fixed = not isinstance(getattr(getattr(model.decoder, "family", None), "scale", 1.0), str)
    size = "large" if ratio > 1 else "small"
    return Finding(
        "decoder-scale",
        "problem" if factor > SCALE_PROBLEM else "advice",
        f"The decoder's σ is too {size}: the KL weighs as much as with β = {beta:.3g} on a decoder "
        f"of the best σ, and as with β = 2σ² = {plain:.3g} beside the summed squared error",
        shown,
        f"--likelihood gaussian-optimal, or a Gaussian with scale={best:.3g}"
        if is_fixed
        else "more --epochs, or --likelihood gaussian-optimal",
        figures,
    )


def _learned_scale(model: LatentModel, square: Tensor, scale: Tensor) -> Finding:
    """Return what there is to say of a σ of every entry."""
    variance, error = mean_and_stderr((square / scale.square()).mean(1))
    rms, stderr = variance**0.5, (error or 0.0) / (2 * variance**0.5)
    family = getattr(model.decoder, "family", None)
    floor = family.min_scale if isinstance(family, Gaussian) else 0.0
    held_up = float((scale <= NEAR_FLOOR * floor).double().mean()) if floor else 0.0
    figures = {"rms_in_sigmas": rms, "rms_in_sigmas_stderr": stderr, "share_at_floor": held_up}
    shown = f"residuals are {rms:.2f} ± {stderr:.2f} σ (rms), median σ {float(scale.median()):.3g}"
    if held_up > AT_FLOOR:
        return Finding(
            "decoder-scale",
            "advice",
            "The learned σ lies at its floor where values repeat exactly, and the likelihood is "
            "mostly that of these entries: its height is the floor's",
            f"{held_up:.1%} of all σ are at the floor of {floor:.3g}; {shown}",
            "--likelihood gaussian-shared, or --likelihood logistic-mixture for images of whole "
            "levels",
            figures,
        )
    factor = max(rms, 1 / rms)
    if factor <= SCALE_ADVICE:
        return Finding("decoder-scale", "fine", "σ fits the residuals", shown, figures=figures)
    return Finding(
        "decoder-scale",
        "problem" if factor > SCALE_PROBLEM else "advice",
        f"The learned σ is too {'small' if rms > 1 else 'large'} for what the decoder leaves over",
        shown,
        "--likelihood gaussian-shared, whose one σ cannot follow single values",
        figures,
    )


def kl_weight(patient: Context) -> Finding:
    """Look at the weight of the KL in nats, as the objective says or as its values show."""
    objective, model = patient.objective, patient.latent
    if model is None:
        return skipped("beta", NO_LATENT)
    if objective is None:
        return skipped("beta", UNKNOWN_OBJECTIVE)
    if isinstance(objective, ELBO):
        beta = value_at(objective.beta, None)
        return _weight(patient, beta, f"β = {beta:g}", {"beta": beta})
    if is_ours(objective):
        return skipped("beta", f"{type(objective).__name__} is no weighted ELBO")
    return _weight_of_values(patient, model)


def _weight_of_values(patient: Context, model: LatentModel) -> Finding:
    """Return the weight that an unknown objective's values show.

    Its bound is fitted by a·(reconstruction) - b·(KL) + constant over examples, as it reports both,
    and its reconstruction is set beside log p(x | z): b/a is β in nats, which an average over
    pixels, a ≈ 1/D, hides.
    """
    seen = patient.on_train
    if seen is None or not seen.has_density:
        return skipped("beta", NO_KL)
    with isolated(model, seed=patient.seed) as device:
        terms = patient.objective(model, to_device(patient.train, device))
    bound, reconstruction, divergence = (
        value.cpu().double() for value in (terms.bound, terms.reconstruction, terms.total_kl)
    )
    if not bound.shape == reconstruction.shape == divergence.shape == seen.kl.shape:
        return skipped("beta", "the objective's terms are not those of single examples")
    inputs = torch.stack([reconstruction, -divergence, torch.ones_like(bound)], 1)
    weights = torch.linalg.lstsq(inputs, bound[:, None]).solution[:, 0]
    explained = 1 - float((bound - inputs @ weights).var() / bound.var())
    # Both spread alike over examples if they are the same; other draws blur that a little.
    ratio = float(reconstruction.std() / seen.reconstruction.std())
    scale = 1.0 if abs(ratio - 1) < BLUR else ratio
    a, b = float(weights[0]) * scale, float(weights[1])
    if explained < EXPLAINED or a <= 0:
        return skipped("beta", "the objective is no weighted sum of reconstruction and KL")
    shown = f"the objective is {a:.3g} log p(x | z) - {b:.3g} KL, which explains {explained:.2%}"
    figures = {"beta": b / a, "weight_of_reconstruction": a, "weight_of_kl": b}
    return _weight(patient, b / a, shown, figures)


def _weight(patient: Context, beta: float, shown: str, figures: dict[str, float]) -> Finding:
    if abs(beta - 1) <= BETA_NEAR:
        return Finding(
            "beta", "fine", "the objective gives the KL its weight of one", shown, figures=figures
        )
    averaged = figures.get("weight_of_reconstruction", 1.0) < 0.5
    fix = "--beta 1 for a bound that training tightens"
    if averaged:
        fix = "sum the reconstruction over the entries of x instead of averaging it, then mean over"
        fix += " examples"
    elif option(patient, "variant") == "beta-vae":
        fix = "reparam train vae, unless plainer codes are worth the nats; evaluate reports β = 1"
    return Finding(
        "beta",
        "problem" if averaged else "advice",
        f"In nats the KL has the weight β = {beta:.4g}, so that training does not maximize a bound "
        "of the likelihood",
        shown,
        fix,
        figures,
    )
