"""Parts of the page as HTML: examples beside each other, and the parts of an ELBO."""

from collections.abc import Sequence
from html import escape
from math import isfinite

from torch import Tensor

from reparam.evaluation.likelihood.importance import ImportanceSample
from reparam.explorer.cells import Cell
from reparam.explorer.shown import N_SHOWN, Looks
from reparam.report.section import table

N_BARS = 8
"""The largest number of dimensions whose KL is shown."""


def beside(looks: Looks, examples: Sequence[tuple[str, Tensor]], *, large: bool = False) -> str:
    r"""Return examples beside each other: pictures, columns of one table, or texts.

    Arguments:
        looks: The appearance of examples.
        examples: Pairs of a caption and an example with shape (\*shape).
        large: Whether pictures are large.
    """
    if looks.kind == "picture":
        figures = "".join(
            f'<figure><img src="{looks.picture(x)}" alt="{escape(caption, quote=True)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, x in examples
        )
        return f'<div class="row-of-pictures{" large" if large else ""}">{figures}</div>'
    if looks.kind == "text":
        lines = "".join(
            f"<span>{escape(caption)}</span><pre>{escape(looks.text(x))}</pre>"
            for caption, x in examples
        )
        return f'<div class="texts">{lines}</div>'
    columns = [looks.values(x) for _, x in examples]
    rows = [[name, *values] for name, *values in zip(looks.names, *columns, strict=True)]
    more = len(rows) - N_SHOWN
    note = f'<p class="meaning">and {more:,} more values</p>' if more > 0 else ""
    return table(["", *(caption for caption, _ in examples)], rows[:N_SHOWN]) + note


def account(found: ImportanceSample) -> str:
    """Return log p(x) of one example and the parts of its ELBO, as tiles.

    Arguments:
        found: The figures of the example.
    """
    why = found.decoder.unnormalized_because
    log_p = "log p(x)" if found.decoder.normalized else f"log p(x), no likelihood ({why}),"
    tiles = []
    if found.has_density:
        n = found.n_samples or 1
        draws = f"{n:,} draws of z" if n > 1 else "its single code"
        tiles += [
            (
                f"{log_p} ≥",
                float(found.log_likelihood),
                f"The bound of importance weights: {draws}.",
            ),
            ("ELBO", float(found.elbo), "The bound that training raises: reconstruction less KL."),
        ]
    meaning = "How well p(x | z) describes the example, given its own code."
    tiles.append(("reconstruction", float(found.reconstruction), meaning))
    if found.has_density:
        how = f"The information in the code, by {found.kl_method}."
        tiles.append(("KL(q ‖ p)", float(found.kl), how))
    shown = "".join(_tile(*tile) for tile in tiles)
    return f'<div class="tiles">{shown}</div>{_bars(found)}'


def _tile(name: str, value: float, meaning: str) -> str:
    number = f"{value:.1f}" if isfinite(value) else "not finite"
    return (
        f'<div class="tile"><h3>{escape(name)}</h3><span class="number">{number}</span> '
        f'<span class="unit">nats</span><p>{escape(meaning)}</p></div>'
    )


def _bars(found: ImportanceSample) -> str:
    """Return the KL of the dimensions that have most of it, as bars."""
    parts = found.kl_per_dimension
    if parts is None or parts.shape[1] < 2:
        return ""
    values = parts[0].tolist()
    order = sorted(range(len(values)), key=lambda j: -values[j])[:N_BARS]
    largest = max(values[order[0]], 1e-9)
    lines = "".join(
        f'<div><span>z{j}</span><i style="width:{100 * max(values[j], 0) / largest:.0f}%"></i>'
        f"<span>{values[j]:.2f}</span></div>"
        for j in order
    )
    title = "KL of each dimension, in nats"
    return f'<h3>{title}</h3><div class="bars" role="img" aria-label="{title}">{lines}</div>'


def filled(cells: Sequence[Cell]) -> str:
    """Return a row whose empty cells were filled in, these first."""
    ordered = sorted(cells, key=lambda cell: not cell.is_filled)
    rows = [(cell.name, cell.value, cell.spread or "given") for cell in ordered]
    return table(("column", "value", "90 % interval, or the share of each class"), rows)
