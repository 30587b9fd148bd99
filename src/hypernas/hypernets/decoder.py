"""The hypernetwork's last part: from operators' states to tensors of exact shapes.

Source: Graph HyperNetworks (arXiv 1810.05749), 3.2: an MLP shared by all operators writes
fixed-size kernels; larger weights are made of several. Each piece of 8 × 8 channels has coordinates
of its own in the MLP's hidden layer, so that no two filters are copies.

Legend: P tensors of one shape, H hidden units, O and I output and input channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hypernas.hypernets.parts import cut
from hypernas.hypernets.tensors import (
    FAMILIES,
    FEATURES,
    SIDE,
    Map,
    Tensors,
    as_map,
    shaped,
    window,
)

BLOCK = 8
"""channels in a piece of a weight"""
VECTOR = 16
"""values in a piece of a bias or scale"""
DIGIT = 64
"""pieces are numbered by DIGITS digits, each of this many values: up to 64³"""
DIGITS = 3
BY_STATE = 2.5
"""deviation of what new hidden units hear of a state; of coordinates they hear half as much"""


class Decoder(nn.Module, ABC):
    """From operators' states to all their tensors.

    Args:
        state: size of an operator's state.
        hidden: hidden units H.
        spread: deviation with which each digit of a coordinate begins.

    Attributes:
        deeper: from the sum of what is known of a piece to hidden units, (…, H) to (…, H).
        vector: what each hidden unit adds to a piece of a vector, (H, VECTOR).
    """

    vector: nn.Parameter

    def __init__(self, state: int, hidden: int, *, spread: float = 1.0) -> None:
        super().__init__()
        self.from_state = nn.Linear(state, hidden)
        self.from_tensor = nn.Linear(FEATURES, hidden, bias=False)
        self.rows = coordinates(hidden, spread)
        self.deeper = nn.Sequential(nn.ReLU(inplace=True))

    def forward(self, states: Tensor, tensors: Tensors) -> list[Tensor]:
        """Return each tensor in the order of ``tensors.names``.

        Args:
            states: of the operators, (N, D).
            tensors: what is to be written.
        """
        about = self.from_state(states)[tensors.operator] + self.from_tensor(tensors.features)
        runs = about.split([group.count for group in tensors.groups])
        parts = iter(self.parts([as_map(g.shape) for g in tensors.groups if g.is_matrix]))
        written: list[Tensor] = []
        for group, rows in zip(tensors.groups, runs, strict=True):
            if group.is_matrix:
                values = self.matrices(rows, group.shape, group.scale, next(parts))
            else:
                values = shaped(self.vectors(rows, group.shape), group.role, group.scale)
            written.extend(values.unbind(0))
        return written

    @abstractmethod
    def parts(self, maps: list[Map]) -> list[tuple[Tensor, ...]]:
        """Cut what tensors of each of ``maps`` (O, I, height, width) need out of the parameters."""

    @abstractmethod
    def matrices(
        self, about: Tensor, shape: tuple[int, ...], scale: float, parts: tuple[Tensor, ...]
    ) -> Tensor:
        """Return P tensors of ``shape`` (O, I, …), near ``scale``, from rows (P, H)."""

    def vectors(self, about: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return P tensors of ``shape`` (O,), near 1, from rows (P, H)."""
        length = math.prod(shape)
        hidden = self.heard(about, pieces(self.rows, -(-length // VECTOR)))
        return (hidden @ self.vector).flatten(1)[:, :length].reshape(len(about), *shape)

    @abstractmethod
    def heard(self, about: Tensor, places: Tensor) -> Tensor:
        """Return hidden units (P, n, H) of n pieces from rows (P, H) and coordinates (n, H)."""


class Pieces(Decoder):
    """MLP from an operator's state, a tensor's features and a piece's coordinates to the piece.

    A piece's coordinates are heard by the hidden units, and weigh what these say. So the pieces of
    a wide weight have a high rank, and two operators write different weights from the start: heard
    alone, coordinates as large as that takes drown the state.

    Args:
        state: size of an operator's state, whose values have about 1 each.
        hidden: hidden units H (the paper has 64).
        depth: layers of the MLP (the paper has 2).
    """

    def __init__(self, state: int, hidden: int, depth: int = 2) -> None:
        super().__init__(state, hidden, spread=0.5**0.5)  # a piece's row is the sum of two digits
        self.columns = coordinates(hidden, 0.5**0.5)
        nn.init.normal_(self.from_state.weight, std=BY_STATE * state**-0.5)
        nn.init.normal_(self.from_tensor.weight, std=0.5)
        # the mean square of a rectified unit is half of what the variances add up to
        spread = (2 / (BY_STATE**2 + 2) / hidden) ** 0.5
        self.matrix = nn.Parameter(spread * torch.randn(hidden, BLOCK, BLOCK, SIDE, SIDE))
        self.vector = nn.Parameter(spread * torch.randn(hidden, VECTOR))
        for _ in range(depth - 2):
            layer = nn.Linear(hidden, hidden)
            nn.init.kaiming_normal_(layer.weight)
            self.deeper.extend([layer, nn.ReLU(inplace=True)])

    def heard(self, about: Tensor, places: Tensor) -> Tensor:
        return self.deeper(about[:, None] + places) * places

    def parts(self, maps: list[Map]) -> list[tuple[Tensor, ...]]:
        places = [
            (slice(None), slice(min(o, BLOCK)), slice(min(i, BLOCK)), *window(height, width))
            for o, i, height, width in maps
        ]
        return [(kernel,) for kernel in cut(self.matrix, places)]

    def matrices(
        self, about: Tensor, shape: tuple[int, ...], scale: float, parts: tuple[Tensor, ...]
    ) -> Tensor:
        outputs, inputs, height, width = as_map(shape)
        o, i = min(outputs, BLOCK), min(inputs, BLOCK)
        down, across = -(-outputs // o), -(-inputs // i)
        rows, columns = pieces(self.rows, down)[:, None], pieces(self.columns, across)[None]
        hidden = self.deeper(about[:, None, None] + (rows + columns)) * (rows * columns)
        flat = hidden.flatten(0, 2) @ (parts[0] * scale).flatten(1)
        blocks = flat.view(len(about), down, across, o, i, height * width)
        whole = blocks.transpose(2, 3).reshape(len(about), down * o, across * i, height * width)
        return whole[:, :outputs, :inputs].reshape(len(about), *shape)


class PerKind(nn.Module):
    """A decoder for each family of operations.

    Args:
        make: returns a new decoder.
    """

    def __init__(self, make: Callable[[], Decoder]) -> None:
        super().__init__()
        self.families = nn.ModuleList(make() for _ in FAMILIES)

    def forward(self, states: Tensor, tensors: Tensors) -> list[Tensor]:
        """Return each tensor in the order of ``tensors.names``, from states (N, D)."""
        parts = [self.families[family](states, part) for family, part in tensors.by_family()]
        return [tensor for part in parts for tensor in part]


def coordinates(hidden: int, spread: float = 1.0) -> nn.Parameter:
    """Return new digits of the coordinates of pieces, (DIGITS, DIGIT, H).

    They are uniform, since products of normal ones would have long tails.
    """
    return nn.Parameter(spread * math.sqrt(3) * (2 * torch.rand(DIGITS, DIGIT, hidden) - 1))


def pieces(digits: Tensor, count: int) -> Tensor:
    """Return the coordinates (count, H) of the first ``count`` pieces."""
    if count <= DIGIT:
        return digits[0, :count] + digits[1, :1]
    numbers = torch.arange(count, device=digits.device)
    found = digits[0, numbers % DIGIT] + digits[1, numbers // DIGIT % DIGIT]
    if count <= DIGIT**2:
        return found
    return found + digits[2, numbers // DIGIT**2 % DIGIT]
