"""Networks that answer at any time: early exits at many costs (GHN, arXiv 1810.05749, section 4.3).

Three cells, each larger than the next. A node takes two earlier values, brings them to the size at
which it works, sums them and applies one operation; an early-exit classifier may hang on it. An
exit costs what it depends on. The paper gives the numbers of nodes and that size and exits are
drawn; channels, operations and what lies between cells are as in the ``cell`` space.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.errors import SpaceError
from hypernas.spaces.cell import OPERATIONS, operation, pool, preprocess
from hypernas.spaces.space import require_positive
from hypernas.tasks import Outputs, Signature

Shape: TypeAlias = tuple[int, int, int]
"""channels, height and width of a value"""
Values: TypeAlias = tuple[int, ...]
"""numbers of values"""


class NodePlan(NamedTuple):
    """What was decided for a node."""

    inputs: tuple[int, int]
    operation: str
    scale: int
    """how often the image is halved, from the size behind the stem"""
    exit: bool


def anytime(
    choose: Chooser,
    data: Signature,
    *,
    width: int = 16,
    nodes: tuple[int, ...] = (24, 16, 8),
    scales: int = 3,
    exits: float = 0.25,
    identity: bool = True,
    stem_stride: int | None = None,
) -> nn.Module:
    """Cells of nodes of several image sizes, with early exits; for answers within any budget (GHN).

    Args:
        choose: decides ``cell0.node0.inputs``, ``.op``, ``.scale``, ``.exit``, ``cell0.node1…``;
            values 0 and 1 are the outputs of the last cell but one and of the last cell, value
            i + 2 is node i. Before the first cell these are the stem at its own size and at the
            smallest.
        data: shape of an image and number of classes.
        width: channels at the largest size; each halving of the image doubles them.
        nodes: nodes in each cell.
        scales: sizes that a node may work at.
        exits: probability with which a node gets an exit, where candidates are drawn.
        identity: whether a node may pass the sum of its inputs on unchanged.
        stem_stride: stride of the first convolution; None is 1 for images of up to 16 pixels,
            else 2.
    """
    require_positive(width=width, scales=scales, stem_stride=stem_stride or 1, nodes=nodes)
    if not 0 <= exits <= 1:
        raise SpaceError(f"option exits={exits}: expected a probability from 0 to 1; give exits=…")
    operations = (*OPERATIONS, "identity") if identity else OPERATIONS
    plan: list[list[NodePlan]] = []
    for cell, count in enumerate(nodes):
        plan.append([])
        for node in range(count):
            name = f"cell{cell}.node{node}"
            pairs = [f"{a},{b}" for a, b in combinations(range(node + 2), 2)]
            first, second = map(int, choose(f"{name}.inputs", pairs).split(","))
            kind = choose(f"{name}.op", operations)
            scale = choose(f"{name}.scale", range(scales))
            last = (cell + 1, node + 1) == (len(nodes), count)  # the final exit hangs on it
            early = not last and choose(f"{name}.exit", [False, True], weights=[1 - exits, exits])
            plan[-1].append(NodePlan((first, second), kind, scale, early))
    stride = stem_stride or (1 if min(data.input_shape[1:]) <= 16 else 2)
    return Network(plan, data, width=width, scales=scales, stem_stride=stride)


class Network(nn.Module):
    """Steps that each take earlier values, and exits, the cheapest first.

    Value 0 is the image, value i + 1 what step i makes.
    """

    whole = True  # a node is taken by others or by what follows its cell, so nothing is dead

    def __init__(
        self,
        plan: Sequence[Sequence[NodePlan]],
        data: Signature,
        *,
        width: int,
        scales: int,
        stem_stride: int,
    ) -> None:
        super().__init__()
        build = _Build(_shapes(data.input_shape, width, scales, stem_stride))
        before = build.stem(data.input_shape[0], stem_stride)
        last = build.resized(before, scales - 1)
        early: list[Values] = []
        loose: Values = ()
        for number, cell in enumerate(plan):
            values, taken = [before, last], set()
            for node in cell:
                inputs = tuple(values[i] for i in node.inputs)
                taken.update(inputs)
                values.append(build.node(node, inputs))
                if node.exit:
                    early.append((values[-1],))
            loose = tuple(value for value in values if value not in taken)
            if number + 1 < len(plan):
                before, last = last, build.join(loose, min(number + 1, scales - 1))
        self.steps = nn.ModuleList(build.steps)
        self.inputs = build.inputs
        # its classifier can make an early exit cost more than the one behind all nodes
        self.read = sorted([*sorted(early), loose], key=lambda v: build.cost(v, data.outputs))
        self.exits = nn.ModuleList(
            Exit([build.shape(value)[0] for value in values], data.outputs) for values in self.read
        )

    def forward(self, x: Tensor) -> Outputs:
        values = [x]
        for step, inputs in zip(self.steps, self.inputs, strict=True):
            values.append(step(*[values[i] for i in inputs]))
        outputs = [
            leave(*[values[i] for i in read])
            for leave, read in zip(self.exits, self.read, strict=True)
        ]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class Node(nn.Module):
    """Brings two values to one size and width, sums them, and applies an operation."""

    def __init__(self, first: nn.Module, second: nn.Module, operation: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.operation = operation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.operation(self.first(a) + self.second(b))


class Join(nn.Module):
    """The output of a cell: its loose ends brought to one size, side by side, and mixed."""

    def __init__(self, ways: Sequence[nn.Module], channels: int, width: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)
        self.mix = preprocess(channels, width, 1)

    def forward(self, *values: Tensor) -> Tensor:
        return self.mix(_together([way(v) for way, v in zip(self.ways, values, strict=True)]))


class Exit(nn.Module):
    """A linear classifier on the means of values over the image."""

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.means = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()) for _ in channels
        )
        self.classify = nn.Linear(sum(channels), outputs)

    def forward(self, *values: Tensor) -> Tensor:
        return self.classify(_together([m(v) for m, v in zip(self.means, values, strict=True)]))


def _together(values: list[Tensor]) -> Tensor:
    """Concatenate values (batch, channels, ...) along their channels."""
    return values[0] if len(values) == 1 else torch.cat(values, dim=1)


def _shapes(image: Sequence[int], width: int, scales: int, stride: int) -> list[Shape]:
    """Return the shape of a value at each scale; odd sizes are rounded up."""
    height, length = (-(-side // stride) for side in image[1:])
    halves = [2**scale for scale in range(scales)]
    return [(width * half, -(-height // half), -(-length // half)) for half in halves]


class _Build:
    """The steps of a network, and what each value is, needs and costs; value 0 is the image."""

    def __init__(self, shapes: list[Shape]) -> None:
        self.shapes = shapes
        self.steps: list[nn.Module] = []
        self.inputs: list[Values] = []
        self.scales = [0]
        self.macs = [0]
        self.needs = [frozenset({0})]

    def add(self, step: nn.Module, inputs: Values, scale: int, macs: int) -> int:
        """Add a step that costs ``macs``; return the number of its value."""
        self.steps.append(step)
        self.inputs.append(inputs)
        self.scales.append(scale)
        self.macs.append(macs)
        self.needs.append(frozenset({len(self.steps)}).union(*(self.needs[i] for i in inputs)))
        return len(self.steps)

    def stem(self, channels: int, stride: int) -> int:
        """Add the first convolution."""
        conv = nn.Conv2d(channels, self.shapes[0][0], 3, stride=stride, padding=1, bias=False)
        stem = nn.Sequential(conv, nn.BatchNorm2d(self.shapes[0][0]))
        return self.add(stem, (0,), 0, _macs(stem, self.shapes[0]))

    def resized(self, value: int, scale: int) -> int:
        """Add a value at another scale."""
        way, macs = self._way(value, scale)
        return self.add(way, (value,), scale, macs)

    def node(self, plan: NodePlan, inputs: Values) -> int:
        """Add a node."""
        shape, scale = self.shapes[plan.scale], plan.scale
        made = operation(plan.operation, shape[0])
        (first, for_first), (second, for_second) = (self._way(value, scale) for value in inputs)
        macs = for_first + for_second + _macs(made, shape)
        return self.add(Node(first, second, made), inputs, scale, macs)

    def join(self, loose: Values, scale: int) -> int:
        """Add the output of a cell."""
        ways = [self._plain_way(value, scale) for value in loose]
        channels = sum(self.shape(value)[0] for value in loose)
        made = Join(ways, channels, self.shapes[scale][0])
        return self.add(made, loose, scale, _macs(made, self.shapes[scale]))

    def shape(self, value: int) -> Shape:
        """Return the shape of a value other than the image."""
        return self.shapes[self.scales[value]]

    def cost(self, values: Values, outputs: int) -> int:
        """Return the MACs of an exit on ``values`` and of all that it depends on."""
        needed = frozenset().union(*(self.needs[value] for value in values))
        weights = outputs * sum(self.shape(value)[0] for value in values)
        return weights + sum(self.macs[value] for value in needed)

    def _way(self, value: int, scale: int) -> tuple[nn.Module, int]:
        """Return what brings a value to the size and the channels of a scale, and its MACs.

        Its convolution runs at the smaller of the two sizes.
        """
        here, channels = self.scales[value], self.shape(value)[0]
        if here == scale:
            return nn.Identity(), 0
        shrinks = max(scale - here, 0)
        way = preprocess(channels, self.shapes[scale][0], 2**shrinks)
        macs = _macs(way, self.shapes[max(here, scale)])
        return (way if shrinks else nn.Sequential(*way, self._plain_way(value, scale))), macs

    def _plain_way(self, value: int, scale: int) -> nn.Module:
        """Return what brings a value to the size of a scale, and leaves its channels."""
        here = self.scales[value]
        if here > scale:
            return nn.Upsample(size=self.shapes[scale][1:])
        pools = [pool() for _ in range(scale - here)]
        return nn.Sequential(*pools) if pools else nn.Identity()


def _macs(module: nn.Module, shape: Shape) -> int:
    """Return the MACs of a module whose convolutions all give images of the size of ``shape``."""
    convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return sum(conv.weight.numel() * shape[1] * shape[2] for conv in convs)
