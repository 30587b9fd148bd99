"""Constants and names as Python source."""

from __future__ import annotations

import builtins
import json
import keyword
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from hypernas.errors import GraphError

RESERVED = {"self", "torch", "nn", "F", "math", "operator", *keyword.kwlist, *dir(builtins)}
"""what no variable or argument may be called"""


def literal(value: Any, node: Callable[[fx.Node], str] | None = None) -> str:
    """Write a constant, or a structure of constants and (through ``node``) of graph nodes.

    >>> literal({"size": (3,), "scale": float("inf")})
    '{"size": (3,), "scale": float("inf")}'

    Raises:
        GraphError: the value is of a type that has no literal.
    """
    if isinstance(value, fx.Node) and node:
        return node(value)
    if isinstance(value, tuple | list | dict | slice):
        return _structure(value, node)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if value is Ellipsis:
        return "..."
    plain = bool | int | float | torch.dtype | torch.memory_format | torch.layout
    if value is None or isinstance(value, plain):
        return repr(value)
    raise GraphError(
        f"a value of type {type(value).__name__} cannot be written as source: {value!r}"
    )


def _structure(value: Any, node: Callable[[fx.Node], str] | None) -> str:
    if isinstance(value, dict):
        pairs = (f"{literal(k, node)}: {literal(v, node)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, slice):
        return f"slice{_structure((value.start, value.stop, value.step), node)}"
    items = ", ".join(literal(item, node) for item in value)
    if isinstance(value, list):
        return f"[{items}]"
    return f"({items},)" if len(value) == 1 else f"({items})"


def join(path: str, name: str) -> str:
    """Return the dotted path of a member; the whole network is at the empty one."""
    return f"{path}.{name}" if path else name


def is_name(atom: str) -> bool:
    """Say whether ``atom`` can stand behind a dot."""
    return atom.isidentifier() and not keyword.iskeyword(atom)
