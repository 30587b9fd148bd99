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
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.graph import Graph, Node, Parameter
from hypernas.hypernets.layout import Passing, Scheme, plan
from hypernas.hypernets.operators import FAR, OperatorGraph, distances, operators, side_by_side
from hypernas.hypernets.propagation import POSITIONS, Cell, News, Propagation

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


def operators_of(graph: Graph, **options: Any) -> OperatorGraph:
    return operators(cast(Candidate, SimpleNamespace(graph=graph, notes={})), **options)


# --- the plain implementation -------------------------------------------------------------------


class Plain:
    """Visits operator by operator: arXiv 1810.05749, 3.2 and 3.3; virtual edges: 2110.13100, eq. 4.

    Attributes:
        h: what each operator carries, a list of (D,) or, with an LSTM's memory, (2 D,).
    """

    def __init__(self, prop: Propagation, states: Tensor, graph: OperatorGraph) -> None:
        self.prop, self.graph = prop, graph
        self.h = list(states)
        self.sources: dict[int, list[int]] = {v: [] for v in range(len(graph))}
        self.targets: dict[int, list[int]] = {v: [] for v in range(len(graph))}
        for source, target in graph.edges.tolist():
            self.sources[target].append(source)
            self.targets[source].append(target)

    def far(self, v: int, neighbours: dict[int, list[int]]) -> dict[int, int]:
        """Return the operators that can be reached from ``v``, and how far each is, by a search."""
        found, front = {v: 0}, [v]
        while front:
            here = front.pop(0)
            for there in neighbours[here]:
                if there not in found:
                    found[there] = found[here] + 1
                    front.append(there)
        return {u: d for u, d in found.items() if 0 < d <= self.prop.passing.reach}

    def update(
        self, network: Any, v: int, neighbours: dict[int, list[int]], heard: Tensor | None
    ) -> Tensor:
        said = [network.message(self.h[u][:STATE]) for u in neighbours[v]]
        if heard is not None and self.graph.fed[v]:
            said.append(heard)
        message = torch.zeros(STATE)
        if said:
            stacked = torch.stack(said)
            message = {
                "sum": stacked.sum(0), "mean": stacked.mean(0), "max": stacked.amax(0),
            }[self.prop.passing.aggregation]  # fmt: skip
        for u, distance in self.far(v, neighbours).items():
            message = message + network.virtual(self.h[u][:STATE]) / distance
        cell = network.update.cell
        if isinstance(cell, torch.nn.LSTMCell):
            memory = self.h[v][None, :STATE], self.h[v][None, STATE:]
            return torch.cat(cell(message[None], memory), dim=1)[0]
        return cell(message[None], self.h[v][None])[0]

    def visit(self, network: Any, order: list[int], heard: Tensor) -> None:
        """Do one round in one segment of one candidate."""
        if self.prop.passing.scheme == "synchronous":
            for neighbours, news in ((self.sources, heard), (self.targets, None)):
                values = [self.update(network, v, neighbours, news) for v in order]
                for v, value in zip(order, values, strict=True):
                    self.h[v] = value
            return
        for v in order:
            self.h[v] = self.update(network, v, self.sources, heard)
        for v in reversed(order):
            if self.targets[v]:
                self.h[v] = self.update(network, v, self.targets, None)

    def states(self) -> Tensor:
        """Return all states (N, D) after all rounds in all segments."""
        prop, graph = self.prop, self.graph
        for candidate in range(graph.owner.max() + 1):
            heard = torch.zeros(STATE)
            own = [v for v in range(len(graph)) if graph.owner[v] == candidate]
            for segment in range(max(graph.segment[v] for v in own) + 1):
                network = prop.networks[segment if len(prop.networks) > 1 else 0]
                order = [v for v in own if graph.segment[v] == segment]  # topological
                if prop.news == "position":
                    heard = prop.positions[segment]
                if isinstance(network.update.cell, torch.nn.LSTMCell):
                    for v in order:
                        self.h[v] = torch.cat([self.h[v], torch.zeros(STATE)])
                for _ in range(prop.rounds):
                    self.visit(network, order, heard)
                for v in order:
                    self.h[v] = self.h[v][:STATE]
                if prop.news == "passed":
                    heard = torch.stack([self.h[v] for v in order]).mean(0)
        return torch.stack(self.h)


def results(prop: Propagation, run: Any, states: Tensor, weight: Tensor) -> list[Tensor]:
    """Return the states and the gradients of a weighted sum of them."""
    start = states.clone().requires_grad_()
    out = run(start)
    wanted = [start, *prop.parameters()]
    grads = torch.autograd.grad((out * weight).sum(), wanted, allow_unused=True)
    return [out] + [
        torch.zeros_like(w) if g is None else g for g, w in zip(grads, wanted, strict=True)
    ]


