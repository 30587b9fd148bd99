"""Message passing over operators: forward–backward or synchronous, segment after segment.

Source: Graph HyperNetworks (arXiv 1810.05749), sections 3.2 and 3.3. One forward–backward round
visits the operators in topological order, then in the reverse; only the visited operator is
updated, from the current states of its neighbours. Operators of one level have no path between
them, so they are updated together with the same result.

Legend: N operators, L operators of a level, D size of a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from hypernas.hypernets.operators import OperatorGraph

Scheme = Literal["forward-backward", "synchronous"]


@dataclass(frozen=True)
class Sweep:
    """One visit of a segment's operators, level by level.

    Attributes:
        order: positions of the operators in their segment, sorted by level, int64 (N,).
        sizes: number of operators in each level.
        messages: for each level, which later operators (rows, in this order) hear each operator of
            the level (columns), float32 of shape (later, L).
    """

    order: Tensor
    sizes: tuple[int, ...]
    messages: tuple[Tensor, ...]


@dataclass(frozen=True)
class Segment:
    """What is fixed about one segment, for the candidates side by side.

    Attributes:
        operators: their positions in the whole graph, int64 (N,).
        forward, backward: the two sweeps; a backward sweep's first level (the sinks) only speaks.
        adjacency: (target, source) of every edge, float32 (N, N).
        fed: column of 0 or 1 by candidate: which candidate's last segment an operator hears,
            float32 (N, candidates).
        mean: averages the states of each candidate, float32 (candidates, N).
    """

    operators: Tensor
    forward: Sweep
    backward: Sweep
    adjacency: Tensor
    fed: Tensor
    mean: Tensor


def plan(graph: OperatorGraph, device: torch.device | str = "cpu") -> list[Segment]:
    """Return the segments in order, with their index tables on ``device``."""
    candidates = int(graph.owner.max()) + 1
    return [
        _segment(graph, number, candidates, torch.device(device))
        for number in range(int(graph.segment.max()) + 1)
    ]


def _segment(graph: OperatorGraph, number: int, candidates: int, device: torch.device) -> Segment:
    inside = np.flatnonzero(graph.segment == number)
    place = np.full(len(graph), -1)
    place[inside] = np.arange(len(inside))
    edges = (
        place[graph.edges[np.isin(graph.edges[:, 0], inside)]] if len(graph.edges) else graph.edges
    )
    adjacency = np.zeros((len(inside), len(inside)), dtype=np.float32)
    adjacency[edges[:, 1], edges[:, 0]] = 1
    of_candidate = np.eye(candidates, dtype=np.float32)[graph.owner[inside]]
    counts = np.maximum(of_candidate.sum(0), 1)
    move = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)  # noqa: E731
    return Segment(
        operators=move(inside),
        forward=_sweep(graph.up[inside], adjacency, device),
        backward=_sweep(graph.down[inside], adjacency.T, device),
        adjacency=move(adjacency),
        fed=move(of_candidate * graph.fed[inside, None]),
        mean=move((of_candidate / counts).T),
    )


def _sweep(levels: np.ndarray, hears: np.ndarray, device: torch.device) -> Sweep:
    """Sort by level; ``hears[a, b]`` says that operator a hears operator b."""
    order = np.argsort(levels, kind="stable")
    sizes = tuple(np.bincount(levels).tolist())
    ordered = hears[np.ix_(order, order)]
    messages, start = [], 0
    for size in sizes:
        block = ordered[start + size :, start : start + size]
        messages.append(torch.from_numpy(np.ascontiguousarray(block)).to(device))
        start += size
    return Sweep(torch.from_numpy(order).to(device), sizes, tuple(messages))


class Propagation(nn.Module):
    """Message network M and gated update U of a graph hypernetwork, shared by all operators.

    Args:
        state: size D of an operator's state (the paper has 32).
        rounds: rounds T in each segment (the paper has 5).
        scheme: ``forward-backward``, or ``synchronous``: all operators at once, along the edges and
            then against them.
    """

    def __init__(self, state: int, rounds: int, scheme: Scheme) -> None:
        super().__init__()
        self.rounds = rounds
        self.scheme = scheme
        self.message = nn.Sequential(nn.Linear(state, state), nn.ReLU(), nn.Linear(state, state))
        self.update = nn.GRUCell(state, state)

    def forward(self, states: Tensor, segments: list[Segment]) -> Tensor:
        """Return the states (N, D) after all rounds in all segments.

        A segment's mean state, by candidate, is a message to the operators of the next one that are
        fed from outside (section 3.3).
        """
        heard = states.new_zeros(segments[0].mean.shape[0], states.shape[1])
        done = []
        for segment in segments:
            inside = self._rounds(states[segment.operators], segment, segment.fed @ heard)
            heard = segment.mean @ inside
            done.append(inside)
        places = torch.cat([segment.operators for segment in segments])
        return torch.cat(done)[torch.argsort(places)]

    def _rounds(self, states: Tensor, segment: Segment, heard: Tensor) -> Tensor:
        for _ in range(self.rounds):
            if self.scheme == "synchronous":
                states = self._together(states, segment.adjacency, heard)
                states = self._together(states, segment.adjacency.T, torch.zeros_like(heard))
            else:
                states = self._sweep(states, segment.forward, heard)
                states = self._sweep(states, segment.backward, None)
        return states

    def _together(self, states: Tensor, adjacency: Tensor, heard: Tensor) -> Tensor:
        return self.update(adjacency @ self.message(states) + heard, states)

    def _sweep(self, states: Tensor, sweep: Sweep, heard: Tensor | None) -> Tensor:
        """Visit level after level; without ``heard`` the first level speaks and stays as it is."""
        levels = states[sweep.order].split(sweep.sizes)
        later = torch.zeros_like(states) if heard is None else heard[sweep.order]
        visited = []
        for position, level in enumerate(levels):
            if heard is not None or position:
                level = self.update(later[: len(level)], level)
            visited.append(level)
            later = later[len(level) :]
            if len(later):
                later = torch.addmm(later, sweep.messages[position], self.message(level))
        return torch.cat(visited)[torch.argsort(sweep.order)]
