"""Finds the stretches of a network and which of them are one cell, repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hypernas.graph import Graph, Node, Shape


@dataclass(frozen=True)
class Part:
    """One segment of a graph.

    Attributes:
        segment: its number.
        positions: of its nodes.
        prefix: the module path that its nodes share; empty when they share none.
        family: names of the submodules and functions right below the prefix. The repetitions of a
            cell agree in these even where one of them halves the image.
        shape: of its last value.
    """

    segment: int
    positions: tuple[int, ...]
    prefix: str
    family: frozenset[str]
    shape: Shape


def parts_of(graph: Graph) -> list[Part]:
    """Return the segments in order."""
    members: dict[int, list[int]] = {}
    for position, node in enumerate(graph.nodes):
        members.setdefault(node.segment, []).append(position)
    return [_part(graph, segment, members[segment]) for segment in sorted(members)]


def repeated(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that are one and the same cell; none when nothing occurs twice."""
    families = Counter(part.family for part in parts if part.prefix and part.family)
    if not families:
        return []
    family, times = families.most_common(1)[0]
    return [p for p in parts if p.prefix and p.family == family] if times > 1 else []


def _part(graph: Graph, segment: int, positions: list[int]) -> Part:
    nodes = [graph.nodes[position] for position in positions]
    prefix = _shared_path([node for node in nodes if node.kind != "input" and "." in node.path])
    below = (node.path.removeprefix(f"{prefix}.").split(".")[0] for node in nodes)
    inside = all(node.path.startswith(f"{prefix}.") for node in nodes)
    return Part(
        segment=segment,
        positions=tuple(positions),
        prefix=prefix,
        family=frozenset(name.split("_")[0] for name in below) if inside else frozenset(),
        shape=nodes[-1].shape,
    )


def _shared_path(nodes: Sequence[Node]) -> str:
    """Return the longest module path that contains all nodes.

    >>> _shared_path([Node("relu", p, (), ()) for p in ("body.0.edges.1", "body.0.add")])
    'body.0'
    """
    if not nodes:
        return ""
    first, *others = (node.path.split(".")[:-1] for node in nodes)
    shared = 0
    while shared < len(first) and all(
        names[: shared + 1] == first[: shared + 1] for names in others
    ):
        shared += 1
    return ".".join(first[:shared])
