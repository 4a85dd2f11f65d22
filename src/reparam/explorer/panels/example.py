"""The panel of one example: reconstruction, parts of the ELBO, nearest training examples."""

from random import randrange

from nicegui import events, run, ui
from torch import Tensor

from reparam.explorer import fragments
from reparam.explorer.panels.desk import Desk, button, complaint, downloads, section, told
from reparam.explorer.uploads import MOST_BYTES, endings, read_upload

N_NEIGHBORS = 6
"""The number of training examples that are shown."""

_SIZE = f"{MOST_BYTES / 1e6:.0f} MB"
_TOO_LARGE = f"The file is not taken: upload one of at most {_SIZE}."


class ExamplePanel:
    """The example that is picked.

    Arguments:
        desk: The state of the page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        last = desk.explored.n_examples - 1
        with section(
            "example",
            "An example",
            "What the model makes of one of the examples of the map, and how probable it finds it.",
        ):
            with ui.element("div").classes("controls"):
                self.number = ui.number(f"number, 0 to {last}", value=0, min=0, max=last)
                self.number.props("step=1").on("keydown.enter", self._pick)
                button("Pick", self._pick)
                button("Pick another one at random", self._pick_any)
            self._upload()
            self.refused = complaint()
            self.about = ui.html("", sanitize=False).props('aria-live="polite"')
            downloads(desk.looks, self._reconstruction, "the reconstruction", "reconstruction")
        desk.follow(self.show)

    def _upload(self) -> None:
        known = ", ".join(endings(self.desk.explored.run))
        with ui.expansion("Upload your own").classes("values"):
            text = f"The first example of a file {known}, of at most {_SIZE}."
            ui.label(text).classes("meaning")
            self.upload = ui.upload(
                auto_upload=True, on_upload=self._uploaded, max_file_size=MOST_BYTES
            )
            self.upload.props(f'accept="{known}" flat bordered').classes("upload")
            self.upload.on_rejected(lambda: self.refused.set_text(_TOO_LARGE))

    async def _pick(self) -> None:
        await self.desk.pick_number(int(self.number.value or 0))

    async def _pick_any(self) -> None:
        number = randrange(self.desk.explored.n_examples)
        self.number.set_value(number)
        await self.desk.pick_number(number)

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        self.upload.reset()
        with told(self.refused):
            if event.file.size() > MOST_BYTES:
                self.refused.set_text(_TOO_LARGE)
                return
            content, name = await event.file.read(), event.file.name
            c = self.desk.session.condition
            example = await run.io_bound(read_upload, self.desk.explored.run, name, content, c)
            if example is not None:
                await self.desk.pick(example, name)

    async def show(self) -> None:
        """Show the example that is picked."""
        picked = self.desk.session.picked
        if picked.number is not None:
            self.number.set_value(picked.number)
        with told(self.refused):
            found = await run.io_bound(self._described)
            if found is not None:
                self.about.set_content(found)

    def _described(self) -> str:
        """Return the example, its parts of the ELBO and its neighbors, as HTML."""
        desk, explored = self.desk, self.desk.explored
        picked = desk.session.picked
        example = picked.example
        pair = [(picked.name, example.x[0]), ("reconstruction", explored.reconstructed(example))]
        parts = fragments.account(explored.account(example))
        near, distance = desk.neighbors.of(example, N_NEIGHBORS)
        html = fragments.beside(desk.looks, pair, large=True) + parts
        if len(near) == 0:
            return html
        by = "entries" if desk.neighbors.by_entries else "codes"
        captions = [f"distance {d:.2f}" for d in distance.tolist()]
        title = f"The nearest of {desk.neighbors.n_train:,} training examples, by their {by}"
        shown = fragments.beside(desk.looks, list(zip(captions, near, strict=True)))
        return f"{html}<h3>{title}</h3>{shown}"

    def _reconstruction(self) -> Tensor:
        return self.desk.explored.reconstructed(self.desk.session.picked.example)[None]
