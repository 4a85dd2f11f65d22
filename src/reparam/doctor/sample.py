"""What the doctor sees of data before training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Dataset
from reparam.data.checks import RULES, closest_support, first, fix, violations
from reparam.doctor.finding import Finding
from reparam.errors import DataError, SupportError
from reparam.families import default_likelihood
from reparam.spec import DataSpec, Support

NETWORKS_LIKE = (0.2, 5.0)
"""Networks expect values around one: a standard deviation outside this range costs training."""
BREAKS_NETWORKS = 100.0
"""Inputs so large overflow an exponential in the first steps, as of a posterior's scale."""
UNEVEN = 100.0
"""The likelihood of entries whose scales differ by so much is that of the small ones alone."""
LEAK = 0.01
"""The share of held-out examples that may be in the training split by chance, as in small data."""
CONSTANT = 1e-6
"""A standard deviation that is float32 rounding, and no variation."""


@dataclass(frozen=True)
class Sample:
    """Values of data, as a model gets them.

    Arguments:
        x: Examples of the training split, with shape (N, *shape).
        support: The declared support; None where none was declared.
        spec: What else is known of the data.
        splits: All stored values of the training split and of the held-out one, to find examples
            that are in both.
    """

    x: Tensor
    support: Support | None = None
    spec: DataSpec | None = None
    splits: tuple[Tensor, Tensor] | None = None

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
    splits = None if held is None else (data.splits["train"].x, held)
    return Sample(x, data.spec.support, data.spec, splits)


def not_finite(sample: Sample) -> Finding | None:
    """Look for NaN and infinite values."""
    if not sample.x.is_floating_point():
        return None
    bad = ~sample.x.isfinite()
    n, share = int(bad.sum()), float(bad.double().mean())
    figures = {"n_not_finite": float(n), "share": share}
    if n == 0:
        return Finding("finite", "fine", "every value is finite", "no NaN", figures=figures)
    return Finding(
        "finite",
        "problem",
        "There are values that are no numbers, and one of them makes every loss NaN",
        f"{n:,} NaN or infinite values ({share:.2%}), the first at index {first(bad)}",
        "leave these examples out, or fill them with the mean of the entry",
        figures,
    )


def out_of_range(sample: Sample) -> Finding | None:
    """Look for values outside the declared support."""
    if sample.support is None or len(sample.values) == 0:
        return None
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


def mistaken(sample: Sample) -> Finding | None:
    """Look for grey levels, binary values and shares that were taken for real numbers."""
    x = sample.values
    if sample.kind not in ("real", "unit") or len(x) == 0:
        return None
    if sample.spec is not None and sample.spec.dequantized_from is not None:
        return None
    low, high = float(x.min()), float(x.max())
    whole = bool((x == x.round()).all())
    figures = {"lowest": low, "highest": high, "n_values": float(len(x.unique()))}
    seen = f"every value is a whole number from {low:.0f} to {high:.0f}"
    if whole and low >= 0 and 1 < high <= 255:
        return Finding(
            "support",
            "problem",
            "Grey levels were taken for real numbers, a hundred times larger than networks expect",
            seen,
            "pass them as uint8, which are scaled to [0, 1], or divide by 255",
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


def constant(sample: Sample) -> Finding | None:
    """Look for entries that are the same in all examples."""
    x = sample.values
    if not sample.is_quantity or len(x) < 2:
        return None
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


def standardized(sample: Sample) -> Finding | None:
    """Look at the scale of real values."""
    x = sample.values
    if sample.kind != "real" or len(x) < 2:
        return None
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


def grey(sample: Sample) -> Finding | None:
    """Look at the share of values between black and white, which decides the likelihood."""
    if sample.spec is None or sample.kind not in ("unit", "binary") or len(sample.values) == 0:
        return None
    share = float(((sample.values > 0) & (sample.values < 1)).double().mean())
    try:
        name = default_likelihood(sample.spec)
    except SupportError:
        return None
    return Finding(
        "grey",
        "fine",
        f"the default likelihood is {name}",
        f"{share:.1%} of the values lie between 0 and 1, default likelihood {name}",
        figures={"share_grey": share},
    )


def leak(sample: Sample) -> Finding | None:
    """Look for held-out examples that are in the training split."""
    if sample.splits is None:
        return None
    train, held = (
        x.reshape(len(x), -1).contiguous().view(torch.uint8).numpy() for x in sample.splits
    )
    known = {row.tobytes() for row in train}
    share = sum(row.tobytes() in known for row in held) / len(held)
    figures = {"share_in_train": share, "n_held_out": float(len(held))}
    seen = f"{share:.2%} of {len(held):,} held-out examples are in the training split"
    if share <= LEAK:
        return Finding("leak", "fine", "the splits are disjoint", seen, figures=figures)
    return Finding(
        "leak",
        "advice",
        "Held-out examples are in the training split too, so what is measured on them is partly "
        "memory",
        seen,
        "remove duplicates before splitting",
        figures,
    )


DATA_CHECKS = (not_finite, out_of_range, mistaken, constant, standardized, grey, leak)
"""What is looked at in data, in the order of the report."""
