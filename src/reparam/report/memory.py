"""How near samples are to training examples, beside how near unseen examples are."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from reparam.batch import in_chunks
from reparam.evaluation.copies import (
    FEWEST,
    N_COMPARED,
    N_TRAIN,
    Copies,
    copies,
    drawn_like,
    means_of,
)
from reparam.models.latent import as_latent
from reparam.pictures import grid, is_picturable
from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.columns import shown_columns
from reparam.report.section import Section, captioned, details, picture, svg, table
from reparam.report.view import View

N_SHOWN, N_ROWS, N_COLUMNS = 8, 4, 12
"""The numbers of pictures, and of rows and columns, beside their nearest training examples."""


def memory(view: View) -> Iterator[Section]:
    """Yield the distances of samples, and of held-out examples, to the training examples."""
    spec = view.run.spec
    if not view.generates or view.held_name == "train" or len(view.held) < FEWEST:
        return
    model, mean = as_latent(view.run.model), is_picturable(spec)
    drawn = drawn_like(model, spec, N_COMPARED, view.held.c, mean=mean, seed=view.seed)
    train = view.some("train", N_TRAIN).x
    some = next(in_chunks(view.held, N_COMPARED))
    means = means_of(model, spec, some, view.seed) if mean else None
    found = copies(drawn, some.x, train, spec, view.latent, means)
    figure = new_figure(7.0, 3.2)
    axes = new_axes(figure)
    of_samples, of_unseen = found.of_samples, found.of_unseen
    farthest = float(np.quantile(np.concatenate([of_samples, of_unseen]), 0.99)) or 1.0
    edges = np.linspace(0, farthest, 40).tolist()
    axes.hist(of_unseen, edges, density=True, color=COLORS[4], alpha=0.7, label="unseen examples")
    axes.hist(of_samples, edges, density=True, histtype="step", color=COLORS[0], label="samples")
    axes.set_xlabel(f"distance to the nearest of {len(train):,} training examples")
    axes.set_yticks([])
    axes.legend(frameon=False)
    error = (found.share * (1 - found.share) / len(drawn)) ** 0.5
    what = "share of tokens that differ" if spec.support == "tokens" else "distance"
    body = captioned(
        svg(figure, "Distances to the nearest training example"),
        f"The {what} to the nearest training example. Samples that copy lie far left of the "
        "unseen examples.",
    )
    body += _shown(view, drawn, train[torch.from_numpy(found.nearest)])
    smooth = " Samples and unseen images are means of p(x | z) here, which are equally smooth."
    yield Section(
        "memory",
        "Does it copy its training examples?",
        f"{100 * found.share:.1f} ± {100 * error:.1f} % of the samples are as near to a training "
        f"example as {found.n_near} of {len(some)} unseen examples are; by chance it would be up "
        f"to {100 * found.by_chance:.1f} %. {100 * found.twins:.1f} % are less than half as far: "
        f"{_verdict(found)}." + (smooth if is_picturable(spec) else ""),
        body,
    )


def _verdict(found: Copies) -> str:
    if not found.is_known:
        return "the unseen examples are copies of training examples too, so that this says nothing"
    return "some samples may be copies" if found.are_likely else "no sign of copies"


def _shown(view: View, drawn: Tensor, nearest: Tensor) -> str:
    """Return a few samples beside their nearest training examples."""
    spec, words = view.run.spec, view.vocabulary
    if is_picturable(spec):
        pairs = torch.stack([drawn[:N_SHOWN], nearest[:N_SHOWN]], 1).flatten(0, 1)
        image = grid(pairs, n_columns=2 * N_SHOWN)
        caption = "Samples, each beside the training example that is nearest to it."
        return captioned(picture(image, "Samples beside training examples"), caption)
    if words is not None:
        texts = zip(words.texts(drawn[:N_ROWS]), words.texts(nearest[:N_ROWS]), strict=True)
        return table(("sample", "nearest training example"), list(texts), "texts")
    if not view.run.spec.has_rows:
        return ""
    columns = shown_columns(view, range(min(N_COLUMNS, spec.dim)))
    rows = []
    for pair in zip(drawn[:N_ROWS], nearest[:N_ROWS], strict=True):
        for name, x in zip(("sample", "nearest"), pair, strict=True):
            rows.append((name, *(one.text(float(x[one.place])) for one in columns)))
    head = ("", *(one.name for one in columns))
    return details("Samples, each above its nearest training row", table(head, rows))
