"""Families of networks, small and plain, to read and to write: our own, and those of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from families import convolutional as c
from families import others as o

IMAGE = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
ROW = torch.linspace(-1, 1, 12).view(2, 6)
IDS = torch.arange(18).view(2, 9)

OWN: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "ResNet": (c.resnet, IMAGE),
    "VGG": (c.vgg, IMAGE),
    "DenseNet": (c.densenet, IMAGE),
    "MobileNet v2": (c.mobilenet_v2, IMAGE),
    "MobileNet v3": (c.mobilenet_v3, IMAGE),
    "EfficientNet": (c.efficientnet, IMAGE),
    "RegNet-Y": (c.regnet, IMAGE),
    "ShuffleNet v2": (c.shufflenet, IMAGE),
    "Inception v3, auxiliary head": (c.Inception, IMAGE),
    "ConvNeXt": (c.convnext, IMAGE),
    "U-Net": (c.UNet, IMAGE),
    "ViT": (o.ViT, IMAGE),
    "Swin": (o.Swin, IMAGE),
    "MLP-Mixer": (o.Mixer, IMAGE),
    "torch.nn.Transformer": (o.Seq2Seq, (torch.ones(2, 4, 8), torch.ones(2, 3, 8))),
    "LSTM, GRU cell, bilinear": (o.Reader, IDS),
    "1-D convolutions": (o.sequence, torch.ones(2, 2, 40)),
    "3-D convolutions": (o.volume, torch.ones(2, 1, 8, 8, 8)),
    "MLP": (o.mlp, ROW),
    "transposed convolutions": (o.generator, torch.ones(2, 16, 1, 1)),
    "GroupNorm, InstanceNorm": (o.grouped, IMAGE),
    "PReLU": (o.slopes, IMAGE),
    "two inputs": (o.TwoInputs, (IMAGE, ROW[:, :5])),
    "several outputs": (o.Outputs, {"x": ROW}),
    "shared and tied layers": (o.Shared, IDS),
    "own parameters": (o.Handwritten, ROW),
    "branch on values": (o.Decides, ROW),
    "frozen body": (o.frozen, IMAGE),
    "parametrised layers": (o.parametrised, IMAGE),
}
"""how to make one, and an example of its input, by family"""
