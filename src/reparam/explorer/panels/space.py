"""The panel of the latent space: the map, what is decoded, the sliders and the condition."""

from collections.abc import Callable
from typing import Any

from nicegui import events, run, ui
from torch import Tensor

from reparam.explorer.explored import N_DIMENSIONS
from reparam.explorer.panels.desk import Desk, button, complaint, downloads, section, told
from reparam.explorer.panels.latent_map import LatentMap
from reparam.explorer.panels.newest import Newest
from reparam.explorer.session import classes_of
from reparam.plots.figure import class_colors
from reparam.report.explorer import PALETTE, legend_entries

N_AXES = 50
"""The largest number of dimensions that can be an axis."""

PRINCIPAL, DIMENSIONS = "principal components", "two dimensions"

_SHARE = "{} and {}, which have {:.0f} % of the variance of the codes."


class SpacePanel:
    """The latent space of a run whose codes have a place.

    Arguments:
        desk: The state of the page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.session = desk, desk.session
        self.decode: Newest[int] = Newest(self._decode)
        self.seen: Tensor | None = None
        with section(
            "space",
            "The latent space",
            "A point for the code of each example: move over the map to decode the place under "
            "the pointer, and click a point to pick its example.",
        ):
            self._slice()
            self.map = self._map()
            self.legend = ui.html(legend_entries(self._first_colors()[0]), sanitize=False)
            self.legend.classes("legend")
            self._condition()
            self.refused = complaint()
            with ui.element("div").classes("actions"):
                button("Go to the mean code", self._go_to_mean)
                if desk.explored.view.generates:
                    button("Draw z from the prior", self._draw)
            self._sliders()
            downloads(desk.looks, lambda: self.seen, "what is decoded", "decoded")
        desk.follow(self.show)

    async def show(self) -> None:
        """Show the place and the condition of the picked example."""
        if self.label is not None:
            self.label.set_value(self.session.label)
        for name, given in self.covariates.items():
            value: Any = self.session.covariates[name]
            given.set_value(value)
        self._show_values()
        await self.decode(0)

    # Layout

    def _slice(self) -> None:
        """Add the choice of the plane and of the colors, where there is one."""
        explored = self.desk.explored
        named = {j: f"z{j}" for j in explored.dimensions[:N_AXES]}
        self.axes: list[ui.select] = []
        with ui.element("div").classes("controls"):
            if len(named) > 1 and self.session.z.numel() > 2:
                self.kind = ui.select([PRINCIPAL, DIMENSIONS], value=PRINCIPAL, label="slice along")
                for j, label in zip(named, ("to the right", "upwards"), strict=False):
                    axis = ui.select(named, value=j, label=label)
                    axis.set_visibility(False)
                    self.axes.append(axis)
                for select in (self.kind, *self.axes):
                    select.on_value_change(self._slice_changed)
            colorings = list(explored.colorings)
            if len(colorings) > 1:
                colors = ui.select(colorings, value=colorings[0], label="colors")
                colors.on_value_change(lambda event: self._color(event.value))
        self.share = ui.label().classes("meaning")
        if self.axes:
            self._show_share()

    def _map(self) -> LatentMap:
        looks = self.desk.looks
        found = LatentMap(
            self._points(),
            self._first_colors()[1],
            class_colors(len(self._first_colors()[0]), PALETTE),
            self.session.plane.names,
            looks.kind,
            looks.meaning,
            "Map of the latent space: arrow keys move the place, Enter picks an example",
        )
        found.on("place", self._moved, throttle=0)
        found.on("rest", self._show_values)
        found.on("pick", lambda event: self.desk.pick_number(int(event.args["index"])))
        return found

    def _first_colors(self) -> tuple[list[str], list[int] | None]:
        return next(iter(self.desk.explored.colorings.values()), ([], None))

    def _condition(self) -> None:
        """Add the choice of the label and of the covariates, where the decoder is given them."""
        session = self.session
        self.label: ui.select | None = None
        self.covariates: dict[str, ui.select | ui.number] = {}
        if not session.takes_label and not session.covariates:
            return
        with ui.element("div").classes("controls"):
            if session.takes_label:
                names = dict(enumerate(self.desk.explored.view.class_names))
                self.label = ui.select(names, value=session.label, label="label y")
                self.label.on_value_change(self._condition_changed)
            classes = classes_of(self.desk.explored.run.spec.covariates)
            for name, value in session.covariates.items():
                if classes[name]:
                    self.covariates[name] = ui.select(classes[name], value=value, label=name)
                else:
                    self.covariates[name] = ui.number(name, value=float(value), format="%.4g")
                self.covariates[name].on_value_change(self._condition_changed)

    def _sliders(self) -> None:
        """Add a slider for each of the most active dimensions."""
        explored = self.desk.explored
        self.sliders: dict[int, tuple[ui.slider, ui.label]] = {}
        with ui.expansion("The most active dimensions", value=True).classes("values"):
            ui.label("Each slider changes one entry of z and leaves the others.").classes("meaning")
            with ui.element("div").classes("sliders"):
                for j in explored.dimensions[:N_DIMENSIONS]:
                    low, high = explored.reach(j)
                    with ui.element("div").classes("slider"):
                        ui.label(f"z{j}")
                        slider = ui.slider(min=low, max=high, step=(high - low) / 200)
                        slider.props(f'aria-label="z{j}"')
                        self.sliders[j] = slider, ui.label()
                    # What the user moves; the event of the value would also come from the program.
                    moved = self._slider_moved(j)
                    slider.on("update:model-value", moved, throttle=0.03, args=[None])

    # What happens

    def _points(self) -> list[list[float]]:
        return self.session.points.round(decimals=4).tolist()

    async def _moved(self, event: events.GenericEventArguments) -> None:
        """Decode the place under the pointer."""
        self.session.go(float(event.args["a"]), float(event.args["b"]))
        await self.decode(int(event.args["serial"]))

    async def _decode(self, serial: int) -> None:
        """Show what is decoded at the place.

        Arguments:
            serial: The number of the movement that asks; 0 where the map does not ask.
        """
        session, looks = self.session, self.desk.looks
        with told(self.refused):
            z, c = session.z, session.condition

            def decoded() -> tuple[Tensor, dict[str, Any]]:
                x = self.desk.explored.decoded(z, c)
                return x, looks.of(x)

            found = await run.io_bound(decoded)
            if found is None:  # the server stops
                return
            self.seen = found[0][None]
            answer = {
                **found[1],
                "serial": serial,
                "here": session.here,
                "picked": session.point_of(session.picked),
                "before": session.point_of(session.before),
            }
            self.map.show(answer)

    def _show_values(self) -> None:
        """Set the sliders to the place."""
        z = self.session.z.tolist()
        for j, (slider, number) in self.sliders.items():
            slider.set_value(z[j])
            number.set_text(f"{z[j]:.2f}")

    def _slider_moved(self, dimension: int) -> Callable[[events.GenericEventArguments], Any]:
        async def moved(event: events.GenericEventArguments) -> None:
            value = float(event.args)
            self.session.set(dimension, value)
            self.sliders[dimension][1].set_text(f"{value:.2f}")
            await self.decode(0)

        return moved

    async def _slice_changed(self) -> None:
        is_free = self.kind.value == DIMENSIONS
        first, second = (axis.value if is_free else None for axis in self.axes)
        for axis in self.axes:
            axis.set_visibility(is_free)
        with told(self.refused):
            self.session.show_plane(first, second)
            self._show_share()
            self.map.set_plane(self._points(), self.session.plane.names)
            await self.decode(0)

    def _show_share(self) -> None:
        plane = self.session.plane
        self.share.set_text(_SHARE.format(*plane.names, 100 * plane.share))

    def _color(self, by: str) -> None:
        """Color the points by other classes."""
        names, labels = self.desk.explored.colorings[by]
        self.legend.set_content(legend_entries(names))
        self.map.set_labels(labels, class_colors(len(names), PALETTE))

    async def _condition_changed(self) -> None:
        if self.label is not None:
            self.session.label = int(self.label.value)
        for name, given in self.covariates.items():
            if given.value is not None:
                self.session.covariates[name] = given.value
        await self.decode(0)

    async def _go_to_mean(self) -> None:
        self.session.go_to_mean()
        self._show_values()
        await self.decode(0)

    async def _draw(self) -> None:
        await run.io_bound(self.session.draw)
        self._show_values()
        await self.decode(0)
