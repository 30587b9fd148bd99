"""An experiment: weight sharing whose weights a graph hypernetwork scales for each architecture.

A weight is the slice of a shared table times 1 + g, with a number g for each output channel that is
written from the state of the operator, as GHN has it. At first g is 0, so the fit begins as plain
weight sharing. It costs far less than writing whole weights, and unlike a table it can tell
architectures apart.

Legend: N operators, P tensors of one shape, H hidden units, O output channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.hypernets import Weights
from hypernas.hypernets.decoder import VECTOR, coordinates, pieces
from hypernas.hypernets.ghn import GHN
from hypernas.hypernets.shared import entries
from hypernas.hypernets.table import Table
from hypernas.hypernets.tensors import FEATURES, Tensors


class Gains(nn.Module):
    """From operators' states to a number for each output channel of their tensors, at first 0.

    Args:
        state: size D of an operator's state.
        hidden: hidden units H.
    """

    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        self.from_state = nn.Linear(state, hidden)
        self.from_tensor = nn.Linear(FEATURES, hidden, bias=False)
        self.rows = coordinates(hidden)
        self.vector = nn.Parameter(torch.zeros(hidden, VECTOR))

    def forward(self, states: Tensor, tensors: Tensors) -> list[Tensor]:
        """Return (O,) for each tensor, () for a number, in the order of ``tensors.names``.

        Args:
            states: of the operators, (N, D).
            tensors: what is to be scaled.
        """
        about = self.from_state(states)[tensors.operator] + self.from_tensor(tensors.features)
        found: list[Tensor] = []
        for group, rows in zip(
            tensors.groups, about.split([group.count for group in tensors.groups]), strict=True
        ):
            channels = group.shape[:1]
            length = channels[0] if channels else 1
            hidden = torch.relu(rows[:, None] + pieces(self.rows, -(-length // VECTOR)))
            gains = (hidden @ self.vector).flatten(1)[:, :length]  # (P, O)
            found.extend(gains.reshape(-1, *channels).unbind(0))
        return found


class Modulated(GHN):
    """A table of weights that all architectures share, scaled by a graph hypernetwork.

    Args:
        state: size of an operator's state.
        hidden: hidden units of what writes the scales.
        rounds: of message passing in each cell.
    """

    def __init__(self, state: int = 32, hidden: int = 64, rounds: int = 2) -> None:
        super().__init__(state=state, hidden=hidden, rounds=rounds)
        self.decoder = Gains(state, hidden)
        self.table = Table()

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        tables = self._tables(candidates)
        weights = [self.table.look_up(entries(candidate)) for candidate in candidates]
        gains = self.decoder(self.states(tables), tables.tensors)
        for (owner, name), gain in zip(tables.tensors.names, gains, strict=True):
            weight = weights[owner][name]
            wide = gain.reshape(*gain.shape, *[1] * (weight.ndim - gain.ndim))
            weights[owner][name] = weight * (1 + wide)
        return weights

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        return self.table.grow(entry for candidate in candidates for entry in entries(candidate))

    def generator_parameters(self) -> list[nn.Parameter]:
        free = set(self.table.parameters())
        return [parameter for parameter in self.parameters() if parameter not in free]

    def untrained(self, candidate: Candidate) -> list[str]:
        return [p.name for key, p in entries(candidate) if self.table.lacks(key, p)]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights; entries that the table lacks are made."""
        self.table.make_room(state_dict, "table.")
        return super().load_state_dict(state_dict, *args, **kwargs)
