"""Networks with exits: costs as the graph tells them, an order by cost, every option."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates, build_network
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.spaces.anytime import Network
from hypernas.tasks import Signature
from hypernas.tracing import read_graph

SMALL = {"width": 4, "nodes": [4, 3, 2]}


def drawn(seed: int, side: int = 9, **options: Any) -> tuple[Candidate, nn.Module]:
    data = Signature(input_shape=(2, side, side), outputs=3)
    space = find("anytime", SMALL | options)
    candidate = Candidates(space, data).draw(random.Random(seed))
    return candidate, build_network(space, candidate.choices, data, seed=0).eval()


def outputs_of(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    found = network(x)
    return found if isinstance(found, tuple) else (found,)


@given(
    seed=st.integers(0, 2**32), nodes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    scales=st.integers(1, 4), exits=st.floats(0, 1), side=st.integers(5, 33),
    stride=st.sampled_from([None, 1, 2]),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_every_size_and_option(
    seed: int, nodes: list[int], scales: int, exits: float, side: int, stride: int | None
) -> None:
    options = {"nodes": nodes, "scales": scales, "exits": exits, "stem_stride": stride, "width": 2}
    candidate, network = drawn(seed, side, **options)
    found = outputs_of(network, torch.randn(2, 2, side, side))
    assert [tuple(output.shape) for output in found] == [(2, 3)] * len(candidate.exit_macs)
    graph = read_graph(network, (2, side, side))
    assert graph == candidate.graph
    assert not graph.dead
    assert not graph.unwritten
    assert [graph.nodes[output].shape for output in graph.outputs] == [(3,)] * len(found)


def test_an_early_exit_may_cost_more_than_the_one_behind_all_nodes() -> None:
    candidate, network = drawn(9517166, 5, nodes=[2], scales=3, exits=1.0, stem_stride=2, width=2)
    assert candidate.exit_macs == (514, 516)
    assert len(outputs_of(network, torch.randn(2, 2, 5, 5))) == 2


def test_exits_are_ordered_by_what_they_cost() -> None:
    most = 0
    for seed in range(12):
        candidate, _ = drawn(seed, exits=0.5)
        costs = candidate.exit_macs
        assert list(costs) == sorted(costs)
        heads = sum(n.macs for n in candidate.graph.nodes if n.path.startswith("exits."))
        final = f"exits.{len(costs) - 1}."
        own = sum(n.macs for n in candidate.graph.nodes if n.path.startswith(final))
        assert costs[-1] == candidate.macs - heads + own
        assert candidate.graph.spent(range(len(costs)))[-1] == candidate.macs
        most = max(most, len(costs))
    assert most > 4


def test_an_exit_costs_what_runs_for_it() -> None:
    """Outputs change only with the weights of what an exit is said to need, and these cost that."""
    candidate, network = drawn(3, exits=0.7)
    x = torch.randn(2, 2, 9, 9)
    graph = candidate.graph
    number = len(graph.outputs) // 2
    needed = {graph.nodes[i].path for i in graph.needed(graph.outputs[number])}
    assert candidate.exit_macs[number] == sum(n.macs for n in graph.nodes if n.path in needed)
    before = outputs_of(network, x)
    for node in graph.nodes:
        if node.parameters and node.path not in needed:
            layer = network.get_submodule(node.path)
            nn.init.normal_(next(iter(layer.parameters())))
    after = outputs_of(network, x)
    assert torch.equal(before[number], after[number])
    assert not torch.equal(before[-1], after[-1])


def test_nodes_of_other_sizes_are_pooled_and_upsampled() -> None:
    nodes = {"cell0.node0.inputs": "0,1", "cell0.node1.inputs": "0,2", "cell0.node2.inputs": "2,3"}
    kinds = {f"cell0.node{i}.op": "identity" for i in range(3)}
    scales = {f"cell0.node{i}.scale": i for i in range(3)} | {"cell0.node2.scale": 1}
    exits = {"cell0.node0.exit": True, "cell0.node1.exit": False}
    data = Signature(input_shape=(1, 13, 13), outputs=3)
    space = find("anytime", {"width": 4, "nodes": [3]})
    candidate = Candidates(space, data).of(nodes | kinds | scales | exits)
    shapes = {node.path: node.shape for node in candidate.graph.nodes}
    assert shapes["steps.0.1"] == (4, 13, 13)
    assert shapes["steps.1.4"] == (16, 4, 4)
    assert shapes["steps.2.operation"] == (4, 13, 13)  # the small stem was upsampled
    assert shapes["steps.2.second.3"] == (4, 13, 13)
    assert shapes["steps.3.operation"] == (8, 7, 7)
    assert shapes["steps.4.operation"] == (8, 7, 7)
    assert [shapes[f"exits.{i}.classify"] for i in range(2)] == [(3,), (3,)]


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3", "shared"])
def test_hypernetworks_write_every_weight(name: str) -> None:
    candidate, _ = drawn(2, exits=0.5)
    weights = hypernets.make(name)([candidate])[0]
    assert set(weights) == {name for name, _ in candidate.module.named_parameters()}
    found = candidate(weights, torch.randn(4, 2, 9, 9))
    assert isinstance(found, tuple)
    assert all(torch.isfinite(output).all() for output in found)


def test_the_default_is_the_papers() -> None:
    data = Signature(input_shape=(3, 32, 32), outputs=10)
    candidate = Candidates(find("anytime"), data).draw(random.Random(0))
    assert isinstance(candidate.module, Network)
    asked = [name.split(".")[0] for name in candidate.decisions if name.endswith(".op")]
    assert [asked.count(f"cell{i}") for i in range(3)] == [24, 16, 8]
    assert "cell2.node7.exit" not in candidate.decisions
    assert len(candidate.exit_macs) > 5


def test_options_that_cannot_be() -> None:
    for options, words in (
        ({"nodes": []}, "nodes=: expected n"), ({"nodes": [2, 0]}, "nodes=2,0: expected n"),
        ({"exits": 1.5}, "from 0 to 1"), ({"scales": 0}, "scales"),
    ):  # fmt: skip
        with pytest.raises(SpaceError, match=words):
            drawn(0, **options)
