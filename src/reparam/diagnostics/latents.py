"""Checks of the latent variables: collapse, dead codes, codes off the prior."""

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.diagnostics.context import HIGH_LR, DiagnosticContext
from reparam.diagnostics.dependence import share_explained
from reparam.diagnostics.finding import NO_KL, Evidence, Finding, NotApplicable, check
from reparam.distributions import OneHotCodes, QuantizedCodes
from reparam.evaluation.figure import Figure
from reparam.evaluation.latents.activity import ACTIVE_VARIANCE, code_usage
from reparam.models.aggregate import are_far, cost_of_correlations, cost_of_moments
from reparam.priors import StandardNormal

COLLAPSED_KL = 0.1
"""The KL in nats of a collapsed posterior; log 2 would separate two halves of the data."""
NOISE = 2.0
"""Standard errors up to which a share of variance that columns explain is noise."""
FEW_STEPS = 500
"""In the first steps a decoder learns the mean of the data, and the use of z later."""
UNUSED_KL = 0.005
"""Nats of KL of an unused dimension: what a posterior mean of variance 0.01 costs, -½ log 0.99."""
UNUSED_SHARE = 0.5
"""A few unused dimensions show that there are enough; more than half are too many."""
DEAD_ADVICE, DEAD_PROBLEM = 0.1, 0.5
"""Shares of the codebook that no example uses: a few are normal; half of them is a failure."""
SEEN_OFTEN = 10
"""With so many draws per code, a code as frequent as the others is missed once in e^10."""


@check("collapse")
def collapse(context: DiagnosticContext) -> Finding:
    """Check for dimensions of z, or all of them, that do not depend on x."""
    unseen = context.with_density(context.on_unseen)
    draws = unseen.draws
    if draws.indices is not None:
        raise NotApplicable(NO_KL)
    total = Figure.mean(draws.kl)
    evidence = Evidence(f"KL {total} nats in all", kl=total)
    n = n_unused = n_still = 0
    is_same = False
    if draws.kl_per_dimension is not None and len(unseen.codes) > 1:
        per_dimension = draws.kl_per_dimension.mean(0)
        is_still = unseen.codes.double().var(0) <= ACTIVE_VARIANCE
        is_same = bool(is_still.all())
        n = len(per_dimension)
        n_unused = int((per_dimension < UNUSED_KL).sum())
        n_still = int((is_still & (per_dimension >= UNUSED_KL)).sum())
        text = (
            f"; {n - n_unused} of {n} dimensions have a KL above {UNUSED_KL}, and "
            f"{int((~is_still).sum())} a posterior mean that varies"
        )
        evidence.add(text, latent_dim=n, n_unused=n_unused, n_still=n_still)
    forced = ": the KL that free bits force on it is no information" if context.free_bits else ""
    warmup = context.longer_warmup
    if total.value < COLLAPSED_KL or is_same:
        why = "z does not depend on x, and the decoder works without it"
        if total.value >= COLLAPSED_KL:
            why = "its mean is the same for all x in every dimension, whatever its KL" + forced
        fixes = "; else ".join(_fixes(context))
        if total.value < COLLAPSED_KL and _are_independent(context, evidence):
            return evidence.advice(
                "z does not depend on x, and the columns do not depend on each other beyond noise: "
                "a model without codes is as good",
                f"more rows, if the columns should tell of each other; else {fixes}",
            )
        return evidence.problem(f"The posterior has collapsed: {why}", fixes)
    layers = {name: float(kl.mean()) for name, kl in draws.kl_groups.items()}
    idle = [name for name, kl in layers.items() if name != "y" and kl < COLLAPSED_KL]
    if idle:
        kls = ", ".join(f"{name} {kl:.3f}" for name, kl in layers.items())
        evidence.add(f"; KL of the layers in nats: {kls}")
        layer = f"The layer {' and '.join(idle)} of the hierarchy"
        return evidence.advice(f"{layer} is not used", f"{warmup}, or fewer layers")
    if n_still and n_still >= UNUSED_SHARE * n:
        evidence.add(f"; {n_still} have a KL and do not vary")
        return evidence.advice(
            f"Dimensions have a KL though their posterior mean is the same for all x{forced}",
            f"{warmup}, {'a smaller free_bits=, ' if context.free_bits else ''}or fewer dimensions",
        )
    if n_unused > UNUSED_SHARE * n:
        return evidence.advice(
            "Most dimensions are unused, which costs time and no nats",
            f"latent_dim={max(2, round(1.5 * (n - n_unused)))} if that is all the data need; "
            f"{warmup} if more of them should be used",
        )
    return evidence.fine("z is used")


