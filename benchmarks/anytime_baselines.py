"""Hand-made networks for answers within a budget: DenseNet with exits, MSDNet, and single sizes.

Small, after the papers: DenseNet (arXiv 1608.06993) with a classifier every few layers; MSDNet
(arXiv 1703.09844) with its lattice of layers and scales, dense along the layers, whose exits read
the coarsest scale and whose finest scale ends at each third of the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hypernas.tasks import Signature
from hypernas.tracing import read_graph


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def stem_stride(data: Signature) -> int:
    """Return the stride of the first convolution, as in the searched space."""
    return 1 if min(data.input_shape[1:]) <= 16 else 2


class Dense(nn.Module):
    """Three dense blocks, each at half the size of the one before; a classifier at some layers.

    Args:
        data: shape of an image and number of classes.
        growth: channels that a layer adds.
        layers: in each block.
        every: layers between two exits; None is a single exit, at the end.
    """

    def __init__(self, data: Signature, growth: int, layers: int = 5, every: int | None = 2):
        super().__init__()
        width = 2 * growth
        self.stem = conv(data.input_shape[0], width, stride=stem_stride(data))
        self.layers, self.exits = nn.ModuleList(), nn.ModuleList()
        self.plan: list[str] = []
        for block in range(3):
            if block:
                self.layers.append(nn.Sequential(conv(width, width // 2, 1), halving()))
                self.plan.append("shrink")
                width //= 2
            for _ in range(layers):
                inner = conv(width, 4 * growth, 1), conv(4 * growth, growth)
                self.layers.append(nn.Sequential(*inner))
                width += growth
                last = block == 2 and self.plan.count("grow") + 1 == 3 * layers
                exit_here = last or (every and (self.plan.count("grow") + 1) % every == 0)
                self.plan += ["grow", *(["exit"] if exit_here else [])]
                if exit_here:
                    means = nn.AdaptiveAvgPool2d(1), nn.Flatten()
                    self.exits.append(nn.Sequential(*means, nn.Linear(width, data.outputs)))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x, outputs = self.stem(x), []
        layers, exits = iter(self.layers), iter(self.exits)
        for step in self.plan:
            if step == "exit":
                outputs.append(next(exits)(x))
            else:
                made = next(layers)(x)
                x = made if step == "shrink" else torch.cat([x, made], 1)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def halving() -> nn.AvgPool2d:
    """Return a pooling that halves the image, odd sizes rounded up."""
    return nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)


class MSDNet(nn.Module):
    """A lattice of layers and scales; each layer reads all earlier ones of its scale and the finer.

    Args:
        data: shape of an image and number of classes.
        growth: channels that a layer adds at the finest scale; each scale has twice as many.
        layers: of the lattice, behind the first.
        scales: sizes of the image.
        every: layers between two exits.
    """

    def __init__(
        self, data: Signature, growth: int, layers: int = 9, scales: int = 3, every: int = 2
    ) -> None:
        super().__init__()
        self.scales = scales
        growths = [growth * 2**scale for scale in range(scales)]
        widths = [2 * g for g in growths]
        self.first = nn.ModuleList(
            conv(widths[s - 1], widths[s], stride=2)
            if s
            else conv(data.input_shape[0], widths[0], stride=stem_stride(data))
            for s in range(scales)
        )
        self.same, self.down = nn.ModuleDict(), nn.ModuleDict()
        self.exits = nn.ModuleDict()
        self.finest: list[int] = []
        for layer in range(layers):
            finest = min(layer * scales // layers, scales - 1)  # the finest scale ends at thirds
            self.finest.append(finest)
            before = list(widths)
            for s in range(finest, scales):
                from_finer = s > 0 and (s > finest or (layer > 0 and self.finest[-2] < s))
                added = growths[s] // 2 if from_finer else growths[s]
                self.same[f"{layer}-{s}"] = bottleneck(before[s], added, 1)
                if from_finer:
                    rest = growths[s] - added
                    self.down[f"{layer}-{s}"] = bottleneck(before[s - 1], rest, 2)
                widths[s] += growths[s]
            if (layer + 1) % every == 0 or layer + 1 == layers:
                self.exits[str(layer)] = reader(widths[-1], data.outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values = [x]
        for layer in self.first:
            values.append(layer(values[-1]))
        values, outputs = values[1:], []
        for layer, finest in enumerate(self.finest):
            before = list(values)
            for s in range(finest, self.scales):
                name = f"{layer}-{s}"
                parts = [before[s], self.same[name](before[s])]
                if name in self.down:
                    parts.append(self.down[name](before[s - 1]))
                values[s] = torch.cat(parts, 1)
            if str(layer) in self.exits:
                outputs.append(self.exits[str(layer)](values[-1]))
        return tuple(outputs)


def bottleneck(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a 1×1 convolution to at most four times the outputs, and a 3×3 one."""
    inner = min(inputs, 4 * outputs)
    return nn.Sequential(conv(inputs, inner, 1), conv(inner, outputs, stride=stride))


def reader(width: int, outputs: int) -> nn.Sequential:
    """Return a classifier: two convolutions, the mean over the image, a linear layer."""
    body = conv(width, width // 2), conv(width // 2, width // 2)
    return nn.Sequential(
        *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width // 2, outputs)
    )


def sized(
    make: Callable[[int, int], nn.Module], layers: range, data: Signature, macs: float
) -> tuple[int, int]:
    """Return growth and layers of the network whose dearest exit comes nearest to ``macs``.

    Those that cost more are left out, unless all do; then it is the smallest.

    Args:
        make: builds one from growth and layers.
        layers: numbers of layers to try.
        data: shape of an image and number of classes.
        macs: what the dearest exit may cost.
    """
    found = {}
    for count in layers:
        for growth in range(2, 65):
            cost = max(costs(make(growth, count), data))
            found[growth, count] = cost
            if cost > macs:
                break
    fitting = {size: cost for size, cost in found.items() if cost <= macs}
    return max(fitting, key=fitting.__getitem__) if fitting else min(found, key=found.__getitem__)


def costs(module: nn.Module, data: Signature) -> Sequence[int]:
    """Return the MACs of each exit."""
    return read_graph(module, data.input_shape).exit_macs
