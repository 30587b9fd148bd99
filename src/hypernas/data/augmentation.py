"""Random changes of a batch, different for each image, without a loop over images.

Shapes: B images a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.results import Struct

Pixels = Annotated[int, msgspec.Meta(ge=0)]


class Augmentation(Struct, frozen=True):
    """What may be changed at random; the defaults change nothing."""

    flip: bool = False
    """mirror left and right, one image in two"""
    crop: Pixels = 0
    """black pixels added on each side before a random crop to the old size; 0 is off"""
    cutout: Pixels = 0
    """side in pixels of a square set to the mean colour, cut off at the edges; 0 is off"""


class Draws(NamedTuple):
    """The random numbers of one batch, all int64."""

    top: Tensor
    """first row of each crop within the padded image, (B,), 0 to 2 * crop"""
    left: Tensor
    """first column of each crop, (B,), 0 to 2 * crop"""
    flipped: Tensor
    """1 for the images that are mirrored, (B,)"""
    row: Tensor
    """centre row of each cutout, (B,), 0 to H - 1"""
    column: Tensor
    """centre column of each cutout, (B,), 0 to W - 1"""

    @classmethod
    def of(cls, augmentation: Augmentation, shape: torch.Size, generator: torch.Generator) -> Draws:
        """Draw for a batch of ``shape`` (B, C, H, W), all of it, so that none shifts another."""
        batch, _, height, width = shape
        reach = 2 * augmentation.crop + 1

        def below(high: int) -> Tensor:
            return torch.randint(high, (batch,), generator=generator)

        flipped = below(2) * augmentation.flip
        return cls(below(reach), below(reach), flipped, below(height), below(width))

    def to(self, device: str | torch.device) -> Draws:
        """Return the draws on ``device``, in one transfer."""
        return Draws(*torch.stack(self).to(device).unbind())


def augmented(images: Tensor, augmentation: Augmentation, draws: Draws) -> Tensor:
    """Return uint8 ``images`` (B, C, H, W) cropped and mirrored.

    Each row of the result is a window of W pixels in the padded images or in their mirror images,
    so one selection of windows does it all, much faster than an index for each pixel.
    """
    pad = augmentation.crop
    if not (pad or augmentation.flip):
        return images
    batch, channels, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))
    if augmentation.flip:
        padded = torch.cat([padded, padded.flip(3)])
    tall, wide = padded.shape[2:]
    number = torch.arange(batch, device=images.device) + draws.flipped * batch
    first = torch.where(draws.flipped.bool(), wide - width - draws.left, draws.left)
    planes = number[:, None] * channels + torch.arange(channels, device=images.device)
    rows = draws.top[:, None] + torch.arange(height, device=images.device)
    starts = (planes[:, :, None] * tall + rows[:, None]) * wide + first[:, None, None]
    windows = padded.flatten().unfold(0, width, 1)
    return windows.index_select(0, starts.flatten()).view_as(images)


def cut_out(images: Tensor, side: int, draws: Draws) -> Tensor:
    """Set a square of ``side`` pixels to 0 in each of the normalised ``images`` (B, C, H, W)."""
    if not side:
        return images
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - draws.row[:, None] + side // 2
    columns = torch.arange(width, device=images.device) - draws.column[:, None] + side // 2
    within = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[
        :, None
    ]
    return images.mul_(~within[:, None])