WAYS = [
    (Passing(), "gru", "passed", 1),
    (Passing("synchronous"), "gru", "passed", 1),
    (Passing(aggregation="mean"), "plain", "none", 1),
    (Passing("synchronous", "mean"), "lstm", "position", 1),
    (Passing(aggregation="max"), "lstm", "passed", 99),
    (Passing("synchronous", "max"), "gru", "passed", 1),
    (Passing(reach=2), "gru", "none", 1),
    (Passing(reach=50), "gru", "passed", 1),
    (Passing("synchronous", reach=50), "plain", "none", 99),
]


@pytest.mark.parametrize(("passing", "cell", "news", "networks"), WAYS, ids=str)
@given(
    found=st.lists(graphs(), min_size=1, max_size=3),
    rounds=st.integers(0, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_levels_equal_single_visits(
    passing: Passing,
    cell: Cell,
    news: News,
    networks: int,
    found: list[Graph],
    rounds: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    prop = Propagation(STATE, rounds, passing, cell=cell, news=news, networks=min(networks, 16))
    for parameter in prop.parameters():
        parameter.data *= 2  # so that states move far
    graph = side_by_side([operators_of(g) for g in found])
    states, weight = torch.randn(2, len(graph), STATE)
    plain = results(prop, lambda h: Plain(prop, h, graph).states(), states, weight)
    batched = results(prop, lambda h: prop(h, plan(graph, passing)), states, weight)
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
    prop = Propagation(STATE, 1, Passing(scheme))
    states = torch.randn(10, STATE, requires_grad=True)
    out = prop(states, plan(graph, prop.passing))
    (to_first,) = torch.autograd.grad(out[-1].sum(), states, retain_graph=True)
    (to_last,) = torch.autograd.grad(out[0].sum(), states)
    crossed = bool(to_first[0].any()) and bool(to_last[-1].any())
    assert crossed == (scheme == "forward-backward")


@pytest.mark.parametrize("news", ["passed", "none"])
def test_a_cell_hears_the_one_before_and_not_the_one_after(news: News) -> None:
    nodes = [Node("conv", str(i), (i - 1,) if i else (), (1,), segment=i) for i in range(3)]
    graph = operators_of(Graph(tuple(nodes), (2,)))
    torch.manual_seed(0)
    prop = Propagation(STATE, 2, Passing(), news=news)
    states = torch.randn(3, STATE, requires_grad=True)
    out = prop(states, plan(graph, prop.passing))
    reached = [
        torch.autograd.grad(o.sum(), states, retain_graph=True)[0].abs().sum(1) > 0 for o in out
    ]
    expected = torch.ones(3, 3).tril() if news == "passed" else torch.eye(3)
    assert torch.stack(reached).tolist() == expected.bool().tolist()


def test_more_segments_than_positions_are_refused() -> None:
    nodes = [
        Node("conv", str(i), (i - 1,) if i else (), (1,), segment=i) for i in range(POSITIONS + 1)
    ]
    graph = operators_of(Graph(tuple(nodes), (POSITIONS,)))
    prop = Propagation(STATE, 1, Passing(), news="position")
    with pytest.raises(ConfigError, match=f"{POSITIONS + 1} cells .* give .* stacking=passed"):
        prop(torch.zeros(len(graph), STATE), plan(graph, Passing()))


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


def test_an_operator_holds_at_most_so_many_weighted_operations() -> None:
    nodes = [Node("input", "x", (), (3, 8, 8))]
    for i in range(7):
        weight = Parameter(f"{i}.weight", (20, 20, 3, 5), "weight")
        geometry = {"kernel": (3, 5), "stride": (1, 1), "dilation": (1, 1)}
        nodes.append(Node("conv", str(i), (2 * i,), (20, 8, 8), (weight,), **geometry))
        nodes.append(Node("relu", f"{i}r", (2 * i + 1,), (20, 8, 8)))
    graph = Graph(tuple(nodes), (14,))
    assert [len(chain) for chain in operators_of(graph).members] == [9, 6]
    alone = operators_of(graph, most=1)
    assert [len(chain) for chain in alone.members] == [3, *[2] * 6]
    assert alone.edges.tolist() == [[i, i + 1] for i in range(6)]
    assert alone.sizes.tolist() == [[20, 20, 3, 5]] * 7


def test_a_flat_graph_has_the_edges_between_segments_too() -> None:
    nodes = [Node("conv", str(i), (i - 1,) if i else (), (1,), segment=i // 2) for i in range(4)]
    nodes.append(Node("conv", "4", (0, 3), (1,), segment=2))
    graph = Graph(tuple(nodes), (4,))
    flat = operators_of(graph, flat=True)
    assert flat.segment.tolist() == [0, 0, 0]
    assert not flat.fed.any()
    assert flat.edges.tolist() == [[0, 1], [0, 2], [1, 2]]


@given(graphs(most=25))
@settings(deadline=None)
def test_distances_are_those_of_another_implementation(graph: Graph) -> None:
    found = operators_of(graph, flat=True)
    count = len(found)
    matrix = np.zeros((count, count))
    matrix[found.edges[:, 0], found.edges[:, 1]] = 1
    expected = shortest_path(matrix, unweighted=True).T  # from columns to rows
    mine = distances(count, found.edges)
    assert np.array_equal(np.where(mine == FAR, np.inf, mine), expected)
