"""Weights whose scale changes nothing, for a norm follows; from which a network learns well.

A norm divides by the deviation of what reaches it, so the weights of a convolution before it may be
multiplied by any positive number. Not so what a network learns from them: a gradient is divided by
that number, and what a step of SGD turns by its square (van Laarhoven, arXiv 1706.05350).
Nothing in a fit keeps generated weights at the scale for which a recipe's learning rate is meant,
so a training that begins with them brings those back to the scale of the network's own first ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hypernas.graph import Graph, Node

LINEAR = ("conv", "conv_transpose", "linear")
"""operations whose output is multiplied by what their weight is multiplied by"""

State = Mapping[str, Tensor]


def scale_free(graph: Graph) -> set[str]:
    """Return the names of weights that may be multiplied by any positive number.

    They have no bias beside them, and what they give goes to a norm alone, perhaps through other
    such weights.
    """
    free: set[int] = set()
    consumers = graph.consumers()
    for position in range(len(graph.nodes) - 1, -1, -1):
        after = consumers[position]
        if position in graph.outputs or len(after) != 1 or not _unbiased(graph.nodes[position]):
            continue
        (next_one,) = after
        alone = graph.nodes[next_one].inputs == (position,)
        if alone and (graph.nodes[next_one].kind == "norm" or next_one in free):
            free.add(position)
    owned = [{p.name for p in node.parameters} for node in graph.nodes]
    bound = [names for position, names in enumerate(owned) if position not in free]
    return set().union(*(owned[position] for position in free)) - set().union(*bound)


def _unbiased(node: Node) -> bool:
    roles = [parameter.role for parameter in node.parameters]
    return node.kind in LINEAR and roles == ["weight"]


def at_own_scale(generated: State, own: State, graph: Graph) -> dict[str, Tensor]:
    """Return generated weights, those that may at the norm of the network's own first weights.

    Args:
        generated: by name.
        own: the network's own first weights, by name.
        graph: of the network.
    """
    free = scale_free(graph)
    return {
        name: tensor * (own[name].norm() / tensor.norm().clamp_min(1e-12))
        if name in free
        else tensor
        for name, tensor in generated.items()
    }
