"""Layers of torch.nn are written with the arguments that they were made with."""

from __future__ import annotations

import pytest
from torch import nn

from .rebuilding import SHAPE, rebuilt

LAYERS = [
    (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), SHAPE),
    (nn.Conv1d(3, 6, 3, padding="same", groups=3, padding_mode="circular"), (3, 8)),
    (nn.Conv3d(3, 4, (1, 3, 3), dilation=(1, 2, 1)), (3, 4, 8, 8)),
    (nn.BatchNorm2d(3, eps=1e-3, momentum=None, affine=False), SHAPE),
    (nn.BatchNorm2d(3, track_running_stats=False), SHAPE),
    (nn.GroupNorm(3, 3), SHAPE),
    (nn.LayerNorm([8, 8], bias=False), SHAPE),
    (nn.LayerNorm(8, elementwise_affine=False), SHAPE),
    (nn.InstanceNorm2d(3, affine=True), SHAPE),
    (nn.RMSNorm(8), SHAPE),
    (nn.MaxPool2d(2), SHAPE),
    (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), SHAPE),
    (nn.AvgPool2d((2, 1), count_include_pad=False), SHAPE),
    (nn.AdaptiveMaxPool2d((2, None)), SHAPE),
    (nn.LPPool2d(2, 2), SHAPE),
    (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), SHAPE),
    (nn.Upsample(size=(5, 5)), SHAPE),
    (nn.ZeroPad2d((1, 0, 2, 0)), SHAPE),
    (nn.PReLU(3), SHAPE),
    (nn.LeakyReLU(0.2, inplace=True), SHAPE),
    (nn.GELU("tanh"), SHAPE),
    (nn.Hardtanh(-2, 2), SHAPE),
    (nn.Softmax(dim=1), SHAPE),
    (nn.Dropout2d(0.3), SHAPE),
    (nn.PixelShuffle(1), SHAPE),
    (nn.Unflatten(1, (1, 3)), SHAPE),
    (nn.Linear(8, 4, bias=False), SHAPE),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: str(v)[:40])
def test_layers(layer: nn.Module, shape: tuple[int, ...]) -> None:
    rebuilt(nn.Sequential(layer), shape)


class Own(nn.Linear):
    pass


def test_a_subclass_of_a_layer_is_traced_through() -> None:
    rebuilt(nn.Sequential(Own(8, 4)))
