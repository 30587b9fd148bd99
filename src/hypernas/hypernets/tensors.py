"""The tensors that operators own: what each is, and the range of its values.

Legend: P tensors of one shape, O and I output and input channels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hypernas.candidate import Candidate
from hypernas.graph import KINDS, Node, Parameter
from hypernas.hypernets.operators import KERNELS, OperatorGraph, kernel_class

SIDE = 7
"""longest side of a kernel that is written as a map; longer ones are written as channels"""
ROLES = ("weight", "bias", "scale", "shift", "other")
FAMILIES = ("conv", "grouped conv", "linear", "norm", "other")
"""kinds of operations that can have a decoder of their own"""
REPEATS = 16
"""tensors of one kind and role in an operator that are told apart"""
FEATURES = len(KINDS) + len(ROLES) + len(KERNELS) + 1 + REPEATS + 1


@dataclass(frozen=True)
class Group:
    """A run of tensors that are written alike.

    Attributes:
        shape: of each.
        role: what they are for, one of ROLES.
        scale: what raw values of a weight are multiplied by.
        family: position of their operation's kind in FAMILIES.
        count: how many.
    """

    shape: tuple[int, ...]
    role: str
    scale: float
    family: int
    count: int

    @property
    def is_matrix(self) -> bool:
        """Whether they have output and input channels."""
        return self.role in ("weight", "other") and len(self.shape) > 1


@dataclass(frozen=True)
class Tensors:
    """The tensors that an operator graph owns, grouped by family and shape.

    Attributes:
        operator: which operator owns each tensor, int64 (tensors,).
        features: what each tensor is, float32 (tensors, FEATURES).
        groups: the runs of equal tensors, in the order of the above.
        names: for each tensor the candidate that owns it and its name there.
        fixed: scales and shifts of norms that are not to be written: owner and parameter.
    """

    operator: Tensor
    features: Tensor
    groups: tuple[Group, ...]
    names: tuple[tuple[int, str], ...]
    fixed: tuple[tuple[int, Parameter], ...] = ()

    def by_family(self) -> Iterator[tuple[int, Tensors]]:
        """Yield each family with its tensors; joined, they are these."""
        start = 0
        for family, groups in groupby(self.groups, key=lambda group: group.family):
            own = tuple(groups)
            stop = start + sum(group.count for group in own)
            part = slice(start, stop)
            yield family, Tensors(self.operator[part], self.features[part], own, self.names[part])
            start = stop


def tensors_of(
    candidates: Sequence[Candidate],
    graph: OperatorGraph,
    device: torch.device | str = "cpu",
    *,
    norms: bool = True,
) -> Tensors:
    """List the tensors of ``candidates``, whose operators side by side are ``graph``.

    Args:
        candidates: whose tensors.
        graph: their operators.
        device: where the tables lie.
        norms: whether the scales and shifts of norms are to be written.
    """
    found = defaultdict(list)
    fixed: list[tuple[int, Parameter]] = []
    for operator, node, parameter, repeat in _owned(candidates, graph):
        owner = int(graph.owner[operator])
        if parameter.role in ("scale", "shift") and not norms:
            fixed.append((owner, parameter))
            continue
        key = (_family(node), parameter.shape, parameter.role, _scale(node, parameter))
        found[key].append((operator, _features(node, parameter, repeat), (owner, parameter.name)))
    kinds = sorted(found.items(), key=lambda item: item[0][0])  # else as they were met
    entries = [entry for _, group in kinds for entry in group]
    rows = np.array([row for _, row, _ in entries], dtype=np.float32).reshape(-1, FEATURES)
    return Tensors(
        operator=torch.tensor([o for o, _, _ in entries], dtype=torch.int64, device=device),
        features=torch.from_numpy(rows).to(device),
        groups=tuple(
            Group(shape, role, scale, family, len(group))
            for (family, shape, role, scale), group in kinds
        ),
        names=tuple(name for _, _, name in entries),
        fixed=tuple(fixed),
    )


def _owned(
    candidates: Sequence[Candidate], graph: OperatorGraph
) -> Iterator[tuple[int, Node, Parameter, int]]:
    """Yield each tensor once: its operator, its operation, itself, and its number among alike."""
    met: set[tuple[int, str]] = set()
    for operator, members in enumerate(graph.members):
        owner = int(graph.owner[operator])
        repeats: dict[tuple[str, str], int] = defaultdict(int)
        for node in (candidates[owner].graph.nodes[i] for i in members):
            for parameter in node.parameters:
                if (owner, parameter.name) in met:
                    continue  # shared by two operations: the first one writes it
                met.add((owner, parameter.name))
                yield operator, node, parameter, repeats[node.kind, parameter.role]
                repeats[node.kind, parameter.role] += 1


def _family(node: Node) -> int:
    kind = "grouped conv" if node.kind == "conv" and node.groups > 1 else node.kind
    return FAMILIES.index(kind) if kind in FAMILIES else len(FAMILIES) - 1


def _scale(node: Node, parameter: Parameter) -> float:
    """Return the standard deviation that a weight should start with (He; Glorot for linear)."""
    if parameter.role == "weight":
        if node.kind == "embedding":
            return 0.02
        return math.sqrt((2.0 if node.kind == "conv" else 1.0) / node.fan_in(parameter))
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


def shaped(raw: Tensor, role: str, scale: float) -> Tensor:
    """Bring raw values near 1 for scales and near 0 for shifts and biases (GHN-2's ranges)."""
    if role == "scale":
        return 2 * torch.sigmoid(raw / 2)
    if role in ("shift", "bias"):
        return torch.tanh(raw / 5)
    return raw * scale


Map: TypeAlias = tuple[int, int, int, int]
"""a weight's output and input channels, height and width"""


def as_map(shape: tuple[int, ...]) -> Map:
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


def window(height: int, width: int) -> tuple[slice, slice]:
    """Return where a kernel lies in a map of SIDE × SIDE positions: in the middle.

    >>> window(3, 1)
    (slice(2, 5, None), slice(3, 4, None))
    """
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    return slice(top, top + height), slice(left, left + width)
