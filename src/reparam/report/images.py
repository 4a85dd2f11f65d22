"""Sections of images: samples, reconstructions, walks through the latent space."""

from collections.abc import Iterator

import torch
from PIL.Image import Image
from torch import Tensor

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
    spec = view.run.spec
    if not view.generates or not is_picturable(spec):
        return
    if spec.given_covariates and view.source is None:
        return  # covariates are those of examples
    given = ", given the classes in turn" if spec.given_label else ""
    yield Section(
        "samples",
        "Samples",
        f"New images: the decoded means of codes that are drawn from the prior{given}. They should "
        "look like the data, and differ from each other as the data do.",
        picture(sample_grid(view, N_SAMPLES), f"{N_SAMPLES} samples of the model"),
    )


def sample_grid(view: View, n: int) -> Image:
    """Return samples in a square."""
    return grid(view.sampled(n, mean=True), min_side=480)


def reconstructions(view: View) -> Iterator[Section]:
    """Yield inputs beside their reconstructions."""
    if view.latent is None or not is_picturable(view.run.spec):
        return
    some = next(in_chunks(view.held, N_PAIRS))
    codes = view.encoded(some)
    if codes is None:
        return
    pairs = side_by_side(some.x, view.decoded(codes, some.c), min_side=480)
    unseen = "Training images" if view.held_name == "train" else "Images that training did not see"
    yield Section(
        "reconstructions",
        "Reconstructions",
        f"{unseen}, each above what the decoder makes of its code. What is lost is not in the "
        "code.",
        picture(pairs, "Inputs above their reconstructions"),
    )


def interpolations(view: View) -> Iterator[Section]:
    """Yield paths between two images."""
    codes, examples = view.codes, view.shown
    if codes is None or not view.reconstructs or not is_picturable(view.run.spec):
        return
    n = min(N_PATHS, len(codes) // 2)
    paths = interpolate(codes[:n], codes[n : 2 * n], N_STEPS)
    c = None if examples.c is None else examples.c[:n].repeat_interleave(N_STEPS, 0)
    images = view.decoded(paths.flatten(0, 1), c)
    given = "" if c is None else " The condition is that of the image on the left."
    yield Section(
        "interpolations",
        "From one image to another",
        "Each row goes along the straight line between the codes of two images. In a good latent "
        f"space every image on the way looks like one of the data.{given}",
        picture(grid(images, n_columns=N_STEPS, min_side=480), "Interpolations of pairs of images"),
    )


def traversals(view: View) -> Iterator[Section]:
    """Yield steps along single dimensions."""
    codes = view.codes
    if codes is None or not view.reconstructs or not is_picturable(view.run.spec):
        return
    order = view.active[:N_DIMENSIONS]
    z, c = traversal(view, codes, order, N_STEPS)
    images = view.decoded(z.flatten(0, 1), c)
    names = ", ".join(f"z{j}" for j in order)
    given = "" if c is None else " The condition is that of the example nearest to the mean code."
    yield Section(
        "traversals",
        "What single dimensions do",
        f"Each row changes one dimension of the mean code from -{REACH} to {REACH} standard "
        f"deviations and leaves the others: {names}, those whose codes vary most.{given}",
        picture(grid(images, n_columns=N_STEPS, min_side=480), "Traversals of single dimensions"),
    )


def traversal(
    view: View, codes: Tensor, order: list[int], n_steps: int
) -> tuple[Tensor, Tensor | None]:
    """Return the mean code with one dimension changed in steps, and a condition for each.

    Arguments:
        view: The run.
        codes: The codes of the examples that are shown, with shape (N, D).
        order: The dimensions.
        n_steps: The number of steps.

    Returns:
        Codes with shape (len(order), n_steps, D), and conditions (len(order) n_steps, C).
    """
    middle, c = codes.mean(0), view.shown.c
    steps = torch.linspace(-REACH, REACH, n_steps, dtype=codes.dtype)
    z = middle.repeat(len(order), n_steps, 1)
    for row, j in enumerate(order):
        z[row, :, j] = middle[j] + steps * codes[:, j].std()
    if c is None:
        return z, None
    nearest = (codes - middle).square().sum(1).argmin()
    return z, c[nearest].expand(len(order) * n_steps, -1)
