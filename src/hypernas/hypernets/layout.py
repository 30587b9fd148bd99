"""Index tables of message passing: who speaks when, and to whom.

Operators of one level have no path between them, so they are updated together with the same result
as one after the other. Each candidate has the same number of places in a level, as many as the
widest of them needs, so that one product passes the messages of a level in all candidates.

Legend: N operators of a segment, B candidates, L places of a level in one candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hypernas.hypernets.operators import OperatorGraph, distances

Scheme = Literal["forward-backward", "synchronous"]
Aggregation = Literal["sum", "mean", "max"]


@dataclass(frozen=True)
class Passing:
    """How messages pass.

    Attributes:
        scheme: ``forward-backward``, level after level and back, or ``synchronous``: all operators
            at once, along the edges and then against them.
        aggregation: of the messages that an operator hears.
        reach: longest path that is a virtual edge (GHN-2, arXiv 2110.13100, eq. 4); 0 without
            these, as it must be for ``max``.
    """

    scheme: Scheme = "forward-backward"
    aggregation: Aggregation = "sum"
    reach: int = 0


@dataclass(frozen=True)
class Sweep:
    """One visit of a segment's operators, level by level.

    Attributes:
        order: the operator in each place of each candidate, int64 (B * places,). Places that none
            fills repeat the first operator; nobody hears them.
        place: of each operator in the above, int64 (N,).
        sizes: number of places in each level.
        messages: for each level, what later places (rows) hear from its places (columns), float32
            (B, later, L); with virtual edges (B, later, 2 L), where each column is followed by that
            of the virtual edges.
        weight: sum of what each place hears, along edges and along virtual edges, float32
            (B, places, 1 or 2).
        pairs: for each level, target and source of its edges, numbered over all candidates, int64
            (2, edges); for the aggregation ``max`` only.
    """

    order: Tensor
    place: Tensor
    sizes: tuple[int, ...]
    messages: tuple[Tensor, ...]
    weight: Tensor
    pairs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Segment:
    """What is fixed about one segment, for the candidates side by side.

    Attributes:
        operators: their positions in the whole graph, int64 (N,).
        owner: the candidate of each, int64 (N,).
        candidates: number of candidates.
        forward, backward: the two sweeps; a backward sweep's first level (the sinks) only speaks.
        fed: what the news from outside the segment weighs for each operator, float32 (N, 1).
        share: one over the number of operators of its candidate, float32 (N, 1).
    """

    operators: Tensor
    owner: Tensor
    candidates: int
    forward: Sweep
    backward: Sweep
    fed: Tensor
    share: Tensor


def plan(
    graph: OperatorGraph, passing: Passing, device: torch.device | str = "cpu"
) -> list[Segment]:
    """Return the segments in order, with their index tables on ``device``."""
    count = int(graph.segment.max()) + 1
    return [_segment(graph, number, passing, torch.device(device)) for number in range(count)]


def _segment(graph: OperatorGraph, number: int, passing: Passing, device: torch.device) -> Segment:
    inside = np.flatnonzero(graph.segment == number)
    local = np.full(len(graph), -1)
    local[inside] = np.arange(len(inside))
    edges = local[graph.edges[graph.segment[graph.edges[:, 0]] == number]]
    owner, fed = graph.owner[inside], graph.fed[inside].astype(np.float32)
    paths, lengths = _paths(owner, edges, passing.reach)
    heard = np.bincount(edges[:, 1], minlength=len(inside)) + fed
    said = np.bincount(edges[:, 0], minlength=len(inside))
    sweeps = []
    for levels, way, counts in ((graph.up, 1, heard), (graph.down, -1, said)):
        pairs = edges[:, ::way]
        weights = 1 / counts[pairs[:, 1]] if passing.aggregation == "mean" else np.ones(len(pairs))
        links = [(pairs, weights), (paths[:, ::way], 1 / lengths)][: 2 if passing.reach else 1]
        sweeps.append(_sweep(levels[inside], owner, links, passing, device))
    if passing.aggregation == "mean":
        fed = fed / np.maximum(heard, 1)
    return Segment(
        operators=_moved(inside, device),
        owner=_moved(owner, device),
        candidates=int(graph.owner.max()) + 1,
        forward=sweeps[0],
        backward=sweeps[1],
        fed=_moved(fed[:, None].astype(np.float32), device),
        share=_moved((1 / np.bincount(owner)[owner])[:, None].astype(np.float32), device),
    )


def _paths(owner: np.ndarray, edges: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (ancestor, descendant) within ``reach``, and how long the way is."""
    pairs, lengths = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
    for candidate in np.unique(owner) if reach else ():
        own = np.flatnonzero(owner == candidate)  # they lie side by side
        mine = edges[owner[edges[:, 0]] == candidate] - own[0]
        found = distances(len(own), mine)
        target, source = np.nonzero((found > 0) & (found <= reach))
        pairs.append(np.stack([source, target], axis=1) + own[0])
        lengths.append(found[target, source])
    return np.concatenate(pairs), np.concatenate(lengths)


def _sweep(
    levels: np.ndarray,
    owner: np.ndarray,
    links: list[tuple[np.ndarray, np.ndarray]],
    passing: Passing,
    device: torch.device,
) -> Sweep:
    """Lay operators out by level; ``links`` are pairs (speaker, hearer) and their weights."""
    together = passing.scheme == "synchronous"
    inner, sizes = _places(np.zeros_like(levels) if together else levels, owner)
    places, candidates = sum(sizes), int(owner.max()) + 1
    order = np.zeros(candidates * places, dtype=np.int64)
    order[owner * places + inner] = np.arange(len(owner))
    hears = np.zeros((candidates, places, places, len(links)), dtype=np.float32)
    for kind, (pairs, weights) in enumerate(links):
        source, target = pairs[:, 0], pairs[:, 1]
        hears[owner[target], inner[target], inner[source], kind] = weights
    messages, pairs, start = [], [], 0
    for size in sizes:
        block = hears[:, 0 if together else start + size :, start : start + size]
        start += size
        messages.append(_moved(block.reshape(*block.shape[:2], size * len(links)), device))
        if passing.aggregation == "max":
            of, target, source = np.nonzero(block[..., 0])
            numbered = np.stack([of * block.shape[1] + target, of * size + source])
            pairs.append(_moved(numbered, device))
    return Sweep(
        order=_moved(order, device),
        place=_moved(owner * places + inner, device),
        sizes=sizes,
        messages=tuple(messages),
        weight=_moved(hears.sum(axis=2), device),
        pairs=tuple(pairs),
    )


def _places(levels: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the place of each operator in its candidate, and the places of each level."""
    counts = np.zeros((int(owner.max()) + 1, int(levels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (owner, levels), 1)
    sizes = counts.max(axis=0)
    order = np.lexsort((levels, owner))
    before = np.cumsum(counts) - counts.ravel()  # operators of earlier candidates and levels
    rank = np.empty(len(owner), dtype=np.int64)
    rank[order] = np.arange(len(owner)) - before[(owner * counts.shape[1] + levels)[order]]
    return (np.cumsum(sizes) - sizes)[levels] + rank, tuple(sizes.tolist())


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
