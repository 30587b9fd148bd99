"""Reads a module's computation graph by ``torch.fx``.

Cells that the space marks (``module.cells``) are traced once for each distinct structure: equal
ones share the trace and differ in their paths.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import replace as changed
from typing import Any

import torch
from torch import fx, nn

from hypernas.errors import GraphError
from hypernas.graph import Graph, Node, Parameter, Shape
from hypernas.operations import (
    BATCH,
    Result,
    Value,
    function_result,
    geometry,
    kind_of,
    layer_result,
    replace,
    role_of,
)


def read_graph(module: nn.Module, *inputs: Shape) -> Graph:
    """Return the computation graph of ``module``, which is not altered.

    Args:
        module: any module that torch.fx can follow; it may list repeated cells as
            ``module.cells``, names of submodules that are called with positional arguments.
        inputs: shape of each input without the batch, e.g. ``(3, 32, 32)``.

    Raises:
        GraphError: the module cannot be followed, or the shapes do not fit.

    >>> graph = read_graph(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (4,))
    >>> [node.kind for node in graph.nodes], graph.params, graph.macs
    (['input', 'linear', 'relu', 'linear'], 58, 48)
    """
    return _Reader(module, inputs).read()


def trace(module: nn.Module, leaves: frozenset[str] = frozenset()) -> fx.Graph:
    """Return the torch.fx graph of ``module``, with the submodules at ``leaves`` as single calls.

    Raises:
        GraphError: the module's forward depends on values, so that fx cannot follow it.
    """
    try:
        return _Tracer(leaves).trace(module)
    except Exception as error:
        raise GraphError(
            f"torch.fx cannot follow {type(module).__name__}: {error}; "
            "keep conditions on tensor values out of forward"
        ) from error


def prune(module: nn.Module, graph: Graph) -> nn.Module:
    """Return ``module``, or where parts of it cannot reach the output, a copy without these.

    The copy is a ``torch.fx.GraphModule`` with the same parameter names.
    """
    if not graph.unwritten and not graph.dead:
        return module
    live = fx.Tracer().trace(module)
    live.eliminate_dead_code()
    pruned = fx.GraphModule(module, live, class_name=type(module).__name__)
    pruned.delete_all_unused_submodules()
    pruned.cells = marked_cells(module)
    return pruned


def marked_cells(module: nn.Module) -> list[str]:
    """Return the names in ``module.cells``; none when it lists no names (a ModuleList, say)."""
    cells = getattr(module, "cells", ())
    named = isinstance(cells, (list, tuple)) and all(isinstance(cell, str) for cell in cells)
    return list(cells) if named else []


class _Tracer(fx.Tracer):
    """Traces through containers; layers of torch.nn and the given paths stay one call each.

    So does a plain Sequential, which the reader follows itself, several times faster.
    """

    def __init__(self, leaves: frozenset[str]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name in self.leaves or type(m) is nn.Sequential:
            return True
        return super().is_leaf_module(m, module_qualified_name)


def is_layer(module: nn.Module) -> bool:
    """Say whether ``module`` is one of torch.nn's own layers, called as one operation."""
    return type(module).__module__.startswith("torch.nn")


_ABSENT = object()


