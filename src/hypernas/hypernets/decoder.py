"""The hypernetwork's last part: from operators' states to tensors of exact shapes.

Source: Graph HyperNetworks (arXiv 1810.05749), 3.2: an MLP shared by all operators writes
fixed-size kernels; larger weights are made of several. Each piece of 8 × 8 channels has coordinates
of its own in the MLP's hidden layer, so that no two filters are copies.

Legend: P tensors of one shape, H hidden units, O and I output and input channels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.graph import KINDS, Node, Parameter
from hypernas.hypernets.operators import KERNELS, OperatorGraph, kernel_class

BLOCK = 8
"""channels in a piece of a weight"""
SIDE = 7
"""longest side of a kernel that is written as a map; longer ones are written as channels"""
VECTOR = 16
"""values in a piece of a bias or scale"""
DIGIT = 64
"""pieces are numbered by two digits, each of this many values: 64 × 64 × 8 channels"""
ROLES = ("weight", "bias", "scale", "shift", "other")
REPEATS = 4
"""tensors of one kind and role in an operator that are told apart"""
FEATURES = len(KINDS) + len(ROLES) + len(KERNELS) + 1 + REPEATS + 1


@dataclass(frozen=True)
class Tensors:
    """The tensors that an operator graph owns, grouped by shape.

    Attributes:
        operator: which operator owns each tensor, int64 (tensors,).
        features: what each tensor is, float32 (tensors, FEATURES).
        groups: (shape, role class, number) of each run of equal tensors, in the order of the above.
        names: for each tensor the candidate that owns it and its name there.
    """

    operator: Tensor
    features: Tensor
    groups: tuple[tuple[tuple[int, ...], str, float, int], ...]
    names: tuple[tuple[int, str], ...]


def tensors_of(
    candidates: Sequence[Candidate], graph: OperatorGraph, device: torch.device | str = "cpu"
) -> Tensors:
    """List the tensors of ``candidates``, whose operators side by side are ``graph``."""
    found = defaultdict(list)
    written: set[tuple[int, str]] = set()
    for operator, members in enumerate(graph.members):
        owner = int(graph.owner[operator])
        repeats: dict[tuple[str, str], int] = defaultdict(int)
        for node in (candidates[owner].graph.nodes[i] for i in members):
            for parameter in node.parameters:
                if (owner, parameter.name) in written:
                    continue  # shared by two operations: the first one writes it
                written.add((owner, parameter.name))
                repeat = repeats[node.kind, parameter.role]
                repeats[node.kind, parameter.role] += 1
                key = (parameter.shape, parameter.role, _scale(node, parameter))
                row = _features(node, parameter, repeat)
                found[key].append((operator, row, (owner, parameter.name)))
    entries = [entry for group in found.values() for entry in group]
    rows = np.array([row for _, row, _ in entries], dtype=np.float32).reshape(-1, FEATURES)
    return Tensors(
        operator=torch.tensor([operator for operator, _, _ in entries], device=device),
        features=torch.from_numpy(rows).to(device),
        groups=tuple((*key, len(group)) for key, group in found.items()),
        names=tuple(name for _, _, name in entries),
    )


def _scale(node: Node, parameter: Parameter) -> float:
    """Return the standard deviation that a weight should start with (He; Glorot for linear)."""
    if parameter.role == "weight":
        if node.kind == "embedding":
            return 0.02
        fan_in = max(math.prod(parameter.shape[1:]), 1)
        return math.sqrt((2.0 if node.kind == "conv" else 1.0) / fan_in)
    return 0.02 if parameter.role == "other" else 1.0


def _features(node: Node, parameter: Parameter, repeat: int) -> np.ndarray:
    row = np.zeros(FEATURES, dtype=np.float32)
    row[KINDS.index(node.kind)] = 1
    start = len(KINDS)
    row[start + ROLES.index(parameter.role)] = 1
    start += len(ROLES)
    row[start + kernel_class(node.kernel or (1,))] = 1
    start += len(KERNELS) + 1
    row[start + min(repeat, REPEATS - 1)] = 1
    row[-1] = node.groups > 1
    return row


class Decoder(nn.Module):
    """Two-layer MLP from an operator's state to all its tensors.

    Args:
        state: size of an operator's state.
        hidden: hidden units H (the paper has 64).
    """

    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        self.from_state = nn.Linear(state, hidden)
        self.from_tensor = nn.Linear(FEATURES, hidden, bias=False)
        self.rows = nn.Parameter(torch.randn(2, DIGIT, hidden))
        self.columns = nn.Parameter(torch.randn(2, DIGIT, hidden))
        self.matrix = nn.Parameter(torch.randn(hidden, BLOCK, BLOCK, SIDE, SIDE) / hidden**0.5)
        self.vector = nn.Parameter(torch.randn(hidden, VECTOR) / hidden**0.5)

    def forward(self, states: Tensor, tensors: Tensors) -> list[Tensor]:
        """Return each tensor in the order of ``tensors.names``.

        Args:
            states: of the operators, (N, D).
            tensors: what is to be written.
        """
        about = self.from_state(states)[tensors.operator] + self.from_tensor(tensors.features)
        counts = [count for *_, count in tensors.groups]
        written = []
        for (shape, role, scale, _), rows in zip(tensors.groups, about.split(counts), strict=True):
            if role in ("weight", "other") and len(shape) > 1:
                values = self._matrices(rows, shape) * scale
            else:
                values = shaped(self._vectors(rows, shape), role, scale)
            written.extend(values.unbind(0))
        return written

    def _matrices(self, about: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return P tensors of ``shape`` (O, I, …) from rows (P, H)."""
        outputs, inputs, height, width = as_map(shape)
        o, i = min(outputs, BLOCK), min(inputs, BLOCK)
        down, across = -(-outputs // o), -(-inputs // i)
        hidden = torch.relu(
            about[:, None, None]
            + pieces(self.rows, down)[None, :, None]
            + pieces(self.columns, across)[None, None]
        )
        top, left = (SIDE - height) // 2, (SIDE - width) // 2  # the middle of the map
        kernel = self.matrix[:, :o, :i, top : top + height, left : left + width]
        flat = hidden.flatten(0, 2) @ kernel.flatten(1)
        blocks = flat.view(len(about), down, across, o, i, height * width)
        whole = blocks.transpose(2, 3).reshape(len(about), down * o, across * i, height * width)
        return whole[:, :outputs, :inputs].reshape(len(about), *shape)

    def _vectors(self, about: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return P tensors of ``shape`` (O,) from rows (P, H)."""
        length = math.prod(shape)
        hidden = torch.relu(about[:, None] + pieces(self.rows, -(-length // VECTOR))[None])
        return (hidden @ self.vector).flatten(1)[:, :length].reshape(len(about), *shape)


def shaped(raw: Tensor, role: str, scale: float) -> Tensor:
    """Bring raw values near 1 for scales and near 0 for shifts and biases (GHN-2's ranges)."""
    if role == "scale":
        return 2 * torch.sigmoid(raw / 2)
    if role in ("shift", "bias"):
        return torch.tanh(raw / 5)
    return raw * scale


def pieces(digits: Tensor, count: int) -> Tensor:
    """Return the coordinates (count, H) of the first ``count`` pieces."""
    if count <= DIGIT:
        return digits[0, :count] + digits[1, :1]
    numbers = torch.arange(count, device=digits.device)
    return digits[0, numbers % DIGIT] + digits[1, numbers // DIGIT % DIGIT]


def as_map(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Read a weight's shape as (O, I, height, width).

    Kernels of one axis get height 1; axes beyond two, and kernels longer than SIDE, count as
    inputs.

    >>> as_map((16, 8, 3, 3)), as_map((10, 64)), as_map((4, 2, 11, 11))
    ((16, 8, 3, 3), (10, 64, 1, 1), (4, 242, 1, 1))
    """
    outputs, inputs, *kernel = shape
    while len(kernel) > 2:
        inputs *= kernel.pop(0)
    height, width = [1] * (2 - len(kernel)) + kernel
    if max(height, width) > SIDE:
        return outputs, inputs * height * width, 1, 1
    return outputs, inputs, height, width
