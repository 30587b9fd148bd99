"""Edges that lie on no path from input to output are not built, in any of the 15,625 cells."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import Tensor

from hypernas.candidate import Candidates, build_network
from hypernas.choices import Draw
from hypernas.spaces import find
from hypernas.spaces.nas_bench_201 import EDGES, OPERATIONS, live_edges
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=7)
PATHS = [((0, 3),), ((0, 1), (1, 3)), ((0, 2), (2, 3)), ((0, 1), (1, 2), (2, 3))]
CELLS = list(itertools.product(OPERATIONS, repeat=len(EDGES)))


def on_a_path(cell: tuple[str, ...]) -> list[tuple[int, int]]:
    """Search all paths from node 0 to node 3 and return the edges on those without a gap."""
    chosen = dict(zip(EDGES, cell, strict=True))
    whole = [path for path in PATHS if all(chosen[edge] != "none" for edge in path)]
    return [edge for edge in EDGES if any(edge in path for path in whole)]


def counted_params(cell: tuple[str, ...], width: int, cells: int, stages: int) -> int:
    """Count by hand: stem, live edges, reductions, head; convolutions without bias, batch norms."""
    chosen = dict(zip(EDGES, cell, strict=True))
    total = 3 * width * 9 + 2 * width
    for stage in range(stages):
        w = width * 2**stage
        sizes = {"nor_conv_1x1": w * w + 2 * w, "nor_conv_3x3": 9 * w * w + 2 * w}
        total += cells * sum(sizes.get(chosen[edge], 0) for edge in on_a_path(cell))
        if stage:
            half = w // 2
            total += 9 * half * w + 2 * w + 9 * w * w + 2 * w + half * w
    return total + 2 * w + w * DATA.outputs + DATA.outputs


def choices(cell: tuple[str, ...]) -> dict[str, str]:
    return {f"edge{a}-{b}": name for (a, b), name in zip(EDGES, cell, strict=True)}


def test_live_edges_of_all_cells() -> None:
    assert len(CELLS) == 15_625
    for cell in CELLS:
        assert live_edges(dict(zip(EDGES, cell, strict=True))) == on_a_path(cell), cell


def test_names_and_values_are_the_benchmarks() -> None:
    choose = Draw(random.Random(0))
    find("nas-bench-201", {"width": 2, "cells": 1}).build(choose, DATA)
    names = ["edge0-1", "edge0-2", "edge1-2", "edge0-3", "edge1-3", "edge2-3"]
    assert list(choose.decisions) == names
    assert all(d.options == OPERATIONS for d in choose.decisions.values())


@pytest.mark.parametrize("seed", range(12))
def test_networks_have_the_parameters_of_their_live_edges(seed: int) -> None:
    rng = random.Random(seed)
    weights = [3, 1, 1, 2, 1]  # so that many edges are dead
    cell = tuple(rng.choices(OPERATIONS, weights, k=6))
    options = {"width": 3, "cells": 1 + seed % 2, "stages": 1 + seed % 3}
    space = find("nas-bench-201", options)
    candidate = Candidates(space, DATA).of(choices(cell))
    network = build_network(space, candidate.choices, DATA, seed=0)
    expected = counted_params(cell, **options)
    assert candidate.params == sum(p.numel() for p in network.parameters()) == expected
    built = {n.path.split(".edges.")[1][:3] for n in candidate.graph.nodes if ".edges." in n.path}
    assert built == {f"{a}-{b}" for a, b in on_a_path(cell)}


DEAD_ENDS = ("nor_conv_3x3", "nor_conv_1x1", "nor_conv_3x3", "none", "none", "none")
NOTHING = ("none",) * 6


@pytest.mark.parametrize("cell", [DEAD_ENDS, NOTHING])
def test_a_cell_without_any_path_gives_zeros_and_has_a_graph(cell: tuple[str, ...]) -> None:
    space = find("nas-bench-201", {"width": 3, "cells": 1})
    candidate = Candidates(space, DATA).of(choices(cell))
    assert candidate.params == counted_params(cell, 3, 1, 3)
    assert candidate.graph.segments >= 3
    network = build_network(space, candidate.choices, DATA, seed=0).eval()
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        outputs = network(x)
    assert outputs.shape == (4, 7)
    assert torch.isfinite(outputs).all()
    assert torch.equal(outputs[0], outputs[1]), "the input should not reach the output"
    weights = {n: torch.randn(p.shape) for n, p in candidate.module.named_parameters()}
    generated = candidate(weights, x)
    assert isinstance(generated, Tensor)
    assert torch.isfinite(generated).all()


def test_a_node_is_the_sum_of_its_edges() -> None:
    cell = ("skip_connect", "skip_connect", "skip_connect", *["skip_connect"] * 3)
    space = find("nas-bench-201", {"width": 3, "cells": 1, "stages": 1})
    network = build_network(space, choices(cell), DATA, seed=0)
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(network.get_submodule("body.0")(x), 4 * x)  # four paths
