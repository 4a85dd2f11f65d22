"""What the panels of one page share: the run, the session, and small pieces of a page."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nicegui import run, ui
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import ReparamError
from reparam.explorer.explored import Explored
from reparam.explorer.neighbors import Neighbors
from reparam.explorer.panels.newest import Newest
from reparam.explorer.session import Session
from reparam.explorer.shown import Format, Looks


@dataclass
class Desk:
    """The state of one page, and the panels that follow it.

    Arguments:
        looks: The run, its data, and the appearance of its examples.
        neighbors: The search for near training examples.
        session: The place and the examples that are picked.
    """

    looks: Looks
    neighbors: Neighbors
    session: Session
    _followers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tell: Newest[None] = Newest(self._told_all)

    @property
    def explored(self) -> Explored:
        """The run and its data."""
        return self.looks.explored

    def follow(self, show: Callable[[], Awaitable[None]]) -> None:
        """Call a function whenever another example is picked."""
        self._followers.append(show)

    async def pick_number(self, number: int) -> None:
        """Pick an example of the map; the nearest number where it does not exist."""
        number = min(max(number, 0), self.explored.n_examples - 1)
        await run.io_bound(self.session.pick_number, number)
        await self.show()

    async def pick(self, example: Batch, name: str) -> None:
        """Pick an example of the user's own."""
        await run.io_bound(self.session.pick, example, name)
        await self.show()

    async def show(self) -> None:
        """Let every panel show the example that is picked."""
        await self._tell(None)

    async def _told_all(self, _: None) -> None:
        for show in self._followers:
            await show()


@contextmanager
def section(name: str, title: str, meaning: str) -> Iterator[None]:
    """Add a part of the page; what follows within is in it.

    Arguments:
        name: Its anchor.
        title: Its title.
        meaning: A sentence that says what is shown.
    """
    with ui.element("section").props(f'id="{name}"'):
        ui.html(f'<h2>{title}</h2><p class="meaning">{meaning}</p>', sanitize=False)
        yield


def complaint() -> ui.label:
    """Add a place for the sentence of an error."""
    return ui.label().classes("refused").props('role="alert"')


@contextmanager
def told(place: ui.label) -> Iterator[None]:
    """Show an error of the library as a sentence on the page."""
    place.set_text("")
    try:
        yield
    except ReparamError as error:
        place.set_text(f"{error}.")


def button(text: str, act: Callable[[], Any]) -> ui.button:
    """Add a button."""
    return ui.button(text, on_click=act).props("no-caps outline dense")


def downloads(looks: Looks, values: Callable[[], Tensor | None], what: str, name: str) -> None:
    r"""Add a button for each format of a file.

    Arguments:
        looks: The appearance of examples.
        values: A function that returns the examples, with shape (N, \*shape); None for none yet.
        what: What they are.
        name: The name of the file, without its ending.
    """

    def content(kind: Format) -> bytes | None:
        found = values()
        return None if found is None else looks.file(found, kind)

    async def save(kind: Format) -> None:
        found = await run.io_bound(content, kind)
        if found is not None:
            ui.download.content(found, f"{name}.{kind}")

    with ui.element("div").classes("actions meaning"):
        ui.label(f"Save {what} as")
        for kind in looks.formats:
            button(kind.upper(), partial(save, kind))
