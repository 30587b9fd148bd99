"""Net2Net: a larger network that starts as the smaller one it grew from (arXiv 1511.05641).

The paper draws at random which channels are copied. Here each channel is repeated next to itself,
so that whatever takes a contiguous part of the channels (groups, concatenations, chunks) takes the
copies of what it took before, and the shapes alone say what is to be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from hypernas.errors import SpaceError
from hypernas.graph import Graph, Node, Shape
from hypernas.listing import listed
from hypernas.randomness import torch_generator

State: TypeAlias = dict[str, Tensor]
"""tensors of a module by name, as in ``state_dict()``"""

WAY_OUT = "give options that keep it, or train from scratch"


def grown(
    state: Mapping[str, Tensor],
    module: nn.Module,
    graph: Graph,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> State:
    """Return weights with which ``module`` computes what the smaller network computed.

    Args:
        state: of the smaller network.
        module: the larger one, with its own first weights.
        graph: of the larger one.
        noise: see :func:`widened`.
        seed: of the noise.

    Raises:
        SpaceError: the larger network is not the smaller one widened or deepened.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    lost = [name for name in state if name not in shapes]
    if lost:
        raise SpaceError(f"the larger network has no {lost[0]!r} ({len(lost)} such); {WAY_OUT}")
    kept = {name: shapes[name] for name in state}
    wide = widened(state, kept, spans=flattened(graph), noise=noise, seed=seed)
    return deepened(wide, module) if shapes.keys() - kept.keys() else wide


def widened(
    state: Mapping[str, Tensor],
    shapes: Mapping[str, Shape],
    *,
    spans: Mapping[str, int] | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> State:
    """Return weights of a network in which each channel stands several times next to itself.

    Outputs are repeated along the first axis, inputs along the second and divided by the number of
    copies; axes of one size (image channels, classes, the 1 of a depthwise convolution) stay.

    Args:
        state: of the smaller network.
        shapes: of the same tensors in the wider one, each axis a whole multiple.
        spans: for weights that read flattened images: values of one channel (:func:`flattened`).
        noise: standard deviation of what is added to widened weights, as a share of the tensor's
            own; without any, copies have equal gradients and never learn to differ (section 2.4).
        seed: of the noise.

    Raises:
        SpaceError: names the tensor whose shape is no whole multiple.

    >>> weight = torch.tensor([[2.0], [4.0]])
    >>> widened({"w": weight}, {"w": (4, 2)})["w"].tolist()
    [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    """
    found: State = {}
    for name, tensor in state.items():
        wide = _repeated(name, tensor, shapes[name], (spans or {}).get(name, 1))
        if noise and wide.shape != tensor.shape and tensor.ndim > 1:
            draw = torch.randn(wide.shape, generator=torch_generator(seed, "widened", name))
            wide = wide + noise * wide.std() * draw
        found[name] = wide
    return found


def _repeated(name: str, tensor: Tensor, shape: Shape, span: int) -> Tensor:
    """Repeat the channels of one tensor; ``span`` is how many values of its inputs are one's."""
    fits = tensor.ndim == len(shape) and tuple(tensor.shape[2:]) == tuple(shape[2:])
    if not fits or any(new % old for old, new in zip(tensor.shape, shape, strict=True)):
        raise SpaceError(
            f"{name!r} is {tuple(tensor.shape)} and would be {tuple(shape)}, whose channels are "
            f"no whole multiple; {WAY_OUT}"
        )
    for axis, (old, new) in enumerate(zip(tensor.shape[:2], shape[:2], strict=True)):
        if new == old:
            continue
        copies = new // old
        parts = tensor.unflatten(axis, (-1, span)) if axis else tensor
        tensor = parts.repeat_interleave(copies, axis)
        tensor = tensor.flatten(1, 2) / copies if axis else tensor
    return tensor


def flattened(graph: Graph) -> dict[str, int]:
    """Return for each linear layer's weight how many of its inputs in a row are one channel's.

    That is 1, and more where it reads a flattened image (channels, height, width).
    """
    found: dict[str, int] = {}
    spans: list[int] = []
    for node in graph.nodes:
        before = spans[node.inputs[0]] if node.inputs else 1
        if node.kind == "linear":
            found |= {p.name: before for p in node.parameters if p.role == "weight"}
        spans.append(_span(graph, node, before))
    return found


def _span(graph: Graph, node: Node, before: int) -> int:
    """Return how many values in a row of the node's output are one channel's."""
    if node.kind == "reshape" and len(node.shape) == 1:
        whole = graph.nodes[node.inputs[0]].shape
        return before * node.shape[0] // whole[0]
    return before if len(node.shape) == 1 and node.kind != "linear" else 1


def deepened(state: Mapping[str, Tensor], module: nn.Module) -> State:
    """Return weights of a network with further layers that add nothing at first.

    A space says how this is done by ``module.idle``: names of the parameters that are 0 where its
    further layers add nothing, such as the last convolutions of residual blocks. The other new
    ones keep the values they have in ``module``.

    Args:
        state: of the smaller network; its names and shapes must be in the larger one.
        module: the larger one, with its own first weights.

    Raises:
        SpaceError: the space names no idle parameters, or a tensor has another shape.
    """
    idle = listed(module, "idle")
    if not idle:
        raise SpaceError(
            "the larger network has further layers, and its space does not say how they start "
            f"without a contribution (module.idle lists no parameters); {WAY_OUT}"
        )
    first = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    for name, tensor in state.items():
        if name not in first or first[name].shape != tensor.shape:
            there = tuple(first[name].shape) if name in first else "missing"
            raise SpaceError(
                f"{name!r} is {tuple(tensor.shape)} and in the larger network {there}; {WAY_OUT}"
            )
    quiet = {name: torch.zeros_like(first[name]) for name in idle if name in first}
    return first | quiet | dict(state)
