"""The drawing shows every operation, whatever its kind, and stays quick."""

from __future__ import annotations

import itertools
import re
import time
from xml.etree import ElementTree

import pytest
from torch import nn

from hypernas.graph import KINDS, Graph, Node, Parameter
from hypernas.report.drawing import GROUPS, draw, label
from hypernas.report.layout import arrange
from hypernas.report.structure import parts_of, repeated
from hypernas.tracing import marked_cells, read_graph

from .conftest import Demo


def texts(svg: str) -> list[str]:
    """Return every line of text in a drawing, which must be well-formed."""
    return [e.text or "" for e in ElementTree.fromstring(svg).iter() if e.tag in ("tspan", "text")]


def chain(kinds: tuple[str, ...]) -> Graph:
    """Return one node of each kind, one after the other."""
    nodes = [Node("input", "input0", (), (3, 8, 8))]
    nodes += [Node(kind, f"part.{i}", (i,), (8, 8, 8)) for i, kind in enumerate(kinds)]
    return Graph(tuple(nodes), (len(kinds),))


def test_every_kind_belongs_to_one_group():
    assert sorted(kind for kinds in GROUPS.values() for kind in kinds) == sorted(KINDS)


def test_every_kind_is_drawn():
    kinds = tuple(kind for kind in KINDS if kind != "input")
    drawn = " ".join(texts(draw(chain(kinds))))
    for node in chain(kinds).nodes:
        assert label(node) in drawn


@pytest.mark.parametrize("group", list(GROUPS))
def test_a_group_has_its_class(group: str):
    assert f"<g class='{group}'>" in draw(chain(GROUPS[group][:1]))


def test_labels_tell_what_matters():
    weight = (Parameter("w", (8, 1, 5, 5), "weight"),)
    depthwise = Node("conv", "c", (0,), (8, 4, 4), weight, (5, 5), (2, 2), (2, 2), groups=8)
    assert label(depthwise) == "depthwise conv 5×5, dilation 2, stride 2"
    linear = Node("linear", "l", (0,), (10,), (Parameter("w", (10, 64), "weight"),))
    assert label(linear) == "linear 64 → 10"


def test_strip_and_one_cell(finished: Demo):
    graph = finished.best.graph
    lines = texts(draw(graph))
    cells = repeated(parts_of(graph))
    assert len(cells) == len(marked_cells(finished.best.module))
    assert lines.count(f"One cell in detail: {cells[0].prefix}, the first of {len(cells)}") == 1
    assert {"input", "stem", "head", "output"} <= set(lines)
    drawn = [
        int(times) for line in lines for times in re.findall(r"^cell(?: ×(\d+))?$", line) if times
    ]
    alone = lines.count("cell")
    assert sum(drawn) + alone == len(cells)


def test_detail_holds_each_weight_of_the_cell(finished: Demo):
    graph = finished.best.graph
    cell = repeated(parts_of(graph))[0]
    tips = [e.text or "" for e in ElementTree.fromstring(draw(graph)).iter("title")]
    shown = [path for tip in tips for path in tip.split("\n") if path.startswith(f"{cell.prefix}.")]
    assert sorted(shown) == sorted(graph.nodes[p].path for p in cell.positions)


def test_graph_without_cells_is_drawn_whole():
    graph = read_graph(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (4,))
    lines = texts(draw(graph))
    assert [t for t in lines if "in" in t] == ["input", "linear 4 → 8 · ReLU", "linear 8 → 2"]
    assert not any("in detail" in line for line in lines)


def test_activations_stand_before_or_after_as_in_the_network():
    before, after = (
        nn.Sequential(*(layer for _ in range(3) for layer in layers))
        for layers in ((nn.ReLU(), nn.Linear(4, 4)), (nn.Linear(4, 4), nn.ReLU()))
    )
    assert texts(draw(read_graph(before, (4,)))).count("ReLU · linear 4 → 4") == 3
    assert texts(draw(read_graph(after, (4,)))).count("linear 4 → 4 · ReLU") == 3


def test_long_chain_is_cut_into_boxes():
    svg = draw(chain(("conv", "norm", "relu") * 20))
    assert 5 < svg.count("<rect") < 15
    assert texts(svg).count("conv · norm · ReLU") == 20


def test_names_are_escaped():
    node = Node("other", "a<script>&'", (0,), (1,))
    svg = draw(Graph((Node("input", "x<b>", (), (1,)), node), (1,)))
    assert "<script>" not in svg
    assert "<b>" not in svg
    ElementTree.fromstring(svg)


def test_300_nodes_with_long_edges_take_seconds_at_most():
    nodes = [Node("input", "input0", (), (8, 8, 8))]
    for i in range(300):
        long = (max(0, i - 40),) if i % 3 == 0 and i > 40 else ()
        kind = "add" if long else "conv"
        nodes.append(Node(kind, f"layer{i}", (i, *long), (8, 8, 8)))
    start = time.process_time()
    svg = draw(Graph(tuple(nodes), (300,)))
    assert time.process_time() - start < 5
    ElementTree.fromstring(svg)


def test_boxes_of_a_layer_do_not_overlap():
    edges = [(0, i) for i in range(1, 8)] + [(i, 8) for i in range(1, 8)] + [(0, 8)]
    layout = arrange([(60.0, 20.0)] * 9, edges)
    middle = sorted(x for x, _ in layout.centres[1:8])
    assert min(b - a for a, b in itertools.pairwise(middle)) >= 60
    assert all(30 <= x <= layout.width - 30 for x, _ in layout.centres)
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert route[0] == (layout.centres[source][0], layout.centres[source][1] + 10)
        assert route[-1] == (layout.centres[target][0], layout.centres[target][1] - 10)
        assert [y for _, y in route] == sorted(y for _, y in route)
