"""What the doctor sees of training: its curves, and how far it carries beyond its data."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite
from statistics import mean, median
from typing import Any

from reparam.diagnostics.context import Context, lower_lr, option
from reparam.diagnostics.finding import NO_LATENT, Finding, estimate, skipped
from reparam.evaluation.statistics import mean_and_stderr

FEWEST_ROWS = 10
"""Rows of metrics below which a curve has no shape."""
SPIKE_NOISE, SPIKE_SHARE = 10.0, 0.02
"""A spike stands out of the noise between rows, and is a visible share of the whole fall."""
SPIKE_SPREAD, ROW_NOISE = 0.5, 4.0
"""Or it is half of a standard deviation of the loss over examples, and as large beside the noise:
a curve that never calms down has spikes that the noise between its rows hides."""
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
"""What validation may lose since its best, in these standard deviations."""
WINDOW = 5
"""Rows on each side of a row: their median knows no spikes."""


def overfitting(patient: Context) -> Finding:
    """Look at what a model loses on examples that it was not trained on."""
    train, held = patient.on_train, patient.on_held
    if train is None:
        return skipped("overfitting", NO_LATENT)
    if held is None:
        return skipped("overfitting", "there are no held-out examples")
    beta = 1.0 if patient.beta is None else patient.beta
    # What was maximized: under a large β, as is meant, the ELBO itself falls.
    on_train, on_held = (
        m.reconstruction - beta * m.kl if m.has_density else m.reconstruction for m in (train, held)
    )
    (first, one), (second, two) = mean_and_stderr(on_train), mean_and_stderr(on_held)
    gap, stderr = first - second, ((one or 0.0) ** 2 + (two or 0.0) ** 2) ** 0.5
    spread = float(on_train.std()) if len(on_train) > 1 else 1.0
    share = (gap - 2 * stderr) / max(spread, 1e-9)
    figures = {"gap": gap, "gap_stderr": stderr, "train": first, "held": second, "spread": spread}
    what = "reconstruction" if not train.has_density else "ELBO"
    what += f" (β = {beta:g})" if beta != 1 else ""
    shown = (
        f"{what} {estimate(first, one)} on train and {estimate(second, two)} on "
        f"{patient.held_name}, a gap of {estimate(gap, stderr)} nats"
    )
    rise = _validation_rise(patient)
    if rise is not None:
        best, last, epoch = rise
        figures |= {"best_validation_loss": best, "last_validation_loss": last}
        shown += (
            f"; the validation loss was best after epoch {epoch + 1} with {best:.2f}, last "
            f"{last:.2f}"
        )
    # Two means over the same validation examples: what they share is no noise of the difference.
    rose = rise is not None and rise[1] - rise[0] > FALL * spread
    # The weights of the best epoch are kept then.
    rose = rose and not option(patient, "early_stopping")
    # A gap that is no larger than its noise says of a worse validation that it was not over-fitted.
    if share > GAP_ADVICE or (rose and share > 0):
        still_learns = rise is not None and rise[0] == rise[1]
        said = "The model knows its training examples better than others"
        fixes = ["--early-stopping 5" if rise else "--early-stopping 5 --validation 0.1"]
        if still_learns:
            said, fixes = f"{said}, though validation was still at its best", []
        if option(patient, "binarize") == "static":
            fixes.insert(0, "--binarize dynamic, which draws every pixel anew")
        fixes += [
            "--hidden with smaller layers" if option(patient, "hidden") else "a smaller model"
        ]
        return Finding(
            "overfitting",
            "problem" if rose or (rise is None and share > GAP_PROBLEM) else "advice",
            said,
            shown,
            ", ".join([*fixes, "or more data"]),
            figures,
        )
    return Finding("overfitting", "fine", "what was learned carries over", shown, figures=figures)


def _validation_rise(patient: Context) -> tuple[float, float, int] | None:
    """Return the best and the last validation loss of the last phase, and the epoch of the best.

    None where nothing was validated, or where a second player moves the loss.
    """
    losses = [(float(row["loss"]), int(row["epoch"])) for row in _validated(patient)]
    if len(losses) < 2:
        return None
    best, epoch = min(losses)
    return best, losses[-1][0], epoch


def _validated(patient: Context) -> list[dict[str, Any]]:
    """Return the validation rows of the last phase; none where a second player moves the loss."""
    steady = _steady(patient)
    if not steady or _has_players(steady):
        return []
    begin = steady[0]["step"]
    return [
        row
        for row in patient.run.rows
        if row.get("split") == "validation" and "loss" in row and row["step"] >= begin
    ]


def learning_rate(patient: Context) -> Finding:
    """Look for spikes and rises of the loss, which a learning rate that is too high makes.

    Spikes are looked for on validation too: its examples are always the same, so that what moves
    its loss up and down is not the choice of them.
    """
    rows = _steady(patient)
    if why := _without_shape(rows):
        return skipped("learning-rate", why)
    losses = [float(row["loss"]) for row in rows]
    validated = _validated(patient)
    bad = [int(row["step"]) for row in (*rows, *validated) if not isfinite(float(row["loss"]))]
    if bad:
        step = min(bad)
        return _too_high(patient, f"the loss is no number at step {step:,}", {"step": float(step)})
    smooth = [median(losses[max(0, i - WINDOW) : i + WINDOW + 1]) for i in range(len(losses))]
    fall = max(max(smooth) - min(smooth), 1e-9)
    later = losses[len(losses) // 2 :]
    noise = median(abs(b - a) for a, b in pairwise(later)) / 0.95
    spread, n_held = _spread(patient), 1 if patient.held is None else len(patient.held)
    visible = min(SPIKE_NOISE * noise, max(ROW_NOISE * noise, SPIKE_SPREAD * spread))
    spikes = _spikes(losses, max(visible, SPIKE_SHARE * fall))
    # On the same examples the noise is that of the draws of z, which that over examples exceeds.
    visible = max(SPIKE_SPREAD, ROW_NOISE / n_held**0.5) * spread
    held = [float(row["loss"]) for row in validated]
    held_spikes = _spikes(held, max(visible, SPIKE_SHARE * fall))
    low, rise, at = smooth[0], 0.0, 0
    for i, value in enumerate(smooth):
        low = min(low, value)
        if value - low > rise:
            rise, at = value - low, i
    figures = {"n_spikes": float(len(spikes)), "rise": rise, "fall": fall, "noise": noise}
    figures["n_validation_spikes"] = float(len(held_spikes))
    shown = f"{len(spikes)} spikes in {len(losses)} rows, largest rise {rise:.2f} nats"
    if spikes or held_spikes:
        seen = [
            f"{len(found)} of {len(values)} {what} stand out of those around them, the worst at "
            f"step {of[found[0]]['step']:,} with {values[found[0]]:.2f} instead of "
            f"{_around(values, found[0]):.2f}"
            for found, values, of, what in (
                (spikes, losses, rows, "rows"),
                (held_spikes, held, validated, "validations"),
            )
            if found
        ]
        return _too_high(patient, "; ".join(seen), figures)
    step = (rows[-1]["step"] - rows[0]["step"]) / (len(rows) - 1)
    # What a mean over the examples of a row moves by chance, in the same standard deviations.
    by_chance = ROW_NOISE / (step * float(option(patient, "batch_size") or 1)) ** 0.5
    visible = max(RISE_NOISE * noise, max(RISE_SPREAD, by_chance) * spread)
    if rise > max(RISE_SHARE * fall, min(SPIKE_NOISE * noise, visible)):
        return _too_high(
            patient, f"the loss rose by {rise:.2f} nats up to step {rows[at]['step']:,}", figures
        )
    return Finding("learning-rate", "fine", "the loss falls steadily", shown, figures=figures)


def _spikes(losses: Sequence[float], height: float) -> list[int]:
    """Return the rows that stand out of those around them by more than a height, worst first."""
    heights = {i: losses[i] - _around(losses, i) for i in range(1, len(losses) - 1)}
    return sorted((i for i in heights if heights[i] > height), key=lambda i: -heights[i])


def _spread(patient: Context) -> float:
    """Return the standard deviation of the loss over examples; infinite where it is not known."""
    seen = patient.on_train
    if seen is None or len(seen.reconstruction) < 2:
        return inf
    beta = 1.0 if patient.beta is None else patient.beta
    loss = beta * seen.kl - seen.reconstruction if seen.has_density else -seen.reconstruction
    return max(float(loss.std()), 1e-9)


def _too_high(patient: Context, shown: str, figures: dict[str, float]) -> Finding:
    lr, clip = option(patient, "lr"), float(option(patient, "clip_norm") or 0.0)
    return Finding(
        "learning-rate",
        "problem",
        f"The learning rate{f' of {float(lr):g}' if lr else ''} is too high: the loss does not "
        "fall steadily",
        shown,
        f"{lower_lr(patient)}, or a longer --lr-warmup"
        + ("" if 0 < clip <= 1 else ", or --clip-norm 1"),
        figures,
    )


def stopped_early(patient: Context) -> Finding:
    """Look at whether training ended while it still learned."""
    rows, run = _steady(patient), patient.run
    epochs = option(patient, "epochs")
    if run.folder is not None and not run.folder.is_finished:
        last = max((int(row.get("epoch", 0)) for row in run.rows), default=0)
        return Finding(
            "training-length",
            "problem",
            "Training did not end by itself, so these are not the weights it would have ended with",
            f"the last row is of epoch {last + 1} of {epochs}",
            f"reparam train --resume {run.folder.path}; a new run with a lower --lr, if it stopped "
            "at a loss that was not finite",
            {"epoch": float(last + 1)},
        )
    if why := _without_shape(rows):
        return skipped("training-length", why)
    losses = [float(row["loss"]) for row in rows]
    if not all(map(isfinite, losses)):
        return skipped("training-length", "the loss is no number in the end")
    tenth = max(len(losses) // 10, 2)
    before, after = losses[-2 * tenth : -tenth], losses[-tenth:]
    gain = mean(before) - mean(after)
    noise = median(abs(b - a) for a, b in pairwise(losses[-4 * tenth :]))
    # Of two means over rows, whose own spread is the median difference over 0.95.
    stderr = noise / 0.95 * (2 / tenth) ** 0.5
    fall = max(losses[0] - mean(after), 1e-9)
    middle = len(losses) // 2
    half = mean(losses[middle : middle + tenth]) - mean(after)
    figures = {"gain": gain, "gain_stderr": stderr, "fall": fall, "gain_of_second_half": half}
    shown = (
        f"the last tenth of training brought {estimate(gain, stderr)} nats ({gain / fall:.2%} of "
        f"all), the last half {estimate(half, stderr)}"
    )
    still = gain - 2 * stderr > STILL_SHARE * fall or half - 2 * stderr > STILL_HALF * fall
    held = [float(row["loss"]) for row in _validated(patient)]
    if still and len(held) > 1 and not _falls(held):
        shown += f"; the validation loss is {held[-1]:.2f}, and was {min(held):.2f} at best"
        said = "validation has levelled, though the loss still falls"
        return Finding("training-length", "fine", said, shown, figures=figures)
    if not still:
        return Finding("training-length", "fine", "the loss has levelled", shown, figures=figures)
    return Finding(
        "training-length",
        "advice",
        "Training ended while the model still learned",
        shown,
        f"--epochs {2 * int(epochs)}" if epochs else "more epochs",
        figures,
    )


def _falls(held: Sequence[float]) -> bool:
    """Return whether validation was better in the last tenth than it had been before.

    Beyond its noise, against the last half, and against its best before the end.
    """
    tenth = max(len(held) // 10, 1)
    if len(held) < FEWEST_ROWS:
        return held[-1] <= min(held)
    end, middle = held[-tenth:], held[len(held) // 2 :][:tenth]
    noise = median(abs(b - a) for a, b in pairwise(held[len(held) // 2 :]))
    stderr = noise / 0.95 * (2 / tenth) ** 0.5
    return mean(middle) - mean(end) > 2 * stderr and min(end) <= min(held)


def _around(losses: Sequence[float], i: int) -> float:
    """Return what the loss was before and after a row; a step between two levels is no spike."""
    return max(median(losses[max(0, i - WINDOW) : i]), median(losses[i + 1 : i + 1 + WINDOW]))


def _steady(patient: Context) -> list[dict[str, Any]]:
    """Return the rows of the last phase after any KL warm-up, which moves the loss by itself."""
    rows = patient.rows
    last = rows[-1].get("beta") if rows else None
    return [row for row in rows if row.get("beta") == last]


def _without_shape(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why a curve cannot be judged; nothing where it can."""
    if len(rows) < FEWEST_ROWS:
        return f"{len(rows)} rows of the last phase of training are too few"
    return "the loss of a player may rise against another's" if _has_players(rows) else ""


def _has_players(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a second player trains, against whom a loss may rise."""
    return any(name.endswith("/loss") for name in rows[-1])
