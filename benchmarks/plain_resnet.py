"""A plain ResNet-50 (arXiv 1512.03385), to have its parameters written."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Three convolutions and a way around them."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.first, self.norm1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.third, self.norm3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.around = nn.Identity()
        if stride > 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.around = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.first(x)))
        out = torch.relu(self.norm2(self.second(out)))
        return torch.relu(self.norm3(self.third(out)) + self.around(x))


class ResNet(nn.Module):
    """Stem, four stages of bottlenecks, and a linear classifier."""

    def __init__(self, blocks: tuple[int, ...], classes: int, *, small: bool) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small else (7, 2)
        stem = nn.Conv2d(3, 64, kernel, stride=stride, padding=kernel // 2, bias=False)
        pool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(), pool)
        self.stages, inputs = nn.ModuleList(), 64
        for stage, count in enumerate(blocks):
            layers = []
            for block in range(count):
                stride = 2 if stage and not block else 1
                layers.append(Bottleneck(inputs, 64 * 2**stage, stride))
                inputs = 256 * 2**stage
            self.stages.append(nn.Sequential(*layers))
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


def resnet50(classes: int, *, small: bool) -> ResNet:
    """Return a ResNet-50; ``small`` is the form for images of 32 pixels, without a pooled stem."""
    return ResNet((3, 4, 6, 3), classes, small=small)
