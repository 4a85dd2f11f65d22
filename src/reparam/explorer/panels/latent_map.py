"""The latent map as an element of the page."""

from collections.abc import Sequence
from typing import Any

from nicegui.element import Element


class LatentMap(Element, component="../static/latent_map.js"):
    """The map of codes, which asks for what lies under the pointer: see ``latent_map.js``.

    Its events are ``place`` with a, b and serial, ``rest`` when the pointer rests, and ``pick``
    with the index of an example.

    Arguments:
        points: The points of the examples.
        labels: Their classes, -1 for none; None without labels.
        colors: The colors of the classes.
        axes: The names of the axes to the right and upwards; "" for none.
        kind: ``picture``, ``row`` or ``text``.
        meaning: What is shown beside the map.
        label: What the map is, for readers who do not see it.
    """

    def __init__(
        self,
        points: Sequence[Sequence[float]],
        labels: Sequence[int] | None,
        colors: Sequence[str],
        axes: Sequence[str],
        kind: str,
        meaning: str,
        label: str,
    ) -> None:
        super().__init__()
        self.props["points"] = points
        self.props["labels"] = labels
        self.props["colors"] = colors
        self.props["axes"] = axes
        self.props["kind"] = kind
        self.props["meaning"] = meaning
        self.props["label"] = label

    def set_plane(self, points: Sequence[Sequence[float]], axes: Sequence[str]) -> None:
        """Show the examples at their points on another plane, with the names of its axes."""
        self.props["axes"] = axes
        self.props["points"] = points

    def set_labels(self, labels: Sequence[int] | None, colors: Sequence[str]) -> None:
        """Show the examples in the colors of other classes."""
        self.props["colors"] = colors
        self.props["labels"] = labels

    def show(self, answer: dict[str, Any]) -> None:
        """Show what is decoded at a place, and the marks on the map."""
        self.run_method("show", answer)
