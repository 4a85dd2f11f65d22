"""Sections of images and text: samples, reconstructions, walks through the latent space."""

from collections.abc import Iterator
from html import escape

import torch

from reparam.batch import in_chunks
from reparam.evaluation.latents.activity import interpolate
from reparam.pictures import grid, is_picturable, side_by_side
from reparam.report.section import Section, picture
from reparam.report.view import View

N_SAMPLES, N_PAIRS, N_PATHS, N_STEPS = 64, 16, 6, 10
"""The numbers of samples, of reconstructions, of paths, and of points of each path."""

N_DIMENSIONS, REACH = 8, 2.5
"""The number of dimensions that are walked along, and how far, in standard deviations of codes."""


def samples(view: View) -> Iterator[Section]:
    """Yield samples."""
    if not view.generates or not is_picturable(view.run.spec):
        return
    drawn = view.sampled(N_SAMPLES, mean=True)
    yield Section(
        "samples",
        "Samples",
        "New images: the decoded means of codes that are drawn from the prior.",
        picture(grid(drawn, min_side=480), f"{N_SAMPLES} samples of the model"),
    )


def reconstructions(view: View) -> Iterator[Section]:
    """Yield inputs beside their reconstructions."""
    if view.latent is None or not is_picturable(view.run.spec):
        return
    some = next(in_chunks(view.held, N_PAIRS))
    codes = view.encoded(some)
    if codes is None:
        return
    pairs = side_by_side(some.x, view.decoded(codes, some.c), min_side=480)
    yield Section(
        "reconstructions",
        "Reconstructions",
        "Images that training did not see, each beside what the decoder makes of its code.",
        picture(pairs, "Inputs beside reconstructions"),
    )


def walks(view: View) -> Iterator[Section]:
    """Yield paths between two images, and steps along single dimensions."""
    codes, held = view.codes, view.held
    if codes is None or not is_picturable(view.run.spec) or held.c is not None or len(codes) < 2:
        return
    n = min(N_PATHS, len(codes) // 2)
    paths = interpolate(codes[:n], codes[n : 2 * n], N_STEPS)
    images = view.decoded(paths.flatten(0, 1))
    yield Section(
        "interpolations",
        "From one image to another",
        "Each row goes along the straight line between the codes of two images. In a good latent "
        "space every image on the way looks like one of the data.",
        picture(grid(images, n_columns=N_STEPS, min_side=480), "Interpolations"),
    )
    order = codes.var(0).argsort(descending=True)[:N_DIMENSIONS]
    steps = torch.linspace(-REACH, REACH, N_STEPS, dtype=codes.dtype)
    middle = codes.mean(0)
    z = middle.repeat(len(order), N_STEPS, 1)
    for row, j in enumerate(order.tolist()):
        z[row, :, j] = middle[j] + steps * codes[:, j].std()
    images = view.decoded(z.flatten(0, 1))
    names = ", ".join(f"z{j}" for j in order.tolist())
    yield Section(
        "traversals",
        "What single dimensions do",
        f"Each row changes one dimension of the mean code and leaves the others: {names}, those "
        "whose codes vary most.",
        picture(grid(images, n_columns=N_STEPS, min_side=480), "Traversals"),
    )


def texts(view: View) -> Iterator[Section]:
    """Yield samples of text, and a walk between two passages."""
    words = view.vocabulary
    if words is None or not view.generates:
        return
    drawn = "".join(f"<pre>{escape(t)}</pre>" for t in words.texts(view.sampled(8, mean=False)))
    yield Section("samples", "Samples", "New text, drawn from the model.", drawn)
    codes = view.codes
    if codes is None or len(codes) < 2 or view.held.c is not None:
        return
    walk = view.decoded(interpolate(codes[:1], codes[1:2], 6)[0])
    lines = "".join(f"<pre>{escape(t)}</pre>" for t in words.texts(walk))
    meaning = "The decoded points between the codes of two passages."
    yield Section("interpolations", "From one passage to another", meaning, lines)
