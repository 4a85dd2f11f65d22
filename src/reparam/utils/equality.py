"""Equality of what holds tensors: ``==`` is one answer, by value, and never an error."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from numbers import Real
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar
from weakref import ref

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

Holder = TypeVar("Holder", bound=type)

_NAMED = (FunctionType, BuiltinFunctionType, MethodType, type)
"""What goes by its name, and not by its attributes."""


def by_value(holder: Holder) -> Holder:
    """Let a class that holds tensors be compared by its values; it has no hash then.

    Example:
        >>> import torch
        >>> from dataclasses import dataclass
        >>> @by_value
        ... @dataclass(frozen=True)
        ... class Holds:
        ...     x: Tensor
        >>> Holds(torch.ones(2)) == Holds(torch.ones(2)), Holds(torch.ones(2)) == 1
        (True, False)
    """

    def equal(self: Any, other: object) -> bool:
        return same(self, other)

    def unequal(self: Any, other: object) -> bool:
        return not same(self, other)

    # A tuple has an answer of its own to both questions.
    for name, method in (("__eq__", equal), ("__ne__", unequal), ("__hash__", None)):
        setattr(holder, name, method)
    return holder


def same(first: Any, second: Any, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Return whether two things have the same values; NaN is the same as NaN.

    Tensors have the same type, shape and entries. What has no ``==`` of its own, as a module, is
    of the same class with the same attributes.

    Arguments:
        first: Anything.
        second: Anything.
        seen: The pairs that are being compared, for things that hold themselves.

    Example:
        >>> from torch import nan, nn, tensor
        >>> same({"x": [tensor(nan)]}, {"x": [tensor(nan)]})
        True
        >>> same(nn.Linear(1, 1), nn.Linear(1, 1))
        False
    """
    pair = (id(first), id(second))
    if first is second or pair in seen:
        return True
    if isinstance(first, Real) and isinstance(second, Real):
        return bool(first == second) or bool(first != first and second != second)
    if type(first) is not type(second):
        return False
    seen |= {pair}
    if isinstance(first, Tensor):
        return _same_tensors(first, second)
    if isinstance(first, np.ndarray):
        is_float = first.dtype.kind in "fc"
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=is_float)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[k], second[k], seen) for k in first)
    if isinstance(first, list | tuple):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(same(a, b, seen) for a, b in pairs)
    parts = _parts(first)
    return bool(first == second) if parts is None else same(parts, _parts(second), seen)


def _same_tensors(first: Tensor, second: Tensor) -> bool:
    if first.layout != torch.strided or first.is_nested or first.is_meta:
        return False  # they have no values to compare here, unless they are one and the same
    if (first.dtype, first.shape, first.device) != (second.dtype, second.shape, second.device):
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def _parts(thing: Any) -> Any:
    """Return what makes a thing what it is; None for one whose own ``==`` is to decide."""
    if is_dataclass(thing):
        return [getattr(thing, field.name) for field in fields(thing) if field.compare]
    if isinstance(thing, partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, ref):
        return [thing()]
    if isinstance(thing, Module):
        # Hooks have numbers that count all hooks of the process.
        return {k: list(v.values()) if k.endswith("_hooks") else v for k, v in vars(thing).items()}
    kind: Any = type(thing)
    is_bare = kind.__eq__ is object.__eq__ and hasattr(thing, "__dict__")
    return vars(thing) if is_bare and not isinstance(thing, _NAMED) else None
