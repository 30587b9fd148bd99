"""Figures of graphs whose answer is known by hand."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidates
from hypernas.explaining.motifs import figures, operation_graph, shortest, skip_share
from hypernas.graph import Graph
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.tracing import read_graph

CELL = {f"edge{a}-{b}": "none" for b in range(1, 4) for a in range(b)}


def conv(kernel: int = 3, groups: int = 1) -> nn.Module:
    return nn.Conv2d(4, 4, kernel, padding=kernel // 2, groups=groups)


class Residual(nn.Module):
    """Two convolutions with a shortcut, and a convolution before and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two, self.last = conv(), conv(1), conv(5), conv()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(torch.relu(x + self.two(torch.relu(self.one(x)))))


class Dense(nn.Module):
    """The input and two convolutions of it, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.one(x), self.two(x)], dim=1)


def graph_of(module: nn.Module) -> Graph:
    return read_graph(module, (4, 8, 8))


def pairs(graph: Graph) -> set[tuple[str, str]]:
    names, edges = operation_graph(graph)
    return {(names[a], names[b]) for a, b in edges}


def test_pairs_look_through_sums_and_activations() -> None:
    assert pairs(graph_of(Residual())) == {
        ("conv 3×3", "conv 1×1"),
        ("conv 1×1", "conv 5×5"),
        ("conv 5×5", "conv 3×3"),
        ("conv 3×3", "conv 3×3"),  # by the shortcut
    }


def test_paths_and_skips() -> None:
    graph = graph_of(Residual())
    assert (graph.depth, shortest(graph)) == (4, 2)
    assert skip_share(graph) == 1 / 2
    assert skip_share(graph_of(Dense())) == 1 / 3
    assert skip_share(graph_of(nn.Sequential(conv(), conv()))) == 0


def test_a_sum_of_equals_has_no_skip() -> None:
    candidates = Candidates(
        find("nas-bench-201", {"cells": 1, "stages": 1}), Signature((1, 8, 8), 3)
    )
    both = CELL | {"edge0-3": "skip_connect", "edge0-1": "skip_connect", "edge1-3": "skip_connect"}
    skip = CELL | {"edge0-3": "skip_connect", "edge0-1": "nor_conv_3x3", "edge1-3": "skip_connect"}
    assert skip_share(candidates.of(both).graph) == 0
    assert skip_share(candidates.of(skip).graph) == 1 / 2
    assert figures(candidates.of(skip))["depth of the first cell"] == 1
    assert figures(candidates.of(both))["depth of the first cell"] == 0


def test_separable_convolutions_are_one_operation() -> None:
    body = nn.Sequential(conv(1), nn.ReLU(), conv(3, groups=4), conv(1), nn.MaxPool2d(3))
    assert pairs(graph_of(body)) == {
        ("conv 1×1", "separable conv 3×3"),
        ("separable conv 3×3", "max pool 3×3"),
    }


@pytest.mark.parametrize("name", ["cell", "nas-bench-201", "memory-bank"])
def test_figures_of_every_space(name: str) -> None:
    drawn = Candidates(find(name), Signature((1, 8, 8), 10)).draw(random.Random(0))
    found = figures(drawn)
    deepest = found["depth (weights on the longest path)"]
    assert found["operations with weights"] == drawn.graph.parametrised_operations
    assert 0 <= found["share of inputs of joins that are skips"] <= 1
    assert found["shortcut (weights on the shortest path)"] <= deepest
    assert 0 < found["depth of the first cell"] <= deepest
    assert 0 < found["mean width"] <= found["widest layer"]
    assert any("→" in figure for figure in found)
