"""A section of a report, and the pieces of HTML that it is made of."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from PIL.Image import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of a report with a title.

    Arguments:
        name: Its anchor, in lower case.
        title: Its title.
        meaning: A sentence that says what is shown and how to read it.
        body: Its content, as HTML.
    """

    name: str
    title: str
    meaning: str
    body: str


def svg(figure: "Figure", text: str) -> str:
    """Return a plot as an SVG element.

    Arguments:
        figure: The plot.
        text: What it shows, for readers who do not see it.
    """
    # Letters as letters, which are small, and ids that do not change from run to run.
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "reparam"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawing = stream.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    label = f'<svg role="img" aria-label="{escape(text, quote=True)}" '
    return f'<div class="plot">{drawing.replace("<svg ", label, 1)}</div>'


def picture(image: Image, text: str, css: str = "picture") -> str:
    """Return an image as an element that holds its bytes.

    Arguments:
        image: The image.
        text: What it shows, for readers who do not see it.
        css: Its class.
    """
    return f'<img class="{css}" alt="{escape(text, quote=True)}" src="{data_uri(image)}">'


def data_uri(image: Image, kind: Literal["PNG", "JPEG"] = "PNG", *, optimize: bool = True) -> str:
    """Return an image in a ``data:`` address.

    Arguments:
        image: The image.
        kind: The format; as JPEG the image is smaller, and slightly changed.
        optimize: Whether a PNG is as small as possible; otherwise it is made fast.
    """
    stream = io.BytesIO()
    if kind == "JPEG":
        image.save(stream, format=kind, quality=88)
    else:
        image.save(stream, format=kind, optimize=optimize, compress_level=9 if optimize else 1)
    coded = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{coded}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    """Return a table of texts, which are escaped. The first cell of a row is its title.

    Arguments:
        head: The titles of the columns; those without text for a table without a head.
        rows: The cells.
        css: Its class.
    """
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    top = f"<thead><tr>{titles}</tr></thead>" if any(head) else ""
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f'<div class="wide"><table class="{css}">{top}<tbody>{lines}</tbody></table></div>'


def captioned(body: str, caption: str) -> str:
    """Return a picture or a plot with a sentence below it, which is escaped."""
    return f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"


def sentence(text: str) -> str:
    """Return words as a sentence, with a capital and a full stop.

    >>> sentence("the first two"), sentence("Done.")
    ('The first two.', 'Done.')
    """
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def details(summary: str, body: str) -> str:
    """Return HTML that is hidden until its summary is chosen."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
