"""What the doctor sees of data before training."""

from collections import Counter
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor

from reparam.data import Dataset
from reparam.data.checks import (
    RULES,
    channels_first,
    closest_support,
    first,
    fix,
    is_channels_last,
    violations,
)
from reparam.diagnostics.finding import Finding, skipped
from reparam.errors import DataError
from reparam.families import default_likelihood
from reparam.spec import DataSpec, Support
from reparam.utils.equality import by_value

NETWORKS_LIKE = (0.2, 5.0)
"""Networks expect values around one: a standard deviation outside this range costs training."""
BREAKS_NETWORKS = 100.0
"""Inputs so large overflow an exponential in the first steps, as of a posterior's scale."""
UNEVEN = 100.0
"""The likelihood of entries whose scales differ by so much is that of the small ones alone."""
LEAK = 0.01
"""By how much more often a held-out example may be in the training split than chance has it."""
LEAK_MIB = 512
"""Data beyond this size are not compared example by example, which takes seconds and memory."""
GREY_MAXIMA = (15, 16, 31, 63, 127, 255)
"""The brightest level of a flattened image: 2^k - 1, and 16 of the digits of scikit-learn."""
FEWEST_PIXELS = 16
"""Of a flattened image that is known by another maximum than 255."""
NO_VALUES = "fewer than two examples are finite"
CONSTANT = 1e-6
"""A standard deviation that is float32 rounding, and no variation."""


