"""What the nodes of a torch.fx graph are to a writer of source: names, changes in place, views."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx, nn

INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.lt: "<",
    operator.gt: ">",
    operator.le: "<=",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
    operator.and_: "&",
    operator.or_: "|",
}
IN_PLACE = {"iadd", "isub", "imul", "itruediv", "setitem"}
VIEWS = {"view", "reshape", "flatten", "transpose", "permute", "squeeze", "unsqueeze"}
VIEWS |= {"chunk", "split", "getitem", "same"}


def same(value: Tensor) -> Tensor:
    """Return ``value``: a node of its own for what a container is given a second time."""
    return value


def target_name(node: fx.Node) -> str:
    """Return the last word of what a node calls: relu_ or add."""
    return str(getattr(node.target, "__name__", node.target))


def ancestors(node: fx.Node) -> set[fx.Node]:
    """Return a node and all that it depends on."""
    found, remaining = {node}, [node]
    while remaining:
        new = [source for source in remaining.pop().all_input_nodes if source not in found]
        found.update(new)
        remaining += new
    return found


def is_inline(node: fx.Node) -> bool:
    """Say whether a node is written where it is used: attributes, sizes and sums of sizes."""
    if node.op == "get_attr" or node.target in (getattr, "size", "dim"):
        return True
    sized = node.target is operator.getitem or node.target in INFIX
    return sized and all(is_inline(n) and n.op != "get_attr" for n in node.all_input_nodes)


def uses(node: fx.Node) -> list[fx.Node]:
    """Return the values that must have a name before ``node`` is written, in order of writing."""
    given: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), lambda n: (given.append(n), n)[1])
    inner = (uses(n) if is_inline(n) else [n] for n in given)
    return list(itertools.chain.from_iterable(inner))


def users(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the nodes that use ``node``, directly or through what is written inline."""
    for user in node.users:
        if is_inline(user):
            yield from users(user)
        else:
            yield user


def drop_dead(graph: fx.Graph, module: nn.Module) -> None:
    """Erase nodes that cannot reach the output; in-place ones count by the value they change."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        touched = [node, *(_aliases(node) if _in_place(node, module) else [])]
        if node.op in ("placeholder", "output") or any(live & n.users.keys() for n in touched):
            live.add(node)
        else:
            graph.erase_node(node)


def _in_place(node: fx.Node, module: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    name = target_name(node)
    changes = name.endswith("_") and not name.endswith("__")
    return node.op != "get_attr" and bool(
        changes or name in IN_PLACE or node.kwargs.get("inplace") or "out" in node.kwargs
    )


def _aliases(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the values that share memory with the one that an in-place ``node`` changes."""
    while node.all_input_nodes:
        node = node.all_input_nodes[0]
        yield node
        if target_name(node) not in VIEWS:
            return
