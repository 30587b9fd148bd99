"""The NAS-Bench-201 search space (arXiv 2001.00326): 15,625 cells of four nodes and six edges.

Each edge carries one of five operations. Edges that carry nothing, and edges that lie on no path
from the cell's input to its output, are not built: they would count as size without computing
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.space import require_positive
from hypernas.spaces.wiring import Wiring
from hypernas.tasks import Signature

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OUTPUT = 3


def nas_bench_201(
    choose: Chooser,
    data: Signature,
    *,
    width: int = 16,
    cells: int = 5,
    stages: int = 3,
    stem_stride: int = 1,
) -> nn.Module:
    """Cell of 4 nodes and 6 edges out of 5 operations, repeated (NAS-Bench-201, 15,625 cells).

    Args:
        choose: decides ``edge0-1``, ``edge0-2``, ``edge1-2``, ``edge0-3``, ``edge1-3`` and
            ``edge2-3``.
        data: shape of an image and number of classes.
        width: channels of the first stage; each later stage doubles them.
        cells: cells in each stage (the benchmark has 5).
        stages: stages, with a residual block that halves the size between them.
        stem_stride: stride of the first convolution; 2 makes everything four times cheaper.
    """
    require_positive(width=width, cells=cells, stages=stages, stem_stride=stem_stride)
    chosen = {(a, b): choose(f"edge{a}-{b}", OPERATIONS) for a, b in EDGES}
    operations = {edge: chosen[edge] for edge in live_edges(chosen)}
    return Network(operations, data, [width * 2**s for s in range(stages)], cells, stem_stride)


def live_edges(operations: Mapping[tuple[int, int], str]) -> list[tuple[int, int]]:
    """Return the edges that lie on a path from node 0 to node 3.

    >>> none = dict.fromkeys(EDGES, "none")
    >>> live_edges(none | {(0, 1): "skip_connect", (0, 3): "nor_conv_1x1"})
    [(0, 3)]
    """
    there = [edge for edge in EDGES if operations[edge] != "none"]
    reached, useful = {0}, {OUTPUT}
    for a, b in there:  # edges are listed so that a node's inputs come before its outputs
        reached |= {b} if a in reached else set()
    for a, b in reversed(there):
        useful |= {a} if b in useful else set()
    return [(a, b) for a, b in there if a in reached and b in useful]


def _wiring(choices: Mapping[str, Any]) -> Wiring:
    """Return the live edges of a cell for pictures; an edge that leads nowhere is not there."""
    chosen = {(a, b): choices[f"edge{a}-{b}"] for a, b in EDGES}
    live = {edge: chosen[edge] for edge in live_edges(chosen)}
    return Wiring(("in", "node 1", "node 2", "out"), live)


nas_bench_201.wiring = _wiring  # ty: ignore[missing-attribute]


class Network(nn.Module):
    """Stem, stages of cells with residual reductions between them, and a linear classifier."""

    def __init__(
        self,
        operations: Mapping[tuple[int, int], str],
        data: Signature,
        widths: list[int],
        cells_per_stage: int,
        stem_stride: int,
    ) -> None:
        super().__init__()
        channels = data.input_shape[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
        )
        self.body = nn.Sequential()
        self.cells: list[str] = []
        for stage, width in enumerate(widths):
            if stage:
                self.body.append(Reduction(widths[stage - 1], width))
            for _ in range(cells_per_stage):
                self.cells.append(f"body.{len(self.body)}")
                self.body.append(Cell(operations, width))
        self.head = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(widths[-1], data.outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


class Cell(nn.Module):
    """The live edges of one cell; a node is the sum of its edges."""

    def __init__(self, operations: Mapping[tuple[int, int], str], width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {f"{a}-{b}": operation(name, width) for (a, b), name in operations.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes = {0: x}
        for edge, operation in self.edges.items():
            a, b = map(int, edge.split("-"))
            value = operation(nodes[a])
            nodes[b] = nodes[b] + value if b in nodes else value
        # A cell without any path from input to output gives zeros, as in the benchmark.
        return nodes[OUTPUT] if OUTPUT in nodes else x * 0


def operation(name: str, width: int) -> nn.Module:
    """Return one of the benchmark's operations on ``width`` channels."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return relu_conv_norm(width, width, 1 if name == "nor_conv_1x1" else 3)


def relu_conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return ReLU, convolution and batch norm, the benchmark's ``nor_conv``."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Reduction(nn.Module):
    """Residual block that halves the image and doubles the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            relu_conv_norm(inputs, outputs, 3, stride=2), relu_conv_norm(outputs, outputs, 3)
        )
        self.shortcut = nn.Sequential(
            # ceil_mode halves odd sizes as the strided convolution does: 7 becomes 4
            nn.AvgPool2d(2, stride=2, ceil_mode=True),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.shortcut(x)