def _are_independent(context: DiagnosticContext, evidence: Evidence) -> bool:
    """Return whether rows that were not seen tell nothing of a column by the others, with evidence.

    Of images, texts and examples under a condition it is not known.
    """
    spec = context.run.spec
    if len(spec.shape) != 1 or spec.dim < 2 or spec.support == "tokens" or spec.condition:
        return False
    share = share_explained(context.train.x, spec, context.seed)
    evidence.add(
        f"; of a column the others explain {share} of the variance, in rows that were left out",
        share_explained=share,
    )
    return share.value <= NOISE * (share.stderr or 0.0)


def _fixes(context: DiagnosticContext) -> list[str]:
    """Return what to change about a posterior that has collapsed, the likeliest first."""
    steps = max((int(row["step"]) for row in context.rows), default=0)
    fixes = []
    if context.beta is not None and context.beta > 1:
        fixes.append(f"a smaller beta= than {context.beta:g}, the price of every nat of the KL")
    if float(context.option("lr") or 0.0) > HIGH_LR:
        fixes.append(f"{context.lower_lr}, as a high rate kills units for good")
    if 0 < steps < FEW_STEPS:
        fixes.append(f"{context.longer}, as {steps} steps are few")
    bits = "" if context.free_bits else "free_bits=0.1 with objective='elbo', or "
    return [*fixes, context.longer_warmup, f"{bits}a decoder that sees less of x"]


@check("codes")
def dead_codes(context: DiagnosticContext) -> Finding:
    """Check for codes of a codebook that no example has."""
    indices, n_codes = _indices(context)
    if indices.numel() < SEEN_OFTEN * n_codes:
        n = f"{indices.numel():,}"
        raise NotApplicable(f"{n} places are too few for {n_codes} codes: a larger n_examples=")
    usage = code_usage(indices)
    dead = 1 - usage.n_used / n_codes
    evidence = Evidence(
        f"{usage.n_used} of {n_codes} codes used in {indices.numel():,} places, perplexity "
        f"{usage.perplexity.value:.1f}",
        n_codes=n_codes,
        n_used=usage.n_used,
        perplexity=usage.perplexity.value,
    )
    if dead <= DEAD_ADVICE:
        return evidence.fine("the codes are used")
    return evidence.advice(
        f"{dead:.0%} of the codes are dead: nothing is encoded by them",
        f"n_codes={max(2, usage.n_used)}, or start the codebook again at the data "
        "(restart_below of nn.Codebook; a lower lr=)",
        is_problem=dead > DEAD_PROBLEM,
    )


def _indices(context: DiagnosticContext) -> tuple[Tensor, int]:
    """Return the numbers of the codes of the training examples, and the number of codes."""
    model = context.latent

    def codes(part: Batch) -> tuple[Tensor, int]:
        q = model.posterior(part.x, part.c)
        if isinstance(q, QuantizedCodes):
            return q.indices.cpu(), len(q.codes)
        if isinstance(q, OneHotCodes):
            return q.probs.argmax(-1).cpu(), q.probs.shape[-1]
        raise NotApplicable("there is no codebook")

    parts = context.on_train.each(codes, seed=context.seed)
    return torch.cat([numbers for numbers, _ in parts]), parts[0][1]


@check("prior")
def far_aggregate(context: DiagnosticContext) -> Finding:
    """Check whether the aggregate posterior of the data has the moments of the prior.

    For a standard normal prior; see ``models.aggregate``.
    """
    model = context.latent
    if not isinstance(model.prior, StandardNormal):
        raise NotApplicable("it is no standard normal")
    train = context.with_density(context.on_train)
    if context.train.c is not None:
        raise NotApplicable("the codes of every condition would have to lie there")

    def codes(part: Batch) -> Tensor:
        return model.posterior(part.x, part.c).sample().cpu().double()

    z = torch.cat(train.each(codes, seed=context.seed))
    costs, total = cost_of_moments(z), float(train.draws.kl.mean())
    cost, worst = float(costs.sum()) + cost_of_correlations(z), int(costs.argmax())
    loc, scale = float(z[:, worst].mean()), float(z[:, worst].std())
    text = (
        f"mean, spread and correlations of the codes of {len(z):,} examples cost {cost:.2f} of "
        f"{total:.2f} nats; the worst dimension has mean {loc:.2f} and standard deviation "
        f"{scale:.2f}"
    )
    evidence = Evidence(text, nats=cost, kl=total, worst_mean=loc, worst_std=scale)
    if not are_far(cost, total):
        return evidence.fine("codes have the moments of the prior")
    return evidence.advice(
        "Codes of the data lie where the prior does not, so that samples are poor",
        "run.with_prior('flow'), or prior='vamp' or prior='flow' in a new training",
    )
