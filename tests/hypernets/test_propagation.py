"""Updating level by level equals visiting one operator after the other, as the paper says."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hypernas.candidate import Candidate
from hypernas.graph import Graph, Node
from hypernas.hypernets.operators import OperatorGraph, operators, side_by_side
from hypernas.hypernets.propagation import Propagation, Scheme, plan

STATE = 6


@st.composite
def graphs(draw: Any, *, most: int = 14) -> Graph:
    """Draw a graph of several segments in which every node takes up to three earlier ones."""
    nodes = [Node("input", "x", (), (1,))]
    segment = 0
    for position in range(1, draw(st.integers(1, most))):
        segment += draw(st.integers(0, 3)) == 0
        near = st.integers(max(0, position - 5), position - 1)
        inputs = tuple(draw(st.lists(near, min_size=0, max_size=3)))
        nodes.append(Node("conv", str(position), inputs, (4, 2, 2), segment=segment))
    return Graph(tuple(nodes), (len(nodes) - 1,))


def operators_of(graph: Graph) -> OperatorGraph:
    return operators(cast(Candidate, SimpleNamespace(graph=graph, notes={})))


# --- the plain implementation -------------------------------------------------------------------


def visited(prop: Propagation, states: Tensor, graph: OperatorGraph) -> Tensor:
    """Visit operator by operator: arXiv 1810.05749, 3.2 (forward and backward) and 3.3 (cells)."""
    h = list(states)
    sources: dict[int, list[int]] = {v: [] for v in range(len(graph))}
    targets: dict[int, list[int]] = {v: [] for v in range(len(graph))}
    for source, target in graph.edges.tolist():
        sources[target].append(source)
        targets[source].append(target)

    def update(v: int, neighbours: list[int], heard: Tensor | None) -> Tensor:
        message = torch.zeros(STATE)
        for u in neighbours:
            message = message + prop.message(h[u])
        if heard is not None and graph.fed[v]:
            message = message + heard
        return prop.update(message[None], h[v][None])[0]

    for candidate in range(graph.owner.max() + 1):
        heard = torch.zeros(STATE)
        own = [v for v in range(len(graph)) if graph.owner[v] == candidate]
        for segment in range(max(graph.segment[v] for v in own) + 1):
            order = [v for v in own if graph.segment[v] == segment]  # topological
            for _ in range(prop.rounds):
                if prop.scheme == "synchronous":
                    for new in ([(v, sources[v], heard) for v in order],
                                [(v, targets[v], None) for v in order]):  # fmt: skip
                        values = [update(*arguments) for arguments in new]
                        for v, value in zip(order, values, strict=True):
                            h[v] = value
                    continue
                for v in order:
                    h[v] = update(v, sources[v], heard)
                for v in reversed(order):
                    if targets[v]:
                        h[v] = update(v, targets[v], None)
            heard = torch.stack([h[v] for v in order]).mean(0)
    return torch.stack(h)


def results(prop: Propagation, run: Any, states: Tensor, weight: Tensor) -> list[Tensor]:
    """Return the states and the gradients of a weighted sum of them."""
    start = states.clone().requires_grad_()
    out = run(start)
    wanted = [start, *prop.parameters()]
    grads = torch.autograd.grad((out * weight).sum(), wanted, allow_unused=True)
    return [out] + [
        torch.zeros_like(w) if g is None else g for g, w in zip(grads, wanted, strict=True)
    ]


@pytest.mark.parametrize("scheme", ["forward-backward", "synchronous"])
@given(
    found=st.lists(graphs(), min_size=1, max_size=3),
    rounds=st.integers(0, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_levels_equal_single_visits(
    scheme: Scheme, found: list[Graph], rounds: int, seed: int
) -> None:
    torch.manual_seed(seed)
    prop = Propagation(STATE, rounds, scheme)
    for parameter in prop.parameters():
        parameter.data *= 2  # so that states move far
    graph = side_by_side([operators_of(g) for g in found])
    states, weight = torch.randn(2, len(graph), STATE)
    plain = results(prop, lambda h: visited(prop, h, graph), states, weight)
    batched = results(prop, lambda h: prop(h, plan(graph)), states, weight)
    for one, other in zip(plain, batched, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["forward-backward", "synchronous"])
def test_one_round_carries_news_from_end_to_end(scheme: Scheme) -> None:
    nodes = [Node("input", "x", (), (1,))]
    for i in range(1, 10):  # each hears the two before, so that no chains are joined
        nodes.append(Node("conv", str(i), tuple({max(i - 2, 0), i - 1}), (1,)))
    graph = operators_of(Graph(tuple(nodes), (9,)))
    assert len(graph) == 10
    torch.manual_seed(0)
    prop = Propagation(STATE, 1, scheme)
    states = torch.randn(10, STATE, requires_grad=True)
    out = prop(states, plan(graph))
    (to_first,) = torch.autograd.grad(out[-1].sum(), states, retain_graph=True)
    (to_last,) = torch.autograd.grad(out[0].sum(), states)
    crossed = bool(to_first[0].any()) and bool(to_last[-1].any())
    assert crossed == (scheme == "forward-backward")


def test_a_cell_hears_the_one_before_and_not_the_one_after() -> None:
    nodes = [Node("conv", str(i), (i - 1,) if i else (), (1,), segment=i) for i in range(3)]
    graph = operators_of(Graph(tuple(nodes), (2,)))
    torch.manual_seed(0)
    prop = Propagation(STATE, 2, "forward-backward")
    states = torch.randn(3, STATE, requires_grad=True)
    out = prop(states, plan(graph))
    reached = [
        torch.autograd.grad(o.sum(), states, retain_graph=True)[0].abs().sum(1) > 0 for o in out
    ]
    assert torch.stack(reached).tolist() == [
        [True, False, False], [True, True, False], [True, True, True],
    ]  # fmt: skip


# --- operators ----------------------------------------------------------------------------------


@given(graphs(most=25))
@settings(deadline=None)
def test_operators_are_chains_that_cover_the_graph(graph: Graph) -> None:
    found = operators_of(graph)
    nodes, consumers = graph.nodes, graph.consumers()
    assert sorted(i for chain in found.members for i in chain) == list(range(len(nodes)))
    heads = [chain[0] for chain in found.members]
    assert heads == sorted(heads)
    for chain in found.members:
        for before, after in itertools.pairwise(chain):
            assert set(nodes[after].inputs) == {before}
            assert consumers[before] == (after,)
            assert nodes[before].segment == nodes[after].segment
    # no two chains could be one
    last = {chain[-1]: number for number, chain in enumerate(found.members)}
    for chain in found.members:
        sources = set(nodes[chain[0]].inputs)
        if len(sources) == 1 and (source := sources.pop()) in last:
            apart = nodes[source].segment != nodes[chain[0]].segment
            assert apart or len(consumers[source]) > 1


@given(graphs(most=25))
@settings(deadline=None)
def test_edges_levels_and_feeding_are_those_of_the_graph(graph: Graph) -> None:
    found = operators_of(graph)
    nodes = graph.nodes
    chain_of = {i: number for number, chain in enumerate(found.members) for i in chain}
    edges = {(chain_of[s], chain_of[i]) for i, node in enumerate(nodes) for s in node.inputs}
    segment = [nodes[chain[0]].segment for chain in found.members]
    inside = {(s, t) for s, t in edges if s != t and segment[s] == segment[t]}
    assert found.segment.tolist() == segment
    assert {(s, t) for s, t in found.edges.tolist()} == inside
    assert len(found.edges) == len(inside)
    fed = {t for s, t in edges if segment[s] != segment[t]}
    assert set(np.flatnonzero(found.fed).tolist()) == fed

    def longest(v: int, along: int) -> int:
        nexts = [edge[1 - along] for edge in inside if edge[along] == v]
        return max((longest(n, along) + 1 for n in nexts), default=0)

    assert found.up.tolist() == [longest(v, 1) for v in range(len(found))]
    assert found.down.tolist() == [longest(v, 0) for v in range(len(found))]


def test_operators_are_found_once_and_stand_side_by_side() -> None:
    graph = Graph((Node("input", "x", (), (1,)), Node("conv", "a", (0,), (1,), segment=1)), (1,))
    candidate = cast(Candidate, SimpleNamespace(graph=graph, notes={}))
    assert operators(candidate) is operators(candidate)
    both = side_by_side([operators(candidate)] * 2)
    assert both.owner.tolist() == [0, 0, 1, 1]
    assert both.members == ((0,), (1,)) * 2
    assert both.fed.tolist() == [False, True] * 2
