"""How far a network is from those that a hypernetwork was trained on, by figures of their graphs.

A graph is described by the shares of its kinds of operations, of its kernels and of grouped
convolutions, and by the logarithms of its operations with weights, its depth, its widest result,
its parameters and its MACs. Each figure is divided by its deviation over the training graphs, and
the distance is Euclid's. A network is like the training graphs when its distance to the nearest
one is not far beyond what these have among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hypernas.errors import ConfigError
from hypernas.graph import KINDS, Graph

LEAST_SHARE, LEAST_OCTAVES = 0.03, 0.5
"""deviations are at least these: of shares, and of logarithms to base 2"""
SLACK = 1.5
"""a network may be so much farther from the training graphs than the loneliest of them"""
LEAST_USUAL = 1.0
"""training graphs that hardly differ count as so far apart: one deviation in one figure"""
SILENT = ("input", "parameter", "constant", "identity", "dropout")
"""kinds that are no operations"""
SIDES = (1, 3, 5, 7)

_SHARES = (
    *(f"{kind.replace('_', ' ')} operations" for kind in KINDS if kind not in SILENT),
    *(f"kernels of {side}" for side in SIDES),
    "kernels of another side",
    "grouped convolutions",
)
_SIZES = ("operations with weights", "depth", "widest result", "parameters", "MACs")
NAMES = (*_SHARES, *_SIZES)


def figures(graph: Graph) -> np.ndarray:
    """Return what describes a graph, float64 of shape (len(NAMES),)."""
    operations = [node for node in graph.nodes if node.kind not in SILENT]
    windows = [node for node in operations if node.kernel]
    kinds = [sum(n.kind == kind for n in operations) for kind in KINDS if kind not in SILENT]
    sides = [sum(max(node.kernel) == side for node in windows) for side in SIDES]
    windowed = [*sides, len(windows) - sum(sides), sum(node.groups > 1 for node in windows)]
    widest = max((node.shape[0] for node in operations if node.shape), default=1)
    sizes = [graph.parametrised_operations, graph.depth, widest, graph.params, graph.macs]
    return np.array(
        [count / max(len(operations), 1) for count in kinds]
        + [count / max(len(windows), 1) for count in windowed]
        + [np.log2(1 + size) for size in sizes]
    )


class Likeness:
    """Distances to and among training graphs.

    Args:
        graphs: at least two, such as a hypernetwork met while it was fitted.

    Raises:
        ConfigError: there are fewer.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        if len(graphs) < 2:
            raise ConfigError(
                f"{len(graphs)} training graph says nothing of what is like the training graphs; "
                "at least 2 are needed: make a run with a larger --survey"
            )
        self.known = np.stack([figures(graph) for graph in graphs])
        least = [LEAST_SHARE] * len(_SHARES) + [LEAST_OCTAVES] * len(_SIZES)
        self.scale = np.maximum(self.known.std(axis=0), least)

    def between(self, one: Graph, other: Graph) -> float:
        """Return the distance of two graphs."""
        return float(np.linalg.norm((figures(one) - figures(other)) / self.scale))

    def distance(self, graph: Graph) -> float:
        """Return the distance of a graph to the nearest training graph."""
        return float(self._apart(figures(graph)).min())

    @cached_property
    def usual(self) -> float:
        """The largest distance of a training graph to the nearest other one."""
        nearest = [np.partition(self._apart(row), 1)[1] for row in self.known]
        return float(max(nearest))

    @property
    def limit(self) -> float:
        """The distance beyond which a graph is like none of the training graphs."""
        return SLACK * max(self.usual, LEAST_USUAL)

    def strangest(self, graph: Graph, count: int = 2) -> list[str]:
        """Say in which figures a graph is farthest from the nearest training graph."""
        own = figures(graph)
        nearest = self.known[self._apart(own).argmin()]
        order = np.argsort(-np.abs(own - nearest) / self.scale)[:count]
        return [_in_words(NAMES[i], own[i], self.known[:, i]) for i in order]

    def _apart(self, row: np.ndarray) -> np.ndarray:
        return np.linalg.norm((self.known - row) / self.scale, axis=1)


def _in_words(name: str, own: float, known: np.ndarray) -> str:
    low, high = known.min(), known.max()
    if name in _SIZES:
        small, least, most = (f"{2**value - 1:,.0f}" for value in (own, low, high))
        return f"{small} {name} (there {least} to {most})"
    return f"{own:.0%} {name} (there {low:.0%} to {high:.0%})"
