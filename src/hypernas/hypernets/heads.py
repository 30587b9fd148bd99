"""From the features of SMASH's generator to parameters: heads write planes, which are cut.

Shapes: R rows and S slices of a map; N channels a unit, d units a slice: at each place of the map
stands an N × dN piece of a weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from hypernas.hypernets.decoder import shaped
from hypernas.spaces.banks.settings import MOST_KERNEL

Scale = Literal["whole", "unit"]


@dataclass(frozen=True)
class Piece:
    """A parameter that is generated.

    Attributes:
        name: in the candidate's module.
        shape: of the parameter.
        head: ``mix`` for 1×1 convolutions, ``kernel`` for others, ``norm`` for scales and shifts.
        start: first slice of its map.
        slices: how many.
        along: of a norm, whether its channels are the map's ``rows`` or ``slices``.
        role: of a norm, ``scale`` or ``shift``.
    """

    name: str
    shape: tuple[int, ...]
    head: str
    start: int
    slices: int
    along: str = "rows"
    role: str = "weight"


class Heads(nn.ModuleDict):
    """Linear maps from the features of a place to what stands there, by kind of parameter.

    Args:
        channels: of the features.
        unit: channels of a unit, N.
        wide: channels of a slice, dN.
        kernel: numbers of the largest kernel; 0 where none is generated.
        norms: whether the scales and shifts of norms are generated.
        scale: weights are divided by the norm of the ``whole`` tensor, or of each output ``unit``.
    """

    def __init__(
        self, channels: int, *, unit: int, wide: int, kernel: int, norms: bool, scale: Scale
    ) -> None:
        counts = {"mix": unit * wide, "kernel": unit * wide * kernel}
        counts["norm"] = 2 * (unit + wide) * norms
        super().__init__(
            {k: nn.Linear(channels, count, bias=False) for k, count in counts.items() if count}
        )
        self.unit, self.wide, self.scale = unit, wide, scale

    def forward(
        self, features: Tensor, wanted: Sequence[tuple[Piece, int, dict[str, Tensor]]]
    ) -> None:
        """Write parameters.

        Args:
            features: of every place, (channels, R, S).
            wanted: each parameter with the first slice of its map, and the dictionary that it is
                put in by its name.
        """
        for name, head in self.items():
            places = [place for place in wanted if place[0].head == name]
            if places:
                plane = self._plane(name, head(features.movedim(0, -1)))
                strips = self._strips(name, plane, sorted({first for _, first, _ in places}))
                for piece, first, weights in places:
                    weights[piece.name] = self._cut(strips[first], piece)

    def _plane(self, head: str, made: Tensor) -> Tensor:
        """Lay a head's output (R, S, numbers) out with the slices along the second axis.

        Row r, slice s becomes an N × dN piece of one large matrix; for norms it stays (numbers, S,
        R).
        """
        rows, slices = made.shape[:2]
        if head == "norm":
            return made.permute(2, 1, 0)
        unit, wide = self.unit, self.wide
        blocks = made.view(rows, slices, unit, wide, -1).transpose(1, 2)
        return blocks.reshape(rows * unit, slices * wide, -1)

    def _strips(self, head: str, plane: Tensor, firsts: Sequence[int]) -> dict[int, Tensor]:
        """Cut a plane before some slices, all at once: one gradient instead of a sum of many."""
        wide = 1 if head == "norm" else self.wide
        sizes = [wide * (b - a) for a, b in zip([0, *firsts], firsts, strict=False)]
        cut = plane.split([*sizes, plane.shape[1] - sum(sizes)], dim=1)
        return dict(zip(firsts, cut[1:], strict=True))

    def _cut(self, strip: Tensor, piece: Piece) -> Tensor:
        """Return one parameter from the strip of its head's plane that begins with it."""
        if piece.head == "norm":
            return self._vector(strip[:, : piece.slices], piece)
        outputs, inputs, *kernel = piece.shape
        part = strip[:outputs, :inputs]
        if max(kernel) > 1:
            whole = part.reshape(outputs, inputs, *[MOST_KERNEL] * len(kernel))
            for axis, size in enumerate(kernel):
                whole = whole.narrow(2 + axis, (MOST_KERNEL - size) // 2, size)
            part = whole
        return self._scaled(part.reshape(piece.shape))

    def _scaled(self, weight: Tensor) -> Tensor:
        """Divide by the norm, and bring the mean square of an output's weights to 2 / fan-in."""
        flat = weight.flatten(1)
        if self.scale == "unit":
            return weight * (math.sqrt(2) / flat.norm(dim=1)).view(-1, *[1] * (weight.ndim - 1))
        return weight * (math.sqrt(2 * len(flat)) / flat.norm())

    def _vector(self, made: Tensor, piece: Piece) -> Tensor:
        """Return a norm's scale or shift from (2 N + 2 d N, S, R)."""
        unit, wide = self.unit, self.wide
        number = piece.role == "shift"
        if piece.along == "rows":
            values = made[number * unit : (number + 1) * unit].mean(dim=1).transpose(0, 1)
        else:
            start = 2 * unit + number * wide
            values = made[start : start + wide].mean(dim=2).transpose(0, 1)
        return shaped(values.flatten()[: piece.shape[0]], piece.role, 1.0)
