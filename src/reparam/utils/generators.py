"""Random draws from generators of a thread, in place of torch's global random state.

``torch.distributions`` and most layers take no generator. ``drawing_from`` includes a dispatch key
that torch does not use, for one thread. Under this key, operators that draw are called with the
generator of the thread, and all others as before, at no cost; a ``TorchDispatchMode`` would slow
down every operator.

The dispatch key, its guards and the test for a recording are private functions of torch, for which
torch has no public ones. The kernels belong to the process: a second copy of this module, imported
while the first is alive, cannot register its own and raises ``RuntimeError``. Draws of graphs that
are compiled by ``torch.compile`` come from the global state.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Generator, Tensor
from torch._ops import OpOverload
from torch.library import Library, fallthrough_kernel

from reparam.errors import OptionError

FUSED_DROPOUT = (
    "_cudnn_attention_forward",
    "_cudnn_rnn",
    "_efficient_attention_forward",
    "_flash_attention_forward",
    "_flash_attention_forward_no_dropout_inplace",
    "_lstm_mps",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_triton_scaled_dot_attention",
    "miopen_rnn",
)
"""Operators of accelerators whose dropout is always drawn from the global state."""


class _Own(threading.local):
    """The generators that a thread draws from, by type of device."""

    generators: Mapping[str, Generator] = {}


_own = _Own()


def own_generators() -> Mapping[str, Generator]:
    """Return the generators that this thread draws from, by type of device; {} outside of contexts.

    >>> own_generators()
    {}
    """
    return _own.generators


@contextmanager
def drawing_from(*generators: Generator) -> Iterator[None]:
    """Draw from generators in this thread, wherever no other generator is given.

    Arguments:
        generators: At most one for each type of device. Draws on other devices come from the global
            state.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> with drawing_from(generator):
        ...     torch.rand(3)
        tensor([0.4963, 0.7682, 0.0885])
    """
    before = _own.generators
    _own.generators = {generator.device.type: generator for generator in generators}
    try:
        with torch._C._IncludeDispatchKeyGuard(_KEY):
            yield
    finally:
        _own.generators = before


def _forget() -> None:
    # A process that is forked inside a context, such as a worker of a DataLoader, must not repeat
    # the draws of its parent.
    _own.generators = {}


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)

# No backend and no transform of torch uses this key, which comes before autograd and autocast.
_KEY_NAME = "TESTING_ONLY_GenericMode"
_KEY = torch._C._dispatch_key_parse(_KEY_NAME)
_BELOW = torch._C.DispatchKeySet(_KEY)
_RECORDING = torch._C._TorchDispatchModeKey.PROXY


def _generator_for(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Generator | None:
    """Return the generator of this thread for the device that an operator draws on."""
    # A recorded graph must not keep the generator of one context.
    if torch._C._get_dispatch_mode(_RECORDING) is not None:
        return None
    tensors = (value.device for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    device = kwargs.get("device") or next(tensors, torch.device("cpu"))
    return _own.generators.get(device.type)


def _with_generator(op: OpOverload, seeded: OpOverload) -> Callable[..., Any]:
    """Return the kernel of an operator that calls its overload with a generator."""
    place = [argument.name for argument in seeded._schema.arguments].index("generator")

    def draw(*args: Any, **kwargs: Any) -> Any:
        given = args[place] if place < len(args) else kwargs.pop("generator", None)
        generator = _generator_for(args, kwargs) if given is None else given
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            if generator is None and op is not seeded:
                return op(*args, **kwargs)
            return seeded(*args[:place], generator=generator, **kwargs)

    return draw


def _without_dropout(op: OpOverload) -> Callable[..., Any]:
    """Return the kernel of an operator that refuses dropout, and else calls the operator."""
    names = [argument.name for argument in op._schema.arguments]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        dropout = given.get("dropout_p", given.get("dropout", 0.0))
        if dropout and given.get("train", True) and _generator_for(args, kwargs) is not None:
            raise OptionError(
                f"dropout={dropout:g} inside {op}: this operator draws from the global random "
                "state, so no seed can be given to it; use a separate torch.nn.Dropout, or "
                "model.eval()"
            )
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            return op(*args, **kwargs)

    return call


def _native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """Compute ``aten::native_dropout`` by operators that take a generator."""
    if train is False:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p)
    return x * mask * (0.0 if p == 1 else 1 / (1 - p)), mask


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Tensor:
    """Compute ``aten::scaled_dot_product_attention``, with dropout from the thread's generator.

    The fused operators of accelerators draw their dropout from the global state.
    """
    values = (query, key, value, attn_mask, dropout_p, is_causal)
    if dropout_p:
        return torch.ops.aten._scaled_dot_product_attention_math(*values, **options)[0]
    with torch._C._ExcludeDispatchKeyGuard(_BELOW):
        return torch.ops.aten.scaled_dot_product_attention(*values, **options)


def _overload(operator: str, overload: str) -> OpOverload | None:
    """Return an operator by its name; None where this version of torch does not have it."""
    try:
        return attrgetter(f"{operator}.{overload or 'default'}")(torch.ops.aten)
    except AttributeError:
        return None


def _kernels() -> dict[OpOverload, Callable[..., Any]]:
    """Return the kernel of every operator that draws."""
    kernels: dict[OpOverload, Callable[..., Any]] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, operator = schema.name.partition("::")
        names = [argument.name for argument in schema.arguments]
        if namespace != "aten" or "generator" not in names:
            continue
        seeded = _overload(operator, schema.overload_name)
        # rand.generator is the overload of rand with a generator, and low_generator that of low.
        parts = [part for part in schema.overload_name.split("_") if part != "generator"]
        plain = _overload(operator, "_".join(parts))
        kernels |= {op: _with_generator(op, seeded) for op in (plain, seeded) if op and seeded}
    for name in FUSED_DROPOUT:
        if (op := _overload(name, "")) is not None:
            kernels[op] = _without_dropout(op)
    return kernels


def _register() -> tuple[Library, Library]:
    """Register the kernels of the key; they live as long as the libraries that are returned."""
    others, aten = Library("_", "IMPL"), Library("aten", "IMPL")
    others.fallback(fallthrough_kernel, _KEY_NAME)
    for op, kernel in _kernels().items():
        aten.impl(op, kernel, _KEY_NAME)
    aten.impl("native_dropout", _native_dropout, _KEY_NAME)
    aten.impl("scaled_dot_product_attention", _attention, _KEY_NAME)
    return others, aten


# A reload of the module keeps the kernels, which look the names of the module up again.
_LIBRARIES: tuple[Library, Library] = globals().get("_LIBRARIES") or _register()
