"""First states of operators for GHN-2 and GHN-3: what they are, and the sizes of their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hypernas.errors import ConfigError
from hypernas.hypernets.operators import BINS, FEATURES, SIDES


class Embedding(nn.Module):
    """Sum of a linear map of an operator's features and the embedding of its weight's sizes.

    Source: GHN-2 (arXiv 2110.13100, 3.2 and its code): output and input channels, kernel height and
    width have a quarter of the state each. There channels are rounded to a list of 391 numbers,
    here to quarters of an octave, so that no number lies outside.

    Args:
        state: size D of a state, a multiple of 4.
    """

    def __init__(self, state: int) -> None:
        super().__init__()
        self.features = nn.Linear(FEATURES, state)
        self.channels = nn.ModuleList(nn.Embedding(BINS, state // 4) for _ in range(2))
        self.kernels = nn.ModuleList(nn.Embedding(SIDES, state // 4) for _ in range(2))

    def forward(self, features: Tensor, sizes: Tensor) -> Tensor:
        """Return states (N, D) from features (N, FEATURES) and bins of sizes (N, 4)."""
        tables = [*self.channels, *self.kernels]
        found = [table(bins) for table, bins in zip(tables, sizes.unbind(1), strict=True)]
        return self.features(features) + torch.cat(found, dim=1)


def require(name: str, **options: int) -> None:
    """Refuse sizes that cannot be: 0 or less; a state that has no quarters.

    Raises:
        ConfigError: with what was given.
    """
    wrong = [option for option, value in options.items() if value < 1]
    if options.get("state", 4) % 4 and "state" not in wrong:
        wrong.append("state")
    if wrong:
        given = ", ".join(f"{option}={options[option]}" for option in wrong)
        raise ConfigError(
            f"{name} got {given}; expected 1 or more, and a multiple of 4 for state; "
            "leave it out to have the default"
        )
