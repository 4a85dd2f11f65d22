"""The page: its title, the panels that apply to the run, its style and its script."""

from html import escape
from importlib.resources import files

from nicegui import ui

from reparam.explorer.neighbors import Neighbors
from reparam.explorer.panels.desk import Desk
from reparam.explorer.panels.example import ExamplePanel
from reparam.explorer.panels.missing import MOST_COLUMNS, MissingPanel
from reparam.explorer.panels.noise import NoisePanel
from reparam.explorer.panels.path import PathPanel
from reparam.explorer.panels.space import SpacePanel
from reparam.explorer.session import Session
from reparam.explorer.shown import Looks


def build(looks: Looks, neighbors: Neighbors) -> None:
    """Lay out a page with a session of its own.

    Arguments:
        looks: The run, its data, and the appearance of its examples.
        neighbors: The search for near training examples.
    """
    desk = Desk(looks, neighbors, Session(looks.explored))
    spec, view = looks.explored.run.spec, looks.explored.view
    _head()
    with ui.element("main").classes("explore"):
        text = f"{view.variant} on {spec.name}: {spec.words}"
        ui.html(f"<h1>{escape(view.name)}</h1><p>{escape(text)}</p>", sanitize=False, tag="header")
        if desk.session.has_map:
            SpacePanel(desk)
        ExamplePanel(desk)
        if desk.session.has_map and desk.session.before is not None:
            PathPanel(desk)
        if spec.support in ("binary", "unit", "real"):
            NoisePanel(desk)
        if spec.schema is not None and len(looks.names) <= MOST_COLUMNS:
            MissingPanel(desk)
    ui.timer(0, desk.show, once=True)


def _head() -> None:
    """Add the style that the page shares with a report, its own, and the script of the map."""
    report, own = files("reparam.report") / "static", files("reparam.explorer") / "static"
    style = (report / "style.css").read_text("utf-8") + (own / "style.css").read_text("utf-8")
    script = (own / "map.js").read_text("utf-8")
    ui.add_head_html(f"<style>{style}</style><script>{script}</script>")
