"""What the doctor sees of the latent variables: collapse, dead codes, codes off the prior."""

import torch
from torch import Tensor

from reparam.diagnostics.context import (
    HIGH_LR,
    Context,
    events,
    free_bits,
    longer_warmup,
    lower_lr,
    option,
)
from reparam.diagnostics.finding import NO_KL, NO_LATENT, Finding, estimate, skipped
from reparam.distributions import OneHotCodes
from reparam.evaluation.latents.activity import ACTIVE_VARIANCE, code_usage
from reparam.evaluation.statistics import mean_and_stderr
from reparam.priors import StandardNormal

COLLAPSED_KL = 0.1
"""Nats of KL in all: with so few a code cannot even tell two halves of the data apart (log 2)."""
FEW_STEPS = 500
"""Within the first steps a decoder learns the mean of the data, and only then what z is for."""
UNUSED_KL = 0.005
"""Nats of KL of an unused dimension: what a posterior mean of variance 0.01 costs, -½ log 0.99."""
UNUSED_SHARE = 0.5
"""Spare dimensions cost little and show that there are enough; half of them are too many."""
DEAD_ADVICE, DEAD_PROBLEM = 0.1, 0.5
"""Shares of the codebook that nothing uses: a few codes always rest; half of them is a failure."""
SEEN_OFTEN = 10
"""A code used as often as others is missed by so many draws per code once in e^10."""
FAR_SHARE, FAR_NATS = 0.1, 1.0
"""What the aggregate posterior's moments cost, as a share of the KL and in nats."""


def collapse(patient: Context) -> Finding:
    """Look for dimensions of z, or all of them, that say nothing of x."""
    seen = patient.on_unseen
    if seen is None or not seen.has_density or seen.indices is not None:
        return skipped("collapse", NO_LATENT if seen is None else NO_KL)
    total, stderr = mean_and_stderr(seen.kl)
    figures = {"kl": total, "kl_stderr": stderr or 0.0}
    shown = f"KL {estimate(total, stderr)} nats in all"
    parts = seen.kl_per_dimension
    is_same = False
    if parts is not None:
        per_dimension = parts.mean(0)
        n = len(per_dimension)
        n_unused = int((per_dimension < UNUSED_KL).sum())
        is_still = seen.means.var(0) <= ACTIVE_VARIANCE
        is_same = bool(is_still.all())
        n_still = int((is_still & (per_dimension >= UNUSED_KL)).sum())
        figures |= {"latent_dim": n, "n_unused": n_unused, "n_still": n_still}
        shown += (
            f"; {n - n_unused} of {n} dimensions have a KL above {UNUSED_KL}, and "
            f"{int((~is_still).sum())} a posterior mean that varies"
        )
    if total < COLLAPSED_KL:
        return Finding(
            "collapse",
            "problem",
            "The posterior has collapsed: z says nothing of x, and the decoder works without it",
            shown,
            "; else ".join(_remedies(patient)),
            figures,
        )
    if is_same:
        return Finding(
            "collapse",
            "problem",
            "The posterior has collapsed: its mean is the same for all x in every dimension, so "
            "that z says nothing of x whatever its KL" + _forced(patient),
            shown,
            "; else ".join(_remedies(patient)),
            figures,
        )
    idle = [k for k, v in seen.kl_groups.items() if k != "y" and float(v.mean()) < COLLAPSED_KL]
    if idle:
        kls = ", ".join(f"{k} {float(v.mean()):.3f}" for k, v in seen.kl_groups.items())
        return Finding(
            "collapse",
            "advice",
            f"The layer {' and '.join(idle)} of the hierarchy is not used",
            f"KL of the layers in nats: {kls}",
            f"--kl-warmup {longer_warmup(patient)}, or fewer layers",
            figures,
        )
    if parts is not None and n_still and n_still >= UNUSED_SHARE * n:
        return Finding(
            "collapse",
            "advice",
            "Dimensions pay for a KL though their posterior mean is the same for all x"
            + _forced(patient),
            f"{shown}; {n_still} pay and do not vary",
            f"--kl-warmup {longer_warmup(patient)}, "
            + ("a smaller --free-bits, " if free_bits(patient) else "")
            + "or fewer dimensions",
            figures,
        )
    if parts is not None and n_unused > UNUSED_SHARE * n:
        used = n - n_unused
        return Finding(
            "collapse",
            "advice",
            "Most dimensions are unused, which costs time and no nats",
            shown,
            f"--latent-dim {max(2, round(1.5 * used))} if that is all the data need; "
            f"--kl-warmup {longer_warmup(patient)} if more of them should be used",
            figures,
        )
    return Finding("collapse", "fine", "z is used", shown, figures=figures)


def _forced(patient: Context) -> str:
    """Return what free bits have to do with a KL that tells nothing, where they are set."""
    return ": what free bits force on it is no information" if free_bits(patient) else ""


