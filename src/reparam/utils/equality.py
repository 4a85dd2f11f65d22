"""Equality by value for objects that hold tensors, whose own ``==`` is elementwise."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from numbers import Real
from operator import attrgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar
from weakref import ref

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

Holder = TypeVar("Holder", bound=type)

_NAMED = (FunctionType, BuiltinFunctionType, MethodType, type)
"""The types that are equal only to themselves, whatever their attributes."""


def by_value(holder: Holder) -> Holder:
    """Give a class with tensors an equality by value, and no hash.

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

    def unequal(self: Any, other: object) -> bool:
        return not same(self, other)

    # All three, because a NamedTuple inherits them from tuple.
    for name, method in (("__eq__", same), ("__ne__", unequal), ("__hash__", None)):
        setattr(holder, name, method)
    return holder


def same(first: Any, second: Any, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Return whether two objects have the same values, where NaN equals NaN.

    Tensors are the same if their type, shape and entries are. Objects without an ``==`` of their
    own, such as modules, are the same if their class and attributes are.

    Arguments:
        first: Any object.
        second: Any object.
        seen: The pairs that are being compared, for objects that contain themselves.

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
        return False  # they have no entries to compare
    if (first.dtype, first.shape, first.device) != (second.dtype, second.shape, second.device):
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def _parts(value: Any) -> Any:
    """Return the values that decide the equality of an object; None if its own ``==`` does."""
    if is_dataclass(value):
        return [attrgetter(field.name)(value) for field in fields(value) if field.compare]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, ref):
        return [value()]
    if isinstance(value, Module):
        # The keys of hooks are numbers that are counted over the whole process.
        return {k: list(v.values()) if k.endswith("_hooks") else v for k, v in vars(value).items()}
    kind: Any = type(value)
    has_attributes = kind.__eq__ is object.__eq__ and kind.__dictoffset__ != 0
    return vars(value) if has_attributes and not isinstance(value, _NAMED) else None
