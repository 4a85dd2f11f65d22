"""The page of an explorer, in NiceGUI: what it shows comes from the other files of this folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import cycle
from typing import Any, get_args

import torch
from nicegui import events, run, ui
from torch import Tensor

from reparam.errors import ReparamError
from reparam.explorer import cells, fragments
from reparam.explorer.explored import N_DIMENSIONS, N_IMPORTANCE, Explored
from reparam.explorer.latent_map import LatentMap
from reparam.explorer.neighbors import Neighbors
from reparam.explorer.newest import Newest
from reparam.explorer.session import Session, classes_of
from reparam.explorer.shown import Format, Looks
from reparam.explorer.uploads import MOST_BYTES, endings, read_upload
from reparam.objectives.corruption import Kind, corruption_of
from reparam.report.latents import N_NAMED_CLASSES, PALETTE

N_NEIGHBORS, N_STEPS = 6, 10
"""The numbers of training examples that are shown, and of points between two examples."""

N_AXES, N_CELLS = 50, 40
"""The largest numbers of dimensions that can be an axis, and of columns that can be imputed."""

PRINCIPAL, DIMENSIONS = "principal components", "two dimensions"


@dataclass(frozen=True)
class Shared:
    """What all pages of one explorer share.

    Arguments:
        explored: The run and its data.
        looks: The appearance of its examples.
        neighbors: The search for near training examples.
    """

    explored: Explored
    looks: Looks
    neighbors: Neighbors


def shared(explored: Explored) -> Shared:
    """Return what all pages of an explorer share."""
    return Shared(explored, Looks(explored), Neighbors(explored))


class Page:
    """One page, of one tab of a browser.

    Arguments:
        shared: What it shares with other pages.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.explored, self.looks = shared.explored, shared.looks
        self.session = Session(shared.explored)
        self.map: LatentMap | None = None
        self.sliders: dict[int, tuple[ui.slider, ui.label]] = {}
        self.seen: Tensor | None = None
        self.path: Tensor | None = None
        self.cleaned: Tensor | None = None
        self.decode = Newest(self._decode)
        self.explain = Newest(self._explain)

    def build(self) -> None:
        """Lay the page out."""
        _head()
        with ui.element("main").classes("explore"):
            self._title()
            if self.session.has_map:
                self._space()
            self._example()
            self._between()
            if self.explored.run.spec.support in ("binary", "unit", "real"):
                self._noise()
            if self.explored.run.spec.is_table and len(self.looks.names) <= N_CELLS:
                self._cells()
        ui.timer(0.05, self._start, once=True)

    async def _start(self) -> None:
        await self._picked()

    # The parts of the page

    def _title(self) -> None:
        view, spec = self.explored.view, self.explored.run.spec
        shape = " × ".join(map(str, spec.shape))
        text = f"{view.variant} on {spec.name}: {spec.support} data of shape {shape}"
        ui.html(f"<h1>{escape(view.name)}</h1><p>{escape(text)}</p>", sanitize=False, tag="header")

    def _space(self) -> None:
        with _section(
            "space",
            "The latent space",
            "A point for the code of each example: move over the map to decode the place under "
            "the pointer, and click a point to pick its example.",
        ):
            self._slice()
            view = self.explored.view
            y = view.held.y
            self.map = LatentMap(
                self._points(),
                None if y is None else y[: self.explored.n_examples].tolist(),
                PALETTE,
                self.looks.kind,
                self.looks.meaning,
                "Map of the latent space: arrow keys move the place, Enter picks an example",
            )
            self.map.on("place", self._moved, throttle=0)
            self.map.on("rest", self._show_values)
            self.map.on("pick", lambda e: self._pick(int(e.args["index"])))
            ui.html(_legend(view.class_names), sanitize=False).classes("legend")
            self._condition()
            with ui.element("div").classes("actions"):
                _button("Mean code", self._go_to_mean)
                if view.generates:
                    _button("Draw z from the prior", self._draw)
                self._downloads(lambda: self.seen, "decoded")
            self._values()

    def _slice(self) -> None:
        """Add the choice of the slice, where there is one."""
        dimensions = self.explored.dimensions[:N_AXES]
        codes = self.explored.codes
        if codes is None or codes.shape[1] <= 2 or len(dimensions) < 2:
            return
        named = {j: f"z{j}" for j in dimensions}
        with ui.element("div").classes("controls"):
            kind = ui.select([PRINCIPAL, DIMENSIONS], value=PRINCIPAL, label="slice along")
            axes = [
                ui.select(named, value=dimensions[i], label=label)
                for i, label in enumerate(("to the right", "upwards"))
            ]
        share = ui.label().classes("meaning")

        async def chosen() -> None:
            is_free = kind.value == DIMENSIONS
            first, second = (axis.value if is_free else None for axis in axes)
            for axis in axes:
                axis.set_visibility(is_free)
            with _told(share):
                self.session.show_plane(first, second)
                names, part = self.session.plane.names, 100 * self.session.plane.share
                share.set_text(f"{names[0]} and {names[1]}: {part:.0f} % of the variance of codes")
                if self.map is not None:
                    self.map.set_points(self._points())
                    await self.decode(0)

        for select in (kind, *axes):
            select.on_value_change(chosen)
        for axis in axes:
            axis.set_visibility(False)
        share.set_text(f"{100 * self.session.plane.share:.0f} % of the variance of codes")

    def _condition(self) -> None:
        """Add the choice of the label and of the covariates, where the decoder is given them."""
        spec, session = self.explored.run.spec, self.session
        self.label: ui.select | None = None
        self.covariates: dict[str, ui.select | ui.number] = {}
        if not session.takes_label and not session.covariates:
            return
        with ui.element("div").classes("controls"):
            if session.takes_label:
                names = dict(enumerate(self.explored.view.class_names))
                self.label = ui.select(names, value=session.label, label="label y")
                self.label.on_value_change(self._condition_changed)
            for name, classes in classes_of(spec.covariates).items():
                if name not in session.covariates:
                    continue
                value: Any = session.covariates[name]
                given: ui.select | ui.number
                if classes:
                    given = ui.select(classes, value=value, label=name)
                else:
                    given = ui.number(name, value=round(value, 4))
                given.on_value_change(self._condition_changed)
                self.covariates[name] = given

    def _values(self) -> None:
        """Add a slider for each of the most active dimensions."""
        shown = self.explored.dimensions[:N_DIMENSIONS]
        with ui.expansion(f"The {len(shown)} most active dimensions").classes("values") as group:
            group.props("default-opened" if len(shown) <= N_DIMENSIONS else "")
            ui.label("Each slider changes one entry of z and leaves the others.").classes("meaning")
            with ui.element("div").classes("sliders"):
                for j in shown:
                    low, high = self.explored.reach(j)
                    step = (high - low) / 200
                    with ui.element("div").classes("slider"):
                        ui.label(f"z{j}")
                        slider = ui.slider(min=low, max=high, step=step, value=float(self.session.z[j]))
                        slider.props(f'aria-label="z{j}"')
                        number = ui.label()
                    slider.on(
                        "update:model-value", self._slider_moved(j), throttle=0.03, args=[None]
                    )
                    self.sliders[j] = slider, number

    def _example(self) -> None:
        with _section(
            "example",
            "An example",
            "What the model makes of one example that training did not see, and how probable it "
            "finds it.",
        ):
            n = self.explored.n_examples
            with ui.element("div").classes("controls"):
                number = ui.number("number", value=0, min=0, max=n - 1, step=1, precision=0)
                number.on("keydown.enter", lambda: self._pick(int(number.value or 0)))
                _button("Show", lambda: self._pick(int(number.value or 0)))
                _button("Another one", lambda: self._pick(int(torch.randint(n, ()))))
            known = ", ".join(endings(self.explored.run))
            with ui.expansion("Upload your own").classes("values"):
                text = f"The first example of a file {known}, of at most {MOST_BYTES / 1e6:.0f} MB."
                ui.label(text).classes("meaning")
                upload = ui.upload(
                    auto_upload=True, on_upload=self._uploaded, max_file_size=MOST_BYTES
                )
                upload.props(f'accept="{known}" flat bordered').classes("upload")
                upload.on_rejected(lambda: self.refused.set_text(_TOO_LARGE))
                self.upload = upload
            self.refused = ui.label().classes("refused").props('role="alert"')
            self.about = ui.html("", sanitize=False).props('aria-live="polite"')
            with ui.element("div").classes("actions"):
                self._downloads(self._reconstruction, "reconstruction")

    def _between(self) -> None:
        if self.explored.codes is None:
            return
        with _section(
            "between",
            "From one example to another",
            "The decoded points between the codes of the two examples that were picked last: A "
            "is the one before, B the last one.",
        ):
            with ui.element("div").classes("controls"):
                self.steps = ui.number("points", value=N_STEPS, min=2, max=30, step=1, precision=0)
                self.steps.on_value_change(self._show_path)
            self.walk = ui.html("", sanitize=False)
            with ui.element("div").classes("actions"):
                self._downloads(lambda: self.path, "path")

    def _noise(self) -> None:
        with _section(
            "noise",
            "Remove noise",
            "The picked example with random noise, and what the model reconstructs from it.",
        ):
            own = corruption_of(self.explored.run.config)
            with ui.element("div").classes("controls"):
                self.noise = ui.select(list(get_args(Kind)), value=own.kind, label="noise")
                self.level = ui.number("level", value=own.level, min=0, max=1, step=0.1)
                for given in (self.noise, self.level):
                    given.on_value_change(self._show_cleaned)
            self.denoised = ui.html("", sanitize=False)
            with ui.element("div").classes("actions"):
                self._downloads(lambda: self.cleaned, "cleaned")

    def _cells(self) -> None:
        with _section(
            "cells",
            "Fill in missing values",
            "Empty some cells of the picked row: the model fills them in given the others, with "
            "90 % intervals from draws.",
        ):
            self.typed: dict[str, ui.input | ui.select] = {}
            with ui.element("div").classes("cells"):
                for name, classes in cells.choices(self.looks).items():
                    cell: ui.input | ui.select
                    if classes:
                        cell = ui.select(classes, label=name, clearable=True)
                    else:
                        cell = ui.input(name).props("clearable")
                    self.typed[name] = cell
            with ui.element("div").classes("actions"):
                _button("Fill in the empty cells", self._fill)
            self.unfilled = ui.label().classes("refused").props('role="alert"')
            self.filled = ui.html("", sanitize=False).props('aria-live="polite"')

    def _downloads(self, values: Callable[[], Tensor | None], name: str) -> None:
        """Add a button for each format of a file."""

        async def save(kind: Format) -> None:
            found = values()
            if found is not None:
                content = await run.io_bound(self.looks.file, found, kind)
                ui.download.content(content, f"{name}.{kind}")

        for kind in self.looks.formats:
            _button(f"Save as {kind.upper()}", lambda kind=kind: save(kind)).props("flat")

    # What happens

    def _points(self) -> list[list[float]]:
        return self.session.points.round(decimals=4).tolist()

    async def _moved(self, event: events.GenericEventArguments) -> None:
        """Decode the place under the pointer."""
        self.session.go(float(event.args["a"]), float(event.args["b"]))
        await self.decode(int(event.args["serial"]))

    async def _decode(self, serial: int) -> None:
        """Show what is decoded at the place; a serial number of 0 if nobody waits for it."""
        session, looks, explored = self.session, self.looks, self.explored
        z, c = session.z, session.condition

        def decoded() -> tuple[Tensor, dict[str, Any]]:
            x = explored.decoded(z, c)
            return x, looks.of(x)

        found = await run.io_bound(decoded)
        if found is None or self.map is None:  # the server stops
            return
        self.seen, look = found[0][None], found[1]
        marks = {"here": session.here, "picked": self._mark(), "before": self._mark_before()}
        self.map.show({"serial": serial, **look, **marks})

    def _mark(self) -> list[float] | None:
        return self.session.picked_point

    def _mark_before(self) -> list[float] | None:
        return self.session.point_before

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
        self.session.draw()
        self._show_values()
        await self.decode(0)

    async def _pick(self, number: int) -> None:
        number = min(max(number, 0), self.explored.n_examples - 1)
        self.session.pick(self.explored.example(number), self._name(number))
        await self._picked()

    def _name(self, number: int) -> str:
        y, names = self.explored.view.held.y, self.explored.view.class_names
        label = -1 if y is None else int(y[number])
        return f"example {number}" + (f", class {names[label]}" if label >= 0 else "")

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        self.upload.reset()
        with _told(self.refused):
            if event.file.size() > MOST_BYTES:
                self.refused.set_text(_TOO_LARGE)
                return
            content = await event.file.read()
            arguments = (self.explored.run, event.file.name, content, self.session.condition)
            example = await run.io_bound(read_upload, *arguments)
            self.session.pick(example, event.file.name)
            await self._picked()

    async def _picked(self) -> None:
        """Show the example that was picked in every part of the page."""
        if self.session.has_map:
            self._show_condition()
            self._show_values()
            await self.decode(0)
        await self.explain(0)

    def _show_condition(self) -> None:
        if self.label is not None:
            self.label.set_value(self.session.label)
        for name, given in self.covariates.items():
            given.set_value(self.session.covariates[name])

    async def _explain(self, _: int) -> None:
        await self._show_example()
        await self._show_path()
        await self._show_cleaned()
        self._show_cells()

    async def _show_example(self) -> None:
        session, explored, looks = self.session, self.explored, self.looks
        picked, name = session.picked, session.name

        def found() -> str:
            pair = [(name, picked.x[0]), ("its reconstruction", explored.reconstructed(picked))]
            parts = fragments.account(explored.account(picked), N_IMPORTANCE)
            near, distance = self.shared.neighbors.of(picked, N_NEIGHBORS)
            by = "entries" if self.shared.neighbors.by_entries else "codes"
            captions = [f"distance {d:.2f}" for d in distance.tolist()]
            title = f"The nearest of {self.shared.neighbors.n_train:,} training examples, by {by}"
            others = fragments.beside(looks, list(zip(captions, near, strict=True)))
            near_html = f"<h3>{title}</h3>{others}" if len(near) else ""
            return fragments.beside(looks, pair) + parts + near_html

        with _told(self.refused):
            html = await run.io_bound(found)
            if html is not None:
                self.about.set_content(html)

    async def _show_path(self) -> None:
        before, picked = self.session.before, self.session.picked
        if self.explored.codes is None:
            return
        if before is None:
            self.walk.set_content('<p class="meaning">Pick a second example first.</p>')
            return
        n_steps = int(self.steps.value or N_STEPS)
        found = await run.io_bound(self.explored.path, before, picked, n_steps)
        if found is not None:
            self.path = found
            names = ["A", *("" for _ in range(len(found) - 2)), "B"]
            self.walk.set_content(
                fragments.beside(self.looks, list(zip(names, found, strict=True)))
            )

    async def _show_cleaned(self) -> None:
        if self.explored.run.spec.support not in ("binary", "unit", "real"):
            return
        picked = self.session.picked
        noise = corruption_of({}, self.noise.value, float(self.level.value or 0))
        found = await run.io_bound(self.explored.denoised, picked, noise)
        if found is None:
            return
        noisy, cleaned = found
        self.cleaned = cleaned[None]
        shown = [("original", picked.x[0]), ("with noise", noisy), ("reconstruction", cleaned)]
        self.denoised.set_content(fragments.beside(self.looks, shown))

    def _show_cells(self) -> None:
        """Put the picked row into the cells."""
        if not self.explored.run.spec.is_table or len(self.looks.names) > N_CELLS:
            return
        for cell, value in zip(
            self.typed.values(), self.looks.values(self.session.picked.x[0]), strict=True
        ):
            cell.set_value(value or None)
        self.filled.set_content("")

    async def _fill(self) -> None:
        typed = {name: str(cell.value or "") for name, cell in self.typed.items()}
        with _told(self.unfilled):
            row = cells.encoded(self.looks, typed)
            if not bool(row.isnan().any()):
                self.unfilled.set_text("No cell is empty: clear one first.")
                return
            found = await run.io_bound(cells.filled, self.looks, row, self.session.condition)
            if found is not None:
                self.filled.set_content(fragments.filled(found))

    def _reconstruction(self) -> Tensor:
        return self.explored.reconstructed(self.session.picked)[None]


