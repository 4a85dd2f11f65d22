"""Checks of training: its curves, and the figures on held-out examples."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf, isfinite
from statistics import mean, median
from typing import Any

from torch import Tensor

from reparam.diagnostics.context import DiagnosticContext
from reparam.diagnostics.finding import Evidence, Finding, NotApplicable, check
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Figure
from reparam.models.latent import is_latent

FEWEST_ROWS = 10
"""The least number of rows of a curve that is judged."""
SPIKE_NOISE, SPIKE_SHARE = 10.0, 0.02
"""A spike stands out of the noise between rows, and is a visible share of the whole fall."""
SPIKE_SPREAD, ROW_NOISE = 0.5, 4.0
"""Or it is half of a standard deviation of the loss over examples, and several times the noise: in
a curve that stays noisy, the noise between rows hides spikes."""
RISE_SHARE = 0.05
"""A loss that rises again by this share of its whole fall has lost what it had learned."""
RISE_SPREAD, RISE_NOISE = 0.25, 1.5
"""Or it is as much of that standard deviation, and of the noise, which smoothing makes smaller."""
STILL_SHARE = 0.003
"""The share of the whole fall that the last tenth may bring: 20 epochs of MNIST have 0.0008."""
STILL_HALF = 0.05
"""The share that the last half may bring. As the learning rate falls to zero the last tenth is
always flat; the half is not: 20 epochs of MNIST have 0.01, a text model stopped soon 0.03."""
GAP_ADVICE, GAP_PROBLEM = 0.25, 0.75
"""The gap between splits, in standard deviations of the ELBO over examples, which has no unit."""
FALL = 0.05
"""The largest loss of validation since its best, in these standard deviations."""
WINDOW = 5
"""Rows on each side of a row: their median is free of spikes."""

Row = dict[str, Any]


@check("overfitting")
def overfitting(context: DiagnosticContext) -> Finding:
    """Check the gap of the ELBO between training and held-out examples."""
    train = context.on_train
    if context.held is None:
        raise NotApplicable("there are no held-out examples")
    on_train, on_held = (Figure.mean(-_loss(context, on)) for on in (train, context.on_unseen))
    gap, spread = on_train - on_held, _spread(context)
    spread = spread if isfinite(spread) else 1.0
    share = (gap.value - 2 * (gap.stderr or 0.0)) / spread
    what = "ELBO" if train.draws.has_density else "reconstruction"
    what += f" (β = {context.beta:g})" if context.beta not in (None, 1.0) else ""
    text = f"{what} {on_train} on train and {on_held} on {context.held_name}, a gap of {gap} nats"
    evidence = Evidence(text, gap=gap, train=on_train.value, held=on_held.value, spread=spread)
    losses = [(float(row["loss"]), int(row["epoch"])) for row in _validated(context)]
    is_validated = len(losses) > 1
    rose = still_learns = keeps_best = False
    if is_validated:
        (best, epoch), last = min(losses), losses[-1][0]
        text = f"; validation was best after epoch {epoch + 1} with {best:.2f}, last {last:.2f}"
        evidence.add(text, best_validation_loss=best, last_validation_loss=last)
        # Two means over the same validation examples: their common noise is not in the difference.
        # Early stopping keeps the weights of the best epoch.
        record = context.option("recorded") or {}
        keeps_best = bool(context.option("early_stopping") or record.get("chooses_length"))
        rose = last - best > FALL * spread and not keeps_best
        still_learns = best == last
    # A worse validation with a gap below its noise is no over-fitting.
    if not (share > GAP_ADVICE or (rose and share > 0)):
        return evidence.fine("the figures of held-out examples are as good")
    message = "The model describes its training examples better than others"
    fixes = ["early_stopping=5" if is_validated else "early_stopping=5 with validation=0.1"]
    if keeps_best:
        fixes = []
    if still_learns:
        message, fixes = f"{message}, though validation was still at its best", []
    if context.option("binarize") == "static":
        fixes.insert(0, "binarize='dynamic', which draws the pixels in every epoch")
    fixes.append(f"{context.width} with smaller layers" if context.width else "a smaller model")
    is_bad = rose or (not is_validated and share > GAP_PROBLEM)
    fix = ", ".join([*fixes, "or more data"])
    return evidence.advice(message, fix, is_problem=is_bad)


def _loss(context: DiagnosticContext, examples: Context) -> Tensor:
    """Return the loss of examples, with the weight β of the objective, in nats with shape (N,)."""
    draws = examples.draws
    if not draws.has_density:
        return -draws.reconstruction
    return (1.0 if context.beta is None else context.beta) * draws.kl - draws.reconstruction


def _spread(context: DiagnosticContext) -> float:
    """Return the standard deviation of the loss over examples; infinite where it is not known."""
    if not is_latent(context.run.model) or len(context.train) < 2:
        return inf
    return max(float(_loss(context, context.on_train).std()), 1e-9)


def _validated(context: DiagnosticContext) -> list[Row]:
    """Return the validation rows of the last phase; none where a second player moves the loss."""
    steady = _steady(context)
    if not steady or _has_players(steady):
        return []
    held = [row for row in context.run.rows if row.get("split") == "validation" and "loss" in row]
    return [row for row in held if row["step"] >= steady[0]["step"]]


@check("learning-rate")
def learning_rate(context: DiagnosticContext) -> Finding:
    """Check for spikes and rises of the loss, which a learning rate that is too high causes.

    Validation is checked for spikes too: its examples are always the same, so that their choice
    does not move its loss.
    """
    rows, validated = _shaped(context), _validated(context)
    losses, held = _losses(rows), _losses(validated)
    bad = [int(row["step"]) for row in (*rows, *validated) if not isfinite(float(row["loss"]))]
    if bad:
        text = f"the loss is not a number at step {min(bad):,}"
        return _too_high(context, Evidence(text, step=min(bad)))
    smooth = [median(losses[max(0, i - WINDOW) : i + WINDOW + 1]) for i in range(len(losses))]
    fall = max(max(smooth) - min(smooth), 1e-9)
    noise = _noise(losses[len(losses) // 2 :])
    spread, n_held = _spread(context), 1 if context.held is None else len(context.held)
    visible = min(SPIKE_NOISE * noise, max(ROW_NOISE * noise, SPIKE_SPREAD * spread))
    spikes = _spikes(losses, max(visible, SPIKE_SHARE * fall))
    # On the same examples the noise is that of the draws of z, which that over examples exceeds.
    visible = max(SPIKE_SPREAD, ROW_NOISE / n_held**0.5) * spread
    held_spikes = _spikes(held, max(visible, SPIKE_SHARE * fall))
    rises = [value - low for value, low in zip(smooth, accumulate(smooth, min), strict=True)]
    rise = max(rises)
    at = rises.index(rise)
    evidence = Evidence(
        f"largest rise {rise:.2f} nats in {len(losses)} rows",
        n_spikes=len(spikes),
        n_validation_spikes=len(held_spikes),
        rise=rise,
        fall=fall,
        noise=noise,
    )
    if spikes or held_spikes:
        curves = ((spikes, rows, "rows"), (held_spikes, validated, "validations"))
        evidence.text = "; ".join(_worst(*curve) for curve in curves if curve[0])
        return _too_high(context, evidence)
    step = (rows[-1]["step"] - rows[0]["step"]) / (len(rows) - 1)
    # The change of a mean over the examples of a row by chance, in the same standard deviations.
    by_chance = ROW_NOISE / (step * float(context.option("batch_size") or 1)) ** 0.5
    visible = max(RISE_NOISE * noise, max(RISE_SPREAD, by_chance) * spread)
    if rise > max(RISE_SHARE * fall, min(SPIKE_NOISE * noise, visible)):
        evidence.text = f"the loss rose by {rise:.2f} nats up to step {rows[at]['step']:,}"
        return _too_high(context, evidence)
    return evidence.fine("the loss falls steadily")


def _worst(spikes: Sequence[int], rows: Sequence[Row], what: str) -> str:
    """Return the number of spikes and the worst of them in words."""
    losses, i = _losses(rows), spikes[0]
    return (
        f"{len(spikes)} of {len(rows)} {what} are outliers among their neighbors, the worst at "
        f"step {rows[i]['step']:,} with {losses[i]:.2f} instead of {_around(losses, i):.2f}"
    )


def _too_high(context: DiagnosticContext, evidence: Evidence) -> Finding:
    lr, clip = context.option("lr"), float(context.option("clip_norm") or 0.0)
    fix = f"{context.lower_lr}, or a longer lr_warmup="
    return evidence.problem(
        f"The learning rate{f' of {float(lr):g}' if lr else ''} is too high: the loss is unsteady",
        fix if 0 < clip <= 1 else f"{fix}, or clip_norm=1",
    )


@check("training-length")
def stopped_early(context: DiagnosticContext) -> Finding:
    """Check whether training ended while the model still learned."""
    run = context.run
    if run.folder is not None and not run.folder.is_finished:
        last = max((int(row.get("epoch", 0)) for row in run.rows), default=0)
        text = f"the last row is of epoch {last + 1}"
        if context.option("epochs"):
            text += f" of {context.option('epochs')}"
        evidence = Evidence(text, epoch=last + 1)
        return evidence.problem(
            "Training was interrupted, so these are not its last weights",
            f"fit(..., out={str(run.folder.path)!r}, resume=True); after a loss that was not "
            "finite, a new run with a lower lr=",
        )
    losses = _losses(_shaped(context))
    if not all(map(isfinite, losses)):
        raise NotApplicable("the loss is not a number in the end")
    recorded = context.option("recorded") or {}
    stop = (recorded.get("length") or {}).get("stop")
    if stop == 0 or recorded.get("kept_first"):
        evidence = Evidence("the weights that training began with are kept", stop=0)
        return evidence.problem(
            "The model is not trained: unseen examples are most probable by its first weights",
            f"{context.lower_lr}, a longer run, or more data",
        )
    tenth, middle = max(len(losses) // 10, 2), len(losses) // 2
    after = mean(losses[-tenth:])
    # Of two means over rows.
    stderr = _noise(losses[-4 * tenth :]) * (2 / tenth) ** 0.5
    gain = Figure(mean(losses[-2 * tenth : -tenth]) - after, stderr)
    half = Figure(mean(losses[middle : middle + tenth]) - after, stderr)
    fall = max(losses[0] - after, 1e-9)
    text = (
        f"the last tenth brought {gain} nats ({gain.value / fall:.2%} of all), the last half {half}"
    )
    evidence = Evidence(text, gain=gain, fall=fall, gain_of_second_half=half.value)
    limits = ((gain, STILL_SHARE), (half, STILL_HALF))
    if all(figure.value - 2 * stderr <= share * fall for figure, share in limits):
        return evidence.fine("the loss has levelled")
    if stop is not None and stop < recorded["length"]["steps"]:
        evidence.add(f"; held-out examples chose {stop:,} steps")
        return evidence.fine("held-out examples chose the number of steps")
    held = _losses(_validated(context))
    if len(held) > 1 and not _falls(held):
        evidence.add(f"; the validation loss is {held[-1]:.2f}, and was {min(held):.2f} at best")
        return evidence.fine("validation has levelled, though the loss still falls")
    return evidence.advice(
        "Training ended while the model still learned",
        context.longer,
    )


def _falls(held: Sequence[float]) -> bool:
    """Return whether validation was better in the last tenth than it had been before.

    Beyond its noise, against the last half, and against its best before the end.
    """
    if len(held) < FEWEST_ROWS:
        return held[-1] <= min(held)
    tenth, last = max(len(held) // 10, 1), held[len(held) // 2 :]
    end = held[-tenth:]
    stderr = _noise(last) * (2 / tenth) ** 0.5
    return mean(last[:tenth]) - mean(end) > 2 * stderr and min(end) <= min(held)


def _losses(rows: Sequence[Row]) -> list[float]:
    return [float(row["loss"]) for row in rows]


def _noise(losses: Sequence[float]) -> float:
    """Return the standard deviation of the noise of rows: their median difference over 0.95."""
    return median(abs(b - a) for a, b in pairwise(losses)) / 0.95


def _spikes(losses: Sequence[float], height: float) -> list[int]:
    """Return the rows that exceed their neighbors by more than a height, worst first."""
    heights = {i: losses[i] - _around(losses, i) for i in range(1, len(losses) - 1)}
    return sorted((i for i in heights if heights[i] > height), key=lambda i: -heights[i])


def _around(losses: Sequence[float], i: int) -> float:
    """Return the loss before and after a row; a step between two levels is no spike."""
    return max(median(losses[max(0, i - WINDOW) : i]), median(losses[i + 1 : i + 1 + WINDOW]))


def _steady(context: DiagnosticContext) -> list[Row]:
    """Return the rows of the last phase after any KL warm-up, which moves the loss by itself."""
    rows = context.rows
    last = rows[-1].get("beta") if rows else None
    return [row for row in rows if row.get("beta") == last]


def _shaped(context: DiagnosticContext) -> list[Row]:
    """Return these rows, where they are a curve that can be judged."""
    rows = _steady(context)
    if len(rows) < FEWEST_ROWS:
        raise NotApplicable(f"{len(rows)} rows of the last phase of training are too few")
    if _has_players(rows):
        raise NotApplicable("the loss of a player may rise against another's")
    return rows


def _has_players(rows: Sequence[Row]) -> bool:
    """Return whether a second player trains, against whom a loss may rise."""
    return any(name.endswith("/loss") for name in rows[-1])
