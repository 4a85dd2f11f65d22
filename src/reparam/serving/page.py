"""A page for people on what a server answers, made of its OpenAPI description."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from reparam.serving.served import ServedRun

LONGEST = 600
"""The largest number of characters of an example; the end of a longer one is left out."""


def page(said: Mapping[str, Any], runs: Iterable[ServedRun], address: str) -> str:
    """Return the page, as HTML that needs no other file.

    Arguments:
        said: The OpenAPI description.
        runs: The runs.
        address: The address of the server.
    """
    routes = [
        {"path": path, "method": method.upper(), "id": path.rpartition("/")[2], **about}
        for path, methods in said["paths"].items()
        for method, about in methods.items()
    ]
    facts = [run.facts() for run in runs]
    key = "-H 'Authorization: Bearer KEY' " if "security" in said else ""
    about = {"said": said, "routes": routes, "runs": facts, "address": address, "key": key}
    return _template().render(**about, style=_style())


def _shown(example: object) -> str:
    """Return an example as text, without the end of a long one."""
    text = json.dumps(example, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … and so on"


@cache
def _template() -> Template:
    loader = PackageLoader("reparam.serving", "static")
    environment = Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _shown
    return environment.get_template("page.html.j2")


@cache
def _style() -> str:
    """Return the style of the report, which this page shares."""
    return (files("reparam.report") / "static" / "style.css").read_text(encoding="utf-8")
