"""The operators of a graph: chains of operations, which are the nodes of a graph hypernetwork.

In the GHN paper (arXiv 1810.05749, 3.2) a node is an operator such as a separable convolution, with
all its weights. Here an operator is found as a chain: operations each of which feeds only the next
and is fed only by the one before, with at most so many weighted operations. It makes graphs two to
eight times smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hypernas.candidate import Candidate
from hypernas.graph import KINDS, Graph, Node

KERNELS = (1, 3, 5, 7)
"""kernel sizes with a feature of their own; larger ones share one"""
EXTRAS = ("depth", "segment", "dilated", "strided", "log channels", "log size", "members")
"""features besides kinds and kernels: depth is from 0, a source of the segment, to 1, a sink, and
segment from 0, the first, to 1, the last"""
FAR = 2**30
"""longer than any path: there is none"""
MOST = 4
"""weighted operations in a chain, unless fewer are asked for"""
FEATURES = len(KINDS) + 3 * (len(KERNELS) + 1) + len(EXTRAS)


@dataclass(frozen=True)
class OperatorGraph:
    """The operators of one candidate, or of several side by side.

    Attributes:
        members: for each operator the positions of its operations in the candidate's graph.
        features: what each operator is, float32 of shape (operators, FEATURES).
        sizes: output channels, input channels, and kernel height and width of its first weight or
            pooling window, 0 for none; float32 of shape (operators, 4).
        edges: pairs (source, target) within a segment, int64 of shape (edges, 2).
        fed: whether an operator takes a value from outside its segment, bool of shape (operators,).
        segment: of each operator, int64 of shape (operators,).
        up: longest path to the operator from a source of its segment, int64 of shape (operators,).
        down: longest path from the operator to a sink of its segment.
        owner: which candidate an operator belongs to, int64 of shape (operators,).
    """

    members: tuple[tuple[int, ...], ...]
    features: np.ndarray
    sizes: np.ndarray
    edges: np.ndarray
    fed: np.ndarray
    segment: np.ndarray
    up: np.ndarray
    down: np.ndarray
    owner: np.ndarray

    def __len__(self) -> int:
        return len(self.members)


def operators(candidate: Candidate, *, most: int = MOST, flat: bool = False) -> OperatorGraph:
    """Return the operator graph of a candidate; it is found once and remembered.

    Args:
        candidate: whose graph is read.
        most: weighted operations in an operator.
        flat: the whole graph is one segment.
    """
    key = (OperatorGraph, most, flat)
    if key not in candidate.notes:
        candidate.notes[key] = _operators(candidate.graph, most, flat)
    return candidate.notes[key]


def side_by_side(graphs: Sequence[OperatorGraph]) -> OperatorGraph:
    """Return one graph that holds all of ``graphs`` without edges between them."""
    if len(graphs) == 1:
        return graphs[0]
    offsets = np.cumsum([0, *map(len, graphs)])[:-1]
    return OperatorGraph(
        members=tuple(chain for graph in graphs for chain in graph.members),
        features=np.concatenate([graph.features for graph in graphs]),
        sizes=np.concatenate([graph.sizes for graph in graphs]),
        edges=np.concatenate([g.edges + offset for g, offset in zip(graphs, offsets, strict=True)]),
        fed=np.concatenate([graph.fed for graph in graphs]),
        segment=np.concatenate([graph.segment for graph in graphs]),
        up=np.concatenate([graph.up for graph in graphs]),
        down=np.concatenate([graph.down for graph in graphs]),
        owner=np.repeat(np.arange(len(graphs)), [len(graph) for graph in graphs]),
    )


def distances(count: int, edges: np.ndarray) -> np.ndarray:
    """Return the shortest path from each of ``count`` nodes (columns) to each (rows).

    Args:
        count: number of nodes.
        edges: pairs (source, target), int64 (edges, 2); every source comes before its target.

    Returns:
        int32 of shape (count, count), FAR where there is no path.

    >>> distances(3, np.array([[0, 1], [1, 2]]))[2].tolist()
    [2, 1, 0]
    """
    found = np.full((count, count), FAR, dtype=np.int32)
    sources: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges.tolist():
        sources[target].append(source)
    for node, before in enumerate(sources):
        if before:
            near = found[before].min(axis=0) if len(before) > 1 else found[before[0]]
            np.minimum(near + 1, FAR, out=found[node])
        found[node, node] = 0
    return found


def _operators(graph: Graph, most: int, flat: bool) -> OperatorGraph:
    segments = [0 if flat else node.segment for node in graph.nodes]
    chain_of = _chains(graph, segments, most)
    members: list[list[int]] = [[] for _ in range(max(chain_of) + 1)]
    for position, chain in enumerate(chain_of):
        members[chain].append(position)
    segment = np.array([segments[chain[0]] for chain in members])
    fed = np.zeros(len(members), dtype=bool)
    edges = set()
    for position, node in enumerate(graph.nodes):
        target = chain_of[position]
        for source in map(chain_of.__getitem__, node.inputs):
            if segment[source] != segment[target]:
                fed[target] = True
            elif source != target:
                edges.add((source, target))
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    up, down = _depths(len(members), pairs), _depths(len(members), pairs[::-1, ::-1])
    features = np.stack([_features([graph.nodes[i] for i in chain]) for chain in members])
    features[:, _extra("depth")] = up / np.maximum(up + down, 1)
    features[:, _extra("segment")] = segment / max(segment.max(), 1)
    return OperatorGraph(
        members=tuple(map(tuple, members)),
        features=features,
        sizes=np.array(
            [_sizes([graph.nodes[i] for i in chain]) for chain in members], dtype=np.float32
        ),
        edges=pairs,
        fed=fed,
        segment=segment,
        up=up,
        down=down,
        owner=np.zeros(len(members), dtype=np.int64),
    )


def _chains(graph: Graph, segments: list[int], most: int) -> list[int]:
    """Return the chain of each node; chains are numbered in topological order of their heads."""
    consumers = graph.consumers()
    chain_of: list[int] = []
    weighted: list[int] = []  # in each chain
    for position, node in enumerate(graph.nodes):
        sources = set(node.inputs)
        before = sources.pop() if len(sources) == 1 else None
        joins = (
            before is not None
            and len(consumers[before]) == 1
            and segments[before] == segments[position]
            and weighted[chain_of[before]] + node.weighted <= most
        )
        if not joins:
            weighted.append(0)
        chain_of.append(chain_of[before] if joins and before is not None else len(weighted) - 1)
        weighted[chain_of[-1]] += node.weighted
    return chain_of


def _depths(count: int, edges: np.ndarray) -> np.ndarray:
    """Return the longest path to each of ``count`` nodes."""
    depths = [0] * count
    outgoing: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in edges.tolist():
        outgoing[source].append(target)
        missing[target] += 1
    ready = [node for node in range(count) if not missing[node]]
    for node in ready:  # grows while it is walked
        for target in outgoing[node]:
            depths[target] = max(depths[target], depths[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return np.array(depths, dtype=np.int64)


def _features(nodes: list[Node]) -> np.ndarray:
    """Describe an operator without its place: counts of its kinds and kernels, and its size."""
    row = np.zeros(FEATURES, dtype=np.float32)
    for node in nodes:
        row[KINDS.index(node.kind)] += 1
        if node.kernel:
            family = 0 if not node.parameters else 1 if node.groups == 1 else 2
            row[len(KINDS) + family * (len(KERNELS) + 1) + kernel_class(node.kernel)] += 1
            row[_extra("dilated")] += max(node.dilation) > 1
            row[_extra("strided")] += max(node.stride) > 1
    shape = nodes[-1].shape or (1,)
    row[_extra("log channels")] = math.log2(max(shape[0], 1)) / 8
    row[_extra("log size")] = math.log2(max(math.prod(shape[1:]), 1)) / 8
    row[_extra("members")] = len(nodes) / 8
    return row


def _extra(name: str) -> int:
    """Return the column of one of :data:`EXTRAS`."""
    return EXTRAS.index(name) - len(EXTRAS)


def _sizes(nodes: list[Node]) -> tuple[int, int, int, int]:
    """Return the sizes of an operator's first weight, or else of its pooling window."""
    for node in nodes:
        shape = next((p.shape for p in node.parameters if p.role == "weight"), None)
        if shape is None and not node.kernel:
            continue
        outputs, inputs, *kernel = shape or (1, 1, *node.kernel)
        height, width = [*[1] * (2 - len(kernel)), *kernel[-2:]]
        return outputs, inputs, height, width
    return 0, 0, 0, 0


def kernel_class(kernel: tuple[int, ...]) -> int:
    """Return the position of a kernel's longer side in :data:`KERNELS`, or their number."""
    side = max(kernel)
    return KERNELS.index(side) if side in KERNELS else len(KERNELS)
