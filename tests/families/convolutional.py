"""Convolutional families by their published blocks, a few blocks each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(inputs: int, outputs: int, kernel: int = 3, act: Any = nn.ReLU, **more: Any) -> nn.Module:
    """Return convolution, batch norm and activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **more)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([act()] if act else []))


def head(channels: int, outputs: int = 10) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))


class Residual(nn.Module):
    """Sum of a body and a shortcut, which is projected where shapes differ."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        self.body = body
        self.short = nn.Identity() if same else unit(inputs, outputs, 1, None, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


def resnet() -> nn.Module:
    """Bottlenecks (arXiv 1512.03385)."""

    def block(i: int, c: int, stride: int) -> nn.Module:
        body = nn.Sequential(
            unit(i, c, 1), unit(c, c, 3, stride=stride), unit(c, 4 * c, 1, None)
        )  # fmt: skip
        return Residual(body, i, 4 * c, stride)

    stem = [unit(3, 16, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, block(16, 8, 1), block(32, 8, 1), block(32, 16, 2), head(64))


def regnet() -> nn.Module:
    """Bottlenecks of grouped convolutions with squeeze-and-excitation, Y (arXiv 2003.13678)."""

    def block(i: int, c: int, stride: int) -> nn.Module:
        groups = unit(c, c, 3, stride=stride, groups=c // 8)
        body = nn.Sequential(unit(i, c, 1), groups, Excite(c, i // 4, nn.ReLU), unit(c, c, 1, None))
        return Residual(body, i, c, stride)

    return nn.Sequential(unit(3, 16, stride=2), block(16, 24, 2), block(24, 24, 1), head(24))


def vgg() -> nn.Module:
    """Convolutions, then linear layers with dropout (arXiv 1409.1556)."""
    layers: list[nn.Module] = []
    for i, o in ((3, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


class Dense(nn.Module):
    """Layers that each read all results before (arXiv 1608.06993)."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for n in range(layers):
            i, mid = channels + n * growth, 4 * growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, mid, 1, bias=False),
                    nn.BatchNorm2d(mid), nn.ReLU(), nn.Conv2d(mid, growth, 3, 1, 1, bias=False),
                )
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for layer in self.layers:
            made.append(layer(torch.cat(made, 1)))
        return torch.cat(made, 1)


def densenet() -> nn.Module:
    """Dense blocks with transitions."""
    transition = [nn.BatchNorm2d(28), nn.ReLU(), nn.Conv2d(28, 14, 1), nn.AvgPool2d(2)]
    blocks = [Dense(16, 4, 3), *transition, Dense(14, 4, 3), nn.BatchNorm2d(26)]
    return nn.Sequential(unit(3, 16, stride=2), *blocks, head(26))


class Excite(nn.Module):
    """Squeeze-and-excitation (arXiv 1709.01507)."""

    def __init__(self, channels: int, middle: int, act: Any = nn.SiLU, gate: Any = nn.Sigmoid):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, middle, 1), nn.Conv2d(middle, channels, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        scale = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.up(self.act(self.down(scale))))


