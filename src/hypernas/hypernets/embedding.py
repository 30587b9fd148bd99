"""First states of operators for GHN-2 and GHN-3: what they are, and the sizes of their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hypernas.errors import ConfigError
from hypernas.hypernets.operators import FEATURES

OCTAVES = (4, 8, 16, 32)
"""periods of the waves of a size's logarithm"""


class Waves(nn.Module):
    """Codes of numbers: a linear map of their sines and cosines with several periods.

    All numbers share the map, so one between or beyond those that were fitted has a learned code,
    where a table would have a row of first values.

    Source: Attention Is All You Need (arXiv 1706.03762), 3.5.

    Args:
        state: size D of a code.
        periods: of the waves; numbers nearer than a tenth of the shortest have nearly one code.
        spread: deviation of a first code's values.
    """

    angles: Tensor

    def __init__(self, state: int, periods: Sequence[float], spread: float = 1.0) -> None:
        super().__init__()
        angles = 2 * math.pi / torch.tensor(periods, dtype=torch.float32)
        self.register_buffer("angles", angles, persistent=False)
        first = torch.randn(2 * len(periods), state) * spread * len(periods) ** -0.5
        self.codes = nn.Parameter(first)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return codes (…, D) of numbers (…)."""
        turned = numbers[..., None] * self.angles
        return torch.cat([turned.sin(), turned.cos()], dim=-1) @ self.codes


class Embedding(nn.Module):
    """Sum of a linear map of an operator's features and the embedding of its weight's sizes.

    Source: GHN-2 (arXiv 2110.13100, 3.2 and its code): output and input channels, kernel height and
    width have a quarter of the state each. There a size is rounded to one of a list, and each has a
    row of a table; here it has the waves of its logarithm.

    Args:
        state: size D of a state, a multiple of 4.
    """

    def __init__(self, state: int) -> None:
        super().__init__()
        self.features = nn.Linear(FEATURES, state)
        self.sizes = nn.ModuleList(Waves(state // 4, OCTAVES) for _ in range(4))

    def forward(self, features: Tensor, sizes: Tensor) -> Tensor:
        """Return states (N, D) from features (N, FEATURES) and sizes (N, 4), 0 for none."""
        logs = sizes.clamp(min=1).log2()
        found = [waves(log) for waves, log in zip(self.sizes, logs.unbind(1), strict=True)]
        return self.features(features) + torch.cat(found, dim=1) * (sizes[:, :1] > 0)


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
        quarters = ", and a multiple of 4 for state" if "state" in wrong else ""
        raise ConfigError(
            f"{name} got {given}; expected 1 or more{quarters}; leave it out to have the default"
        )
