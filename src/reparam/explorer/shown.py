"""How an example looks on the page, and as a file: a picture, a row of named values, or a text."""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from torch import Tensor

from reparam.errors import OptionError
from reparam.explorer.explored import Explored
from reparam.pictures import grid, is_picturable, tile
from reparam.report.columns import names_of
from reparam.report.section import data_uri
from reparam.times import date_text

Kind = Literal["picture", "row", "text"]
Format = Literal["png", "csv", "txt", "npy"]

N_SHOWN = 40
"""The largest number of values of a row that are shown."""


@dataclass(frozen=True)
class Looks:
    """The appearance of the examples of a run.

    Arguments:
        explored: The run and its data.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=20, progress=False)
        >>> looks = Looks(Explored(run, digits))
        >>> looks.kind, looks.formats
        ('picture', ('png', 'npy'))
    """

    explored: Explored

    @property
    def kind(self) -> Kind:
        """What an example is shown as."""
        if is_picturable(self.explored.run.spec):
            return "picture"
        return "row" if self.explored.run.vocabulary is None else "text"

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats of files of examples."""
        known: dict[Kind, Format] = {"picture": "png", "row": "csv", "text": "txt"}
        return (known[self.kind], "npy")

    @property
    def meaning(self) -> str:
        """What is shown of p(x | z)."""
        spec = self.explored.run.spec
        if self.kind == "text":
            return "most likely text of p(x | z)"
        if spec.schema is not None:
            return "decoded p(x | z): mean or median of a quantity, most probable class"
        if spec.support in ("categorical", "tokens"):
            return "most probable values of p(x | z)"
        return "decoded mean of p(x | z)"

    @cached_property
    def names(self) -> list[str]:
        """The names of the values of a row."""
        spec = self.explored.run.spec
        if spec.schema is None and not spec.columns and len(spec.shape) != 1:
            return [f"entry {i}" for i in range(spec.dim)]
        return names_of(self.explored.view)

    def of(self, x: Tensor) -> dict[str, Any]:
        r"""Return what the page shows of one example with shape (\*shape), as plain values."""
        if self.kind == "picture":
            return {"picture": self.picture(x)}
        if self.kind == "text":
            return {"text": self.text(x)}
        values = self.values(x)
        rows = [list(pair) for pair in zip(self.names, values, strict=True)]
        more = len(rows) - N_SHOWN
        return {"rows": rows[:N_SHOWN], "more": f"and {more:,} more" if more > 0 else ""}

    def picture(self, x: Tensor) -> str:
        """Return an image as a PNG of its own size, in an address that holds its bytes."""
        return data_uri(tile(x), optimize=False)

    def text(self, x: Tensor) -> str:
        """Return the text of tokens."""
        words = self.explored.run.vocabulary
        if words is None:
            raise ValueError("a run without a vocabulary has no text")
        return words.decode(x)

    def values(self, x: Tensor) -> list[str]:
        """Return the values of a row as text, in the units of the table; "" where one is missing.

        Arguments:
            x: The row, with any shape.
        """
        schema = self.explored.run.spec.schema
        row = x.double().flatten().numpy()
        if schema is None:
            return ["" if np.isnan(v) else f"{v:.4g}" for v in row]
        return [
            as_text(column.decode(value[None])[0], column.unit, column.decimals, column.zone)
            for column, value in zip(schema.features, row, strict=True)
        ]

    def file(self, x: Tensor, kind: Format) -> bytes:
        r"""Return examples as the bytes of a file.

        Arguments:
            x: The examples, with shape (N, \*shape).
            kind: The format.

        Raises:
            OptionError: A format that these examples do not have.
        """
        if kind not in self.formats:
            raise OptionError(f"kind={kind!r}: these examples are {' or '.join(self.formats)}")
        stream = io.BytesIO()
        if kind == "png":
            grid(x).save(stream, format="PNG", optimize=True)
        elif kind == "npy":
            np.save(stream, x.numpy(), allow_pickle=False)
        elif kind == "txt":
            stream.write("\n".join(self.text(row) for row in x).encode())
        else:
            from pyarrow import csv

            csv.write_csv(self._frame(x), stream)
        return stream.getvalue()

    def _frame(self, x: Tensor) -> Any:
        """Return rows as a table of Arrow."""
        if self.explored.run.spec.schema is not None:
            return self.explored.run.to_table(x)
        import pyarrow as pa

        columns = x.flatten(1).numpy().T
        return pa.table(dict(zip(self.names, columns, strict=True)))


def as_text(value: Any, unit: str = "s", decimals: int | None = None, zone: str = "") -> str:
    """Return one value of a table as text; "" for a missing one.

    Arguments:
        value: The value.
        unit: The unit of a date, as NumPy writes it.
        decimals: The decimals of a quantity; None for any number of them.
        zone: The zone of a time; "" for none.

    Example:
        >>> as_text(1.5), as_text(1.5, decimals=2), as_text(None)
        ('1.5', '1.50', '')
        >>> as_text(np.datetime64("2024-01-31T00:00"), "D")
        '2024-01-31'
    """
    if isinstance(value, np.datetime64):
        return date_text(value, unit, zone)
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        return f"{value:.6g}" if decimals is None else f"{value:.{max(decimals, 0)}f}"
    return str(value)