class Inverted(nn.Module):
    """Inverted residual of MobileNet v2 and v3 and EfficientNet."""

    def __init__(
        self, i: int, o: int, kernel: int, stride: int, act: Any, excite: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        c = 4 * i
        depthwise = unit(c, c, kernel, act, stride=stride, groups=c)
        self.body = nn.Sequential(unit(i, c, 1, act), depthwise, excite(c), unit(c, o, 1, None))
        self.adds = i == o and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Module:
    """Inverted residuals (arXiv 1801.04381)."""
    none = lambda c: nn.Identity()  # noqa: E731
    blocks = [Inverted(i, o, 3, s, nn.ReLU6, none) for i, o, s in ((8, 12, 2), (12, 12, 1))]
    return nn.Sequential(unit(3, 8, 3, nn.ReLU6, stride=2), *blocks, nn.Dropout(0.2), head(12))


def mobilenet_v3() -> nn.Module:
    """With hard swish and gates (arXiv 1905.02244)."""
    gate = lambda c: Excite(c, c // 4, nn.ReLU, nn.Hardsigmoid)  # noqa: E731
    blocks = [Inverted(i, o, 5, s, nn.Hardswish, gate) for i, o, s in ((8, 10, 2), (10, 10, 1))]
    last = [unit(10, 40, 1, nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    last += [nn.Linear(40, 64), nn.Hardswish(), nn.Linear(64, 10)]
    return nn.Sequential(unit(3, 8, 3, nn.Hardswish, stride=2), *blocks, *last)


def efficientnet() -> nn.Module:
    """With SiLU and gates of a tenth of the channels, so odd widths (arXiv 1905.11946)."""
    gate = lambda c: Excite(c, c // 10)  # noqa: E731
    blocks = [
        Inverted(i, o, k, s, nn.SiLU, gate) for i, o, k, s in ((10, 10, 3, 1), (10, 26, 5, 2))
    ]
    return nn.Sequential(unit(3, 10, 3, nn.SiLU, stride=2), *blocks, nn.Dropout(0.2), head(26))


class Shuffle(nn.Module):
    """Half of the channels pass; then the halves are mixed (ShuffleNet v2, arXiv 1807.11164)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels // 2
        self.body = nn.Sequential(unit(c, c, 1), unit(c, c, 3, None, groups=c), unit(c, c, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        b, c, h, w = x.shape
        x = torch.cat([left, self.body(right)], 1)
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def shufflenet() -> nn.Module:
    """ShuffleNet v2."""
    return nn.Sequential(unit(3, 16, stride=2), Shuffle(16), Shuffle(16), head(16))


class Branches(nn.Module):
    """Inception v3's block with factorised convolutions (arXiv 1512.00567)."""

    def __init__(self, i: int) -> None:
        super().__init__()
        seven = [(8, (1, 7), (0, 3)), (8, (7, 1), (3, 0))]
        self.a = nn.Conv2d(i, 8, 1)
        self.b = nn.Sequential(nn.Conv2d(i, 8, 1), *(nn.Conv2d(8, o, k, 1, p) for o, k, p in seven))
        self.c = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(i, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([self.a(x), self.b(x), self.c(x)], 1))


class Inception(nn.Module):
    """With an auxiliary classifier, which only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = unit(3, 16, stride=2), Branches(16), Branches(24)
        self.auxiliary, self.head = head(24), head(24)

    def forward(self, x: Tensor) -> Any:
        x = self.first(self.stem(x))
        y = self.head(self.second(x))
        return (y, self.auxiliary(x)) if self.training else y


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7 convolution, two linear layers, and a scale of the layer's own."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c)
        self.up, self.down = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.layer_scale = nn.Parameter(1e-6 * torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))) * self.layer_scale
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """ConvNeXt (arXiv 2201.03545)."""
    stem = [nn.Conv2d(3, 16, 4, 4), LayerNorm2d(16, eps=1e-6), ConvNeXtBlock(16)]
    down = [LayerNorm2d(16), nn.Conv2d(16, 32, 2, 2), ConvNeXtBlock(32)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 10)]
    return nn.Sequential(*stem, *down, *last)


class UNet(nn.Module):
    """U-Net with transposed convolutions (arXiv 1505.04597)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self.pair(3, 8), self.pair(8, 16)])
        self.bottom = self.pair(16, 32)
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, i // 2, 2, 2) for i in (32, 16))
        self.join = nn.ModuleList([self.pair(32, 16), self.pair(16, 8)])
        self.last = nn.Conv2d(8, 4, 1)

    @staticmethod
    def pair(i: int, o: int) -> nn.Module:
        return nn.Sequential(unit(i, o), unit(o, o))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            kept.append(block(x))
            x = F.max_pool2d(kept[-1], 2)
        x = self.bottom(x)
        for up, join, skip in zip(self.up, self.join, reversed(kept), strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.last(x)
