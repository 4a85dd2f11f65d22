"""What the doctor sees of the encoder: how much better posteriors could be, and what they cost."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from reparam.batch import Batch, in_chunks, to_device
from reparam.diagnostics.context import Context, longer_warmup, option
from reparam.diagnostics.finding import (
    NO_KL,
    NO_LATENT,
    UNKNOWN_OBJECTIVE,
    Finding,
    estimate,
    skipped,
)
from reparam.distributions import VonMisesFisher, base_distribution
from reparam.divergence import kl
from reparam.evaluation.likelihood.importance import N_SAMPLES, importance_sample
from reparam.evaluation.likelihood.proposal import POSTERIOR, TUNED
from reparam.evaluation.statistics import mean_and_stderr
from reparam.isolation import isolated
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
FEW_EFFECTIVE = 5.0
"""An estimate that rests on fewer draws than this has a bias of the order of its own noise."""
MOST_SAMPLES = 5000
"""The most importance samples to try, however many an evaluation took."""
TUNING_DRAWS = 2400
"""About how many draws of each example it costs to tune a proposal, as ``tuned`` says."""


def lagging_encoder(patient: Context) -> Finding:
    r"""Look at what the ELBO gains when each example has its posterior tuned for itself.

    .. math:: \max_{\lambda_x} \mathcal L_\beta(x; \lambda_x) - \mathcal L_\beta(x; \phi)

    It is a lower bound of the amortization gap, by ``LAG_STEPS`` steps of Adam, of the ELBO with
    the weight β that the encoder was trained by. Other objectives ask other things of an encoder:
    that of the IWAE learns to propose, and spreads wider than the ELBO would have it.

    References:
        Cremer, Li & Duvenaud, ICML 2018, section 3 (amortization gap); He et al., ICLR 2019,
        section 3 (lagging inference networks).
    """
    model, seen, beta = patient.latent, patient.on_unseen, patient.beta
    if model is None or seen is None or not seen.has_density:
        return skipped("encoder", NO_LATENT if seen is None else NO_KL)
    if patient.objective is None:
        return skipped("encoder", UNKNOWN_OBJECTIVE)
    if beta is None:
        return skipped("encoder", "what was maximized is no plain ELBO")
    n = patient.affordable(100, 3 * LAG_STEPS * LAG_DRAWS + 2 * LAG_CHECK)
    gain = _gain(model, next(in_chunks(patient.unseen, n)), beta, patient.seed)
    if gain is None:
        return skipped("encoder", "posteriors of this kind are not tuned")
    of_train = gain
    if patient.held is not None:
        found = _gain(model, next(in_chunks(patient.train, n)), beta, patient.seed)
        of_train = gain if found is None else found
    (held, held_stderr), (train, train_stderr) = mean_and_stderr(gain), mean_and_stderr(of_train)
    total = beta * float(seen.kl.mean())
    sure = min(train, held) - 2 * (train_stderr or 0.0)
    figures = {
        "gain_held": held,
        "gain_held_stderr": held_stderr or 0.0,
        "gain_train": train,
        "gain_train_stderr": train_stderr or 0.0,
        "weighted_kl": total,
        "n_examples": float(len(gain)),
    }
    where = patient.held_name or "train"
    shown = (
        f"tuned for {len(gain)} examples each, posteriors gain {estimate(train, train_stderr)} "
        f"nats on train and {estimate(held, held_stderr)} on {where}, beside "
        f"{'a KL' if beta == 1 else f'a KL times β = {beta:g}'} of {total:.2f}"
    )
    if sure > max(LAG_NATS, LAG_ADVICE * total):
        return Finding(
            "encoder",
            "problem" if sure > max(LAG_NATS, LAG_PROBLEM * total) else "advice",
            "The encoder lags behind: the decoder could use better posteriors than it gives",
            shown,
            f"more --epochs (now {option(patient, 'epochs')}), a wider encoder (--hidden), or "
            f"--kl-warmup {longer_warmup(patient)}",
            figures,
        )
    # Of independent examples: the standard error of a difference.
    apart = held - train - 2 * ((held_stderr or 0.0) ** 2 + (train_stderr or 0.0) ** 2) ** 0.5
    if apart > max(LAG_NATS, LAG_ADVICE * total):
        return Finding(
            "encoder",
            "advice",
            "The encoder fits the training examples and not others, so that held-out figures are "
            "worse than the decoder deserves",
            shown,
            "--early-stopping 5, more data, or a smaller encoder (--hidden)",
            figures,
        )
    return Finding("encoder", "fine", "the encoder keeps up", shown, figures=figures)


def _gain(model: LatentModel, batch: Batch, beta: float, seed: int) -> Tensor | None:
    """Return the gain of the ELBO with weight β by tuned posteriors, with shape (N,).

    None for a posterior that is neither a diagonal Gaussian nor a von Mises-Fisher.
    """
    with isolated(model, seed=seed) as device, frozen(model):
        batch = to_device(batch, device)
        x, c = model.as_event(batch.x), batch.c
        p = model.prior_distribution(c)
        start = model.posterior(x, c)
        free = _free(start, getattr(model.encoder, "family", None))
        if free is None:
            return None
        changes, made = free

        def elbo(q: Distribution, draws: int) -> Tensor:
            z = q.rsample(torch.Size([draws]))
            return model.likelihood(z, c).log_prob(x).mean(0) - beta * kl(q, p, z).value

        before = _with_draws(lambda: elbo(start, LAG_CHECK), device, seed)
        adam = torch.optim.Adam(changes, lr=LAG_LR)
        with torch.enable_grad():
            for _ in range(LAG_STEPS):
                adam.zero_grad()
                (-elbo(made(), LAG_DRAWS).sum()).backward()
                adam.step()
        after = _with_draws(lambda: elbo(made(), LAG_CHECK), device, seed)
    return (after - before).cpu().double()


def _free(q: Distribution, family: Any) -> tuple[list[Tensor], Callable[[], Distribution]] | None:
    """Return free parameters, one set for each example, and what makes a posterior of them.

    A width that the family holds fixed is no choice of the encoder's, and stays.
    """
    single: Any = base_distribution(q)
    width = getattr(family, "scale", getattr(family, "concentration", "learned"))
    is_free = width == "learned"
    if isinstance(q, Independent) and isinstance(single, Normal):
        loc, scale = single.loc.detach(), single.scale.detach()
        shift, stretch = (torch.zeros_like(loc, requires_grad=True) for _ in range(2))

        def gaussian() -> Distribution:
            return Independent(
                Normal(loc + scale * shift, scale * stretch.exp(), validate_args=False), 1
            )

        return [shift, stretch] if is_free else [shift], gaussian
    if isinstance(single, VonMisesFisher):
        direction, kappa = single.loc.detach(), single.concentration.detach()
        turn = torch.zeros_like(direction, requires_grad=True)
        sharpen = torch.zeros_like(kappa, requires_grad=True)

        def around() -> Distribution:
            # About 1/√κ is the width of the posterior across its direction.
            moved = direction + turn / kappa.sqrt()[..., None]
            unit = torch.nn.functional.normalize(moved, dim=-1)
            return VonMisesFisher(unit, kappa * sharpen.exp(), validate_args=False)

        return [turn, sharpen] if is_free else [turn], around
    return None


def _with_draws(value: Callable[[], Tensor], device: torch.device, seed: int) -> Tensor:
    """Return a value with draws that are the same for every call."""
    with seeded(device, seed):
        return value()


def too_few_draws(patient: Context) -> Finding:
    r"""Look at whether the importance-sampled log-likelihood still rises with the draws.

    .. math:: \log \hat p_{2L} - \log \hat p_L \ge 0 \text{ in mean}

    Draws are as many, and from the same proposal, as in the evaluation that the run has kept.

    References:
        Burda, Grosse & Salakhutdinov, ICLR 2016, theorem 1; Kong, Liu & Wong, JASA 1994.
    """
    model, seen = patient.latent, patient.on_unseen
    if model is None or seen is None or not seen.has_density or seen.indices is not None:
        return skipped("draws", NO_LATENT if seen is None else NO_KL)
    kept = patient.run.kept_evaluation()
    n_samples, proposal = N_SAMPLES, POSTERIOR
    if kept is not None:
        n_samples = min(kept.n_samples or N_SAMPLES, MOST_SAMPLES)
        proposal = kept.proposal or POSTERIOR
    n = patient.affordable(50, 2 * (n_samples + (TUNING_DRAWS if proposal == TUNED else 0)))
    with isolated(model, seed=patient.seed) as device:
        batch = to_device(next(in_chunks(patient.unseen, n)), device)
        x = model.as_event(batch.x)
        halves = [
            importance_sample(model, x, batch.c, n_samples, proposal=proposal) for _ in range(2)
        ]
    one, two = (half.log_likelihood for half in halves)
    # Two halves make the estimate with twice the draws exactly: the mean of their weights.
    rise = torch.logaddexp(one, two) - log(2) - (one + two) / 2
    mean, stderr = mean_and_stderr(rise)
    effective = n_samples * torch.cat([h.effective_sample_size for h in halves])
    few = float(effective.median())
    figures = {
        "rise": mean,
        "rise_stderr": stderr or 0.0,
        "n_samples": float(n_samples),
        "effective_draws": few,
        "n_examples": float(len(x)),
    }
    source = "posterior" if proposal == POSTERIOR else f"{proposal} proposal"
    shown = (
        f"from {n_samples} to {2 * n_samples} draws from the {source} the log-likelihood of "
        f"{len(x)} examples rises by {mean:.3f} ± {stderr or 0.0:.3f} nats, and of "
        f"{n_samples} draws {few:.1f} count (median)"
    )
    sure = mean - 2 * (stderr or 0.0)
    # Where hardly any draw counts, the rise is as noisy as the estimate and may hide in it.
    if sure <= RISE_ADVICE and not (mean > RISE_ADVICE and few < FEW_EFFECTIVE):
        return Finding("draws", "fine", "there are enough draws", shown, figures=figures)
    is_bad = sure > RISE_PROBLEM and few < FEW_EFFECTIVE
    return Finding(
        "draws",
        "problem" if is_bad else "advice",
        "The log-likelihood is below the true one by the want of importance samples, and more so "
        "than its standard error says",
        shown,
        f"reparam evaluate {_name(patient)} --n-samples {10 * n_samples}"
        + ("" if proposal == POSTERIOR else f" --proposal {proposal}")
        + (", or --annealed 100, which leans less on the posterior" if few < FEW_EFFECTIVE else ""),
        figures,
    )


def _name(patient: Context) -> str:
    folder = patient.run.folder
    return "RUN" if folder is None else str(folder.path)
