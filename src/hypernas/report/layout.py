"""Places the boxes of a directed acyclic graph in layers, top-down (after Sugiyama).

Legend: a *vertex* is a box, or a bend where a long edge passes a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

Point = tuple[float, float]

GAP_ACROSS = 18.0
GAP_DOWN = 30.0
_BEND_WIDTH = 4.0
_SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """Where everything is, in pixels from the top left corner.

    Attributes:
        centres: of each box.
        routes: for each edge, its points from the lower side of one box to the upper of the other.
        width, height: of the whole.
    """

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def arrange(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place boxes of the given (width, height) so that edges point down and cross little.

    Args:
        sizes: of each box, in an order in which every edge leads from an earlier to a later one.
        edges: pairs of positions, each pair once.

    >>> layout = arrange([(40, 20), (40, 20), (40, 20)], [(0, 1), (1, 2), (0, 2)])
    >>> [y for _, y in layout.centres]
    [10.0, 60.0, 110.0]
    """
    if not sizes:
        return Layout([], [], 0.0, 0.0)
    vertices = _Vertices(sizes, edges)
    layers = vertices.layers()
    for sweep in range(_SWEEPS):
        _reorder(layers, vertices, downwards=sweep % 2 == 0)
    across = _across(layers, vertices)
    tops, bottoms = _down(layers, vertices)
    return Layout(
        centres=[
            (float(across[i]), (tops[vertices.level[i]] + bottoms[vertices.level[i]]) / 2)
            for i in range(len(sizes))
        ],
        routes=[_route(path, vertices, across, tops, bottoms) for path in vertices.paths],
        width=float(max(across + vertices.widths / 2)),
        height=bottoms[-1],
    )


class _Vertices:
    """Boxes and bends, with the layer of each and its neighbours above and below."""

    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]
    ) -> None:
        self.heights = [float(height) for _, height in sizes]
        widths = [float(width) for width, _ in sizes]
        self.level = [0] * len(sizes)
        for source, target in sorted(edges, key=lambda edge: edge[1]):
            self.level[target] = max(self.level[target], self.level[source] + 1)
        self.paths: list[list[int]] = []
        for source, target in edges:
            between = range(self.level[source] + 1, self.level[target])
            bends = range(len(self.level), len(self.level) + len(between))
            self.level.extend(between)
            self.heights.extend(0.0 for _ in bends)
            widths.extend(_BEND_WIDTH for _ in bends)
            self.paths.append([source, *bends, target])
        self.widths = np.array(widths)
        self.above: list[list[int]] = [[] for _ in self.level]
        self.below: list[list[int]] = [[] for _ in self.level]
        for path in self.paths:
            for upper, lower in pairwise(path):
                self.below[upper].append(lower)
                self.above[lower].append(upper)

    def layers(self) -> list[list[int]]:
        """Return the vertices of each layer."""
        layers: list[list[int]] = [[] for _ in range(max(self.level) + 1)]
        for vertex, level in enumerate(self.level):
            layers[level].append(vertex)
        return layers


def _reorder(layers: list[list[int]], vertices: _Vertices, *, downwards: bool) -> None:
    """Sort each layer by the mean place of its neighbours in the layers passed before."""
    place = np.zeros(len(vertices.level))
    neighbours = vertices.above if downwards else vertices.below
    for layer in layers if downwards else layers[::-1]:
        wanted = {
            v: np.mean([place[n] for n in neighbours[v]]) if neighbours[v] else i / len(layer)
            for i, v in enumerate(layer)
        }
        layer.sort(key=lambda v: wanted[v])
        for i, vertex in enumerate(layer):
            place[vertex] = (i + 0.5) / len(layer)


def _across(layers: list[list[int]], vertices: _Vertices) -> np.ndarray:
    """Return the horizontal centre of each vertex: near its neighbours, without overlap."""
    across = np.zeros(len(vertices.level))
    neighbours = [[*a, *b] for a, b in zip(vertices.above, vertices.below, strict=True)]
    spread = [_offsets(vertices.widths[layer]) for layer in layers]
    for sweep in range(2 * _SWEEPS):
        order = range(len(layers)) if sweep % 2 == 0 else reversed(range(len(layers)))
        for level in order:
            layer = layers[level]
            wanted = np.array(
                [np.mean(across[neighbours[v]]) if neighbours[v] else across[v] for v in layer]
            )
            # the nearest places that keep the order and the distances: a monotone regression
            fit = isotonic_regression(wanted - spread[level])
            across[layer] = fit.x + spread[level]
    return across - min(across - vertices.widths / 2)


def _offsets(widths: np.ndarray) -> np.ndarray:
    """Return centres of boxes that stand side by side, around 0."""
    right = np.cumsum(widths + GAP_ACROSS)
    return right - (widths + GAP_ACROSS) / 2 - right[-1] / 2


def _down(layers: list[list[int]], vertices: _Vertices) -> tuple[list[float], list[float]]:
    tops, bottoms, y = [], [], 0.0
    for layer in layers:
        tops.append(y)
        bottoms.append(y + max(vertices.heights[v] for v in layer))
        y = bottoms[-1] + GAP_DOWN
    return tops, bottoms


def _route(
    path: list[int],
    vertices: _Vertices,
    across: np.ndarray,
    tops: list[float],
    bottoms: list[float],
) -> list[Point]:
    """Return the points of one edge; a bend is a straight line through its layer."""
    source, *bends, target = path
    points = [(float(across[source]), _side(source, vertices, tops, bottoms, 1))]
    for bend in bends:
        x, level = float(across[bend]), vertices.level[bend]
        points += [(x, tops[level]), (x, bottoms[level])]
    return [*points, (float(across[target]), _side(target, vertices, tops, bottoms, -1))]


def _side(
    vertex: int, vertices: _Vertices, tops: list[float], bottoms: list[float], sign: int
) -> float:
    """Return the height of a box's lower (1) or upper (-1) side; boxes are centred in a layer."""
    level = vertices.level[vertex]
    return (tops[level] + bottoms[level]) / 2 + sign * vertices.heights[vertex] / 2
