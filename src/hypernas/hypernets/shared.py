"""Plain weight sharing: one table of weights for the whole space, the classic baseline.

A parameter is looked up by its name and by the kind of its operation, and sliced to the channels
that the candidate has (ENAS, arXiv 1802.03268; one-shot models; slimmable networks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.graph import Node, Parameter
from hypernas.hypernets.hypernet import Hypernet, Weights
from hypernas.randomness import torch_generator


class SharedWeights(Hypernet):
    """Weight sharing: a table keyed by parameter name and kind, sliced to the candidate's shapes.

    The table grows as candidates with new names or more channels are met.
    """

    seed: Tensor
    """decides the first values; it lies where the table does"""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.ParameterDict()
        self.register_buffer("seed", torch.randint(2**62, ()))

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        return [{p.name: self._lookup(key, p) for key, p in _keys(c)} for c in candidates]

    def _lookup(self, key: str, parameter: Parameter) -> Tensor:
        entry = self.table.get(key)
        if entry is None or not _covers(entry.shape, parameter.shape):
            # never fitted: its first values, not kept, so that no score depends on an earlier one
            entry = self._initial(key, parameter, entry)
        if entry.shape == parameter.shape:
            return entry
        return entry[tuple(slice(0, n) for n in parameter.shape)]

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        grown = []
        for candidate in candidates:
            for key, parameter in _keys(candidate):
                old = self.table.get(key)
                if old is not None and _covers(old.shape, parameter.shape):
                    continue
                self.table[key] = nn.Parameter(self._initial(key, parameter, old))
                grown.append((old, self.table[key]))
        return grown

    def _initial(self, key: str, parameter: Parameter, old: Tensor | None) -> Tensor:
        """Draw an entry by its name, so that it does not depend on when it is first met."""
        shape = parameter.shape
        if old is not None:
            shape = tuple(map(max, old.shape, shape))
        generator = torch_generator(int(self.seed), "shared", key, *shape)
        value = _drawn(parameter.role, shape, generator).to(self.seed.device)
        if old is not None:
            value[tuple(slice(0, n) for n in old.shape)] = old.detach()
        return value

    def untrained(self, candidate: Candidate) -> list[str]:
        return [
            parameter.name
            for key, parameter in _keys(candidate)
            if key not in self.table or not _covers(self.table[key].shape, parameter.shape)
        ]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load a table; entries that this one lacks are made."""
        for name, tensor in state_dict.items():
            if name.startswith("table."):
                self.table[name.removeprefix("table.")] = nn.Parameter(torch.empty_like(tensor))
        return super().load_state_dict(state_dict, *args, **kwargs)


def _keys(candidate: Candidate) -> list[tuple[str, Parameter]]:
    if SharedWeights not in candidate.notes:
        found: dict[str, tuple[str, Parameter]] = {}
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


def _covers(have: torch.Size, want: tuple[int, ...]) -> bool:
    return all(h >= w for h, w in zip(have, want, strict=True))


def _drawn(role: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if role == "scale":
        return torch.ones(shape)
    if role in ("shift", "bias"):
        return torch.zeros(shape)
    spread = math.sqrt(2 / max(math.prod(shape[1:]), 1)) if role == "weight" else 0.02
    return torch.randn(shape, generator=generator) * spread
