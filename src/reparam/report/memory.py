"""How near samples are to training examples, beside how near unseen examples are."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from reparam.pictures import grid, is_picturable
from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.columns import has_rows, shown_columns
from reparam.report.section import Section, captioned, details, picture, svg, table
from reparam.report.view import View

N_COMPARED, FEWEST = 300, 10
"""The largest number of samples whose nearest training examples are found, and the smallest."""

N_SHOWN, N_ROWS, N_COLUMNS = 8, 4, 12
"""The numbers of pictures, and of rows and columns, beside their nearest training examples."""

NEAR = 0.05
"""The share of near samples above which some may be copies; without copies it is about 0.01."""


def memory(view: View) -> Iterator[Section]:
    """Yield the distances of samples, and of held-out examples, to the training examples."""
    spec = view.run.spec
    if not view.generates or view.held_name == "train" or len(view.held) < FEWEST:
        return
    drawn = view.sampled(N_COMPARED, mean=is_picturable(spec))
    train, held = view.train.x, view.held.x[:N_COMPARED]
    distance = _distance(view, train)
    to_train = distance(drawn)
    nearest, of_samples = to_train.argmin(1), to_train.min(1)
    of_held = distance(held).min(1)
    figure = new_figure(7.0, 3.2)
    axes = new_axes(figure)
    farthest = float(np.quantile(np.concatenate([of_samples, of_held]), 0.99)) or 1.0
    edges = np.linspace(0, farthest, 40).tolist()
    axes.hist(of_held, edges, density=True, color=COLORS[4], alpha=0.7, label="unseen examples")
    axes.hist(of_samples, edges, density=True, histtype="step", color=COLORS[0], label="samples")
    axes.set_xlabel(f"distance to the nearest of {len(train):,} training examples")
    axes.set_yticks([])
    axes.legend(frameon=False)
    close = float((of_samples <= np.quantile(of_held, 0.01)).mean())
    error = (close * (1 - close) / len(drawn)) ** 0.5
    what = "share of tokens that differ" if spec.support == "tokens" else "distance"
    body = captioned(
        svg(figure, "Distances to the nearest training example"),
        f"The {what} to the nearest training example. Samples that copy lie far left of the "
        "unseen examples.",
    )
    body += _shown(view, drawn, train[torch.from_numpy(nearest)])
    smooth = " The means of images are smoother than images, and so lie a little nearer."
    yield Section(
        "memory",
        "Does it copy its training examples?",
        f"{100 * close:.1f} ± {100 * error:.1f} % of the samples are as near to a training example "
        f"as the nearest 1 % of unseen examples are: {_verdict(close, float(np.median(of_held)))}."
        + (smooth if is_picturable(spec) else ""),
        body,
    )


def _verdict(close: float, median_of_held: float) -> str:
    if median_of_held == 0:
        return "the unseen examples are copies of training examples too, so that this says nothing"
    return "no sign of copies" if close < NEAR else "some samples may be copies"


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
    if not has_rows(view):
        return ""
    columns = shown_columns(view, range(min(N_COLUMNS, spec.dim)))
    rows = []
    for pair in zip(drawn[:N_ROWS], nearest[:N_ROWS], strict=True):
        for name, x in zip(("sample", "nearest"), pair, strict=True):
            rows.append((name, *(one.text(float(x[one.place])) for one in columns)))
    head = ("", *(one.name for one in columns))
    return details("Samples, each above its nearest training row", table(head, rows))


def _distance(view: View, train: Tensor) -> Callable[[Tensor], NDArray[np.float64]]:
    """Return a function to the distances of examples from the training examples, (N, n_train).

    Rows of a table are compared as the encoder reads them, standardized and with classes one-hot,
    and counts on a logarithmic scale. Of tokens it is the share that differs.
    """
    if view.run.spec.support == "tokens":
        tokens = train.flatten(1).numpy()
        return lambda x: np.asarray(cdist(x.flatten(1).numpy(), tokens, "hamming"))
    model = view.latent
    reads = model is not None and has_rows(view)

    def vectors(x: Tensor) -> NDArray[np.float64]:
        if reads and model is not None:
            x = model.as_input(x.to(next(model.parameters()).device)).cpu()
        return np.asarray(x.flatten(1).double().nan_to_num(0.0).numpy())

    of_train = vectors(train)
    return lambda x: np.asarray(cdist(vectors(x), of_train))
