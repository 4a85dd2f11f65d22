"""The vocabulary of a text: its tokens, characters or bytes, and their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from reparam.errors import DataError, OptionError, unknown

Unit = Literal["characters", "bytes"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""The character shown for one that the training part does not have."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a text and their numbers, from 0 on.

    Arguments:
        unit: A token is one of the ``characters``, or one of the ``bytes`` of UTF-8.
        symbols: The characters in the order of their numbers; all other characters share one
            further number. Bytes are their own numbers, 0 to 255, and have no symbols.

    Raises:
        OptionError: An unknown unit, or a character twice.

    Example:
        >>> vocabulary = Vocabulary.of("a cab")
        >>> vocabulary.encode("bad").tolist(), vocabulary.decode(torch.tensor([3, 1, 2]))
        ([2, 1, 4], 'cab')
    """

    unit: Unit = "bytes"
    symbols: str = ""

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise unknown("unit of text", str(self.unit), get_args(Unit))
        if len(set(self.symbols)) < len(self.symbols):
            raise OptionError(f"symbols={self.symbols!r}: each character may occur only once")

    @classmethod
    def of(cls, text: str, unit: Unit = "characters") -> "Vocabulary":
        """Return the vocabulary of a text: its characters in the order of Unicode, or all bytes."""
        return cls(unit, "".join(sorted(set(text))) if unit == "characters" else "")

    def __len__(self) -> int:
        return 256 if self.unit == "bytes" else len(self.symbols) + 1

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def encode(self, text: str | bytes) -> Tensor:
        """Return the numbers of a text's tokens, int64 with shape (N,)."""
        if self.unit == "bytes":
            stored = text.encode() if isinstance(text, str) else text
            return torch.frombuffer(bytearray(stored), dtype=torch.uint8).long()
        characters = text if isinstance(text, str) else text.decode()
        other = len(self.symbols)
        return torch.tensor([self._numbers.get(symbol, other) for symbol in characters])

    def windows(self, texts: Sequence[str | bytes], length: int, name: str = "text") -> Tensor:
        """Return the first tokens of each text, int64 with shape (N, length).

        Arguments:
            texts: The texts.
            length: The number of tokens that a model reads at once.
            name: The name of a text in messages.

        Raises:
            DataError: A shorter text.

        Example:
            >>> Vocabulary.of("abc").windows(["cab", "abc"], 2)
            tensor([[2, 0],
                    [0, 1]])
        """
        rows = []
        for text in texts:
            tokens = self.encode(text)
            if len(tokens) < length:
                raise DataError(
                    f"{name} has {len(tokens)} {self.unit}: the model reads {length} at once, so "
                    "give as many"
                )
            rows.append(tokens[:length])
        return torch.stack(rows)

    def decode(self, tokens: Tensor) -> str:
        """Return the text of tokens with shape (T,); invalid UTF-8 becomes ``UNKNOWN``."""
        numbers = tokens.long().tolist()
        if self.unit == "bytes":
            return bytes(numbers).decode(errors="replace")
        return "".join((self.symbols + UNKNOWN)[number] for number in numbers)

    def texts(self, tokens: Tensor) -> list[str]:
        """Return the texts of tokens with shape (N, T)."""
        return [self.decode(row) for row in tokens]


def vocabulary_of(options: Mapping[str, Any] | None) -> Vocabulary | None:
    """Return the vocabulary in the recorded options of a data set; None for other data than text.

    >>> vocabulary_of({"name": "text", "unit": "characters", "symbols": "ab"})
    Vocabulary(unit='characters', symbols='ab')
    """
    if not options or "symbols" not in options:
        return None
    return Vocabulary(options["unit"], options["symbols"])