class _Reader:
    """Walks the fx graph of a module, and those of its cells, and lists the nodes."""

    def __init__(self, module: nn.Module, inputs: tuple[Shape, ...]) -> None:
        self.module = module
        self.modules = dict(module.named_modules())
        self.cells = frozenset(marked_cells(module))
        self.nodes: list[Node] = []
        self.segment = 0
        unknown = self.cells - self.modules.keys()
        if unknown:
            raise GraphError(
                f"{type(module).__name__}.cells names {min(unknown)!r}, which is no submodule; "
                "list names as in named_modules()"
            )
        self.arguments = [
            self._add("input", f"input{i}", (BATCH, *s)) for i, s in enumerate(inputs)
        ]

    def read(self) -> Graph:
        """Return the graph of what reaches the output."""
        result = self._walk(_remembered(self.module, self.cells), "", self.arguments)
        outputs = tuple(dict.fromkeys(value.node for value in _values(result)))
        if not outputs:
            raise GraphError(f"{type(self.module).__name__} returns no tensor")
        return _live_part(self.nodes, outputs, self.module)

    def _walk(self, graph: fx.Graph, prefix: str, arguments: list[Any]) -> Any:
        """Add the nodes of one fx graph; return the value that it returns."""
        known: dict[fx.Node, Any] = {}
        remaining = iter(arguments)
        for node in graph.nodes:
            if node.op == "placeholder":
                known[node] = self._placeholder(node, remaining)
                continue
            args, kwargs = _looked_up((node.args, node.kwargs), known)
            if node.op == "output":
                return args[0]
            if node.op == "call_module":
                known[node] = self._call(prefix + str(node.target), args, kwargs)
            elif node.op == "get_attr":
                known[node] = self._attribute(prefix + str(node.target))
            else:
                known[node] = self._operation(None, node.target, prefix + node.name, args, kwargs)
        raise GraphError(f"{type(self.module).__name__} returns nothing")

    def _call(self, path: str, args: Any, kwargs: Any) -> Any:
        """Add what calling the submodule at ``path`` does."""
        module = self.modules[path]
        if path in self.cells:
            return self._cell(path, args, kwargs)
        if type(module) is nn.Sequential and len(args) == 1 and not kwargs:
            for name in module._modules:
                args = (self._call(f"{path}.{name}", args, {}),)
            return args[0]
        if is_layer(module):
            return self._operation(module, None, path, args, kwargs)
        return self._walk(_remembered(module, self._below(path)), f"{path}.", list(args))

    def _below(self, path: str) -> frozenset[str]:
        """Return the marked cells within the submodule at ``path``, named from there."""
        start = f"{path}."
        return frozenset(c.removeprefix(start) for c in self.cells if c.startswith(start))

    def _placeholder(self, node: fx.Node, remaining: Iterator[Any]) -> Any:
        value = next(remaining, node.args[0] if node.args else _ABSENT)
        if value is _ABSENT:
            raise GraphError(
                f"{type(self.module).__name__}.forward needs an input {node.target!r}; "
                f"shapes were given for {len(self.arguments)}"
            )
        return value

    def _cell(self, path: str, args: Any, kwargs: Any) -> Any:
        if kwargs:
            raise GraphError(f"cell {path!r} is called with keywords; call it with positions only")
        if any(node.segment == self.segment for node in self.nodes):
            self.segment += 1
        result = self._walk(_remembered(self.modules[path]), f"{path}.", list(args))
        self.segment += 1
        return result

    def _operation(
        self, layer: nn.Module | None, function: Any, path: str, args: Any, kwargs: Any
    ) -> Any:
        """Add a layer or a function; return its value, or a number where it makes no tensor."""
        sources = tuple(value.node for value in _values((args, kwargs)))
        try:
            if layer is not None:
                result = layer_result(layer, args, kwargs)
            else:
                result = function_result(function, args, kwargs)
        except Exception as error:
            shapes = ", ".join(str(v.shape[1:]) for v in _values((args, kwargs))) or "none"
            raise GraphError(f"{path} does not fit inputs of shape {shapes}: {error}") from error
        kind = kind_of(layer, function)
        first = next(_found(result, Result), None)
        if first is None:
            return result  # a size or another plain number
        if kind == "identity" and layer is None and sources:
            # picking one of several results, or a change of layout, is no operation of its own
            return replace(result, Result, lambda r: Value(sources[0], r.shape))
        more = geometry(layer, first.shape) if layer is not None else {}
        value = self._add(kind, path, first.shape, sources, _parameters(layer, path, kind), **more)
        return replace(result, Result, lambda r: Value(value.node, r.shape))

    def _attribute(self, path: str) -> Value:
        owner, _, name = path.rpartition(".")
        tensor = getattr(self.modules[owner], name)
        if not isinstance(tensor, nn.Parameter):
            return (
                self._add("constant", path, (BATCH, *tensor.shape))
                if isinstance(tensor, torch.Tensor)
                else tensor
            )
        shape = tuple(tensor.shape)
        owned = (Parameter(path, shape, "other"),)
        value = self._add("parameter", path, (BATCH, *shape), parameters=owned)
        return Value(value.node, shape)

    def _add(
        self,
        kind: str,
        path: str,
        shape: Shape,
        sources: tuple[int, ...] = (),
        parameters: tuple[Parameter, ...] = (),
        **geometry: Any,
    ) -> Value:
        node = Node(kind, path, sources, shape[1:], parameters, segment=self.segment, **geometry)
        self.nodes.append(node)
        return Value(len(self.nodes) - 1, shape)


def _parameters(layer: nn.Module | None, path: str, kind: str) -> tuple[Parameter, ...]:
    if layer is None:
        return ()
    named = layer.named_parameters() if layer._modules else layer._parameters.items()
    return tuple(
        Parameter(f"{path}.{name}", tuple(tensor.shape), role_of(kind, name))
        for name, tensor in named
        if tensor is not None
    )


