"""Sections of counts: means, zeros and dispersion of every entry, real and drawn."""

from collections.abc import Iterator

from torch import Tensor

from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.columns import names_of
from reparam.report.section import Section, details, svg, table
from reparam.report.view import View

MOST_VECTORS = 500
"""The largest number of points that are drawn as lines; more are a picture."""

N_NAMED = 30
"""The number of entries in the table, those whose zeros differ most."""


def counts(view: View) -> Iterator[Section]:
    """Yield the means, the zeros and the variance of every entry, real and drawn."""
    if not view.generates or view.run.spec.support != "counts":
        return
    real = view.shown.x.flatten(1).double()
    drawn = view.sampled(len(real), mean=False).flatten(1).double()
    figure = new_figure(11.0, 3.8)
    for place, (title, function) in enumerate(
        (("log10 mean", _log_mean), ("share of zeros", _zeros), ("log10 variance", _log_variance))
    ):
        axes = new_axes(figure, 1, 3, place + 1)
        x, y = (function(values).numpy() for values in (real, drawn))
        (points,) = axes.plot(x, y, ".", color=COLORS[0], markersize=3, alpha=0.5)
        points.set_rasterized(len(x) > MOST_VECTORS)
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        axes.plot([low, high], [low, high], color=COLORS[-1], linewidth=1)
        axes.set_xlabel(f"{title}, real")
        axes.set_ylabel(f"{title}, drawn")
    of_zeros = _zeros(real), _zeros(drawn)
    errors = (
        (of_zeros[0] * (1 - of_zeros[0]) + of_zeros[1] * (1 - of_zeros[1])) / len(real)
    ).sqrt()
    difference = of_zeros[1] - of_zeros[0]
    clear = float((difference.abs() > 2 * errors).double().mean())
    yield Section(
        "counts",
        "Zeros and dispersion",
        "A point for each entry. On the line, drawn counts are as large, have as many zeros, and "
        f"vary as much, as real ones. The share of zeros differs by more than two standard errors "
        f"in {100 * clear:.0f} % of the entries; 5 % are expected where nothing differs.",
        svg(figure, "Means, zeros and variances of counts, real and drawn")
        + _table(view, difference, errors, real, drawn),
    )


def _table(view: View, difference: Tensor, errors: Tensor, real: Tensor, drawn: Tensor) -> str:
    """Return the entries whose share of zeros differs most."""
    names = names_of(view)
    order = difference.abs().argsort(descending=True)[:N_NAMED].tolist()
    rows = [
        (
            names[i],
            f"{float(difference[i]):+.3f} ± {float(errors[i]):.3f}",
            *(f"{float((x[:, i] == 0).double().mean()):.3f}" for x in (real, drawn)),
            *(f"{float(x[:, i].mean()):.4g}" for x in (real, drawn)),
            *(f"{float(x[:, i].var()):.4g}" for x in (real, drawn)),
        )
        for i in order
    ]
    pairs = [f"{what}, {of}" for what in ("zeros", "mean", "variance") for of in ("real", "drawn")]
    head = ("entry", "zeros, drawn minus real", *pairs)
    return details("The entries whose zeros differ most", table(head, rows))


def _log_mean(values: Tensor) -> Tensor:
    return values.mean(0).clamp(min=1e-4).log10()


def _zeros(values: Tensor) -> Tensor:
    return (values == 0).double().mean(0)


def _log_variance(values: Tensor) -> Tensor:
    return values.var(0).clamp(min=1e-6).log10()
