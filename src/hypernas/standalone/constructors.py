"""Constructor calls of torch.nn layers and of tensors, proved by calling them."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import nn

from hypernas.errors import GraphError
from hypernas.standalone.literals import literal
from hypernas.standalone.parts import Part

PER_AXIS = {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size"}


def layer(path: str, module: nn.Module) -> Part:
    """Write the constructor call of a torch.nn layer, and prove it by calling it.

    Raises:
        GraphError: the layer is not of torch.nn itself, has hooks, or does not tell its arguments.
    """
    kind = type(module)
    given = {name: _argument(module, name) for name in _arguments(kind)}
    hooks = bool(module._forward_hooks or module._forward_pre_hooks)
    if hooks or getattr(nn, kind.__name__, None) is not kind or not _rebuilds(module, given):
        raise GraphError(
            f"layer {path!r} ({kind.__name__}) cannot be written as a call of torch.nn; "
            "write it out as a module of plain layers, or use the other files of the export"
        )
    usual = {n: literal(p.default) for n, p in _arguments(kind).items() if p.default is not p.empty}
    values = {name: literal(value) for name, value in given.items()}
    return Part(f"nn.{kind.__name__}(", values=values, usual=usual)


@functools.cache
def _arguments(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Return what a layer's constructor takes and a person would write (no deprecated names)."""
    skipped = ("self", "device", "dtype", "args", "kwargs", "min_value", "max_value")
    given = inspect.signature(kind.__init__).parameters
    return {n: p for n, p in given.items() if n not in skipped and not n.startswith("_")}


def _argument(module: nn.Module, name: str) -> Any:
    """Return what the constructor was given for ``name``, or a sentinel that no layer accepts."""
    if isinstance(module, nn.MultiheadAttention) and name in ("bias", "add_bias_kv"):
        return (module.in_proj_bias if name == "bias" else module.bias_k) is not None
    value = getattr(module, name, inspect.Parameter.empty)
    if name == "bias":
        return value is not None or getattr(module, "weight", None) is None
    follows = {"stride": "kernel_size", "kdim": "embed_dim", "vdim": "embed_dim"}.get(name, "")
    default = getattr(_arguments(type(module))[name], "default", None)
    if follows and default is None and value == getattr(module, follows):
        return None  # what the layer itself takes then
    return _collapsed(name, value)


def _collapsed(name: str, value: Any) -> Any:
    """Return 3 for a kernel size of (3, 3)."""
    alike = isinstance(value, tuple) and len(set(value)) == 1
    single = name in PER_AXIS or (name == "normalized_shape" and len(value) == 1)
    return value[0] if alike and single else value


def _rebuilds(module: nn.Module, given: dict[str, Any]) -> bool:
    try:
        with torch.device("meta"):
            again = type(module)(**given)
    except Exception:  # each layer refuses wrong arguments in its own way
        return False
    return _facts(again) == _facts(module)


def _facts(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what two equal layers have in common: settings, and shapes of what they hold."""
    settings = {
        name: _collapsed(name, value)
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training"
    }
    return settings, {name: (t.shape, t.dtype) for name, t in module.state_dict().items()}


def tensor(path: str, root: nn.Module) -> Part:
    """Write a parameter, a buffer or a constant that a container's ``forward`` reads.

    Raises:
        GraphError: a value that is not in the ``state_dict`` is too long to be written.
    """
    value: Any = functools.reduce(getattr, path.split("."), root)
    dtype = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    if isinstance(value, nn.Parameter):
        frozen = "" if value.requires_grad else ", requires_grad=False"
        shape = {"shape": literal(tuple(value.shape))}
        return Part("nn.Parameter(torch.zeros(", f"{dtype}){frozen})", shape)
    register = 'self.register_buffer("{name}", {text}'
    if path in root.state_dict():
        shape = {"shape": literal(tuple(value.shape))}
        return Part("torch.zeros(", f"{dtype})", shape, assign=register + ")")
    if value.numel() > 64:
        raise GraphError(
            f"{path!r} is a tensor of {value.numel()} values that is neither a parameter nor a "
            "saved buffer, and too long for a source file; register it as a buffer"
        )
    values = {"values": literal(value.tolist())}
    return Part("torch.tensor(", f"{dtype})", values, assign=register + ", persistent=False)")
