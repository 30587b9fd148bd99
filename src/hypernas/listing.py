"""The nodes of a computation graph while a module is read: what all readers share.

One reader follows the module by ``torch.fx`` (:mod:`hypernas.tracing`), one runs it and looks on
(:mod:`hypernas.recording`). Both say here which layer, function or tensor comes next.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace as changed
from typing import Any

import torch
from torch import nn

from hypernas.errors import GraphError
from hypernas.graph import Graph, Node, Parameter, Shape
from hypernas.operations import (
    BATCH,
    Result,
    Value,
    arguments,
    geometry,
    kind_of,
    replace,
    result_of,
    role_of,
    role_of_own,
    writes_in_place,
)


class Listing:
    """Lists the nodes of one module.

    Args:
        module: it may list repeated cells as ``module.cells``, names of submodules.
        batch: examples in the batch that it is read with.

    Raises:
        GraphError: a cell that is no submodule.
    """

    def __init__(self, module: nn.Module, batch: int = BATCH) -> None:
        self.module = module
        self.batch = batch
        self.modules = dict(module.named_modules(remove_duplicate=False))
        self.names = {id(p): name for name, p in module.named_parameters()}
        self.cells = frozenset(marked_cells(module))
        self.nodes: list[Node] = []
        self.mutating: set[int] = set()
        self.segment = 0
        unknown = self.cells - self.modules.keys()
        if unknown:
            raise GraphError(
                f"{type(module).__name__}.cells names {min(unknown)!r}, which is no submodule; "
                "list names as in named_modules()"
            )

    def inputs(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Add a node for each tensor that the module is given; return what stands for them.

        Args:
            args: nests of :class:`Result`, which say shapes and types, and of other values.
            kwargs: the same, by keyword.
        """
        count = iter(range(len(list(found(args, Result)))))
        given = tuple(
            replace(a, Result, lambda r: self.add("input", f"input{next(count)}", r)) for a in args
        )
        named = {
            key: replace(a, Result, lambda r, key=key: self.add("input", key, r))
            for key, a in kwargs.items()
        }
        return given, named

    def operation(
        self,
        layer: nn.Module | None,
        function: Any,
        path: str,
        given: tuple[tuple[Any, ...], dict[str, Any]],
        result: Any,
    ) -> Any:
        """Add a layer or a function; return its result with a :class:`Value` for each tensor.

        Args:
            layer: the layer that was called, or None.
            function: else the function, or the name of the method.
            path: the layer's path, or a name for the node.
            given: its arguments and keyword arguments, with a :class:`Value` for each tensor.
            result: what it returns, with a :class:`Result` for each tensor.
        """
        sources = tuple(value.node for value in found(given, Value))
        kind = kind_of(layer, function)
        first = next(found(result, Result), None)
        if first is None:
            return result  # a size or another plain number
        if kind == "identity" and layer is None and sources:
            # picking one of several results, or a change of layout, is no operation of its own
            return replace(result, Result, lambda r: Value(sources[0], r.shape, r.dtype))
        named = {} if layer is not None else arguments(function, *given)
        if layer is not None:
            owned = self._owned(layer, kind)
        else:
            owned, read = self._read(kind, named)
            sources = tuple(source for source in sources if source not in read)
        more = geometry(layer, first.shape, named)
        node = self.add(kind, path, first, sources, owned, **more).node
        if writes_in_place(layer, function, given[1]):
            self.mutating.add(node)
        return replace(result, Result, lambda r: Value(node, r.shape, r.dtype))

    def _owned(self, layer: nn.Module, kind: str) -> tuple[Parameter, ...]:
        """Return a layer's parameters; one that several layers share has its first name."""
        if isinstance(layer, torch.jit.ScriptModule):
            return ()  # nobody knows what they are for
        if not layer._modules:
            held = [(kind, name, tensor) for name, tensor in layer._parameters.items()]
        else:  # each part of a compound layer knows what its parameters are for
            parts = {path: kind_of(part, None) for path, part in layer.named_modules()}
            held = [
                (kind if parts[owner] == "other" else parts[owner], name, tensor)
                for name, tensor in layer.named_parameters()
                for owner in [name.rpartition(".")[0]]
            ]
        return tuple(
            Parameter(
                self.names[id(tensor)],
                tuple(tensor.shape),
                # of a layer that no table has, such as nn.Bilinear, the name tells as much
                role_of_own(name, tensor.dim()) if kind == "other" else role_of(kind, name),
            )
            for kind, name, tensor in held
            if tensor is not None and id(tensor) in self.names
        )

    def _read(self, kind: str, named: Mapping[str, Any]) -> tuple[tuple[Parameter, ...], set[int]]:
        """Return the parameters that a function reads as a layer its own, and their nodes."""
        owned, nodes = [], set()
        for name in ("weight", "bias"):
            value = named.get(name)
            if not isinstance(value, Value) or self.nodes[value.node].kind != "parameter":
                continue
            parameter = self.nodes[value.node].parameters[0]
            if parameter.shape == value.shape:  # else it reads a part of it
                owned.append(changed(parameter, role=role_of(kind, name)))
                nodes.add(value.node)
        return tuple(owned), nodes

    def parameter(self, path: str, tensor: torch.Tensor) -> Value:
        """Add a parameter that forward takes by itself; it has no batch."""
        shape = tuple(tensor.shape)
        role = role_of_own(path, len(shape))
        owned = (Parameter(self.names[id(tensor)], shape, role),)
        return self._fixed("parameter", path, tensor, owned)

    def constant(self, path: str, tensor: torch.Tensor) -> Value:
        """Add a tensor that does not depend on the input; it has no batch."""
        return self._fixed("constant", path, tensor)

    def _fixed(
        self, kind: str, path: str, tensor: torch.Tensor, owned: tuple[Parameter, ...] = ()
    ) -> Value:
        result = result_of(tensor)
        node = Node(kind, path, (), result.shape, owned, segment=self.segment)
        self.nodes.append(node)
        return Value(len(self.nodes) - 1, result.shape, result.dtype)

    def add(
        self,
        kind: str,
        path: str,
        result: Result,
        sources: tuple[int, ...] = (),
        parameters: tuple[Parameter, ...] = (),
        **geometry: Any,
    ) -> Value:
        """Add a node whose result has a batch."""
        shape = self._of_one_example(result.shape)
        node = Node(kind, path, sources, shape, parameters, segment=self.segment, **geometry)
        self.nodes.append(node)
        return Value(len(self.nodes) - 1, result.shape, result.dtype)

    def _of_one_example(self, shape: Shape) -> Shape:
        """Take the batch from a shape; windows or heads folded into it stay as an axis."""
        times, rest = divmod(shape[0], self.batch) if shape else (1, 0)
        return (times, *shape[1:]) if times > 1 and not rest else shape[1:]

    @contextlib.contextmanager
    def cell(self, path: str, kwargs: Mapping[str, Any]) -> Generator[None, None, None]:
        """While the block runs, nodes belong to a segment of their own.

        Raises:
            GraphError: the cell is called with keywords.
        """
        if kwargs:
            raise GraphError(f"cell {path!r} is called with keywords; call it with positions only")
        if any(node.segment == self.segment for node in self.nodes):
            self.segment += 1
        yield
        self.segment += 1

    def graph(self, result: Any) -> Graph:
        """Return the graph of what reaches the module's result.

        Raises:
            GraphError: no tensor in it depends on what was listed.
        """
        outputs = tuple(value.node for value in found(result, Value))
        if not outputs:
            raise GraphError(f"{type(self.module).__name__} returns no tensor")
        return _live_part(self.nodes, outputs, self.mutating, self.names.values())


def marked_cells(module: nn.Module) -> list[str]:
    """Return the names in ``module.cells``; none when it lists no names (a ModuleList, say)."""
    return listed(module, "cells")


def listed(module: nn.Module, attribute: str) -> list[str]:
    """Return the names that a module lists as an attribute; none when it holds something else."""
    held = getattr(module, attribute, ())
    named = isinstance(held, (list, tuple)) and all(isinstance(name, str) for name in held)
    return list(held) if named else []


def found(nest: Any, kind: type) -> Iterator[Any]:
    """Yield everything of ``kind`` in a nest of tuples, lists, dictionaries and dataclasses."""
    if isinstance(nest, kind):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for item in nest:
            yield from found(item, kind)
    elif isinstance(nest, dict):
        yield from found(list(nest.values()), kind)
    elif dataclasses.is_dataclass(nest) and not isinstance(nest, type):
        yield from found([getattr(nest, f.name) for f in dataclasses.fields(nest)], kind)


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
    still = ("parameter", "constant")  # these do nothing by themselves
    return Graph(
        nodes=tuple(kept),
        outputs=tuple(number[output] for output in outputs),
        unwritten=unwritten,
        dead=sum(n.kind not in still for i, n in enumerate(nodes) if i not in live),
    )
