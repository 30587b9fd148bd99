"""The computation graph of any module, read with an example of its input."""

from __future__ import annotations

import contextlib
from dataclasses import replace as changed
from typing import Any, TypeAlias

from torch import Tensor, nn

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
    """Return the computation graph of any module.

    It is followed by ``torch.fx`` without running it; where fx cannot follow, the module runs once
    on the example. Either way it is read in evaluation mode, and everything about it is afterwards
    as it was: parameters, buffers, hooks, mode, attributes, and the states of random numbers.

    Args:
        module: any module; it may list repeated cells as ``module.cells``, names of submodules.
        example: an input that the module runs on, such as ``torch.zeros(1, 3, 32, 32)``.

    Raises:
        GraphError: the module does not run on the example, or returns no tensor that depends on it.

    >>> import torch
    >>> graph = graph_of(nn.Sequential(nn.Linear(4, 8), nn.PReLU()), torch.zeros(1, 4))
    >>> [node.kind for node in graph.nodes], graph.reader
    (['input', 'linear', 'activation'], 'torch.fx')
    """
    args, kwargs = arguments_of(example)
    batch = next((t.shape[0] for t in found((args, kwargs), Tensor) if t.dim()), BATCH)
    shapes = replace((args, kwargs), Tensor, result_of)
    with contextlib.suppress(GraphError), untouched(module, module.buffers()):
        return follow(Listing(module, batch), *shapes)
    with untouched(module, [*module.parameters(), *module.buffers()]):
        return changed(record(Listing(module, batch), args, kwargs), reader="run")


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
