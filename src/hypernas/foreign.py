"""Networks that no search space made, as candidates; and which of their parameters are left alone.

A parameter that is not generated keeps the value it has, and is listed with the reason.
"""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import ParametrizationList

from hypernas.candidate import Candidate
from hypernas.graph import Graph
from hypernas.reading import Example, read
from hypernas.tasks import Signature


def foreign(
    module: nn.Module,
    example: Example,
    data: Signature | None = None,
    norms: tuple[_BatchNorm, ...] = (),
) -> Candidate:
    """Return any module as a candidate without choices; it is neither copied nor altered.

    Args:
        module: read as by :func:`hypernas.graph_of`.
        example: an input that it runs on.
        data: what it is for; by default told from its graph.
        norms: of a module that is to be scored, see :func:`hypernas.candidate.prepare`.

    Raises:
        GraphError: the module cannot be read.
    """
    graph = read(module, example)
    if data is None:
        last = graph.nodes[graph.outputs[-1]].shape
        data = Signature(input_shape=graph.nodes[0].shape, outputs=last[0] if last else 1)
    candidate = Candidate({}, {}, module, data, norms=norms)
    candidate.__dict__["graph"] = _without_empty(graph)
    return candidate


def _without_empty(graph: Graph) -> Graph:
    """Take tensors of no values from a graph: there is nothing to write."""
    if all(0 not in p.shape for node in graph.nodes for p in node.parameters):
        return graph
    kept = [
        changed(node, parameters=tuple(p for p in node.parameters if 0 not in p.shape))
        for node in graph.nodes
    ]
    return changed(graph, nodes=tuple(kept))


def left_alone(module: nn.Module, graph: Graph) -> dict[str, str]:
    """Return the names of the parameters that are not to be written, each with the reason."""
    owned = {p.name for node in graph.nodes for p in node.parameters}
    bound = _bound(module)
    left = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            left[name] = "frozen"
        elif parameter.is_meta:
            left[name] = "holds no memory"
        elif not parameter.numel():
            left[name] = "holds no values"
        elif not parameter.is_floating_point():
            left[name] = f"is of type {str(parameter.dtype).removeprefix('torch.')}"
        elif any(not step and size > 1 for step, size in _steps(parameter)):
            left[name] = "its values share memory"
        elif id(parameter) in bound:
            left[name] = bound[id(parameter)]
        elif name not in owned:
            left[name] = "does not reach the output"
    return left


def _steps(parameter: nn.Parameter) -> list[tuple[int, int]]:
    return list(zip(parameter.stride(), parameter.shape, strict=True))


def _bound(module: nn.Module) -> dict[int, str]:
    """Return the parameters that compiled code or a parametrisation keeps, with the reason.

    Others are written through what they are computed from: a weight norm's gain and direction.
    """
    found: dict[int, str] = {}
    for part in module.modules():
        own = dict(part.named_parameters(recurse=False))
        reason = None
        if isinstance(part, torch.jit.ScriptModule):
            reason = "in compiled code (TorchScript)"
        elif isinstance(part, ParametrizationList):
            name = type(part[0]).__name__.lstrip("_")
            if any(True for _ in part.buffers()):
                reason = f"parametrised by {name}, whose buffers go with its present value"
            elif len(own) > 1 and not _is_weight_norm(own):
                reason = f"parametrised by {name}, of {len(own)} tensors"
        else:  # the older spectral norm keeps its vectors beside the weight
            tensors = [n.removesuffix("_orig") for n in own if n.endswith("_orig")]
            own = {f"{n}_orig": own[f"{n}_orig"] for n in tensors if f"{n}_u" in part._buffers}
            reason = "parametrised by SpectralNorm, whose buffers go with its present value"
        if reason is not None:
            found |= {id(parameter): reason for parameter in own.values()}
    return found


def _is_weight_norm(originals: dict[str, Any]) -> bool:
    """Say whether these are the gain of each output and the direction of a weight norm."""
    gain, direction = (originals.get(f"original{i}") for i in (0, 1))
    if len(originals) != 2 or gain is None or direction is None:
        return False
    sizes = zip(gain.shape, direction.shape, strict=False)
    return gain.dim() == direction.dim() and all(a in (1, b) for a, b in sizes)
