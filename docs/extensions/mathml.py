"""Formulas as MathML, which browsers draw without a script: the pages work without a network.

docutils has the converter. What it lacks of the usual LaTeX is written in the words that it has.
"""

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

ElementTree.register_namespace("", "http://www.w3.org/1998/Math/MathML")
_REWRITTEN = [
    (r"\\dots(?![a-z])", r"\\ldots"),
    (r"\\(big|Big|bigg|Bigg)m?(?![a-z])", r"\\\1l"),
    (r"\\([dt]?frac)\s*(\d)\s*(\d|\\[a-z]+)", r"\\\1{\2}{\3}"),
    (r"\\([dt]frac)\s*(\\[a-z]+)\s*(\d|\\[a-z]+)", r"\\\1{\2}{\3}"),
    (r"\\(begin|end)\{(?:align|gather|equation|split)(?:ed)?\*?\}", r"\\\1{aligned}"),
    (r"\\bm(?![a-z])", r"\\boldsymbol"),
    (r"\\stackrel(?![a-z])", r"\\overset"),
    (r"\\coloneqq", r"\\mathrel{:=}"),
]
_TAG = "{http://www.w3.org/1998/Math/MathML}"
_APPLY = "\u2061"  # between a function and its argument
_LOG = logging.getLogger(__name__)


def mathml(tex: str, *, as_block: bool) -> str:
    """Return a formula as MathML.

    Arguments:
        tex: The formula in LaTeX.
        as_block: Whether it stands on lines of its own.

    Raises:
        MathError: LaTeX that the converter does not know.
    """
    tex = tex.strip()
    for pattern, replacement in _REWRITTEN:
        tex = re.sub(pattern, replacement, tex)
    if as_block and (r"\\" in tex or "&" in tex) and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    try:
        formula = latex2mathml.tex2mathml(tex, as_block=as_block)
    except AttributeError as error:  # from the converter, of a formula that lacks a brace
        raise MathError("a brace or an argument is missing") from error
    root = ElementTree.fromstring(formula.replace("&ApplyFunction;", _APPLY))  # noqa: S314
    _improve(root)
    return ElementTree.tostring(root, encoding="unicode")


def _improve(parent: ElementTree.Element) -> None:
    """Set spaces, bars and braces of the converter's MathML as TeX sets them."""
    for child in parent:
        _improve(child)
    for i, child in reversed(list(enumerate(parent))):
        tag, text = child.tag.removeprefix(_TAG), child.text or ""
        after = parent[i + 1] if i + 1 < len(parent) else None
        if text == _APPLY and after is not None and (after.text or "") not in tuple("([{|"):
            parent.insert(i + 1, ElementTree.Element(f"{_TAG}mspace", width="0.17em"))
        elif tag == "mo" and text in ("‖", "∣"):
            child.attrib.update(stretchy="false", lspace="0.2em", rspace="0.2em")
        elif tag == "mover" and child[1].text == "_":
            child.tag = f"{_TAG}mrow"
            child.attrib = {"class": "overline"}
            child.remove(child[1])
        elif tag in ("msub", "msup") and len(child[0]) > 1 and child[0][1].text in ("⏟", "⏞"):
            # The words of a brace are centered at it.
            child.tag = f"{_TAG}{'munder' if tag == 'msub' else 'mover'}"


def _written(translator: HTML5Translator, node: nodes.Element, as_block: bool) -> None:
    tex = node.astext()
    try:
        formula = mathml(tex, as_block=as_block)
    except MathError as error:
        _LOG.warning("no MathML for the formula %r: %s", tex, error, location=node)
        formula = f"<code>{translator.encode(tex)}</code>"
    tag = "div" if as_block else "span"
    # A wide formula scrolls in its own place, by the keyboard too.
    focus = ' tabindex="0"' if as_block else ""
    translator.body.append(f'<{tag} class="math"{focus}>{formula}</{tag}>')
    raise nodes.SkipNode


def visit_inline(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula within a line."""
    _written(translator, node, as_block=False)


def visit_block(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula on lines of its own."""
    _written(translator, node, as_block=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
