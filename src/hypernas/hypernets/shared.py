"""Plain weight sharing: one table of weights for the whole space, the classic baseline.

A parameter is looked up by its name and by the kind of its operation, and sliced to the channels
that the candidate has (ENAS, arXiv 1802.03268; one-shot models; slimmable networks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hypernas.candidate import Candidate
from hypernas.graph import Node, Parameter
from hypernas.hypernets.hypernet import Hypernet, Weights
from hypernas.hypernets.table import Entry, Table


class SharedWeights(Hypernet):
    """Weight sharing: a table keyed by parameter name and kind, sliced to the candidate's shapes.

    The table grows as candidates with new names or more channels are met.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        return [self.table.look_up(entries(candidate)) for candidate in candidates]

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        return self.table.grow(entry for candidate in candidates for entry in entries(candidate))

    def generator_parameters(self) -> list[nn.Parameter]:
        return []

    def untrained(self, candidate: Candidate) -> list[str]:
        return [p.name for key, p in entries(candidate) if self.table.lacks(key, p)]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load a table; entries that this one lacks are made."""
        self.table.make_room(state_dict, "table.")
        return super().load_state_dict(state_dict, *args, **kwargs)


def entries(candidate: Candidate) -> list[Entry]:
    """Return a candidate's parameters with their keys in a table; they are found once."""
    if SharedWeights not in candidate.notes:
        found: dict[str, Entry] = {}
        for node in candidate.graph.nodes:
            for parameter in node.parameters:
                found.setdefault(parameter.name, (_key(node, parameter), parameter))
        candidate.notes[SharedWeights] = list(found.values())
    return candidate.notes[SharedWeights]


def _key(node: Node, parameter: Parameter) -> str:
    """Name an entry: other kernels, dilations and groupings are other kinds."""
    kernel = "x".join(map(str, node.kernel))
    dilation = "d" + "x".join(map(str, node.dilation)) if max(node.dilation, default=1) > 1 else ""
    kind = f"{node.kind}{kernel}{dilation}{'g' if node.groups > 1 else ''}"
    return f"{parameter.name}@{kind}#{len(parameter.shape)}".replace(".", "/")
