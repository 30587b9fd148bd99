"""The computation graph of any module, read with an example of its input."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace as changed
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hypernas.errors import GraphError
from hypernas.graph import Graph
from hypernas.listing import Listing, found
from hypernas.operations import BATCH, replace, result_of
from hypernas.recording import record, untouched
from hypernas.tracing import follow

Example: TypeAlias = Tensor | tuple[Any, ...] | dict[str, Any]
"""what a module is given: a tensor, a tuple of arguments, or a dictionary of keyword arguments;
tensors have a batch"""


def graph_of(module: nn.Module, example: Example) -> Graph:
    """Return the computation graph of any module that runs on an example.

    It is followed by ``torch.fx``, and run once. Where fx cannot follow, or where a forward that
    asks what it is given took another way with the example, the graph is what the run did. It runs
    without gradients and in evaluation mode, and the module is afterwards as it was: parameters,
    buffers, hooks, mode, attributes with the lists, dictionaries, sets and tensors in them, and the
    states of random numbers. What objects of other classes among its attributes hold is not put
    back.

    Args:
        module: any module; it may list repeated cells as ``module.cells``, names of submodules.
        example: an input that the module runs on, such as ``torch.zeros(1, 3, 32, 32)``.

    Raises:
        GraphError: it is no module, does not run on the example, returns no tensor that depends on
            it, or has parameters that have no shape yet.

    >>> import torch
    >>> graph = graph_of(nn.Sequential(nn.Linear(4, 8), nn.PReLU()), torch.zeros(1, 4))
    >>> [node.kind for node in graph.nodes], graph.reader
    (['input', 'linear', 'activation'], 'torch.fx')
    """
    graph = read(module, example)
    if graph.reader == "run":
        return graph
    seen = _run(module, example)
    return graph if _weighted(graph) == _weighted(seen) else seen


def read(module: nn.Module, example: Example) -> Graph:
    """Return the same graph without running what ``torch.fx`` can follow.

    That is several times as fast for large networks. The shapes are checked, operation by
    operation, but not the types, and not what else may keep the module from running.
    """
    if not isinstance(module, nn.Module):
        raise GraphError(
            f"the network is of type {type(module).__name__}; expected a torch.nn.Module"
        )
    lazy = [name for name, p in module.named_parameters() if is_lazy(p)]
    if lazy:
        raise GraphError(
            f"{type(module).__name__} holds {lazy[0]!r}, which has no shape before the module "
            "has run; run it once first"
        )
    given = arguments_of(example)
    with contextlib.suppress(GraphError), untouched(module):
        return follow(Listing(module, _batch(given)), *replace(given, Tensor, result_of))
    return _run(module, example)


def _run(module: nn.Module, example: Example) -> Graph:
    args, kwargs = arguments_of(example)
    with untouched(module, module.parameters()):
        graph = record(Listing(module, _batch((args, kwargs))), args, kwargs)
    return changed(graph, reader="run")


def _batch(given: Any) -> int:
    return next((t.shape[0] for t in found(given, Tensor) if t.dim()), BATCH)


def _weighted(graph: Graph) -> Counter[Any]:
    """Return the operations that own parameters, with their results' shapes, in no order."""
    return Counter((n.kind, n.parameters, n.shape) for n in graph.nodes if n.parameters)


def arguments_of(example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return an example as arguments and keyword arguments.

    Raises:
        GraphError: it is neither a tensor, a tuple nor a dictionary, or holds no tensor.
    """
    match example:
        case Tensor():
            args, kwargs = (example,), {}
        case tuple():
            args, kwargs = example, {}
        case dict():
            args, kwargs = (), example
        case _:
            raise GraphError(
                f"the example is of type {type(example).__name__}; expected a tensor, a tuple of "
                "arguments, or a dictionary of keyword arguments"
            )
    if not any(True for _ in found((args, kwargs), Tensor)):
        raise GraphError("the example holds no tensor; give what the module is called with")
    return args, kwargs
