"""The rows of metrics of a run, in a file of JSON lines."""

from collections.abc import Callable
from pathlib import Path

from reparam.training.events import Callback, Event
from reparam.training.metrics import as_line, read_rows
from reparam.utils.files import write_atomic, write_error


class MetricsFile(Callback):
    """Append every row to a file; at the start, remove the rows after the current step.

    Arguments:
        path: The file.
        warn: A function that receives a warning about damaged rows, which are removed too.

    Raises:
        WriteError: The file cannot be written.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path, self._warn = path, warn

    def on_start(self, event: Event) -> None:
        """Keep the rows up to the step from which training goes on."""
        try:
            kept = [row for row in read_rows(self.path, self._warn) if row["step"] <= event.step]
            write_atomic(self.path, "".join(map(as_line, kept)))
        except OSError as error:
            raise write_error(self.path, error) from error

    def on_log(self, event: Event) -> None:
        """Append the row."""
        if event.row:
            try:
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(as_line(event.row))
            except OSError as error:
                raise write_error(self.path, error) from error

    on_epoch = on_log
