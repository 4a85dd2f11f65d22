"""Checks of the encoder: how much better posteriors could be, and whether draws suffice."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from reparam import families
from reparam.batch import Batch, in_chunks
from reparam.diagnostics.context import DiagnosticContext
from reparam.diagnostics.finding import NO_KL, Evidence, Finding, NotApplicable, check
from reparam.distributions import VonMisesFisher, base_distribution
from reparam.divergence import kl
from reparam.evaluation.figure import Figure
from reparam.evaluation.likelihood.importance import N_SAMPLES, importance_sample
from reparam.evaluation.likelihood.proposal import POSTERIOR, TUNED
from reparam.families import Family
from reparam.models.latent import LatentModel
from reparam.objectives.bounds import frozen
from reparam.utils.seeding import seeded

LAG_ADVICE, LAG_PROBLEM = 0.25, 0.75
"""Shares of β KL that better posteriors gain. A trained MLP on MNIST leaves about a tenth."""
LAG_NATS = 0.5
"""A gain below this, in nats, is no reason to change anything."""
LAG_STEPS, LAG_LR, LAG_DRAWS, LAG_CHECK = 60, 0.1, 4, 64
"""Steps, step size in posterior scales, draws of each step, and draws before and after."""
RISE_ADVICE, RISE_PROBLEM = 0.1, 1.0
"""Nats by which twice the draws raise the log-likelihood: a tenth moves the first decimal."""
RISE_SHARE = 0.001
"""The least such rise that is a problem, as a share of the log-likelihood: a smaller one leaves the
third digit of its bits per dimension as it is."""
FEW_EFFECTIVE = 5.0
"""With fewer effective draws, the bias of an estimate is as large as its noise."""
MOST_SAMPLES = 5000
"""The largest number of importance samples that are tried."""
TUNING_DRAWS = 2400
"""The cost of a tuned proposal in draws of each example: see ``tuned``."""


@check("encoder")
def lagging_encoder(context: DiagnosticContext) -> Finding:
    r"""Check the gain of the ELBO when the posterior of each example is tuned.

    .. math:: \max_{\lambda_x} \mathcal L_\beta(x; \lambda_x) - \mathcal L_\beta(x; \phi)

    It is a lower bound of the amortization gap, by ``LAG_STEPS`` steps of Adam, of the ELBO with
    the weight β that the encoder was trained by. Other objectives train other encoders: that of the
    IWAE learns a proposal, which is wider than the posterior of the ELBO.

    References:
        Cremer, Li & Duvenaud, ICML 2018, section 3 (amortization gap); He et al., ICLR 2019,
        section 3 (lagging inference networks).
    """
    unseen, beta = context.with_density(context.on_unseen), context.beta
    context.with_objective()
    if beta is None:
        raise NotApplicable("the objective is no plain ELBO")
    n = context.affordable(100, 3 * LAG_STEPS * LAG_DRAWS + 2 * LAG_CHECK)
    held = _gain(context, next(in_chunks(context.unseen, n)), beta)
    train = held
    if context.held is not None:
        train = _gain(context, next(in_chunks(context.train, n)), beta)
    total = beta * float(unseen.draws.kl.mean())
    text = (
        f"tuned for {held.n} examples each, posteriors gain {train} nats on train and {held} on "
        f"{context.held_name or 'train'}, beside "
        f"{'a KL' if beta == 1 else f'a KL times β = {beta:g}'} of {total:.2f}"
    )
    evidence = Evidence(
        text, gain_held=held, gain_train=train, weighted_kl=total, n_examples=held.n or 0
    )
    sure = min(train.value, held.value) - 2 * (train.stderr or 0.0)
    if sure > max(LAG_NATS, LAG_ADVICE * total):
        return evidence.advice(
            "The encoder lags behind: the decoder could use better posteriors than it gives",
            f"{context.longer}, a wider {context.width or 'encoder'}, or {context.longer_warmup}",
            is_problem=sure > max(LAG_NATS, LAG_PROBLEM * total),
        )
    apart = held - train
    if apart.value - 2 * (apart.stderr or 0.0) > max(LAG_NATS, LAG_ADVICE * total):
        return evidence.advice(
            "The encoder is over-fitted: held-out figures are worse than the decoder allows",
            f"early_stopping=5, more data, or a smaller {context.width or 'encoder'}",
        )
    return evidence.fine("the encoder keeps up")


def _gain(context: DiagnosticContext, batch: Batch, beta: float) -> Figure:
    """Return the gain of the ELBO with weight β by tuned posteriors.

    A posterior must be a diagonal Gaussian or a von Mises-Fisher; else the check does not apply.
    """
    model, (family, _) = context.latent, context.families

    def gain(part: Batch) -> Tensor:
        with frozen(model):
            return _tuned_gain(model, family, part, beta, context.seed)

    return Figure.mean(torch.cat(context.on(batch).each(gain, seed=context.seed)))


def _tuned_gain(
    model: LatentModel, family: Family | None, part: Batch, beta: float, seed: int
) -> Tensor:
    x, c = part.x, part.c
    p, start = model.prior_distribution(c), model.posterior(x, c)
    changes, posterior = _free(start, family)

    def elbo(q: Distribution, draws: int) -> Tensor:
        z = q.rsample(torch.Size([draws]))
        return model.likelihood(z, c).log_prob(x).mean(0) - beta * kl(q, p, z).value

    def checked(q: Distribution) -> Tensor:
        with seeded(x.device, seed):  # the same draws before and after
            return elbo(q, LAG_CHECK)

    before = checked(start)
    adam = torch.optim.Adam(changes, lr=LAG_LR)
    with torch.enable_grad():
        for _ in range(LAG_STEPS):
            adam.zero_grad()
            (-elbo(posterior(), LAG_DRAWS).sum()).backward()
            adam.step()
    return (checked(posterior()) - before).cpu().double()


def _free(
    q: Distribution, family: Family | None
) -> tuple[list[Tensor], Callable[[], Distribution]]:
    """Return free parameters, one set for each example, and the posterior that they make.

    A width that the family holds fixed is not the encoder's, and stays.
    """
    single: Any = base_distribution(q)
    width = family.scale if isinstance(family, families.Gaussian) else "learned"
    if isinstance(family, families.VonMisesFisher):
        width = family.concentration
    n_free = 2 if width == "learned" else 1
    if isinstance(q, Independent) and isinstance(single, Normal):
        loc, scale = single.loc.detach(), single.scale.detach()
        shift, stretch = (torch.zeros_like(loc, requires_grad=True) for _ in range(2))

        def gaussian() -> Distribution:
            return Independent(
                Normal(loc + scale * shift, scale * stretch.exp(), validate_args=False), 1
            )

        return [shift, stretch][:n_free], gaussian
    if isinstance(single, VonMisesFisher):
        direction, kappa = single.loc.detach(), single.concentration.detach()
        turn = torch.zeros_like(direction, requires_grad=True)
        sharpen = torch.zeros_like(kappa, requires_grad=True)

        def around() -> Distribution:
            # About 1/√κ is the width of the posterior across its direction.
            moved = direction + turn / kappa.sqrt()[..., None]
            unit = torch.nn.functional.normalize(moved, dim=-1)
            return VonMisesFisher(unit, kappa * sharpen.exp(), validate_args=False)

        return [turn, sharpen][:n_free], around
    raise NotApplicable("posteriors of this kind are not tuned")


@check("draws")
def too_few_draws(context: DiagnosticContext) -> Finding:
    r"""Check whether the importance-sampled log-likelihood still rises with the draws.

    .. math:: \log \hat p_{2L} - \log \hat p_L \ge 0 \text{ in mean}

    The number of draws and the proposal are those of the evaluation in the folder of the run.

    References:
        Burda, Grosse & Salakhutdinov, ICLR 2016, theorem 1; Kong, Liu & Wong, JASA 1994.
    """
    if context.with_density(context.on_unseen).draws.indices is not None:
        raise NotApplicable(NO_KL)
    kept = context.run.kept_evaluation()
    n_samples, proposal = N_SAMPLES, POSTERIOR
    if kept is not None:
        n_samples = min(kept.n_samples or N_SAMPLES, MOST_SAMPLES)
        proposal = kept.proposal or POSTERIOR
    n = context.affordable(50, 2 * (n_samples + (TUNING_DRAWS if proposal == TUNED else 0)))

    def halves(part: Batch) -> list[Tensor]:
        found = [
            importance_sample(context.latent, part.x, part.c, n_samples, proposal=proposal)
            for _ in range(2)
        ]
        shares = torch.cat([half.effective_sample_size for half in found])
        return [*(half.log_likelihood for half in found), shares]

    some = next(in_chunks(context.unseen, n))
    one, two, shares = context.on(some).each(halves, seed=context.seed)[0]
    # Two halves make the estimate with twice the draws exactly: the mean of their weights.
    rise = Figure.mean(torch.logaddexp(one, two) - log(2) - (one + two) / 2)
    few = float((n_samples * shares).median())
    source = "posterior" if proposal == POSTERIOR else f"{proposal} proposal"
    text = (
        f"from {n_samples} to {2 * n_samples} draws from the {source} the log-likelihood of "
        f"{len(some)} examples rises by {rise} nats, and {few:.1f} draws count (median)"
    )
    evidence = Evidence(
        text, rise=rise, n_samples=n_samples, effective_draws=few, n_examples=len(some)
    )
    sure = rise.value - 2 * (rise.stderr or 0.0)
    # Where hardly any draw counts, the rise is as noisy as the estimate and may hide in it.
    if sure <= RISE_ADVICE and not (rise.value > RISE_ADVICE and few < FEW_EFFECTIVE):
        return evidence.fine("there are enough draws")
    least = max(RISE_PROBLEM, RISE_SHARE * float((one + two).abs().mean()) / 2)
    is_bad = sure > least and few < FEW_EFFECTIVE
    by = "" if proposal == POSTERIOR else f", proposal={proposal!r}"
    annealed = ", or annealed=100, which depends less on the posterior"
    return evidence.advice(
        "Importance samples are too few: the log-likelihood is too low by more than its error",
        f"evaluate with n_samples={10 * n_samples}{by}{annealed if few < FEW_EFFECTIVE else ''}",
        is_problem=is_bad,
    )
