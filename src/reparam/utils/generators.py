"""Draws that name no generator, taken from a generator of the thread instead of the global state.

``torch.distributions`` and most layers accept no generator. ``drawing_from`` switches on, for one
thread, a dispatch key that torch leaves free. Under this key, operators that draw get the generator
of the thread. All others pass at no cost, which a ``TorchDispatchMode`` does not offer.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor
from torch._ops import OpOverload
from torch.library import Library, fallthrough_kernel

from reparam.errors import OptionError

TAKE_GENERATOR = (
    "_fused_dropout",
    "_sample_dirichlet",
    "_standard_gamma",
    "bernoulli",
    "bernoulli.out",
    "bernoulli_.Tensor",
    "bernoulli_.float",
    "binomial",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "multinomial",
    "multinomial.out",
    "normal.Tensor_Tensor",
    "normal.Tensor_Tensor_out",
    "normal.Tensor_float",
    "normal.Tensor_float_out",
    "normal.float_Tensor",
    "normal.float_Tensor_out",
    "normal_",
    "poisson",
    "random_",
    "random_.from",
    "random_.to",
    "randperm.generator_out",
    "rrelu_with_noise",
    "rrelu_with_noise.out",
    "rrelu_with_noise_",
    "uniform_",
)
"""The operators that draw and take a generator; all others draw through these."""

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
"""Operators of accelerators whose dropout can only come from the global state."""


class _Own(threading.local):
    """The generators that a thread draws from, by type of device."""

    generators: Mapping[str, Generator] = {}


_own = _Own()


def own_generators() -> Mapping[str, Generator]:
    """Return the generators that this thread draws from, by type of device; empty for none.

    >>> own_generators()
    {}
    """
    return _own.generators


@contextmanager
def drawing_from(*generators: Generator) -> Iterator[None]:
    """Take every draw of this thread that names no generator from one of these.

    Arguments:
        generators: At most one for each type of device. Draws on other devices keep to the global
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
    # A process that is forked inside a context, as the workers of a DataLoader are, must not repeat
    # the draws of its parent.
    _own.generators = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

# No backend and no transform of torch uses this key, which comes before autograd and autocast.
_KEY_NAME = "TESTING_ONLY_GenericMode"
_KEY = torch._C._dispatch_key_parse(_KEY_NAME)
_BELOW = torch._C.DispatchKeySet(_KEY)
_RECORDING = torch._C._TorchDispatchModeKey.PROXY


def _generator_for(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Generator | None:
    """Return the generator of this thread for the device of an operator's first tensor."""
    # A recorded graph, as of torch.compile, must not hold on to the generator of one context.
    if torch._C._get_dispatch_mode(_RECORDING) is not None:
        return None
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            return _own.generators.get(value.device.type)
    return None


def _with_generator(op: OpOverload) -> Callable[..., Any]:
    place = [argument.name for argument in op._schema.arguments].index("generator")

    def draw(*args: Any, **kwargs: Any) -> Any:
        given = args[place] if place < len(args) else kwargs.get("generator")
        kwargs["generator"] = _generator_for(args, kwargs) if given is None else given
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            return op(*args[:place], **kwargs)

    return draw


def _without_dropout(op: OpOverload) -> Callable[..., Any]:
    names = [argument.name for argument in op._schema.arguments]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        dropout = given.get("dropout_p", given.get("dropout", 0.0))
        if dropout and given.get("train", True) and _generator_for(args, kwargs) is not None:
            raise OptionError(
                f"dropout={dropout:g} inside {op}: this operator draws from the global random "
                "state, so no seed can be given to it; use a torch.nn.Dropout of its own, or "
                "model.eval()"
            )
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            return op(*args, **kwargs)

    return call


def _native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """Return what ``aten::native_dropout`` returns, by operators that take a generator."""
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
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return what ``aten::scaled_dot_product_attention`` returns, with dropout that can be seeded.

    The fused operators of accelerators draw their dropout from the global state.
    """
    options = {"scale": scale, "enable_gqa": enable_gqa}
    values = (query, key, value, attn_mask, dropout_p, is_causal)
    if dropout_p:
        return torch.ops.aten._scaled_dot_product_attention_math(*values, **options)[0]
    with torch._C._ExcludeDispatchKeyGuard(_BELOW):
        return torch.ops.aten.scaled_dot_product_attention(*values, **options)


def _register() -> tuple[Library, Library]:
    """Return the libraries that hold what the operators do under the key."""
    others, aten = Library("_", "IMPL"), Library("aten", "IMPL")
    others.fallback(fallthrough_kernel, _KEY_NAME)
    for names, kernel in ((TAKE_GENERATOR, _with_generator), (FUSED_DROPOUT, _without_dropout)):
        for name in names:
            operator, _, overload = name.partition(".")
            packet = getattr(torch.ops.aten, operator, None)  # not every torch has all of them
            if packet is not None:
                op = getattr(packet, overload or "default")
                aten.impl(op, kernel(op), _KEY_NAME)
    aten.impl("native_dropout", _native_dropout, _KEY_NAME)
    aten.impl("scaled_dot_product_attention", _attention, _KEY_NAME)
    return others, aten


# What is registered lives as long as these.
_LIBRARIES = _register()
