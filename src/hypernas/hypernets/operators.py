"""The operators of a graph: chains of operations, which are the nodes of a graph hypernetwork.

In the GHN paper (arXiv 1810.05749, 3.2) a node is an operator such as a separable convolution, with
all its weights. Here an operator is found as a chain: operations each of which feeds only the next
and is fed only by the one before. It makes graphs four to eight times smaller.
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
EXTRAS = ("dilated", "strided", "log channels", "log size", "members")
FEATURES = len(KINDS) + 3 * (len(KERNELS) + 1) + len(EXTRAS)


@dataclass(frozen=True)
class OperatorGraph:
    """The operators of one candidate, or of several side by side.

    Attributes:
        members: for each operator the positions of its operations in the candidate's graph.
        features: what each operator is, float32 of shape (operators, FEATURES).
        edges: pairs (source, target) within a segment, int64 of shape (edges, 2).
        fed: whether an operator takes a value from outside its segment, bool of shape (operators,).
        segment: of each operator, int64 of shape (operators,).
        up: longest path to the operator from a source of its segment, int64 of shape (operators,).
        down: longest path from the operator to a sink of its segment.
        owner: which candidate an operator belongs to, int64 of shape (operators,).
    """

    members: tuple[tuple[int, ...], ...]
    features: np.ndarray
    edges: np.ndarray
    fed: np.ndarray
    segment: np.ndarray
    up: np.ndarray
    down: np.ndarray
    owner: np.ndarray

    def __len__(self) -> int:
        return len(self.members)


def operators(candidate: Candidate) -> OperatorGraph:
    """Return the operator graph of a candidate; it is found once and remembered."""
    if OperatorGraph not in candidate.notes:
        candidate.notes[OperatorGraph] = _operators(candidate.graph)
    return candidate.notes[OperatorGraph]


def side_by_side(graphs: Sequence[OperatorGraph]) -> OperatorGraph:
    """Return one graph that holds all of ``graphs`` without edges between them."""
    if len(graphs) == 1:
        return graphs[0]
    offsets = np.cumsum([0, *map(len, graphs)])[:-1]
    return OperatorGraph(
        members=tuple(chain for graph in graphs for chain in graph.members),
        features=np.concatenate([graph.features for graph in graphs]),
        edges=np.concatenate([g.edges + offset for g, offset in zip(graphs, offsets, strict=True)]),
        fed=np.concatenate([graph.fed for graph in graphs]),
        segment=np.concatenate([graph.segment for graph in graphs]),
        up=np.concatenate([graph.up for graph in graphs]),
        down=np.concatenate([graph.down for graph in graphs]),
        owner=np.repeat(np.arange(len(graphs)), [len(graph) for graph in graphs]),
    )


def _operators(graph: Graph) -> OperatorGraph:
    chain_of = _chains(graph)
    members: list[list[int]] = [[] for _ in range(max(chain_of) + 1)]
    for position, chain in enumerate(chain_of):
        members[chain].append(position)
    segment = np.array([graph.nodes[chain[0]].segment for chain in members])
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
    return OperatorGraph(
        members=tuple(map(tuple, members)),
        features=np.stack([_features([graph.nodes[i] for i in chain]) for chain in members]),
        edges=pairs,
        fed=fed,
        segment=segment,
        up=_depths(len(members), pairs),
        down=_depths(len(members), pairs[::-1, ::-1]),
        owner=np.zeros(len(members), dtype=np.int64),
    )


def _chains(graph: Graph) -> list[int]:
    """Return the chain of each node; chains are numbered in topological order of their heads."""
    consumers = graph.consumers()
    chain_of: list[int] = []
    chains = 0
    for node in graph.nodes:
        sources = set(node.inputs)
        before = sources.pop() if len(sources) == 1 else None
        joins = (
            before is not None
            and len(consumers[before]) == 1
            and graph.nodes[before].segment == node.segment
        )
        chain_of.append(chain_of[before] if joins and before is not None else chains)
        chains += not joins
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
    """Describe an operator: counts of its kinds and kernels, and its size."""
    row = np.zeros(FEATURES, dtype=np.float32)
    for node in nodes:
        row[KINDS.index(node.kind)] += 1
        if node.kernel:
            family = 0 if not node.parameters else 1 if node.groups == 1 else 2
            row[len(KINDS) + family * (len(KERNELS) + 1) + kernel_class(node.kernel)] += 1
            row[-5] += max(node.dilation) > 1
            row[-4] += max(node.stride) > 1
    shape = nodes[-1].shape or (1,)
    row[-3] = math.log2(max(shape[0], 1)) / 8
    row[-2] = math.log2(max(math.prod(shape[1:]), 1)) / 8
    row[-1] = len(nodes) / 8
    return row


def kernel_class(kernel: tuple[int, ...]) -> int:
    """Return the position of a kernel's longer side in :data:`KERNELS`, or their number."""
    side = max(kernel)
    return KERNELS.index(side) if side in KERNELS else len(KERNELS)
