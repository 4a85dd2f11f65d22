"""A section of a report, and the pieces of HTML that it is made of."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

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


def data_uri(image: Image, *, optimize: bool = True) -> str:
    """Return an image as a PNG in a ``data:`` address.

    Arguments:
        image: The image.
        optimize: Whether the PNG is as small as possible; otherwise it is made fast.
    """
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=optimize, compress_level=9 if optimize else 1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    """Return a table of texts, which are escaped."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table class="{css}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
