"""The graph cut into the parts that each container's ``forward`` made."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field

from torch import fx

from hypernas.standalone.nodes import is_inline, same, users, uses


@dataclass
class Scope:
    """The part of the graph that one container's ``forward`` made: nodes and inner scopes."""

    path: str
    spoken: dict[fx.Node, str]
    """what the container calls the values that it is given, in the order of its signature"""
    items: list[fx.Node | Scope] = field(default_factory=list)

    @functools.cached_property
    def nodes(self) -> list[fx.Node]:
        """All nodes, those of inner scopes too."""
        inner = (item.nodes if isinstance(item, Scope) else [item] for item in self.items)
        return list(itertools.chain.from_iterable(inner))

    @functools.cached_property
    def inputs(self) -> list[fx.Node]:
        """What the container is called with."""
        inside, order = set(self.nodes), list(self.spoken)
        used = dict.fromkeys(value for item in self.items for value in inputs(item))
        outer = [value for value in used if value not in inside]
        return sorted(outer, key=lambda n: order.index(n) if n in self.spoken else len(order))

    @functools.cached_property
    def outputs(self) -> list[fx.Node]:
        """What others use of it."""
        inside = set(self.nodes)
        return [node for node in self.nodes if any(u not in inside for u in users(node))]


Item = fx.Node | Scope


def inputs(item: Item) -> list[fx.Node]:
    """Return the values that must have a name before ``item`` is written, in order of writing."""
    return item.inputs if isinstance(item, Scope) else uses(item)


def results(item: Item) -> list[fx.Node]:
    """Return the values of ``item`` that are used."""
    return item.outputs if isinstance(item, Scope) else [item] * bool(item.users)


def module_path(item: Item) -> str:
    """Return the path of the module that ``item`` calls, or nothing for functions."""
    if isinstance(item, Scope):
        return item.path
    return str(item.target) if item.op == "call_module" else ""


def scopes_of(graph: fx.Graph, spoken: dict[str, dict[fx.Node, str]]) -> dict[str, Scope]:
    """Return the scopes by module path, the whole network at the empty one, outer ones first."""
    flat, scopes = _flat(graph), {"": Scope("", {})}
    for node in graph.nodes:
        if node.target is same and node.meta["given_to"] in flat:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.op not in ("placeholder", "output") and not is_inline(node):
            scope = scopes[""]
            for path in _callers(node):
                if path not in flat:
                    if path not in scopes:
                        scopes[path] = Scope(path, spoken.get(path, {}))
                        scope.items.append(scopes[path])
                    scope = scopes[path]
            scope.items.append(node)
    return scopes


def _flat(graph: fx.Graph) -> set[str]:
    """Return the containers that get no ``forward``: called twice, or using what is not theirs."""
    flat: set[str] = set()
    for node in graph.nodes:
        stack = node.meta.get("nn_module_stack", {})
        flat.update(path for key, (path, _) in stack.items() if key != path)
        for site in users(node) if node.op == "get_attr" else [node]:
            target = [str(node.target)] if node.op in ("get_attr", "call_module") else []
            pairs = itertools.combinations([*_callers(site), *target], 2)
            flat.update(outer for outer, inner in pairs if not _within(inner, outer))
    return flat


def _callers(node: fx.Node) -> list[str]:
    """Return the paths of the containers whose ``forward`` made ``node``, the outermost first."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return stack[:-1] if node.op == "call_module" else stack


def _within(path: str, outer: str) -> bool:
    return not outer or path.startswith(outer + ".")
