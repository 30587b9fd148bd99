"""Graph HyperNetwork: reads a candidate's computation graph and writes all its weights.

Source: Zhang, Ren and Urtasun, Graph HyperNetworks for Neural Architecture Search (arXiv
1810.05749), section 3. Notable choices: operators are found as chains of operations, their features
tell kernels and sizes besides the kind; operators of one level are updated together; several
candidates pass at once; every piece of a weight has coordinates of its own, so filters differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.hypernets import operators
from hypernas.hypernets.decoder import Decoder, Tensors, tensors_of
from hypernas.hypernets.hypernet import Hypernet, Weights
from hypernas.hypernets.propagation import Propagation, Segment, plan


class GHN(Hypernet):
    """Graph hypernetwork: message passing over the operators, then an MLP writes their weights.

    Args:
        state: size of an operator's state (16, 32 or 64; the paper has 32).
        hidden: hidden units of the MLP that writes the weights (the paper has 64).
        rounds: rounds of message passing in each cell (the paper has 5).
        scheme: order of the updates.
    """

    def __init__(
        self,
        state: int = 32,
        hidden: int = 64,
        rounds: int = 2,
        scheme: Literal["forward-backward", "synchronous"] = "forward-backward",
    ) -> None:
        super().__init__()
        if min(state, hidden) < 1 or rounds < 0:
            raise ConfigError(
                f"GHN got state={state}, hidden={hidden}, rounds={rounds}; "
                "expected sizes of 1 or more and rounds of 0 or more"
            )
        self.embed = nn.Linear(operators.FEATURES, state)
        self.propagation = Propagation(state, rounds, scheme)
        self.decoder = Decoder(state, hidden)

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        device = self.embed.weight.device
        features, segments, tensors = _tables(candidates, device)
        states = self.propagation(self.embed(features), segments)
        weights: list[Weights] = [{} for _ in candidates]
        for (owner, name), value in zip(tensors.names, self.decoder(states, tensors), strict=True):
            weights[owner][name] = value
        return weights


Tables = tuple[torch.Tensor, list[Segment], Tensors]


def _tables(candidates: Sequence[Candidate], device: torch.device) -> Tables:
    """Return features, segments and tensors of the candidates; one alone is remembered."""
    if len(candidates) == 1 and (GHN, device) in candidates[0].notes:
        return candidates[0].notes[GHN, device]
    graph = operators.side_by_side([operators.operators(c) for c in candidates])
    features = torch.from_numpy(graph.features).to(device)
    tables = features, plan(graph, device), tensors_of(candidates, graph, device)
    if len(candidates) == 1:
        candidates[0].notes[GHN, device] = tables
    return tables
