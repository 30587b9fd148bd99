"""A bank of Gabor filters: fixed convolutions that may stand in place of learned ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ORIENTATIONS = 4
WAVELENGTHS = (2.5, 3.5, 5.0)
"""in pixels; at 2 an odd wave would be 0 at every pixel"""


def gabor_filters(channels: int, kernel: tuple[int, ...]) -> Tensor:
    """Return one filter a channel, (channels, 1, *kernel), each of norm 1.

    Orientations follow each other from channel to channel, then wavelengths, then even and odd
    phase (Daugman 1985; a plane wave in a Gaussian window). The filters of volumes turn about the
    first axis, those of signals have one orientation.
    """
    places = [torch.arange(size) - (size - 1) / 2 for size in kernel]
    grid = torch.meshgrid(*places, indexing="ij")
    sizes = torch.tensor(kernel).view(-1, *[1] * len(kernel))
    window = torch.exp(-((3 * torch.stack(grid) / sizes) ** 2).sum(dim=0) / 2)
    orientations = ORIENTATIONS if len(grid) > 1 else 1
    filters = []
    for channel in range(channels):
        angle = math.pi * (channel % orientations) / orientations
        number = channel // orientations
        wave = 2 * math.pi / WAVELENGTHS[number % len(WAVELENGTHS)]
        phase = math.pi / 2 * (number // len(WAVELENGTHS) % 2)
        along = grid[-1] * math.cos(angle) + (grid[-2] * math.sin(angle) if len(grid) > 1 else 0)
        one = window * torch.cos(wave * along + phase)
        filters.append(one / one.norm())
    return torch.stack(filters)[:, None]


class Fixed(nn.Module):
    """A convolution of each channel with a filter that is never learned.

    Args:
        filters: (channels, 1, *kernel).
        padding: zeros on each side, for each axis.
    """

    filters: Tensor

    def __init__(self, filters: Tensor, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("filters", filters)
        self.padding = padding
        self.channels = len(filters)
        self.convolve = (F.conv1d, F.conv2d, F.conv3d)[filters.ndim - 3]

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.filters, padding=self.padding, groups=self.channels)