_TOO_LARGE = f"The file is not taken: upload one of at most {MOST_BYTES / 1e6:.0f} MB."


@contextmanager
def _section(name: str, title: str, meaning: str) -> Iterator[None]:
    """Add a part of the page with a title and a sentence; what follows within is in it."""
    with ui.element("section").props(f'id="{name}"'):
        head = f'<h2>{title}</h2><p class="meaning">{meaning}</p>'
        ui.html(head, sanitize=False)
        yield


@contextmanager
def _told(label: ui.label) -> Iterator[None]:
    """Show an error of the library as a sentence on the page."""
    label.set_text("")
    try:
        yield
    except ReparamError as error:
        label.set_text(f"{error}.")


def _button(text: str, act: Callable[[], Any]) -> ui.button:
    return ui.button(text, on_click=act).props("no-caps outline dense")


def _legend(classes: Sequence[str]) -> str:
    named = zip(classes[:N_NAMED_CLASSES], cycle(PALETTE), strict=False)
    return "".join(
        f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in named
    )


def _head() -> None:
    """Add the style and the script that the page shares with a report."""
    report, own = files("reparam.report") / "static", files("reparam.explorer") / "static"
    style = (report / "style.css").read_text("utf-8") + (own / "style.css").read_text("utf-8")
    script = (report / "map.js").read_text("utf-8")
    ui.add_head_html(f"<style>{style}</style><script>{script}</script>")
