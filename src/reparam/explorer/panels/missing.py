"""The panel of missing values: cells of a row are emptied, and filled in by the model."""

from nicegui import run, ui

from reparam.explorer import cells, fragments
from reparam.explorer.panels.desk import Desk, button, complaint, section, told

MOST_COLUMNS = 40
"""The largest number of columns of a table whose rows have the panel."""


class MissingPanel:
    """The picked row of a table, as cells that can be changed and emptied.

    Arguments:
        desk: The state of the page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.typed: dict[str, ui.input | ui.select] = {}
        with section(
            "missing",
            "Fill in missing values",
            "Empty some cells of the picked row: the model fills them in given the others, with "
            "90 % intervals.",
        ):
            with ui.element("div").classes("cells"):
                for name, classes in cells.choices(desk.explored).items():
                    if classes:
                        self.typed[name] = ui.select(classes, label=name, clearable=True)
                    else:
                        self.typed[name] = ui.input(name).props("clearable")
            with ui.element("div").classes("actions"):
                button("Fill in the empty cells", self._fill)
            self.refused = complaint()
            self.filled = ui.html("", sanitize=False).props('aria-live="polite"')
        desk.follow(self.show)

    async def show(self) -> None:
        """Put the picked row into the cells."""
        values = self.desk.looks.values(self.desk.session.picked.example.x[0])
        for cell, value in zip(self.typed.values(), values, strict=True):
            cell.set_value(value or None)
        self.filled.set_content("")

    async def _fill(self) -> None:
        looks, c = self.desk.looks, self.desk.session.condition
        typed = {name: str(cell.value or "") for name, cell in self.typed.items()}
        with told(self.refused):
            row = cells.encoded(self.desk.explored, typed)
            if not bool(row.isnan().any()):
                self.refused.set_text("No cell is empty: clear one first.")
                return
            found = await run.io_bound(cells.filled, looks, row, c)
            if found is not None:
                self.filled.set_content(fragments.filled(found))
