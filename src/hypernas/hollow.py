"""Modules whose parameters hold no memory, and which are quick to build."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Generator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from hypernas.errors import SpaceError

INITIALISERS = ("kaiming_uniform_", "uniform_", "ones_", "zeros_")
"""what the constructors of torch.nn call"""
COPIED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.Linear, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d, nn.Identity),
)
"""layers of which most networks consist, and which are the same for the same arguments"""

_building = threading.RLock()


@contextlib.contextmanager
def hollow_parameters() -> Generator[None, None, None]:
    """While the block runs, parameters that modules register take no memory (device ``meta``)."""
    register = nn.Module.register_parameter

    def register_hollow(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if isinstance(param, UninitializedParameter):
            raise SpaceError(
                f"the space uses {type(self).__name__}, whose sizes are known only once it has "
                "run; use the layer that is told its sizes"
            )
        if param is not None and not param.is_meta:  # else one that several layers share
            param = _hollow(param)
        register(self, name, param)

    with contextlib.ExitStack() as stack:
        stack.enter_context(_building)
        stack.enter_context(_uncollected())
        for name in INITIALISERS:
            stack.enter_context(replaced(nn.init, name, _unless_hollow(getattr(nn.init, name))))
        stack.enter_context(replaced(nn.Module, "register_parameter", register_hollow))
        for kind in COPIED:
            if kind.__init__ is _CONSTRUCTORS[kind]:  # else a block around this one did it
                stack.enter_context(replaced(kind, "__init__", _copying(kind)))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: object) -> Generator[None, None, None]:
    """While the block runs, an attribute of ``owner`` is ``value``."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextlib.contextmanager
def _uncollected() -> Generator[None, None, None]:
    """While the block runs, no cycles are collected: beside many candidates that takes longest."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def _hollow(parameter: Tensor) -> nn.Parameter:
    empty = torch.empty_like(parameter, device="meta")
    return nn.Parameter(empty, requires_grad=parameter.requires_grad)


def _unless_hollow(initialise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return an initialiser that does not work on tensors that hold nothing."""

    def initialised(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return tensor if tensor.is_meta else initialise(tensor, *args, **kwargs)

    return initialised


# -- layers by copying instead of constructing -----------------------------------------------------

_CONSTRUCTORS: dict[type[nn.Module], Callable[..., None]] = {k: k.__init__ for k in COPIED}


def _copying(kind: type[nn.Module]) -> Callable[..., None]:
    """Return a constructor that copies a layer made before with the same arguments."""

    def construct(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if type(self) is not kind:  # a subclass may change what its constructor calls
            return _CONSTRUCTORS[kind](self, *args, **kwargs)
        try:
            made = _pattern(kind, torch.get_default_dtype(), *args, **kwargs)
        except TypeError:  # arguments that cannot be looked up, or that are wrong
            return _CONSTRUCTORS[kind](self, *args, **kwargs)
        self.__dict__.update((name, _copied(value)) for name, value in made.items())
        self.__dict__["_parameters"] = {
            name: None if parameter is None else nn.Parameter(parameter, parameter.requires_grad)
            for name, parameter in made["_parameters"].items()
        }
        self.__dict__["_buffers"] = {
            name: None if buffer is None else buffer.clone()
            for name, buffer in made["_buffers"].items()
        }
        return None

    return construct


@lru_cache(maxsize=4096, typed=True)
def _pattern(kind: type[nn.Module], _: torch.dtype, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what a new layer holds, for the default type of parameters given."""
    layer = kind.__new__(kind)
    _CONSTRUCTORS[kind](layer, *args, **kwargs)
    return layer.__dict__


def _copied(value: Any) -> Any:
    if isinstance(value, (dict, set, list)):
        return value.copy() if value else type(value)()  # many are empty, and this is quicker
    return value
