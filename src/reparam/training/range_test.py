r"""A learning rate that is found by a range test.

A copy of the recipe takes n steps while the learning rate rises exponentially,

.. math:: \eta_i = \eta_0 (\eta_1 / \eta_0)^{i / (n - 1)},

and the loss of every batch is smoothed to s. It falls as long as steps help, and rises where they
are too long. The minimum between is often flat, and its place is noise. So the test takes the least
rate at which the loss has fallen by 95 %. A whole training is stable at a smaller rate than a few
steps, and the rate of the run is a part of it, at most 0.02 before larger batches raise it,

.. math:: \eta = \tfrac1c \min \{\eta_i : s_i \le \min s + 0.05\, (s_0 - \min s)\},

with c = 2.5 for a run of N = 7,000 steps or more, and :math:`c = \max(1.5, 2.5 (N / 7000)^{1/3})`
for shorter ones. On 5,000 held-out images of MNIST 7,000 steps of 128 have an ELBO of -103.58,
-103.15 and -102.97 at 0.0028, 0.004 and 0.0055, and c = 2.5 finds 0.0045; 1,000 steps of 256 have
-105.5 at 0.013.

The run itself is not changed: the copy has its own draws, and the run begins as if there had been
no test. The page ``docs/defaults-rate.md`` has the figures that the other constants were chosen by,
with one seed of each set.

References:
    Smith, Cyclical learning rates for training neural networks, WACV 2017, section 3.3; Smith &
    Topin, Super-convergence, 2019.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace as with_changes
from itertools import chain, count
from math import isfinite
from statistics import fmean

from reparam.batch import Batch
from reparam.objectives.recipe import Recipe
from reparam.training.batches import Batches, FirstEpoch
from reparam.training.length import DEFAULT_STEPS
from reparam.training.options import BATCH_SIZE, TrainingOptions
from reparam.training.runtime import Runtime
from reparam.training.step import Step
from reparam.utils.seeding import seeded

STEPS, FEWEST = 100, 25
"""The number of steps of a test, and of the shortest one in a run whose time is limited."""

SHARE = 0.03
"""The largest share of the steps of a run that a test takes."""

LOWEST, HIGHEST = 1e-3, 0.1
"""The rates of the first and the last step."""

SAFETY, LEAST_SAFETY = 2.5, 1.5
"""The rate that the test takes over that of the run, for long runs and for the shortest."""

SAFETY_OF_TEXT = 5.0
"""The first of them for a recurrent network on text. On the characters of Shakespeare 7,000 steps
end at a held-out ELBO of -103.8, -102.6, -103.0 and -104.6 with 0.0072, 0.004, 0.002, 0.001."""

MOST = 0.02
"""The highest rate, with batches as large as those of the test. A test of some tens of steps may
end before a high rate does harm."""

MOST_OF_LARGE = 0.012
"""The highest rate that larger batches raise that of a long run to. On the table Adult a run of
some 12,000 steps of 512 rows diverged at 0.022."""

REST = 0.05
"""The share of the fall of the loss that is left at the rate that the test takes."""

START = 5
"""The number of losses whose mean is that of the start."""

MEMORY = 0.1
"""The share of the steps of a test that the smoothed loss is about the mean of."""


def found_lr(
    recipe: Recipe,
    batches: Batches,
    options: TrainingOptions,
    runtime: Runtime,
    n_steps: int,
    n_tested: int,
    safety: float = SAFETY,
) -> float | None:
    """Return the learning rate that a range test finds, with two digits.

    There is no test, and the result is None, against a second player, whose loss may rise at any
    rate, and where the first step fails.

    Arguments:
        recipe: The recipe, on the device; it is not changed.
        batches: The training split, whose batches may be smaller than those of the run.
        options: The options of training, whose seed is that of the test.
        runtime: The device and the precision.
        n_steps: The number of all steps of the run.
        n_tested: The number of steps of the test.
        safety: The rate that the test takes over that of a long run.
    """
    if recipe.players or not len(batches):
        return None
    # The KL has its full weight, with which most of the run takes place.
    options = with_changes(options, kl_warmup=0.0, ema=0.0)
    with seeded(runtime.device, options.seed):
        step = Step(deepcopy(recipe), options, n_steps, runtime, FirstEpoch(batches))
        endless = chain.from_iterable(map(batches.epoch, count()))
        losses = losses_by_rate(step, endless, n_tested)
    return best_rate(losses, n_tested, safety_of(n_steps, safety))


def steps_of_test(n_steps: int, fewest: int = STEPS) -> int:
    """Return the number of steps of a test for a run; 0 if the run is too short for one.

    Arguments:
        n_steps: The number of all steps of the run.
        fewest: The least number of steps of a test.

    Example:
        >>> steps_of_test(7000), steps_of_test(2000), steps_of_test(2000, FEWEST)
        (100, 0, 60)
    """
    n = min(STEPS, int(SHARE * n_steps))
    return n if n >= fewest else 0


def _of_length(n_steps: int) -> float:
    """Return the third root of the steps of a run, as a share of the default ones.

    >>> round(_of_length(DEFAULT_STEPS // 8), 3)
    0.5
    """
    return float((n_steps / DEFAULT_STEPS) ** (1 / 3))


def safety_of(n_steps: int, safety: float = SAFETY) -> float:
    """Return the rate that a test takes over that of a run: a shorter run bears a higher rate.

    Arguments:
        n_steps: The number of all steps of the run.
        safety: The result for a long run.

    Example:
        >>> safety_of(7000), safety_of(700)
        (2.5, 1.5)
    """
    return min(safety, max(LEAST_SAFETY, safety * _of_length(n_steps)))


def for_batches(lr: float, batch_size: int, n_steps: int) -> float:
    """Return the rate of a run with larger batches than those of the test, with two digits.

    It grows with the root of the size. With 512 images of MNIST, 600 steps have a held-out ELBO of
    -106.1 at the rate of 128 images, 0.0063, and of -104.1 at 0.0125. In a long run it stays below
    ``MOST_OF_LARGE``, which rises for shorter ones as the rate that a test finds does.

    Arguments:
        lr: The rate that the test found.
        batch_size: The number of examples of a batch of the run.
        n_steps: The number of all steps of the run.

    Example:
        >>> [for_batches(lr, 512, n_steps=7000) for lr in (0.005, 0.011)]
        [0.01, 0.012]
    """
    if batch_size <= BATCH_SIZE:
        return lr
    most = MOST_OF_LARGE / min(1.0, _of_length(n_steps))
    return float(f"{min(lr * (batch_size / BATCH_SIZE) ** 0.5, max(lr, most)):.2g}")


def rates(n: int = STEPS) -> list[float]:
    """Return the learning rates of n steps.

    >>> found = rates()
    >>> len(found), found[0], found[-1]
    (100, 0.001, 0.1)
    """
    return [LOWEST * (HIGHEST / LOWEST) ** (i / (n - 1)) for i in range(n)]


def losses_by_rate(step: Step, batches: Iterator[Batch], n: int = STEPS) -> list[float]:
    """Return the loss of every batch while the rate rises, in nats; shorter if training diverges.

    Arguments:
        step: A step of training, which is used up.
        batches: The batches.
        n: The number of steps.
    """
    losses: list[float] = []
    for turn in step.turns:
        turn.rate = None
    for lr, batch in zip(rates(n), batches, strict=False):
        for turn in step.turns:
            turn.set_lr(lr)
        try:
            losses.append(float(step(batch)["loss"]))
        except (RuntimeError, ValueError, ArithmeticError):  # a distribution of infinite parameters
            break
        if not isfinite(losses[-1]):
            return losses[:-1]
    return losses


def best_rate(losses: Sequence[float], n: int = STEPS, safety: float = SAFETY) -> float | None:
    r"""Return the learning rate of a run by the losses of a test, with two digits; None if there
    are too few.

    The exponential moving average has no bias towards zero,

    .. math:: s_i = \frac{1 - \beta}{1 - \beta^{i + 1}} \sum_{j \le i} \beta^{i - j} \mathcal{L}_j.

    Arguments:
        losses: The loss of every step.
        n: The number of steps that the test was to take.
        safety: The rate that the test takes over that of the run.

    Example:
        >>> best_rate([abs(i - 50) for i in range(100)])
        0.0043
    """
    if len(losses) <= 2 * START:
        return None
    memory = 1 - 1 / (MEMORY * n)
    mean, smooth = 0.0, []
    for i, loss in enumerate(losses):
        mean = memory * mean + (1 - memory) * loss
        smooth.append(mean / (1 - memory ** (i + 1)))
    # The average of a few losses is as noisy as they are.
    later = smooth[2 * START :]
    limit = min(later) + REST * max(fmean(losses[:START]) - min(later), 0.0)
    first = next(i for i, value in enumerate(later) if value <= limit)
    return float(f"{min(MOST, rates(n)[2 * START + first] / safety):.2g}")
