"""Sections of text: samples, reconstructions, and walks through the latent space."""

from collections.abc import Iterator, Sequence
from html import escape

from reparam.batch import in_chunks
from reparam.evaluation.latents.activity import interpolate
from reparam.report.section import Section, table
from reparam.report.view import View

N_SAMPLES, N_PAIRS, N_STEPS = 8, 4, 6
"""The numbers of samples, of reconstructions, and of points of the walk."""


def texts(view: View) -> Iterator[Section]:
    """Yield samples of text."""
    words = view.vocabulary
    if words is None or not view.generates:
        return
    drawn = words.texts(view.sampled(N_SAMPLES, mean=False))
    meaning = "New text, drawn from the model. It should read like the data."
    yield Section("samples", "Samples", meaning, _passages(drawn))


def passages(view: View) -> Iterator[Section]:
    """Yield passages beside their reconstructions, and a walk between two of them."""
    words, codes, examples = view.vocabulary, view.codes, view.shown
    some = next(in_chunks(view.held, N_PAIRS))
    encoded = view.encoded(some)
    if words is None or codes is None or encoded is None or len(codes) < 2:
        return
    made = words.texts(view.decoded(encoded, some.c))
    unseen = "Training passages" if view.held_name == "train" else "Passages that are new to it"
    yield Section(
        "reconstructions",
        "Reconstructions",
        f"{unseen}, each beside what the decoder makes of its code. A decoder that ignores the "
        "code makes the same of each.",
        table(
            ("passage", "reconstruction"),
            list(zip(words.texts(some.x), made, strict=True)),
            "texts",
        ),
    )
    c = None if examples.c is None else examples.c[:1].expand(N_STEPS, -1)
    walk = view.decoded(interpolate(codes[:1], codes[1:2], N_STEPS)[0], c)
    yield Section(
        "interpolations",
        "From one passage to another",
        "The decoded points of the straight line between the codes of two passages. In a good "
        "latent space each reads like the data.",
        _passages(words.texts(walk)),
    )


def _passages(found: Sequence[str]) -> str:
    return "".join(f"<pre>{escape(text)}</pre>" for text in found)
