"""Reads a module's computation graph by ``torch.fx``.

Cells that the space marks (``module.cells``) are traced once for each distinct structure
(:mod:`hypernas.traces`): equal ones share the trace and differ in their paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    writes_in_place,
)
from hypernas.traces import constant, followed, is_layer, remembered, unaltered


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


def prune(module: nn.Module, graph: Graph) -> nn.Module:
    """Return ``module``, or where parts of it cannot reach the output, a copy without these.

    The copy is a ``torch.fx.GraphModule`` with the same parameter names.
    """
    if not graph.unwritten and not graph.dead:
        return module
    with unaltered(module):
        try:
            live = followed(_BufferTracer(), module)
        except GraphError:  # forward reads a buffer's shape or values: it becomes a constant
            live = followed(fx.Tracer(), module)
        live.eliminate_dead_code(lambda node: _must_stay(node, module))
        pruned = fx.GraphModule(module, live, class_name=type(module).__name__)
    pruned.delete_all_unused_submodules()
    setattr(pruned, "cells", marked_cells(module))  # noqa: B010
    setattr(pruned, "idle", listed(module, "idle"))  # noqa: B010
    return pruned


class _BufferTracer(fx.Tracer):
    """Keeps what is computed from buffers in the forward, where they may change."""

    proxy_buffer_attributes = True


def marked_cells(module: nn.Module) -> list[str]:
    """Return the names in ``module.cells``; none when it lists no names (a ModuleList, say)."""
    return listed(module, "cells")


def listed(module: nn.Module, attribute: str) -> list[str]:
    """Return the names that a module lists as an attribute; none when it holds something else."""
    found = getattr(module, attribute, ())
    named = isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found)
    return list(found) if named else []


_ABSENT = object()


class _Reader:
    """Walks the fx graph of a module, and those of its cells, and lists the nodes."""

    def __init__(self, module: nn.Module, inputs: tuple[Shape, ...]) -> None:
        self.module = module
        self.modules = dict(module.named_modules(remove_duplicate=False))
        self.names = {id(p): name for name, p in module.named_parameters()}
        self.mutating: set[int] = set()
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
        result = self._walk(remembered(self.module, self.cells), "", self.arguments)
        outputs = tuple(dict.fromkeys(value.node for value in _values(result)))
        if not outputs:
            raise GraphError(f"{type(self.module).__name__} returns no tensor")
        return _live_part(self.nodes, outputs, self.mutating, self.names.values())

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
                known[node] = self._attribute(prefix + str(node.target), constant(node))
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
        return self._walk(remembered(module, self._below(path)), f"{path}.", list(args))

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
        result = self._walk(remembered(self.modules[path]), f"{path}.", list(args))
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
        value = self._add(kind, path, first.shape, sources, self._owned(layer, kind), **more)
        if writes_in_place(layer, function, kwargs):
            self.mutating.add(value.node)
        return replace(result, Result, lambda r: Value(value.node, r.shape))

    def _owned(self, layer: nn.Module | None, kind: str) -> tuple[Parameter, ...]:
        """Return a layer's parameters; one that several layers share has its first name."""
        if layer is None:
            return ()
        named = layer.named_parameters() if layer._modules else layer._parameters.items()
        return tuple(
            Parameter(self.names[id(tensor)], tuple(tensor.shape), role_of(kind, name))
            for name, tensor in named
            if tensor is not None
        )

    def _attribute(self, path: str, constant: torch.Tensor | None) -> Any:
        """Add a parameter or a constant tensor; it has no batch, so its shape is all of it."""
        owner, _, name = path.rpartition(".")
        tensor = getattr(self.modules[owner], name) if constant is None else constant
        if not isinstance(tensor, torch.Tensor):
            return tensor
        shape = tuple(tensor.shape)
        if isinstance(tensor, nn.Parameter):
            owned = (Parameter(self.names[id(tensor)], shape, "other"),)
            value = self._add("parameter", path, (BATCH, *shape), parameters=owned)
        else:
            value = self._add("constant", path, (BATCH, *shape))
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


def _live_part(
    nodes: list[Node], outputs: tuple[int, ...], mutating: set[int], names: Iterable[str]
) -> Graph:
    """Keep the inputs and what reaches the output; number segments and nodes without gaps.

    What changes its input, which others may read, stays too.
    """
    live = set(outputs)
    for position in reversed(range(len(nodes))):
        if position in live or position in mutating:
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
    unwritten = tuple(name for name in names if name not in owned)
    return Graph(
        nodes=tuple(kept),
        outputs=tuple(number[output] for output in outputs),
        unwritten=unwritten,
        dead=len(nodes) - len(kept),
    )


def _must_stay(node: fx.Node, module: nn.Module) -> bool:
    """Say whether pruning keeps a node even where nothing reads it."""
    match node.op:
        case "call_module":
            return writes_in_place(module.get_submodule(str(node.target)), None, {})
        case "call_function" | "call_method":
            return writes_in_place(None, node.target, node.kwargs)
        case _:
            return node.op in ("placeholder", "output")


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
