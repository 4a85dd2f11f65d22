"""Scalars and pictures for TensorBoard."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.training.events import Callback, Event
from reparam.utils.files import write_error

if TYPE_CHECKING:
    from PIL.Image import Image


class TensorBoard(Callback):
    """Write the scalars of every row, each under its split, and the pictures that it receives.

    Arguments:
        folder: The folder of the event files.
        stack: The context that closes the files when it is left.
        warn: A function that receives a warning where TensorBoard cannot open the folder.
    """

    def __init__(self, folder: Path, stack: ExitStack, warn: Callable[[str], None]) -> None:
        self._folder, self._stack, self._warn = folder, stack, warn
        self._writer: Any = None

    def on_start(self, event: Event) -> None:
        """Open the files, without the rows after the current step."""
        from torch.utils.tensorboard import SummaryWriter

        if not _is_utf8(self._folder):
            self._warn(
                "nothing is written for TensorBoard, which cannot open a folder whose name is "
                f"not UTF-8 in this locale: {self._folder}"
            )
            return
        with self._writing():
            self._writer = SummaryWriter(str(self._folder), purge_step=event.step + 1)
        self._stack.callback(self._close)

    def on_log(self, event: Event) -> None:
        """Write the scalars of a row."""
        for name, value in event.row.items() if self._writer is not None else ():
            if name not in ("split", "epoch", "step") and not isinstance(value, str):
                with self._writing():
                    self._writer.add_scalar(f"{name}/{event.row['split']}", value, event.step)

    on_epoch = on_log

    def picture(self, name: str, image: "Image", step: int) -> None:
        """Write a picture."""
        import numpy as np

        if self._writer is None:
            return
        pixels = np.array(image.convert("RGB"))
        with self._writing():
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def _close(self) -> None:
        with self._writing():
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self._folder, error) from error


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
