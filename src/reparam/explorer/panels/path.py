"""The panel of the path between two examples."""

from nicegui import run, ui
from torch import Tensor

from reparam.explorer import fragments
from reparam.explorer.panels.desk import Desk, complaint, downloads, section, told

N_STEPS, MOST_STEPS = 10, 30
"""The numbers of points of a path: at first, and at most."""


class PathPanel:
    """The decoded points between the two examples that were picked last.

    Arguments:
        desk: The state of the page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.path: Tensor | None = None
        with section(
            "between",
            "From one example to another",
            "The decoded points between the codes of the two examples that were picked last: A "
            "is the one before, B the last one.",
        ):
            with ui.element("div").classes("controls"):
                self.steps = ui.number("points", value=N_STEPS, min=2, max=MOST_STEPS)
                self.steps.props("step=1").on_value_change(self.show)
            self.refused = complaint()
            self.walk = ui.html("", sanitize=False)
            downloads(desk.looks, lambda: self.path, "the path", "path")
        desk.follow(self.show)

    async def show(self) -> None:
        """Show the path between the examples that are picked."""
        before, picked = self.desk.session.before, self.desk.session.picked
        if before is None:
            return
        n = min(max(int(self.steps.value or N_STEPS), 2), MOST_STEPS)
        with told(self.refused):
            path = self.desk.explored.path
            found = await run.io_bound(path, before.example, picked.example, n)
            if found is None:
                return
            self.path = found
            names = ["A", *("" for _ in range(n - 2)), "B"]
            shown = list(zip(names, found, strict=True))
            self.walk.set_content(fragments.beside(self.desk.looks, shown))
