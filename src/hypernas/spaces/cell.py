"""The cell space: a reconstruction of the Graph HyperNetworks paper's (arXiv 1810.05749, 4.1).

A cell has N nodes. Each takes two earlier values, sums them and applies one operation; the values
that no node takes are concatenated to the cell's output. The first two values are the outputs of
the two cells before, brought to the cell's width and size. One cell is searched and repeated; at
some cells, the skeleton's reductions, the image is halved and the channels doubled.

The paper applies a node's operation to each input and sums (``applied=each``); summing first costs
one convolution instead of two and computes the same up to the nonlinearity in front. Its searched
networks are ``nodes=17 cells=18 width=32 identity=false applied=each``, fitted on ``nodes=7``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.errors import SpaceError
from hypernas.spaces.space import require_positive
from hypernas.spaces.wiring import Wiring
from hypernas.tasks import Signature
from hypernas.tracing import read_graph

OPERATIONS = (
    "conv_1x1",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_1x7_7x1",
    "max_pool_3x3",
    "avg_pool_3x3",
)

Plan: TypeAlias = list[tuple[int, int, str]]
"""for each node: its two inputs and its operation"""
Applied: TypeAlias = Literal["sum", "each"]


class Skeleton(NamedTuple):
    """How copies of a cell are put together."""

    cells: int
    reductions: frozenset[int]
    """cells, counted from 0, that halve the image and double the channels"""
    stem_stride: int


# of the paper's networks for ImageNet: 224 pixels shrink to 7
IMAGENET_MOBILE = Skeleton(cells=14, reductions=frozenset({1, 2, 6, 10}), stem_stride=2)


def cell(
    choose: Chooser,
    data: Signature,
    *,
    width: int | Literal["auto"] = 16,
    cells: int = 3,
    nodes: int = 5,
    identity: bool = True,
    stem_stride: int | None = None,
    applied: Applied = "sum",
    skeleton: Literal["thirds", "imagenet-mobile"] = "thirds",
    macs: int = 600_000_000,
) -> nn.Module:
    """Cell of N nodes, each with two inputs and one of 9 operations, repeated (GHN, DARTS).

    Args:
        choose: decides ``node0.inputs``, ``node0.op``, ``node1.inputs``, …; values 0 and 1 are the
            outputs of the last cell but one and of the last cell, value i + 2 is node i.
        data: shape of an image and number of classes.
        width: channels of a node before the first reduction; auto is the most that ``macs`` allow.
        cells: cells in the network, where the skeleton leaves it open.
        nodes: nodes in a cell.
        identity: whether a node may pass its input on unchanged.
        stem_stride: stride of the first convolution; None is 1 for images of up to 16 pixels,
            else 2, which imagenet-mobile always has.
        applied: a node's operation works on the sum of its inputs, or on each and sums (as there).
        skeleton: thirds reduces at one third and two thirds of the cells; imagenet-mobile has 14,
            and reduces at cells 1, 2, 6 and 10.
        macs: most multiply-accumulates for one example that a network of width auto costs.
    """
    asked = {"cells": cells, "nodes": nodes, "stem_stride": stem_stride or 1, "macs": macs}
    require_positive(**asked, width=1 if width == "auto" else width)
    operations = (*OPERATIONS, "identity") if identity else OPERATIONS
    plan: Plan = []
    for node in range(nodes):
        pairs = [f"{a},{b}" for a, b in combinations(range(node + 2), 2)]
        inputs = choose(f"node{node}.inputs", pairs)
        first, second = map(int, inputs.split(","))
        plan.append((first, second, choose(f"node{node}.op", operations)))
    if skeleton == "imagenet-mobile":
        bones = IMAGENET_MOBILE
    else:
        stride = stem_stride or (1 if min(data.input_shape[1:]) <= 16 else 2)
        bones = Skeleton(cells, frozenset({cells // 3, 2 * cells // 3} - {0}), stride)
    if width == "auto":
        width = widest(plan, data, bones, applied, macs)
    return Network(plan, data, bones, applied, width=width)


def widest(plan: Plan, data: Signature, bones: Skeleton, applied: Applied, macs: int) -> int:
    """Return the largest width whose network costs at most ``macs`` for one example.

    Every layer's cost is a width squared or a width times a constant, so two networks tell all.

    Raises:
        SpaceError: there is none; says the least that works.
    """
    one, two = (_macs(Network(plan, data, bones, applied, width=w), data) for w in (1, 2))
    if one > macs:
        raise SpaceError(
            f"option macs={macs}: a network of width 1 costs {one}; give macs={one} or more"
        )
    square = two // 2 - one  # macs(w) = square w² + (one - square) w
    linear = one - square
    return (math.isqrt(linear**2 + 4 * square * macs) - linear) // (2 * square)


def _macs(network: nn.Module, data: Signature) -> int:
    return read_graph(network, data.input_shape).macs


def _wiring(choices: Mapping[str, Any]) -> Wiring:
    """Return the wiring of a cell for pictures: its nodes, and what is concatenated at its end."""
    nodes = sum(name.endswith(".op") for name in choices)
    pairs = [tuple(map(int, choices[f"node{node}.inputs"].split(","))) for node in range(nodes)]
    taken = {value for pair in pairs for value in pair}
    edges = {(source, node + 2): "" for node, pair in enumerate(pairs) for source in pair}
    edges |= {(value, nodes + 2): "" for value in range(nodes + 2) if value not in taken}
    names = ("last cell but one", "last cell", *(f"node {node}" for node in range(nodes)), "out")
    return Wiring(names, edges, {n + 2: choices[f"node{n}.op"] for n in range(nodes)})


cell.wiring = _wiring  # ty: ignore[missing-attribute]


class Network(nn.Module):
    """Stem, cells that each see the two before them, and a linear classifier."""

    def __init__(
        self, plan: Plan, data: Signature, bones: Skeleton, applied: Applied, *, width: int
    ) -> None:
        super().__init__()
        stride = bones.stem_stride
        self.stem = nn.Sequential(
            nn.Conv2d(data.input_shape[0], width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.body = nn.ModuleList()
        before, last = (width, 1), (width, 1)  # channels and how far the image is reduced
        for index in range(bones.cells):
            reduction = 2 ** sum(index >= r for r in bones.reductions)
            made = Cell(plan, before, last, width * reduction, reduction)
            made.each = applied == "each"
            self.body.append(made)
            before, last = last, (width * reduction * len(made.loose), reduction)
        self.cells = [f"body.{index}" for index in range(bones.cells)]
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(last[0], data.outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        before = last = self.stem(x)
        for layer in self.body:
            before, last = last, layer(before, last)
        return self.head(last)


class Cell(nn.Module):
    """One cell: two inputs brought to its width, its nodes, and the concatenated loose ends.

    Attributes:
        each: whether a node's operation is applied to each of its inputs, not to their sum.
    """

    each = False

    def __init__(
        self,
        plan: Plan,
        before: tuple[int, int],
        last: tuple[int, int],
        width: int,
        reduction: int,
    ) -> None:
        super().__init__()
        taken = {value for first, second, _ in plan for value in (first, second)}
        self.pairs = [(first, second) for first, second, _ in plan]
        self.loose = [value for value in range(len(plan) + 2) if value not in taken]
        self.before = preprocess(before[0], width, reduction // before[1])
        self.last = preprocess(last[0], width, reduction // last[1])
        self.nodes = nn.ModuleList(operation(name, width) for _, _, name in plan)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [self.before(before), self.last(last)]
        for (first, second), node in zip(self.pairs, self.nodes, strict=True):
            if self.each:
                values.append(node(values[first]) + node(values[second]))
            else:
                values.append(node(values[first] + values[second]))
        if len(self.loose) == 1:
            return values[self.loose[0]]
        return torch.cat([values[i] for i in self.loose], dim=1)


def preprocess(inputs: int, width: int, stride: int) -> nn.Sequential:
    """Return a 1×1 convolution to ``width`` channels, after pooling when the image shrinks."""
    pools = [pool() for _ in range(stride.bit_length() - 1)]
    return nn.Sequential(nn.ReLU(), *pools, *conv_norm(inputs, width, 1))


def pool() -> nn.AvgPool2d:
    """Return a pooling that halves the image, odd sizes rounded up."""
    return nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)


def operation(name: str, width: int) -> nn.Module:
    """Return the named operation on ``width`` channels; the image keeps its size."""
    match name:
        case "identity":
            return nn.Identity()
        case "max_pool_3x3":
            return nn.MaxPool2d(3, stride=1, padding=1)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        case "conv_1x1":
            return nn.Sequential(nn.ReLU(), *conv_norm(width, width, 1))
        case "conv_1x7_7x1":
            first = nn.Conv2d(width, width, (1, 7), padding=(0, 3), bias=False)
            second = nn.Conv2d(width, width, (7, 1), padding=(3, 0), bias=False)
            return nn.Sequential(nn.ReLU(), first, second, nn.BatchNorm2d(width))
        case "sep_conv_3x3" | "sep_conv_5x5":
            kernel = int(name[-1])
            return nn.Sequential(*separable(width, kernel), *separable(width, kernel))
        case "dil_conv_3x3" | "dil_conv_5x5":
            return nn.Sequential(*separable(width, int(name[-1]), dilation=2))
    raise AssertionError(name)


def separable(width: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    """Return ReLU, a convolution on each channel, a 1×1 convolution, and batch norm."""
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(
        width, width, kernel, padding=padding, dilation=dilation, groups=width, bias=False
    )
    return [nn.ReLU(), depthwise, *conv_norm(width, width, 1)]


def conv_norm(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Return a convolution that keeps the image's size, and batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]