def _remedies(patient: Context) -> list[str]:
    """Return what to do about a posterior that has collapsed, the likeliest first."""
    steps = max((int(row["step"]) for row in patient.rows), default=0)
    lr, epochs = float(option(patient, "lr") or 0.0), option(patient, "epochs")
    remedies = []
    if patient.beta is not None and patient.beta > 1:
        remedies.append(f"a smaller --beta than {patient.beta:g}, which prices every nat of the KL")
    if lr > HIGH_LR:
        remedies.append(f"{lower_lr(patient)}, as a high rate kills units for good")
    if 0 < steps < FEW_STEPS:
        remedies.append(f"more --epochs than {epochs}, which were {steps} steps only")
    remedies.append(f"--kl-warmup {longer_warmup(patient)}")
    bits = "" if free_bits(patient) else "--free-bits 0.1 with --objective elbo, or "
    return [*remedies, f"{bits}a decoder that sees less of x"]


def dead_codes(patient: Context) -> Finding:
    """Look for codes of a codebook that stand for nothing."""
    if patient.latent is None:
        return skipped("codes", NO_LATENT)
    found = _indices(patient)
    if found is None:
        return skipped("codes", "there is no codebook")
    indices, n_codes = found
    if indices.numel() < SEEN_OFTEN * n_codes:
        why = f"{indices.numel():,} places are too few to tell of {n_codes} codes; more examples"
        return skipped("codes", f"{why} (--n-examples)")
    usage = code_usage(indices)
    dead = 1 - usage.n_used / n_codes
    figures = {
        "n_codes": float(n_codes),
        "n_used": float(usage.n_used),
        "perplexity": usage.perplexity,
    }
    shown = (
        f"{usage.n_used} of {n_codes} codes used in {indices.numel():,} places, as many as "
        f"{usage.perplexity:.1f} even ones"
    )
    if dead <= DEAD_ADVICE:
        return Finding("codes", "fine", "the codes are used", shown, figures=figures)
    return Finding(
        "codes",
        "problem" if dead > DEAD_PROBLEM else "advice",
        f"{dead:.0%} of the codes are dead: nothing is encoded by them",
        shown,
        f"--n-codes {max(2, usage.n_used)}, or start the codebook again at the data "
        "(restart_below of nn.Codebook; --lr lower)",
        figures,
    )


def _indices(patient: Context) -> tuple[Tensor, int] | None:
    """Return the numbers of the codes of the training examples, and how many codes there are."""
    model = patient.latent
    if model is None:
        return None
    numbers, n_codes = [], 0
    with events(model, patient.train, patient.seed) as parts:
        for x, c in parts:
            q = model.posterior(x, c)
            if hasattr(q, "indices") and hasattr(q, "codes"):
                numbers.append(q.indices.cpu())
                n_codes = len(q.codes)
            elif isinstance(q, OneHotCodes):
                numbers.append(q.probs.argmax(-1).cpu())
                n_codes = q.probs.shape[-1]
            else:
                return None
    return torch.cat(numbers), n_codes


def far_aggregate(patient: Context) -> Finding:
    r"""Look at whether the codes of all data together lie where the prior draws.

    .. math:: \sum_j \mathrm{KL}\bigl(\mathcal N(m_j, v_j) \big\| \mathcal N(0, 1)\bigr), \qquad
              m_j = \mathbb E[z_j], \quad v_j = \mathrm{Var}[z_j], \quad z \sim q(z)

    For a standard normal prior; first and second moments tell of shifts and widths, not of holes.
    """
    model, seen = patient.latent, patient.on_train
    if model is None or seen is None:
        return skipped("prior", NO_LATENT)
    if not isinstance(model.prior, StandardNormal):
        return skipped("prior", "it is no standard normal")
    if not seen.has_density:
        return skipped("prior", NO_KL)
    if patient.train.c is not None:
        return skipped("prior", "the codes of every condition would have to lie there")
    with events(model, patient.train, patient.seed) as parts:
        z = torch.cat([model.posterior(x, c).sample().cpu().double() for x, c in parts])
    mean, variance = z.mean(0), z.var(0)
    # The moments of N draws from the prior itself would cost about 1/N in each dimension.
    costs = 0.5 * (variance + mean.square() - 1 - variance.log()) - 1 / len(z)
    cost, total = float(costs.sum()), float(seen.kl.mean())
    worst = int(costs.argmax())
    figures = {"nats": cost, "kl": total, "worst_mean": float(mean[worst])}
    figures |= {"worst_std": float(variance[worst].sqrt())}
    shown = (
        f"mean and spread of the codes of {len(z):,} examples cost {cost:.2f} of {total:.2f} nats; "
        f"the worst dimension has mean {float(mean[worst]):.2f} and standard deviation "
        f"{float(variance[worst].sqrt()):.2f}"
    )
    if cost <= max(FAR_NATS, FAR_SHARE * total):
        return Finding("prior", "fine", "codes lie where the prior draws", shown, figures=figures)
    return Finding(
        "prior",
        "advice",
        "The codes of the data do not lie where the prior draws, so that samples are worse than "
        "reconstructions",
        shown,
        "--prior vamp, --prior flow, or more --epochs",
        figures,
    )
