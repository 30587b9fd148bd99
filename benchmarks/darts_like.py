"""DARTS-like networks, as GHN-2 and GHN-3 were trained on: two cells of random wiring, repeated.

A space as a user would write it; ``benchmarks/darts_like.py:darts`` is its name. A step takes two
earlier values, applies an operation to each, and sums; the steps are concatenated. Where the image
shrinks, at one third and two thirds of the depth, the cell's inputs are pooled.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.cell import conv_norm, operation, preprocess
from hypernas.tasks import Signature

DARTS = (
    "identity",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
DEEPNETS = (*DARTS, "conv_1x1", "conv_3x3", "conv_5x5", "conv_1x7_7x1")
Plan = list[tuple[tuple[int, str], tuple[int, str]]]
"""for each step its two inputs, each with its operation"""


def darts(choose: Chooser, data: Signature, *, width: int = 16, cells: int = 5) -> nn.Module:
    """DARTS: cells of 4 steps, each with two inputs and one of 7 operations on each."""
    return network(choose, data, width, cells, steps=4, operations=DARTS)


def deepnets(choose: Chooser, data: Signature, *, width: int = 32, cells: int = 8) -> nn.Module:
    """DeepNets-like: cells of 1 to 4 steps, with dense convolutions among the operations."""
    steps = choose("steps", [1, 2, 3, 4])
    return network(choose, data, width, cells, steps=steps, operations=DEEPNETS)


def network(
    choose: Chooser,
    data: Signature,
    width: int,
    cells: int,
    *,
    steps: int,
    operations: tuple[str, ...],
) -> nn.Module:
    """Return a network of two cells, one of them where the image shrinks."""
    plans: dict[str, Plan] = {}
    for kind in ("normal", "reduce"):
        plans[kind] = []
        for step in range(steps):
            name = f"{kind}.step{step}"
            inputs = choose(
                f"{name}.inputs", [f"{a},{b}" for a, b in combinations(range(step + 2), 2)]
            )
            first, second = map(int, inputs.split(","))
            ops = [choose(f"{name}.{end}", operations) for end in ("first", "second")]
            plans[kind].append(((first, ops[0]), (second, ops[1])))
    return Network(plans, data, width, cells)


class Network(nn.Module):
    """Stem, cells that each see the two before them, and a linear classifier."""

    def __init__(self, plans: dict[str, Plan], data: Signature, width: int, cells: int) -> None:
        super().__init__()
        stem = nn.Conv2d(data.input_shape[0], 3 * width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(3 * width))
        self.body = nn.ModuleList()
        before, last = (3 * width, 1), (3 * width, 1)  # channels and how far the image is reduced
        for index in range(cells):
            shrinks = index in {cells // 3, 2 * cells // 3}
            reduction = last[1] * (2 if shrinks else 1)
            plan = plans["reduce" if shrinks else "normal"]
            self.body.append(Cell(plan, before, last, width * reduction, reduction))
            before, last = last, (width * reduction * len(plan), reduction)
        self.cells = [f"body.{index}" for index in range(cells)]
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last[0], data.outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        before = last = self.stem(x)
        for layer in self.body:
            before, last = last, layer(before, last)
        return self.head(last)


class Cell(nn.Module):
    """One cell: two inputs brought to its width, and its steps, concatenated."""

    def __init__(
        self,
        plan: Plan,
        before: tuple[int, int],
        last: tuple[int, int],
        width: int,
        reduction: int,
    ) -> None:
        super().__init__()
        self.sources = [(first, second) for (first, _), (second, _) in plan]
        self.before = preprocess(before[0], width, reduction // before[1])
        self.last = preprocess(last[0], width, reduction // last[1])
        self.firsts = nn.ModuleList(made(name, width) for (_, name), _ in plan)
        self.seconds = nn.ModuleList(made(name, width) for _, (_, name) in plan)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [self.before(before), self.last(last)]
        for (a, b), first, second in zip(self.sources, self.firsts, self.seconds, strict=True):
            values.append(first(values[a]) + second(values[b]))
        return torch.cat(values[2:], dim=1)


def made(name: str, width: int) -> nn.Module:
    """Return an operation of :mod:`hypernas.spaces.cell`, or a dense convolution."""
    if name in ("conv_3x3", "conv_5x5"):
        return nn.Sequential(nn.ReLU(), *conv_norm(width, width, int(name[-1])))
    return operation(name, width)