@by_value
@dataclass(frozen=True)
class Sample:
    """Values of data, as a model gets them.

    Arguments:
        x: Examples of the training split, with shape (N, *shape).
        support: The declared support; None where none was declared.
        spec: What else is known of the data.
        splits: All stored values of the training split and of the held-out one, to find examples
            that are in both.
        whole: All stored values of the training split in their order, of which x is a choice; None
            where they are whole numbers, or x is all there is.
    """

    x: Tensor
    support: Support | None = None
    spec: DataSpec | None = None
    splits: tuple[Tensor, Tensor] | None = None
    whole: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The examples in float64, flattened to (N, D); one that is not finite is left out."""
        flat = self.x.reshape(len(self.x), -1).double()
        return flat[flat.isfinite().all(1)]

    @property
    def kind(self) -> Support | None:
        """The declared support, or the one that the values would be taken for."""
        if self.support is not None or len(self.values) == 0:
            return self.support
        try:
            return closest_support(self.x.nan_to_num())
        except DataError:
            return None

    @property
    def is_quantity(self) -> bool:
        """Whether the values are measured, and no names of classes."""
        return self.kind in ("real", "unit", "binary", None)


def sample_of(data: Dataset, x: Tensor) -> Sample:
    """Return what there is to see of a data set of which x, with shape (N, *shape), was drawn."""
    held = next(
        (data.splits[name].x for name in ("test", "validation") if name in data.splits), None
    )
    train = data.splits["train"].x
    splits = None if held is None else (train, held)
    whole = train if train.is_floating_point() else None
    return Sample(x, data.spec.support, data.spec, splits, whole)


def not_finite(sample: Sample) -> Finding:
    """Look for NaN and infinite values."""
    if not sample.x.is_floating_point():
        return skipped("finite", "whole numbers are finite")
    x = sample.x if sample.whole is None else sample.whole
    bad = ~x.isfinite()
    n = int(bad.sum())
    share = n / max(bad.numel(), 1)
    figures = {"n_not_finite": float(n), "share": share}
    if n == 0:
        return Finding("finite", "fine", "every value is finite", "no NaN", figures=figures)
    return Finding(
        "finite",
        "problem",
        "There are values that are no numbers, and one of them makes every loss NaN",
        f"{n:,} NaN or infinite values ({share:.2%}) in {len(x):,} examples, the first at index "
        f"{first(bad)}",
        "leave these examples out, or fill them with the mean of the entry",
        figures,
    )


def out_of_range(sample: Sample) -> Finding:
    """Look for values outside the declared support."""
    if len(sample.values) == 0:
        return skipped("range", NO_VALUES)
    if sample.support is None:
        return skipped("range", "no support was declared")
    x = sample.x.double().nan_to_num()
    low, high = float(x.min()), float(x.max())
    share = float(violations(x, sample.support).double().mean())
    figures = {"lowest": low, "highest": high, "share_outside": share}
    seen = f"from {low:.4g} to {high:.4g}"
    if share == 0:
        return Finding("range", "fine", "values lie in their support", seen, figures=figures)
    return Finding(
        "range",
        "problem",
        f"Values lie outside the support {sample.support!r}, where each must be "
        f"{RULES[sample.support]}",
        f"{share:.2%} of the values are outside, {seen}",
        fix(x, sample.support),
        figures,
    )


def mistaken(sample: Sample) -> Finding:
    """Look for levels, binary values and shares that were taken for real numbers."""
    x = sample.values
    if len(x) == 0:
        return skipped("support", NO_VALUES)
    if sample.kind not in ("real", "unit"):
        return skipped("support", f"{sample.kind} values are no real numbers")
    if sample.spec is not None and sample.spec.dequantized_from is not None:
        return skipped("support", "noise has made levels continuous")
    low, high = float(x.min()), float(x.max())
    whole = bool((x == x.round()).all())
    figures = {"lowest": low, "highest": high, "n_values": float(len(x.unique()))}
    seen = f"every value is a whole number from {low:.0f} to {high:.0f}"
    if _are_levels(sample):
        return Finding(
            "support",
            "problem",
            "Grey levels were taken for real numbers, and their likelihood is the density of "
            f"values up to {high:.0f} instead of 1",
            seen,
            "pass them as uint8, which are scaled to [0, 1], or divide by 255"
            if high > GREY_MAXIMA[-2]
            else f"divide by {high:.0f}",
            figures,
        )
    if whole and high > 1 and sample.kind == "real":
        return Finding(
            "support",
            "advice",
            "Whole numbers were taken for real ones, so that a density may rise without bound at "
            "values that repeat",
            seen,
            "say support='counts' or support='categorical' if that is what they are; else "
            "standardize every entry and use --likelihood gaussian-shared",
            figures,
        )
    if whole and low >= 0 and high <= 1:
        return Finding(
            "support",
            "problem",
            f"Binary values were declared {sample.kind}: a density of values that are 0 or 1 has "
            "no upper bound, and its likelihood is no number to compare",
            seen,
            "leave support= away, or say support='binary'; the likelihood is then bernoulli",
            figures,
        )
    if sample.kind == "real" and low >= 0 and high <= 1:
        return Finding(
            "support",
            "advice",
            "Values in [0, 1] were declared real, so that the likelihood has mass outside",
            f"from {low:.4g} to {high:.4g}",
            "say support='unit'; the likelihood is then continuous-bernoulli",
            figures,
        )
    return Finding(
        "support",
        "fine",
        "the support is what the values look like",
        f"{sample.kind}",
        figures=figures,
    )


def _are_levels(sample: Sample) -> bool:
    """Return whether values that were taken for real numbers are grey levels."""
    x = sample.values
    if sample.kind not in ("real", "unit") or len(x) == 0:
        return False
    low, high = float(x.min()), float(x.max())
    whole = bool((x == x.round()).all())
    return whole and low >= 0 and 1 < high <= 255 and _is_image(sample, low, high)


def _is_image(sample: Sample, low: float, high: float) -> bool:
    """Return whether whole numbers of this range are grey levels, and not ratings, ages or counts.

    A flattened image has a square of pixels, begins at black and ends at the brightest level.
    """
    n = sample.values.shape[1]
    if sample.x.ndim > 2 or high == GREY_MAXIMA[-1]:
        return True
    is_square = n >= FEWEST_PIXELS and isqrt(n) ** 2 == n
    return is_square and low == 0 and high in GREY_MAXIMA


def constant(sample: Sample) -> Finding:
    """Look for entries that are the same in all examples."""
    x = sample.values
    if len(x) < 2:
        return skipped("variation", NO_VALUES)
    if not sample.is_quantity:
        return skipped("variation", f"{sample.kind} values are no quantities")
    share = float((x.std(0) <= CONSTANT).double().mean())
    figures = {"share_constant": share}
    seen = f"{share:.1%} of the {x.shape[1]:,} entries have one value in {len(x):,} examples"
    if share == 1:
        return Finding(
            "variation",
            "problem",
            "All examples are the same, so there is nothing to learn",
            seen,
            "look at how the data were read",
            figures,
        )
    if share > 0 and sample.kind == "real":
        return Finding(
            "variation",
            "advice",
            "Entries that never vary have a density without an upper bound: a learned σ shrinks "
            "to its floor there, and the likelihood says nothing of the others",
            seen,
            "leave these entries out, or use --likelihood gaussian-shared",
            figures,
        )
    return Finding("variation", "fine", "the examples differ", seen, figures=figures)


def standardized(sample: Sample) -> Finding:
    """Look at the scale of real values."""
    x = sample.values
    if len(x) < 2:
        return skipped("scale", NO_VALUES)
    if sample.kind != "real":
        return skipped("scale", f"{sample.kind} values have a scale of their own")
    if _are_levels(sample):
        return skipped("scale", "grey levels are divided by the brightest")
    mean, std = float(x.mean()), float(x.std())
    scales = x.std(0)
    scales = scales[scales > CONSTANT]
    uneven = float(scales.max() / scales.min()) if len(scales) else 1.0
    figures = {"mean": mean, "std": std, "scale_ratio": uneven}
    seen = (
        f"mean {mean:.3g}, standard deviation {std:.3g}; entries' scales differ {uneven:.3g}-fold"
    )
    low, high = NETWORKS_LIKE
    is_near = abs(mean) <= high and low <= std <= high
    if is_near and uneven < UNEVEN:
        return Finding("scale", "fine", "values are around one", seen, figures=figures)
    breaks = max(abs(mean), std) > BREAKS_NETWORKS
    return Finding(
        "scale",
        "problem" if breaks else "advice",
        "Values are not standardized, and networks expect values around one"
        + (": these are large enough to make the first losses infinite" if breaks else ""),
        seen,
        "standardize every entry, (x - mean) / standard deviation, by those of the training split",
        figures,
    )


def grey(sample: Sample) -> Finding:
    """Look at the share of values between black and white, which decides the likelihood.

    The Bernoulli's log-probability of such a value is the cross-entropy, of which no normalized
    likelihood is made: it is offered by that name, and what it gives are no nats.
    """
    kind = sample.kind
    if len(sample.values) == 0:
        return skipped("grey", NO_VALUES)
    if kind not in ("unit", "binary"):
        return skipped("grey", f"{kind} values are no pixels between black and white")
    if bool(((sample.values < 0) | (sample.values > 1)).any()):
        return skipped("grey", "values lie outside of black and white, 0 and 1")
    share = float(((sample.values > 0) & (sample.values < 1)).double().mean())
    spec = sample.spec or DataSpec(tuple(sample.x.shape[1:]), kind)
    name = default_likelihood(spec)
    said = "values are black or white, as a Bernoulli likelihood has them"
    if share > 0:
        said = (
            "on grey values a Bernoulli's cross-entropy is no likelihood (--binarize dynamic makes "
            "them black or white)"
        )
    return Finding(
        "grey",
        "fine",
        f"{said}; the default here is {name}",
        f"{share:.1%} of the values lie between 0 and 1, default likelihood {name}",
        figures={"share_grey": share},
    )


def leak(sample: Sample) -> Finding:
    """Look for held-out examples that are in the training split, more often than by chance.

    Chance is the share of training examples that another one repeats: examples of few values meet
    again whatever is done.
    """
    if sample.splits is None:
        return skipped("leak", "there are no held-out examples")
    if sum(x.nbytes for x in sample.splits) > LEAK_MIB * 2**20:
        return skipped("leak", f"the data are larger than {LEAK_MIB} MiB")
    train, held = (
        x.reshape(len(x), -1).contiguous().view(torch.uint8).numpy() for x in sample.splits
    )
    seen_in_train = Counter(row.tobytes() for row in train)
    share = sum(row.tobytes() in seen_in_train for row in held) / len(held)
    chance = sum(n for n in seen_in_train.values() if n > 1) / len(train)
    stderr = (share * (1 - share) / len(held) + chance * (1 - chance) / len(train)) ** 0.5
    figures = {"share_in_train": share, "share_by_chance": chance, "n_held_out": float(len(held))}
    seen = (
        f"{share:.2%} of {len(held):,} held-out examples are in the training split, and "
        f"{chance:.2%} of its own examples are in it twice or more"
    )
    if share - chance - 2 * stderr <= LEAK:
        said = "the splits share no more than chance has them" if share else "splits are disjoint"
        return Finding("leak", "fine", said, seen, figures=figures)
    return Finding(
        "leak",
        "advice",
        "Held-out examples are in the training split too, so what is measured on them is partly "
        "memory",
        seen,
        "remove duplicates before splitting",
        figures,
    )


def axes(sample: Sample) -> Finding:
    """Look at the order of the axes of images."""
    shape = tuple(sample.x.shape[1:])
    figures = {f"axis_{number}": float(size) for number, size in enumerate(shape)}
    seen = f"examples have the shape {shape}"
    if not is_channels_last(shape):
        said = "no sign of images with their axes in another order"
        return Finding("axes", "fine", said, seen, figures=figures)
    return Finding(
        "axes",
        "problem",
        "These look like images with the channels last, and the channels come first here: a "
        "convolution would take the height for channels",
        seen,
        channels_first(),
        figures,
    )


DATA_CHECKS = (not_finite, out_of_range, axes, mistaken, constant, standardized, grey, leak)
"""What is looked at in data, in the order of the report."""
