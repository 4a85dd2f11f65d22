r"""The batch size and the number of steps that fit into a wall-clock time.

A copy of the model takes a few steps with batches of every size, in at most 3 % of the time. The
batch is the largest whose step takes at most twice as long as that of 64 examples: below it the
time of a step is that of calling torch, so that further examples cost little; above it a step costs
in proportion to its examples, and more steps serve better. In 5 seconds of two cores, at the rate
0.005, the ELBO of 5,000 held-out images of MNIST is -107.8, -107.9, -106.6 and -107.4 with batches
of 128, 256, 384 and 512. Where fewer than 1,000 steps fit, whose time is nearly proportional to the
batch, it is smaller, down to 32: in 60 seconds the ELBO of 340 held-out images of 64 × 64 pixels is
-37,095 with batches of 32 and -38,199 with 128. The time of a step gives the number of steps,

.. math:: T = (\text{budget} - \text{seconds before the first step}) / \text{seconds per step}.

The schedules do not depend on this estimate. Their place is the share of the time that has passed,
so that the learning rate has fallen when the time is up, however busy the machine was.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace as with_changes
from itertools import chain, count, islice
from statistics import median
from typing import NamedTuple

from reparam.data import Dataset, Split, Stream
from reparam.data.given import training_batches
from reparam.objectives.recipe import Recipe
from reparam.training.batches import FirstEpoch
from reparam.training.length import DEFAULT_STEPS, Length, length_of, seconds_of
from reparam.training.optimizers import OptimizerFactory, SchedulerFactory
from reparam.training.options import BATCH_SIZE, TrainingOptions
from reparam.training.runtime import Runtime
from reparam.training.step import Step
from reparam.utils.seeding import seeded

SIZES = (32, 64, 128, 256, 384, 512, 768, 1024)
"""The batch sizes that are measured."""

SMALL, FEW_STEPS = 64, 1000
"""The size whose steps others are compared with, and the number of steps below which batches are
smaller."""

PROPORTIONAL = 0.75
"""The least ratio of the times of two sizes, as a share of the ratio of the sizes, at which fewer
examples save time."""

SHARE = 0.03
"""The share of the time in which they are measured."""

SLOWER = 2.0
"""How many times as long a step may take as one of a small batch."""

RESERVE = 0.01
"""The share of the time that is left for the last validation and for writing the weights."""

FEWEST = 8
"""The least number of batches of an epoch, where the batch size is chosen."""

Clock = Callable[[], float]


def seconds_per_step(
    recipe: Recipe,
    source: Dataset | Stream,
    options: TrainingOptions,
    runtime: Runtime,
    sizes: tuple[int, ...],
    seconds: float,
    optimizer: OptimizerFactory | None = None,
    scheduler: SchedulerFactory | None = None,
    clock: Clock = time.perf_counter,
) -> dict[int, float]:
    """Return the median seconds of a step of a copy of the model, by the size of its batch.

    Arguments:
        recipe: The recipe, on the device; it is not changed.
        source: The data.
        options: The options of training.
        runtime: The device and the precision.
        sizes: The batch sizes in order. Sizes after one that is too slow are not measured.
        seconds: The time of all measurements. Each takes at least three steps, the first of which
            does not count.
        optimizer: See ``fit``.
        scheduler: See ``fit``.
        clock: The time in seconds.
    """
    found = {}
    with seeded(runtime.device, options.seed):
        for size in sizes:
            batches = training_batches(
                source,
                size,
                device=runtime.device,
                seed=options.seed,
                rank=runtime.rank,
                world_size=runtime.world_size,
            )
            step = Step(
                deepcopy(recipe),
                options,
                DEFAULT_STEPS,
                runtime,
                FirstEpoch(batches),
                optimizer,
                scheduler,
                steps_per_epoch=len(batches),
            )
            endless = chain.from_iterable(map(batches.epoch, count()))
            taken: list[float] = []
            began = clock()
            # All processes take as many steps, by the clock of the first.
            while len(taken) < 3 or runtime.first(clock() - began) < seconds / len(sizes):
                before = clock()
                for scalars in (step(batch) for batch in islice(endless, 1)):
                    float(scalars["loss"])  # waits for the device
                taken.append(clock() - before)
            found[size] = runtime.first(median(taken[1:]))
            if found[size] > _limit(found):
                break
    return found


def _limit(seconds: dict[int, float]) -> float:
    """Return the longest time of a step, in seconds, by those of the sizes that were measured."""
    return SLOWER * seconds.get(SMALL, seconds[min(seconds)])


def chosen_size(seconds: dict[int, float], left: float) -> int:
    """Return the largest batch size whose step is at most twice as long as that of 64 examples.

    Where too few of its steps fit into the time, it is a smaller one, as long as the time of a step
    is nearly proportional to its examples.

    Arguments:
        seconds: The seconds of a step by the size of its batch.
        left: The seconds of all steps.

    Example:
        >>> chosen_size({32: 0.8, 64: 1.0, 128: 1.2, 256: 1.7, 512: 3.6}, left=60)
        256
        >>> step = {32: 1.0, 64: 2.0, 128: 4.0}
        >>> chosen_size(step, left=5000), chosen_size(step, left=2000), chosen_size(step, left=60)
        (128, 64, 32)
    """
    fast = {size: each for size, each in seconds.items() if each <= _limit(seconds)}
    size = max(fast)
    for smaller in sorted(fast, reverse=True)[1:]:
        has_enough = left >= FEW_STEPS * fast[size]
        if has_enough or fast[size] / fast[smaller] < PROPORTIONAL * size / smaller:
            break
        size = smaller
    return size


class Plan(NamedTuple):
    """What fits into a wall-clock time.

    Arguments:
        batch_size: The number of examples of each step.
        length: The length of the run.
        n_small: The number of steps that fit with batches of the default size, or smaller ones.
    """

    batch_size: int
    length: Length
    n_small: int


def planned(
    budget: str | float,
    spent: Clock,
    recipe: Recipe,
    source: Dataset | Stream,
    options: TrainingOptions,
    runtime: Runtime,
    n_runs: int = 1,
    optimizer: OptimizerFactory | None = None,
    scheduler: SchedulerFactory | None = None,
) -> Plan:
    """Return the batch size and the length of a run in a wall-clock time.

    Arguments:
        budget: The time.
        spent: A function that returns the seconds since the run began.
        recipe: The recipe, on the device; it is not changed.
        source: The data.
        options: The options of training; with a ``batch_size``, only its steps are measured.
        runtime: The device and the precision.
        n_runs: The number of trainings that share the time, as in cross-fitting. Several have a
            fixed number of steps.
        optimizer: See ``fit``.
        scheduler: See ``fit``.

    Raises:
        OptionError: A KL warm-up longer than the run.
    """
    seconds = seconds_of(budget)
    sizes: tuple[int, ...] = (options.batch_size or BATCH_SIZE,)
    if options.batch_size is None and isinstance(source, Dataset):
        n = len(source.split("train"))
        if n >= FEWEST * SMALL:
            sizes = tuple(size for size in SIZES if FEWEST * size <= n)
    each = seconds_per_step(
        recipe, source, options, runtime, sizes, SHARE * seconds, optimizer, scheduler
    )
    left = runtime.first(max((1 - RESERVE) * seconds - spent(), SHARE * seconds))
    size = chosen_size(each, left / n_runs)
    n_steps = max(1, round(left / each[size] / n_runs))
    batches = training_batches(source, size, device=runtime.device, seed=options.seed)
    held = source.splits.get("validation")
    n_validated = len(held) if isinstance(held, Split) else 0
    options = with_changes(options, budget=None, steps=n_steps, batch_size=size)
    length = length_of(options, len(batches), n_validated)
    length = with_changes(length, reason=f"budget={budget}", seconds=left if n_runs == 1 else None)
    return Plan(size, length, int(left / each.get(BATCH_SIZE, each[size]) / n_runs))
