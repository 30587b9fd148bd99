"""Calls, operators and indices of a ``forward`` as source."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from hypernas.errors import GraphError
from hypernas.standalone.literals import is_name, literal
from hypernas.standalone.nodes import INFIX, same
from hypernas.standalone.scopes import Item, Scope

LEVELS = {"|": 1, "&": 2, "+": 3, "-": 3, "*": 4, "/": 4, "//": 4, "%": 4, "@": 4, "**": 5}
LEVELS |= dict.fromkeys(("<", ">", "<=", ">=", "==", "!="), 0)
"""how much an operator binds; of two alike the left one comes first"""


@dataclass
class Expressions:
    """Writes the values of one container, given what its variables are called."""

    access: Callable[[str], str]
    """from the path of a member to how the container reaches it"""
    names: dict[fx.Node, str] = field(default_factory=dict)
    """the variable, or the expression, that holds a value now"""

    def call(self, item: Item) -> str:
        """Write what computes ``item``."""
        if isinstance(item, Scope):
            return f"{self.access(item.path)}({', '.join(map(self.say, item.inputs))})"
        if item.op == "get_attr":
            return self.access(str(item.target))
        target, args = item.target, item.args
        if target is same:
            return self.say(args[0])
        if target is getattr:
            return f"{self._operand(args[0])}.{args[1]}"
        if target is operator.getitem:
            return f"{self._operand(args[0])}[{self._index(args[1])}]"
        if target in INFIX and len(args) == 2:
            sign, level = INFIX[target], LEVELS[INFIX[target]]
            left = self._operand(args[0], level + (sign not in "+-*/@"))
            return f"{left} {sign} {self._operand(args[1], level + 1)}"
        return self._plain_call(item)

    def say(self, value: Any) -> str:
        """Write a value, a constant, or a structure of both."""
        return literal(value, lambda node: self.names.get(node) or self.call(node))

    def _plain_call(self, node: fx.Node) -> str:
        args, options = list(node.args), dict(node.kwargs)
        if node.op == "call_method":
            head = f"{self._operand(args.pop(0))}.{node.target}"
        elif node.op == "call_module":
            head = self.access(str(node.target))
        elif node.target in _function_names():
            head, options = _function_names()[node.target], _unusual(node.target, options)
        else:
            raise GraphError(
                f"{node.target} is not a function of torch, so it cannot be written as source"
            )
        words = [self.say(value) for value in args]
        words += [f"{name}={self._option(name, value)}" for name, value in options.items()]
        return f"{head}({', '.join(words)})"

    def _option(self, name: str, value: Any) -> str:
        # read in eval mode, where `training=self.training` was False
        return "self.training" if name == "training" and value is False else self.say(value)

    def _operand(self, value: Any, level: int = 9) -> str:
        """Write a value, in parentheses if it binds less than ``level``."""
        text = self.say(value)
        if isinstance(value, int | float) and value < 0:
            return f"({text})"
        infix = isinstance(value, fx.Node) and not is_name(text) and INFIX.get(value.target)
        return f"({text})" if infix and LEVELS[infix] < level else text

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(self._index(item) for item in index) + "," * (len(index) == 1)
        if not isinstance(index, slice):
            return self.say(index)
        start, stop = ("" if v is None else self.say(v) for v in (index.start, index.stop))
        return f"{start}:{stop}" + ("" if index.step is None else f":{self.say(index.step)}")


@functools.cache
def _function_names() -> dict[Any, str]:
    """Return how the source calls each function of torch, the most usual name first."""
    names: dict[Any, str] = {}
    spaces = {"F": F, "torch": torch, "torch.linalg": torch.linalg, "torch.special": torch.special}
    for prefix, space in (spaces | {"math": math, "operator": operator}).items():
        for name, value in vars(space).items():
            if callable(value) and not name.startswith("_"):
                names.setdefault(value, f"{prefix}.{name}")
    return names


def _unusual(function: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments without those that only repeat a default."""
    name = _function_names()[function].removeprefix("F.")
    with_defaults = getattr(F, f"_{name}", function)  # max_pool2d and its kind hide theirs there
    try:
        parameters = inspect.signature(with_defaults).parameters
    except ValueError:
        return given
    usual = {n: p.default for n, p in parameters.items()}
    return {n: v for n, v in given.items() if n == "training" or n not in usual or v != usual[n]}