def _live_part(nodes: list[Node], outputs: tuple[int, ...], module: nn.Module) -> Graph:
    """Keep the inputs and what reaches the output; number segments and nodes without gaps."""
    live = set(outputs)
    for position in reversed(range(len(nodes))):
        if position in live or _writes_in_place(nodes[position], module):
            live |= {position, *nodes[position].inputs}
    live |= {i for i, node in enumerate(nodes) if node.kind == "input"}
    order = sorted(live)
    number = {old: new for new, old in enumerate(order)}
    segments = {s: i for i, s in enumerate(dict.fromkeys(nodes[old].segment for old in order))}
    kept = nodes
    if len(order) < len(nodes) or any(old != new for old, new in segments.items()):
        kept = []
        for old in order:
            inputs = tuple(number[source] for source in nodes[old].inputs)
            kept.append(changed(nodes[old], inputs=inputs, segment=segments[nodes[old].segment]))
    owned = {parameter.name for node in kept for parameter in node.parameters}
    unwritten = tuple(name for name, _ in module.named_parameters() if name not in owned)
    return Graph(
        nodes=tuple(kept),
        outputs=tuple(number[output] for output in outputs),
        unwritten=unwritten,
        dead=len(nodes) - len(kept),
    )


def _writes_in_place(node: Node, module: nn.Module) -> bool:
    """Say whether a node changes its input, which others may read: then it must stay."""
    return node.path.endswith("_") or getattr(_submodule(module, node.path), "inplace", False)


def _submodule(module: nn.Module, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, "_modules", {}).get(name, None)
        if module is None:
            return None
    return module


def _found(nest: Any, kind: type) -> Iterator[Any]:
    if isinstance(nest, kind):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for item in nest:
            yield from _found(item, kind)
    elif isinstance(nest, dict):
        yield from _found(list(nest.values()), kind)


def _values(nest: Any) -> Iterator[Value]:
    return _found(nest, Value)


def _looked_up(nest: Any, known: dict[fx.Node, Any]) -> Any:
    return fx.node.map_arg(nest, known.__getitem__)


_traces: OrderedDict[Hashable, fx.Graph] = OrderedDict()
_MOST_TRACES = 1024


def _remembered(module: nn.Module, leaves: frozenset[str] = frozenset()) -> fx.Graph:
    """Return the trace of a module, from memory when one of equal structure was traced before."""
    key = structure(module, leaves)
    if key is None:
        return trace(module, leaves)
    if key not in _traces:
        _traces[key] = trace(module, leaves)
        if len(_traces) > _MOST_TRACES:
            _traces.popitem(last=False)
    return _traces[key]


def structure(module: nn.Module, leaves: frozenset[str] = frozenset()) -> Hashable | None:
    """Return a key that two modules share only if their forwards call the same submodules alike.

    It holds the classes and plain attributes of all containers, and the names of what they call:
    layers, Sequentials and ``leaves``, whose own settings a trace does not depend on. None when an
    attribute is neither a number, a text, nor a list or dictionary of such.
    """
    parts: list[Hashable] = []
    return tuple(parts) if _add_structure(module, "", leaves, parts) else None


def _add_structure(
    module: nn.Module, path: str, leaves: frozenset[str], parts: list[Hashable]
) -> bool:
    attributes = _plain({name: v for name, v in vars(module).items() if name[0] != "_"})
    if attributes is _ABSENT or module._forward_hooks or module._forward_pre_hooks:
        return False
    parts.append((path, type(module), attributes, *module._parameters, *module._buffers))
    for name, child in module._modules.items():
        inner = f"{path}.{name}" if path else name
        if child is None or inner in leaves or (is_layer(child) and not _holds(child)):
            parts.append((inner, None if child is None else type(child)))
        elif not _add_structure(child, inner, leaves, parts):
            return False
    return True


def _holds(module: nn.Module) -> bool:
    """Say whether a module of torch.nn is a list or dictionary, which a forward walks through."""
    return isinstance(module, (nn.ModuleList, nn.ModuleDict))


def _plain(value: Any) -> Hashable:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        items = tuple(map(_plain, value))
        return _ABSENT if _ABSENT in items else items
    if isinstance(value, dict):
        pairs = tuple((key, _plain(item)) for key, item in value.items())
        return _ABSENT if any(item is _ABSENT for _, item in pairs) else pairs
    return _ABSENT
