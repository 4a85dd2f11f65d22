"""Checks of data before training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

import torch
from torch import Tensor

from reparam.data import Dataset, checks
from reparam.data.columns import N_ROWS, SPAN, kind_of, span_of
from reparam.diagnostics.finding import Check, Evidence, Finding, NotApplicable, check
from reparam.errors import DataError
from reparam.families import default_likelihood
from reparam.nn.standardize import Standardize
from reparam.spec import DataSpec, Support
from reparam.utils.equality import by_value

NETWORKS_LIKE = (0.2, 5.0)
"""The range of standard deviations on which networks train well."""
BREAKS_NETWORKS = 100.0
"""Larger inputs overflow an exponential in the first steps, such as that of a scale."""
UNEVEN = 100.0
"""If the scales of entries differ by this factor, the small ones dominate the likelihood."""
LEAK = 0.01
"""The largest share of held-out examples in the training split, beyond that by chance."""
LEAK_MIB = 512
"""Larger data are not compared example by example, which takes seconds and memory."""
GREY_MAXIMA = (15, 16, 31, 63, 127, 255)
"""The brightest level of a flattened image: 2^k - 1, and 16 of the digits of scikit-learn."""
FEWEST_PIXELS = 16
"""The least number of pixels of a flattened image whose maximum is not 255."""
NO_VALUES = "fewer than two examples are finite"
CONSTANT = 1e-6
"""A smaller standard deviation is a rounding error of float32."""


@by_value
@dataclass(frozen=True)
class Sample:
    """A sample of data, as a model gets them.

    Arguments:
        x: Examples of the training split, with shape (N, *shape).
        support: The declared support; None where none was declared.
        spec: The shape and other properties of the data.
        splits: All stored values of the training split and of the held-out one, to find examples
            that are in both.
        has_model: Whether the data are those of a run. A variant would standardize others.
        layer: The standardization of the model; None where there is none.
        whole: All stored values of the training split in their order, of which x is a choice; None
            where they are whole numbers, or x is all there is.
    """

    x: Tensor
    support: Support | None = None
    spec: DataSpec | None = None
    splits: tuple[Tensor, Tensor] | None = None
    whole: Tensor | None = None
    has_model: bool = False
    layer: Standardize | None = None

    @property
    def values(self) -> Tensor:
        """The examples in float64, flattened to (N, D); one that is not finite is left out."""
        flat = self.x.reshape(len(self.x), -1).double()
        return flat[flat.isfinite().all(1)]

    @property
    def kind(self) -> Support | None:
        """The declared support, or the one that the values suggest."""
        if self.support is not None or len(self.values) == 0:
            return self.support
        try:
            return checks.closest_support(self.x.nan_to_num())
        except DataError:
            return None

    @property
    def is_standardized(self) -> bool:
        """Whether the model of the run, or any variant, standardizes the values."""
        return self.layer is not None or not self.has_model

    @property
    def has_cells(self) -> bool:
        """Whether rounded columns have the masses of cells, as in the table of a variant."""
        is_column = not self.has_model if self.layer is None else self.layer.per_entry
        return is_column and self.kind == "real" and self.x.ndim == 2

    @property
    def columns(self) -> Tensor:
        """The columns of a table, with shape (N, D); of other data the checks do not apply."""
        x = self.x if self.whole is None else self.whole[:N_ROWS]
        if self.kind != "real" or x.ndim != 2 or _are_levels(self):
            raise NotApplicable("the data are no table of real numbers")
        x = x.double()
        return replace(self, x=x[x.isfinite().all(1)]).rows(2)

    def rows(self, fewest: int = 1) -> Tensor:
        """Return the values, where enough are finite; else a check does not apply."""
        if len(self.values) < fewest:
            raise NotApplicable(NO_VALUES)
        return self.values

    @property
    def is_quantity(self) -> bool:
        """Whether the values are quantities, and not classes."""
        return self.kind in ("real", "unit", "binary", None)


def sample_of(data: Dataset, x: Tensor) -> Sample:
    """Return the sample of a data set from which x, with shape (N, *shape), was drawn."""
    stored = data.splits["train"]
    train = stored.x
    held = [data.splits[name].x for name in ("test", "validation") if name in data.splits]
    splits = (train, held[0]) if held else None
    # A mapped file was checked when it was loaded.
    whole = train if train.is_floating_point() and stored.mapped is None else None
    return Sample(x, data.spec.support, data.spec, splits, whole)


@check("finite")
def not_finite(sample: Sample) -> Finding:
    """Check for NaN and infinite values; NaN in a table of several kinds is a missing value."""
    if not sample.x.is_floating_point():
        raise NotApplicable("whole numbers are finite")
    x = sample.x if sample.whole is None else sample.whole
    may_lack = sample.support == "mixed"
    bad = x.isinf() if may_lack else ~x.isfinite()
    n = int(bad.sum())
    share = n / max(bad.numel(), 1)
    if n == 0:
        said = "every value is finite" + (" or missing" if may_lack else "")
        return Evidence(
            "no infinite value" if may_lack else "no NaN", n_not_finite=0, share=0.0
        ).fine(said)
    text = f"{n:,} NaN or infinite values ({share:.2%}) in {len(x):,} examples, the first at index"
    return Evidence(f"{text} {checks.first(bad)}", n_not_finite=n, share=share).problem(
        "There are values that are no numbers, and one of them makes every loss NaN",
        "leave these examples out, or fill them with the mean of the entry",
    )


@check("range")
def out_of_range(sample: Sample) -> Finding:
    """Check for values outside the declared support."""
    sample.rows()
    if sample.support is None:
        raise NotApplicable("no support was declared")
    x = sample.x.double().nan_to_num()
    low, high = float(x.min()), float(x.max())
    share = float(checks.violations(x, sample.support).double().mean())
    text = f"{share:.2%} of the values are outside, from {low:.4g} to {high:.4g}"
    evidence = Evidence(text, lowest=low, highest=high, share_outside=share)
    if share == 0:
        return evidence.fine("values lie in their support")
    return evidence.problem(
        f"Values lie outside the support {sample.support!r}, where each must be "
        f"{checks.RULES[sample.support]}",
        checks.fix(x, sample.support),
    )


@check("axes")
def axes(sample: Sample) -> Finding:
    """Check the order of the axes of images."""
    shape = tuple(sample.x.shape[1:])
    sizes = {f"axis_{number}": size for number, size in enumerate(shape)}
    evidence = Evidence(f"examples have the shape {shape}", **sizes)
    if not checks.is_channels_last(shape):
        return evidence.fine("no sign of images with their axes in another order")
    return evidence.problem(
        "These look like images with the channels last, and the channels come first here: a "
        "convolution would take the height for channels",
        checks.channels_first(),
    )


@check("support")
def mistaken(sample: Sample) -> Finding:
    """Check for grey levels, binary values and shares that were taken for real numbers."""
    x = sample.rows()
    if sample.kind not in ("real", "unit"):
        raise NotApplicable(f"{sample.kind} values are no real numbers")
    if sample.spec is not None and sample.spec.dequantized_from is not None:
        raise NotApplicable("noise has made levels continuous")
    low, high = float(x.min()), float(x.max())
    whole = bool((x == x.round()).all())
    text = f"{'whole numbers' if whole else sample.kind} from {low:.4g} to {high:.4g}"
    evidence = Evidence(text, lowest=low, highest=high, n_values=len(x.unique()))
    if _are_levels(sample):
        scale = f"divide by {high:.0f}"
        if high > GREY_MAXIMA[-2]:
            scale = "pass them as uint8, which are scaled to [0, 1], or divide by 255"
        return evidence.problem(
            f"Grey levels were taken for real numbers: the density is of values up to {high:.0f}",
            scale,
        )
    if whole and high > 1 and sample.kind == "real" and not sample.has_cells:
        return evidence.advice(
            "Whole numbers were taken for real ones, so that a density may rise without bound at "
            "values that repeat",
            "declare support='counts' or support='categorical' if that is what they are; else "
            "standardize every entry and use likelihood='gaussian-shared'",
        )
    if whole and low >= 0 and high <= 1:
        fix = "leave support= out, or give support='binary'; the likelihood is then bernoulli"
        if sample.has_cells:
            return evidence.advice("Binary values were declared real, and count as rounded", fix)
        how = "taken for" if sample.support is None else "declared"
        return evidence.problem(
            f"Binary values were {how} {sample.kind}: a density of values that are 0 or 1 has "
            "no upper bound, and its likelihood is no number to compare",
            fix,
        )
    if sample.kind == "real" and low >= 0 and high <= 1:
        return evidence.advice(
            "Values in [0, 1] were declared real, so that the likelihood has mass outside",
            "give support='unit'; the likelihood is then continuous-bernoulli",
        )
    return evidence.fine("the support fits the values")


def _are_levels(sample: Sample) -> bool:
    """Return whether values that were taken for real numbers are grey levels.

    Ratings, ages and counts are none: a flattened image has a square of pixels, begins at black and
    ends at the brightest level.
    """
    x = sample.values
    if sample.kind not in ("real", "unit") or len(x) == 0:
        return False
    low, high, n = float(x.min()), float(x.max()), x.shape[1]
    if not bool((x == x.round()).all()) or low < 0 or not 1 < high <= 255:
        return False
    if sample.x.ndim > 2 or high == GREY_MAXIMA[-1]:
        return True
    return n >= FEWEST_PIXELS and isqrt(n) ** 2 == n and low == 0 and high in GREY_MAXIMA


@check("variation")
def constant(sample: Sample) -> Finding:
    """Check for entries that are the same in all examples."""
    x = sample.rows(2)
    if not sample.is_quantity:
        raise NotApplicable(f"{sample.kind} values are no quantities")
    share = float((x.std(0) <= CONSTANT).double().mean())
    text = f"{share:.1%} of the {x.shape[1]:,} entries have one value in {len(x):,} examples"
    evidence = Evidence(text, share_constant=share)
    if share == 1:
        return evidence.problem(
            "All examples are the same, so there is nothing to learn",
            "check how the data were read",
        )
    if share > 0 and sample.has_cells:
        return evidence.fine("constant columns are known exactly, and cost nothing")
    if share > 0 and sample.kind == "real":
        return evidence.advice(
            "Entries that never vary have a density without an upper bound: a learned σ shrinks "
            "to its floor there, and the likelihood depends on no other entries",
            "leave these entries out, or use likelihood='gaussian-shared'",
        )
    return evidence.fine("the examples differ")


@check("scale")
def standardized(sample: Sample) -> Finding:
    """Check the scale of real values."""
    x = sample.rows(2)
    if sample.kind != "real":
        raise NotApplicable(f"{sample.kind} values have a fixed scale")
    if _are_levels(sample):
        raise NotApplicable("grey levels are divided by the brightest")
    mean, std = float(x.mean()), float(x.std())
    scales = x.std(0)
    scales = scales[scales > CONSTANT]
    uneven = float(scales.max() / scales.min()) if len(scales) else 1.0
    text = (
        f"mean {mean:.3g}, standard deviation {std:.3g}; entries' scales differ {uneven:.3g}-fold"
    )
    evidence = Evidence(text, mean=mean, std=std, scale_ratio=uneven)
    low, high = NETWORKS_LIKE
    if abs(mean) <= high and low <= std <= high and uneven < UNEVEN:
        return evidence.fine("values are around one")
    if sample.is_standardized:
        whose = "the model" if sample.has_model else "a variant"
        return evidence.fine(f"{whose} standardizes the values")
    breaks = max(abs(mean), std) > BREAKS_NETWORKS
    return evidence.advice(
        "Values are not standardized, and networks expect values around one"
        + (": these are large enough to make the first losses infinite" if breaks else ""),
        "standardize every entry, (x - mean) / standard deviation, by those of the training split",
        is_problem=breaks,
    )


def _listed(sample: Sample, places: Sequence[int]) -> str:
    """Return columns by number and name."""
    spec = sample.spec or DataSpec(tuple(sample.x.shape[1:]), "real")
    return spec.listed(places)


@check("columns")
def kinds_of_columns(sample: Sample) -> Finding:
    """Check for columns of a table that are no measured quantities."""
    x = sample.columns.numpy()
    found: dict[str, list[int]] = {}
    for i, column in enumerate(x.T):
        kind = kind_of(column)
        if kind is not None:
            found.setdefault(kind, []).append(i)
    if not found:
        return Evidence(f"{x.shape[1]:,} columns", n_columns=x.shape[1]).fine(
            "the columns look like measured quantities"
        )
    text = "; ".join(f"{kind}: column {_listed(sample, places)}" for kind, places in found.items())
    numbers = {f"n_{kind.split()[0]}": len(places) for kind, places in found.items()}
    fixes = {
        "constant": "drop constant columns",
        "identifier": "drop identifiers",
        "binary": "model flags and categories apart, or give them as covariates=",
        "category": "model flags and categories apart, or give them as covariates=",
        "count": "support='counts' for a table of counts alone",
        "spike": "check whether the value of a spike stands for a missing one",
    }
    fix = "; ".join(dict.fromkeys(fixes[kind] for kind in found))
    return Evidence(text, n_columns=x.shape[1], **numbers).advice(
        "Some columns are no measured quantities, and are described as rounded numbers", fix
    )


@check("tails")
def heavy_tails(sample: Sample) -> Finding:
    """Check for columns of a table that span many orders of magnitude."""
    x = sample.columns.numpy()
    spans = [span_of(column) for column in x.T]
    wide = [i for i, span in enumerate(spans) if span > SPAN]
    text = f"the widest column spans a factor of {max(spans):.3g}"
    if wide:
        text += f"; more than {SPAN:.0e}: column {_listed(sample, wide)}"
    evidence = Evidence(text, widest=max(spans), n_wide=len(wide))
    if not wide:
        return evidence.fine("no column spans more than six orders of magnitude")
    layer = sample.layer
    if layer is None or all(float(layer.linear_width[i]) > 0 for i in wide):
        who = "the default likelihood" if layer is None else "the model"
        return evidence.fine(
            f"{who} transforms the columns that span more than six orders of magnitude"
        )
    return evidence.advice(
        "Columns span more than six orders of magnitude, of which a Gaussian describes the largest "
        "alone",
        "likelihood=None, which transforms such columns, or take their logarithms",
    )


@check("grey")
def grey(sample: Sample) -> Finding:
    """Check the share of values between black and white, which decides the likelihood.

    The Bernoulli's log-probability of such a value is the cross-entropy, which is not a normalized
    likelihood: it is available by that name, and its values are no nats.
    """
    kind, x = sample.kind, sample.rows()
    if kind not in ("unit", "binary"):
        raise NotApplicable(f"{kind} values are no pixels between black and white")
    if bool(((x < 0) | (x > 1)).any()):
        raise NotApplicable("values lie outside of black and white, 0 and 1")
    share = float(((x > 0) & (x < 1)).double().mean())
    name = default_likelihood(sample.spec or DataSpec(tuple(sample.x.shape[1:]), kind))
    message = "values are black or white, as a Bernoulli likelihood requires"
    if share > 0:
        message = "on grey values a Bernoulli's cross-entropy is no likelihood "
        message += "(binarize='dynamic' makes them black or white)"
    text = f"{share:.1%} of the values lie between 0 and 1, default likelihood {name}"
    return Evidence(text, share_grey=share).fine(f"{message}; the default here is {name}")


@check("leak")
def leak(sample: Sample) -> Finding:
    """Check for held-out examples that are in the training split, more often than by chance.

    Chance is the share of training examples that another one repeats: examples of few values repeat
    in any split.
    """
    if sample.splits is None:
        raise NotApplicable("there are no held-out examples")
    if sum(x.nbytes for x in sample.splits) > LEAK_MIB * 2**20:
        raise NotApplicable(f"the data are larger than {LEAK_MIB} MiB")
    train, held = (
        x.reshape(len(x), -1).contiguous().view(torch.uint8).numpy() for x in sample.splits
    )
    seen_in_train = Counter(row.tobytes() for row in train)
    share = sum(row.tobytes() in seen_in_train for row in held) / len(held)
    chance = sum(n for n in seen_in_train.values() if n > 1) / len(train)
    stderr = (share * (1 - share) / len(held) + chance * (1 - chance) / len(train)) ** 0.5
    text = (
        f"{share:.2%} of {len(held):,} held-out examples are in the training split, and "
        f"{chance:.2%} of its own examples are in it twice or more"
    )
    evidence = Evidence(text, share_in_train=share, share_by_chance=chance, n_held_out=len(held))
    if share - chance - 2 * stderr <= LEAK:
        message = "the splits share no more than by chance" if share else "splits are disjoint"
        return evidence.fine(message)
    return evidence.advice(
        "Held-out examples are in the training split too, so that their figures are too good",
        "remove duplicates before splitting",
    )


DATA_CHECKS: tuple[Check[Sample], ...] = (
    not_finite,
    out_of_range,
    axes,
    mistaken,
    constant,
    standardized,
    kinds_of_columns,
    heavy_tails,
    grey,
    leak,
)
"""The checks of data, in the order of the report."""
