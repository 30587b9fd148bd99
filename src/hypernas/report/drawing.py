"""Draws a computation graph: the whole as a strip, and one of its repeated cells in detail.

An operation that is the only reader of the one before it shares its box, so that a box is about
what a person calls a layer.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from hypernas.graph import Graph, Node
from hypernas.report.formats import coordinate as _n
from hypernas.report.formats import count, sizes
from hypernas.report.layout import Layout, Point, arrange
from hypernas.report.structure import Part, parts_of, repeated

LABELS = {
    "conv_transpose": "transposed conv",
    "max_pool": "max pool",
    "avg_pool": "average pool",
    "global_pool": "global pool",
    "concat": "concatenate",
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "matmul": "matrix product",
}
"""what a kind is called, where it is not simply its name"""

GROUPS = {
    "convolution": ("conv", "conv_transpose"),
    "dense": ("linear", "embedding", "attention", "recurrent", "matmul"),
    "pooling": ("max_pool", "avg_pool", "global_pool", "resize"),
    "joining": ("add", "multiply", "concat"),
    "outside": ("input", "parameter", "constant"),
    "light": (
        *("relu", "sigmoid", "tanh", "gelu", "silu", "activation", "softmax"),
        *("norm", "bias", "identity", "dropout", "reshape", "reduce", "other"),
    ),
}
"""kinds that share a colour; a box has the colour of the first group that occurs in it"""

_GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
_RANK = {group: rank for rank, group in enumerate(GROUPS)}

_STYLE = """
.graph{--g-ink:#1d2530;--g-soft:#5d6875;--g-line:#8e99a5;--g-paper:#fff;--g-conv:#dcebf8;
--g-dense:#f5e2ef;--g-pool:#dff1e8;--g-join:#fbeed1;font:12px system-ui,sans-serif}
@media screen and (prefers-color-scheme:dark){
.graph{--g-ink:#e6eaef;--g-soft:#a3afbb;--g-line:#748290;--g-paper:#1a2028;--g-conv:#1f3a52;
--g-dense:#4a2b41;--g-pool:#1f4234;--g-join:#4a3b18}}
.graph text{text-anchor:middle;fill:var(--g-ink)}
.graph .title{font-size:13px;font-weight:600}
.graph .note{fill:var(--g-soft);font-size:11px}
.graph rect{fill:var(--g-paper);stroke:var(--g-line)}
.graph .convolution rect{fill:var(--g-conv)}
.graph .dense rect{fill:var(--g-dense)}
.graph .pooling rect{fill:var(--g-pool)}
.graph .joining rect{fill:var(--g-join)}
.graph .outside rect{stroke-dasharray:3 3}
.graph .edge{fill:none;stroke:var(--g-line);stroke-width:1.4;marker-end:url(#arrow)}
.graph .head{fill:var(--g-line)}
"""
_LINE, _PAD, _LETTER = 16.0, 9.0, 6.3
_STRIP_GAP, _STRIP_WIDTH = 26.0, 860.0
_MARGIN = 12.0
_LONG_CHAIN = 10
"""nodes after which a chain goes on in a box of its own"""
_ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "silu", "activation")


def draw(graph: Graph) -> str:
    """Return ``graph`` as inline SVG that brings its own style, for light and dark pages.

    A graph without repeated cells is drawn whole.
    """
    parts = parts_of(graph)
    cells = repeated(parts)
    if not cells:
        drawing = _network(graph, range(len(graph.nodes)))
        return _svg(drawing.body, drawing.width, drawing.height)
    strip = _strip(graph, parts, cells)
    detail = _network(graph, cells[0].positions)
    width = max(strip.width, detail.width)
    title = f"One cell in detail: {cells[0].prefix}, the first of {len(cells)}"
    top = strip.height + 52
    body = (
        f"<g transform='translate({_n((width - strip.width) / 2)} 0)'>{strip.body}</g>"
        f"<text class='title' x='{_n(width / 2)}' y='{_n(top - 20)}'>{html.escape(title)}</text>"
        f"<g transform='translate({_n((width - detail.width) / 2)} {_n(top)})'>{detail.body}</g>"
    )
    return _svg(body, width, top + detail.height)


@dataclass(frozen=True)
class _Picture:
    """A piece of SVG with its size."""

    body: str
    width: float
    height: float


@dataclass(frozen=True)
class _Box:
    """What is written in a box, first line bold; ``note`` is the small line below."""

    lines: tuple[str, ...]
    note: str
    group: str
    tip: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        longest = max(len(text) for text in (*self.lines, self.note))
        return 2 * _PAD + _LETTER * longest, 2 * _PAD + _LINE * (len(self.lines) + bool(self.note))


def label(node: Node) -> str:
    """Return what a node does, with the sizes that matter.

    >>> label(Node("conv", "stem", (0,), (16, 8, 8), kernel=(3, 3), stride=(2, 2), dilation=(1, 1)))
    'conv 3×3, stride 2'
    """
    words = LABELS.get(node.kind, node.kind.replace("_", " "))
    weight = next((p.shape for p in node.parameters if p.role == "weight"), ())
    if node.kind == "linear" and len(weight) == 2:
        return f"linear {weight[1]} → {weight[0]}"
    if node.kind == "conv" and node.groups > 1:
        each = len(weight) > 1 and weight[1] == 1
        words = "depthwise conv" if each else f"conv in {node.groups} groups"
    if node.kernel:
        words += " " + "×".join(map(str, node.kernel))
    if max(node.dilation, default=1) > 1:
        words += f", dilation {max(node.dilation)}"
    if max(node.stride, default=1) > 1:
        words += f", stride {max(node.stride)}"
    return words


def _network(graph: Graph, positions: Sequence[int]) -> _Picture:
    """Draw the nodes at ``positions``, with a pill for each value that comes from outside."""
    inside = set(positions)
    chains = _chains(graph, positions)
    outside = dict.fromkeys(i for p in positions for i in graph.nodes[p].inputs if i not in inside)
    boxes = [_outside_box(graph, position) for position in outside]
    owner = {position: box for box, position in enumerate(outside)}
    for chain in chains:
        owner |= dict.fromkeys(chain, len(boxes))
        boxes.append(_chain_box([graph.nodes[p] for p in chain]))
    edges = dict.fromkeys((owner[i], owner[c[0]]) for c in chains for i in graph.nodes[c[0]].inputs)
    leaving = dict.fromkeys(owner[p] for p in positions if _leaves(graph, p, inside))
    boxes.append(_Box(("output",), "", "outside"))
    edges |= dict.fromkeys((box, len(boxes) - 1) for box in leaving)
    return _picture(boxes, list(edges))


def _leaves(graph: Graph, position: int, inside: set[int]) -> bool:
    return position in graph.outputs or any(c not in inside for c in graph.consumers()[position])


def _chains(graph: Graph, positions: Iterable[int]) -> list[list[int]]:
    """Group nodes in chains in which each node's value goes to the next one only."""
    chain_of: dict[int, list[int]] = {}
    chains: list[list[int]] = []
    for position in positions:
        node = graph.nodes[position]
        before = chain_of.get(node.inputs[0]) if len(node.inputs) == 1 else None
        only = before is not None and graph.consumers()[node.inputs[0]] == (position,)
        if before is not None and only and _joins(node, graph.nodes[before[0]], len(before)):
            before.append(position)
            chain_of[position] = before
        else:
            chains.append([position])
            chain_of[position] = chains[-1]
    return chains


def _joins(node: Node, first: Node, length: int) -> bool:
    """Say whether a node shares the box that begins with ``first`` and holds ``length`` nodes."""
    return first.kind != "input" and (length < _LONG_CHAIN or _GROUP_OF[node.kind] == "light")


def _chain_box(nodes: list[Node]) -> _Box:
    """Write a chain: a line for each weight or pooling, with what is light beside it."""
    heads = [node for node in nodes if _GROUP_OF[node.kind] != "joining"]
    activation_first = bool(heads) and heads[0].kind in _ACTIVATIONS
    lines: list[list[Node]] = []
    for node in nodes:
        opens = _GROUP_OF[node.kind] != "light" or (activation_first and node.kind in _ACTIVATIONS)
        full = lines and any(_GROUP_OF[n.kind] != "light" for n in lines[-1])
        if not lines or (full and opens):
            lines.append([])
        lines[-1].append(node)
    params = sum(node.params for node in nodes)
    weights = f" · {count(params)} weights" if params else ""
    return _Box(
        lines=tuple(" · ".join(map(label, line)) for line in lines),
        note=sizes(nodes[-1].shape) + weights,
        group=min((_GROUP_OF[node.kind] for node in nodes), key=_RANK.__getitem__),
        tip="\n".join(node.path for node in nodes),
    )


def _outside_box(graph: Graph, position: int) -> _Box:
    node = graph.nodes[position]
    return _Box((f"from {node.path}",), sizes(node.shape), "outside")


def _picture(boxes: list[_Box], edges: list[tuple[int, int]]) -> _Picture:
    layout = arrange([box.size for box in boxes], edges)
    curves = "".join(
        f"<path class='edge' d='{_curve(points)}'/>" for points in _spread(layout, edges)
    )
    drawn = "".join(map(_box, boxes, layout.centres))
    return _Picture(curves + drawn, layout.width, layout.height)


def _spread(layout: Layout, edges: list[tuple[int, int]]) -> list[list[Point]]:
    """Let the edges that enter a box arrive side by side, in the order they come from."""
    entering: dict[int, list[int]] = {}
    for number, (_, target) in enumerate(edges):
        entering.setdefault(target, []).append(number)
    routes = [list(route) for route in layout.routes]
    for numbers in entering.values():
        numbers.sort(key=lambda number: routes[number][-2][0])
        for place, number in enumerate(numbers):
            x, y = routes[number][-1]
            routes[number][-1] = (x + 12 * (place - (len(numbers) - 1) / 2), y - 4)
    return routes


def _curve(points: list[Point]) -> str:
    """Return an SVG path that leaves and enters every layer vertically."""
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 == x1:
            path += f"V{_n(y1)}"
        else:
            middle = _n((y0 + y1) / 2)
            path += f"C{_n(x0)} {middle} {_n(x1)} {middle} {_n(x1)} {_n(y1)}"
    return path


def _box(box: _Box, centre: Point) -> str:
    (width, height), (x, y) = box.size, centre
    left, top = x - width / 2, y - height / 2
    radius = height / 2 if box.group == "outside" else 6
    texts = [f"<tspan x='{_n(x)}' dy='{_n(_LINE)}'>{html.escape(t)}</tspan>" for t in box.lines]
    if box.note:
        note = html.escape(box.note)
        texts.append(f"<tspan class='note' x='{_n(x)}' dy='{_n(_LINE)}'>{note}</tspan>")
    tip = f"<title>{html.escape(box.tip)}</title>" if box.tip else ""
    return (
        f"<g class='{box.group}'>{tip}<rect x='{_n(left)}' y='{_n(top)}' width='{_n(width)}' "
        f"height='{_n(height)}' rx='{_n(radius)}'/>"
        f"<text y='{_n(top + _PAD - 4)}'>{''.join(texts)}</text></g>"
    )


def _strip(graph: Graph, parts: list[Part], cells: list[Part]) -> _Picture:
    """Draw all parts in a row that wraps, equal neighbours as one box with their number."""
    rows: list[list[_Box]] = [[]]
    for box in _strip_boxes(graph, parts, cells):
        taken = sum(b.size[0] + _STRIP_GAP for b in rows[-1])
        if rows[-1] and taken + box.size[0] > _STRIP_WIDTH:
            rows.append([])
        rows[-1].append(box)
    height = max(box.size[1] for row in rows for box in row)
    body, width = "", 0.0
    for level, row in enumerate(rows):
        x, y = 0.0, level * (height + 14) + height / 2
        for number, box in enumerate(row):
            if number or level:
                body += f"<path class='edge' d='M{_n(x - _STRIP_GAP + 3)} {_n(y)}H{_n(x - 6)}'/>"
            body += _box(box, (x + box.size[0] / 2, y))
            x += box.size[0] + _STRIP_GAP
        width = max(width, x - _STRIP_GAP)
    return _Picture(body, width, len(rows) * (height + 14) - 14)


def _strip_boxes(graph: Graph, parts: list[Part], cells: list[Part]) -> list[_Box]:
    inputs = [node for node in graph.nodes if node.kind == "input"]
    boxes = [_Box(("input",), sizes(node.shape), "outside") for node in inputs]
    segments = {cell.segment for cell in cells}
    drawn = [p for p in parts if any(graph.nodes[i].kind != "input" for i in p.positions)]
    for _, run in groupby(drawn, lambda p: p.shape if p.segment in segments else p.segment):
        first, *others = run
        is_cell = first.segment in segments
        name = "cell" if is_cell else first.prefix or "between"
        times = f" ×{1 + len(others)}" if others else ""
        group = "convolution" if is_cell else "light"
        boxes.append(_Box((name + times,), sizes(first.shape), group))
    return boxes


def _svg(body: str, width: float, height: float) -> str:
    w, h = (math.ceil(size + 2 * _MARGIN) for size in (width, height))
    arrow = (
        "<defs><marker id='arrow' viewBox='0 0 8 8' refX='4' refY='4' markerWidth='6' "
        "markerHeight='6' orient='auto'><path class='head' d='M0 0L8 4L0 8z'/></marker></defs>"
    )
    return (
        f"<svg class='graph' role='img' aria-label='the network as a graph' "
        f"viewBox='{_n(-_MARGIN)} {_n(-_MARGIN)} {w} {h}' width='{w}' height='{h}'>"
        f"<style>{_STYLE}</style>{arrow}{body}</svg>"
    )
