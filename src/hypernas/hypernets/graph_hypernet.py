"""What graph hypernetworks share: from candidates to tables, from states to weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.hypernets import operators
from hypernas.hypernets.hypernet import Hypernet, Weights
from hypernas.hypernets.operators import OperatorGraph
from hypernas.hypernets.tensors import Tensors, tensors_of


@dataclass(frozen=True)
class Tables:
    """What is fixed about candidates that pass together, as tensors.

    Attributes:
        features: what each operator is, float32 (N, FEATURES).
        sizes: of its weight, float32 (N, 4), see :class:`OperatorGraph`.
        structure: who is whose neighbour, in the form that the hypernetwork reads.
        tensors: what is to be written.
    """

    features: Tensor
    sizes: Tensor
    structure: Any
    tensors: Tensors


class GraphHypernet(Hypernet):
    """Reads the operators of candidates, gives each a state, and writes their tensors.

    Args:
        most: weighted operations in an operator.
        flat: a candidate is one graph; else its marked cells are read one after the other.
        norms: whether scales and shifts of norms are written; else they stay 1 and 0.
    """

    decoder: nn.Module

    def __init__(self, *, most: int, flat: bool, norms: bool) -> None:
        super().__init__()
        self.most, self.flat, self.norms = most, flat, norms

    @abstractmethod
    def structure(self, graph: OperatorGraph, device: torch.device) -> Any:
        """Return what :meth:`states` needs to know of the edges."""

    @abstractmethod
    def states(self, tables: Tables) -> Tensor:
        """Return the state of each operator, (N, D)."""

    @abstractmethod
    def reads(self) -> Hashable:
        """Return the options on which :meth:`structure` depends."""

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        tables = self._tables(candidates)
        tensors = tables.tensors
        weights: list[Weights] = [{} for _ in candidates]
        written = self.decoder(self.states(tables), tensors)
        for (owner, name), value in zip(tensors.names, written, strict=True):
            weights[owner][name] = value
        for owner, parameter in tensors.fixed:
            value = 1.0 if parameter.role == "scale" else 0.0
            weights[owner][parameter.name] = tables.features.new_full(parameter.shape, value)
        return weights

    def _tables(self, candidates: Sequence[Candidate]) -> Tables:
        """Return the tables of the candidates; those of one alone are remembered."""
        device = next(self.parameters()).device
        key = (type(self), self.most, self.flat, self.norms, self.reads(), device)
        if len(candidates) == 1 and key in candidates[0].notes:
            return candidates[0].notes[key]
        found = [operators.operators(c, most=self.most, flat=self.flat) for c in candidates]
        graph = operators.side_by_side(found)
        tables = Tables(
            features=torch.from_numpy(graph.features).to(device),
            sizes=torch.from_numpy(graph.sizes).to(device),
            structure=self.structure(graph, device),
            tensors=tensors_of(candidates, graph, device, norms=self.norms),
        )
        if len(candidates) == 1:
            candidates[0].notes[key] = tables
        return tables
