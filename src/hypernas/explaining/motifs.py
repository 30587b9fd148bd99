"""Figures of a computation graph that candidates of any space have in common.

Legend: an *operation* is a convolution, a linear layer, a pooling or the like. What is light
(norms, activations) and what joins values (sums, concatenations) is passed through: "conv 3×3 → max
pool 3×3" means that the pooling gets what the convolution gives, alone or with others. A
convolution of each channel and the 1×1 convolution that alone reads it are one separable one.
"""

from __future__ import annotations

from collections import Counter

from hypernas.candidate import Candidate
from hypernas.graph import Graph, Node
from hypernas.tracing import marked_cells

OPERATIONS = frozenset(
    "conv conv_transpose linear embedding attention recurrent matmul max_pool avg_pool global_pool "
    "resize".split()
)
JOINS = frozenset(("add", "multiply", "concat"))


def figures(candidate: Candidate) -> dict[str, float]:
    """Return the figures of a candidate by name; counts that are 0 may be missing."""
    graph = candidate.graph
    found: dict[str, float] = {
        "parameters": graph.params,
        "MACs": graph.macs,
        "operations with weights": graph.parametrised_operations,
        "depth (weights on the longest path)": graph.depth,
        "shortcut (weights on the shortest path)": shortest(graph),
        "share of inputs of joins that are skips": skip_share(graph),
        "joins": sum(node.kind in JOINS for node in graph.nodes),
        "widest layer": max(_widths(graph), default=0),
        "mean width": sum(_widths(graph)) / max(len(_widths(graph)), 1),
    }
    cells = marked_cells(candidate.module)
    if cells:
        found["depth of the first cell"] = _depth_within(graph, f"{cells[0]}.")
    names, edges = operation_graph(graph)
    found |= Counter(names.values())
    pairs = Counter((names[a], names[b]) for a, b in edges if a in names and b in names)
    return found | {f"{a} → {b}": count for (a, b), count in pairs.items()}


def shortest(graph: Graph) -> int:
    """Return the fewest operations with weights on one path from an input to an output."""
    depths: list[int] = []
    for node in graph.nodes:
        before = min((depths[source] for source in node.inputs), default=0)
        depths.append(before + node.weighted)
    return min(depths[output] for output in graph.outputs)


def skip_share(graph: Graph) -> float:
    """Return which share of the values that enter sums and concatenations are skips.

    A skip comes unchanged from a value that others read too, and meets one that went through more
    operations with weights.
    """
    depths: list[int] = []
    skips = inputs = 0
    for node in graph.nodes:
        before = [depths[source] for source in node.inputs]
        depths.append(max(before, default=0) + node.weighted)
        if node.kind in JOINS and len(node.inputs) > 1:
            inputs += len(node.inputs)
            skips += sum(
                depth < max(before) and _is_passed_on(graph, source)
                for depth, source in zip(before, node.inputs, strict=True)
            )
    return skips / inputs if inputs else 0.0


def operation_graph(graph: Graph) -> tuple[dict[int, str], list[tuple[int, int]]]:
    """Return the operations of a graph by position with their names, and which feeds which."""
    feeding: list[frozenset[int]] = []  # for each node, the operations whose values it holds
    names: dict[int, str] = {}
    sources: dict[int, frozenset[int]] = {}
    for position, node in enumerate(graph.nodes):
        before = frozenset().union(*(feeding[source] for source in node.inputs))
        feeding.append(before)
        if node.kind in OPERATIONS:
            names[position], sources[position] = operation_name(node), before
            feeding[-1] = frozenset((position,))
    readers = Counter(source for before in sources.values() for source in before)
    for position, before in list(sources.items()):
        inner = next(iter(before), None)
        alone = len(before) == 1 and inner is not None and readers[inner] == 1
        if alone and names[position] == "conv 1×1" and names[inner].startswith("depthwise"):
            names[position] = names.pop(inner).replace("depthwise", "separable")
            sources[position] = sources.pop(inner)
    edges = [(source, target) for target, before in sources.items() for source in sorted(before)]
    return names, edges


def operation_name(node: Node) -> str:
    """Return what an operation is called, without its sizes.

    >>> operation_name(Node("conv", "", (), (8, 4, 4), kernel=(3, 3), dilation=(2, 2)))
    'conv 3×3 dilated'
    """
    words = node.kind.replace("_", " ")
    if node.groups > 1:
        depthwise = all(p.shape[1] == 1 for p in node.parameters if p.role == "weight")
        words = "depthwise conv" if depthwise else "grouped conv"
    if node.kernel:
        words += " " + "×".join(map(str, node.kernel))
    return f"{words} dilated" if max(node.dilation, default=1) > 1 else words


def _is_passed_on(graph: Graph, position: int) -> bool:
    """Say whether a value is one that others read too, perhaps passed on by identities."""
    while graph.nodes[position].kind == "identity":
        position = graph.nodes[position].inputs[0]
        if len(graph.consumers()[position]) > 1:
            return True
    return len(graph.consumers()[position]) > 1


def _depth_within(graph: Graph, prefix: str) -> int:
    """Return the most operations with weights on one path inside the module at ``prefix``."""
    depths: list[int] = []
    for node in graph.nodes:
        before = max((depths[source] for source in node.inputs), default=0)
        depths.append(before + node.weighted if node.path.startswith(prefix) else 0)
    return max(depths)


def _widths(graph: Graph) -> list[int]:
    """Return the channels that each operation with weights returns, but for the last one."""
    weighted = [node for node in graph.nodes if node.weighted and node.shape]
    return [n.shape[-1 if n.kind == "linear" else 0] for n in weighted[:-1]]
