"""The panel of noise: an example is corrupted, and reconstructed."""

from typing import get_args

from nicegui import run, ui
from torch import Tensor

from reparam.explorer import fragments
from reparam.explorer.panels.desk import Desk, complaint, downloads, section, told
from reparam.objectives.corruption import Kind, corruption_of


class NoisePanel:
    """The picked example with noise, and its reconstruction.

    Arguments:
        desk: The state of the page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.cleaned: Tensor | None = None
        own = corruption_of(desk.explored.run.config)
        with section(
            "noise",
            "Remove noise",
            "The picked example with random noise, and what the model reconstructs from it.",
        ):
            with ui.element("div").classes("controls"):
                self.kind = ui.select(list(get_args(Kind)), value=own.kind, label="noise")
                self.level = ui.number("level", value=own.level, min=0, max=1, step=0.1)
                for given in (self.kind, self.level):
                    given.on_value_change(self.show)
            self.refused = complaint()
            self.denoised = ui.html("", sanitize=False)
            downloads(desk.looks, lambda: self.cleaned, "the reconstruction", "denoised")
        desk.follow(self.show)

    async def show(self) -> None:
        """Show the picked example with noise, and its reconstruction."""
        example = self.desk.session.picked.example
        with told(self.refused):
            noise = corruption_of({}, self.kind.value, float(self.level.value or 0))
            found = await run.io_bound(self.desk.explored.denoised, example, noise)
            if found is None:
                return
            noisy, cleaned = found
            self.cleaned = cleaned[None]
            shown = [("original", example.x[0]), ("with noise", noisy), ("reconstruction", cleaned)]
            self.denoised.set_content(fragments.beside(self.desk.looks, shown, large=True))
