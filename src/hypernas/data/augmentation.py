"""Random changes of a batch, different for each image, without a loop over images.

Shapes: B images a batch, C channels, H rows, W columns; volumes have D planes of them, with the
last axis standing upright, as is usual for voxels. *Spatial* is (H, W) or (D, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """mirror left and right, one image in two; of volumes the first two axes, each one in two"""
    crop: Pixels = 0
    """black pixels added on each side before a random crop to the old size; 0 is off"""
    cutout: Pixels = 0
    """side in pixels of a square or cube set to the mean colour, cut off at the edges; 0 is off"""


MIRRORED = {2: (1,), 3: (0, 1)}
"""the spatial axes that ``flip`` mirrors, by their number"""


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

    @property
    def starts(self) -> tuple[Tensor, ...]:
        """First index of each crop by axis, each (B,)."""
        return (self.top, self.left)

    @property
    def centres(self) -> tuple[Tensor, ...]:
        """Centre of each cutout by axis, each (B,)."""
        return (self.row, self.column)

    def mirrored(self, axis: int) -> Tensor:
        """Return 1 for the images that are mirrored along ``axis``, (B,)."""
        return self.flipped


class VolumeDraws(NamedTuple):
    """The random numbers of one batch of volumes, all int64, (3, B): one row an axis."""

    starts: Tensor
    """first index of each crop within the padded volume, 0 to 2 * crop"""
    flips: Tensor
    """1 for the volumes that are mirrored"""
    centres: Tensor
    """centre of each cutout, 0 to the side - 1"""

    @classmethod
    def of(
        cls, augmentation: Augmentation, shape: torch.Size, generator: torch.Generator
    ) -> VolumeDraws:
        """Draw for a batch of ``shape`` (B, C, D, H, W), all of it, so that none shifts another."""
        batch, _, *sides = shape

        def below(highs: Sequence[int]) -> Tensor:
            return torch.stack([torch.randint(h, (batch,), generator=generator) for h in highs])

        reach = 2 * augmentation.crop + 1
        return cls(below([reach] * 3), below([2] * 3) * augmentation.flip, below(sides))

    def to(self, device: str | torch.device) -> VolumeDraws:
        """Return the draws on ``device``, in one transfer."""
        return VolumeDraws(*torch.stack(self).to(device).unbind())

    def mirrored(self, axis: int) -> Tensor:
        """Return 1 for the volumes that are mirrored along ``axis``, (B,)."""
        return self.flips[axis]


def augmented(images: Tensor, augmentation: Augmentation, draws: Draws | VolumeDraws) -> Tensor:
    """Return uint8 ``images`` (B, C, *spatial) cropped and mirrored.

    Each line of the result along the last axis is a window in the padded images or in their mirror
    images, so one selection of windows does it all, much faster than an index for each pixel.
    """
    pad = augmentation.crop
    if not (pad or augmentation.flip):
        return images
    batch, channels, *sides = images.shape
    last, width = len(sides) - 1, sides[-1]
    mirrored = MIRRORED[len(sides)] if augmentation.flip else ()
    padded = F.pad(images, (pad, pad) * len(sides))
    tall = padded.shape[2:]
    number, first = torch.arange(batch, device=images.device), draws.starts[last]
    if last in mirrored:
        padded = torch.cat([padded, padded.flip(-1)])
        flipped = draws.mirrored(last)
        number = number + flipped * batch
        first = torch.where(flipped.bool(), tall[last] - width - first, first)
    lines = number[:, None] * channels + torch.arange(channels, device=images.device)
    for axis, side in enumerate(sides[:-1]):
        places = torch.arange(side, device=images.device)
        if axis in mirrored:
            places = torch.where(draws.mirrored(axis)[:, None].bool(), side - 1 - places, places)
        places = draws.starts[axis][:, None] + places
        lines = lines[..., None] * tall[axis] + places.view(batch, *[1] * (axis + 1), side)
    starts = lines * tall[last] + first.view(batch, *[1] * len(sides))
    windows = padded.flatten().unfold(0, width, 1)
    return windows.index_select(0, starts.flatten()).view_as(images)


def cut_out(images: Tensor, side: int, draws: Draws | VolumeDraws) -> Tensor:
    """Set a square or cube of ``side`` to 0 in each of the normalised ``images`` (B, C, *spatial).

    Changes ``images`` in place.
    """
    if not side:
        return images
    batch, _, *sides = images.shape
    within = torch.ones(batch, 1, *[1] * len(sides), dtype=torch.bool, device=images.device)
    for axis, (length, centre) in enumerate(zip(sides, draws.centres, strict=True)):
        offsets = torch.arange(length, device=images.device) - centre[:, None] + side // 2
        shape = [batch, 1, *[1] * len(sides)]
        shape[axis + 2] = length
        within = within & ((offsets >= 0) & (offsets < side)).view(shape)
    return images.mul_(~within)
