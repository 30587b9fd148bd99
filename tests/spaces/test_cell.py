"""The cell space has what the graph hypernetwork's paper needs, and its widths keep to a limit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates, build_network
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.tasks import Signature

SMALL = Signature(input_shape=(3, 12, 12), outputs=5)
IMAGENET = Signature(input_shape=(3, 224, 224), outputs=1000)


def drawn(data: Signature = SMALL, seed: int = 0, **options: Any) -> Candidate:
    return Candidates(find("cell", options), data).draw(random.Random(seed))


def sides(candidate: Candidate) -> list[tuple[int, int]]:
    """Return channels of a node and side of the image, cell after cell."""
    shapes = {node.path: node.shape for node in candidate.graph.nodes}
    cells = [f"body.{i}.last.{len(c.last) - 2}" for i, c in enumerate(candidate.module.body)]
    return [(shapes[path][0], shapes[path][1]) for path in cells]


def test_the_networks_of_the_paper() -> None:
    options = {"nodes": 17, "cells": 18, "width": 32, "identity": False, "applied": "each"}
    candidate = drawn(Signature(input_shape=(3, 32, 32), outputs=10), stem_stride=1, **options)
    expected = [(32, 32)] * 6 + [(64, 16)] * 6 + [(128, 8)] * 6
    assert sides(candidate) == expected
    operations = {d.options for n, d in candidate.decisions.items() if n.endswith(".op")}
    assert [len(names) for names in operations] == [8]
    assert len(candidate.choices) == 34


def test_the_skeleton_of_imagenet_mobile() -> None:
    candidate = drawn(IMAGENET, nodes=3, width=4, skeleton="imagenet-mobile")
    expected = [(4, 112), (8, 56)] + [(16, 28)] * 4 + [(32, 14)] * 4 + [(64, 7)] * 4
    assert sides(candidate) == expected
    # what the other skeleton leaves open is fixed here
    assert drawn(IMAGENET, nodes=3, width=4, skeleton="imagenet-mobile", cells=2).macs == (
        candidate.macs
    )


@pytest.mark.parametrize("side", [1, 7, 8, 28, 33])
def test_it_works_for_small_and_odd_images(side: int) -> None:
    data = Signature(input_shape=(1, side, side), outputs=3)
    candidate = drawn(data, nodes=2, width=2, skeleton="imagenet-mobile")
    weights = hypernets.make("ghn")([candidate])[0]
    assert candidate(weights, torch.randn(2, 1, side, side)).shape == (2, 3)


@pytest.mark.parametrize("skeleton", ["thirds", "imagenet-mobile"])
@pytest.mark.parametrize(("seed", "applied"), [(0, "sum"), (1, "each"), (2, "sum"), (3, "each")])
def test_the_widest_is_the_last_within_the_limit(skeleton: str, seed: int, applied: str) -> None:
    fixed = {"skeleton": skeleton, "applied": applied, "nodes": 4}
    limit = 3_000_000 + 1_234_567 * seed
    found = drawn(seed=seed, width="auto", macs=limit, **fixed)
    width = sides(found)[0][0]
    candidates = Candidates(find("cell", fixed | {"width": width + 1}), SMALL)
    assert found.macs <= limit < candidates.of(found.choices).macs
    exact = Candidates(find("cell", fixed | {"width": width}), SMALL).of(found.choices)
    assert (exact.macs, exact.params) == (found.macs, found.params)


def test_a_limit_of_600_million_at_224_pixels() -> None:
    found = drawn(IMAGENET, nodes=5, skeleton="imagenet-mobile", width="auto")
    assert 400_000_000 < found.macs <= 600_000_000
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network = build_network(
            find("cell", {"nodes": 5, "skeleton": "imagenet-mobile", "width": "auto"}),
            found.choices,
            IMAGENET,
            seed=0,
        )
        network.eval()(torch.randn(1, 3, 224, 224))
    assert counter.get_total_flops() == 2 * found.macs


def test_a_limit_that_nothing_meets_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"macs=1000: .* give macs=\d+ or more") as refused:
        drawn(width="auto", macs=1000)
    assert "\n" not in str(refused.value)
    least = int(str(refused.value).split("macs=")[-1].split()[0])
    assert drawn(width="auto", macs=least).macs == least
    for option in ("macs", "width"):
        with pytest.raises(SpaceError, match=f"{option}=0"):
            drawn(**{option: 0})
    with pytest.raises(SpaceError, match="width=wide"):
        drawn(width="wide")


def test_an_operation_on_each_input_costs_twice_and_has_one_set_of_weights() -> None:
    for seed in range(4):
        each, summed = drawn(seed=seed, applied="each", width=4), drawn(seed=seed, width=4)
        assert each.choices == summed.choices
        assert each.params == summed.params
        convolves = any(v.startswith(("conv", "sep", "dil")) for v in each.choices.values())
        assert (each.macs > summed.macs) is convolves
        network = build_network(
            find("cell", {"applied": "each", "width": 4}), each.choices, SMALL, seed=0
        )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.eval()(torch.randn(1, 3, 12, 12))
        assert counter.get_total_flops() == 2 * each.macs


def test_an_operation_on_each_input_is_that_of_the_paper() -> None:
    """x_v = f(x_u) + f(x_w), by hand, for a cell of one node."""
    choices = {"node0.inputs": "0,1", "node0.op": "conv_1x1"}
    space = find("cell", {"applied": "each", "width": 4, "nodes": 1, "cells": 1})
    network = build_network(space, choices, SMALL, seed=0).eval()
    x = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        cell, stem = network.body[0], network.stem(x)
        assert isinstance(cell, nn.Module)
        before, last, node = cell.before(stem), cell.last(stem), cell.nodes[0]
        expected = network.head(node(before) + node(last))
        torch.testing.assert_close(network(x), expected)
        assert not torch.allclose(network(x), network.head(node(before + last)))
