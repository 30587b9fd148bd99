"""What is to be told of an image moves with it when the image is shifted or mirrored.

Shapes: B images a batch, H rows, W columns, M boxes at most.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypernas.data.augmentation import Augmentation, Draws, VolumeDraws, augmented
from hypernas.data.examples import BOX

LEAST_SEEN = 0.3
"""share of a box that must stay within the image, or it is no longer to be found"""


def moved(
    targets: Tensor,
    augmentation: Augmentation,
    draws: Draws | VolumeDraws,
    sides: tuple[int, ...],
) -> Tensor:
    """Return labels as they are, and masks or boxes where the augmented images have them.

    Args:
        targets: labels (B,), masks (B, H, W) or boxes (B, M, BOX).
        augmentation: as the images got it.
        draws: as the images got them.
        sides: of the images.
    """
    if targets.ndim == 1:
        return targets
    if targets.dtype == torch.uint8:  # what comes in from outside is void: 0
        return augmented(targets[:, None], augmentation, draws)[:, 0]
    assert isinstance(draws, Draws)
    return _moved_boxes(targets, augmentation, draws, sides)


def _moved_boxes(
    boxes: Tensor, augmentation: Augmentation, draws: Draws, sides: tuple[int, ...]
) -> Tensor:
    height, width = sides
    down = ((augmentation.crop - draws.top) / height)[:, None]
    across = ((augmentation.crop - draws.left) / width)[:, None]
    left, top, right, bottom, label = boxes.unbind(2)
    left, right, top, bottom = left + across, right + across, top + down, bottom + down
    flipped = draws.flipped.bool()[:, None]
    left, right = torch.where(flipped, 1 - right, left), torch.where(flipped, 1 - left, right)
    whole = (right - left) * (bottom - top)
    left, top, right, bottom = (side.clamp(0, 1) for side in (left, top, right, bottom))
    seen = (right - left) * (bottom - top) > LEAST_SEEN * whole
    label = torch.where(seen, label, -1.0)
    found = torch.stack([left, top, right, bottom, label], dim=2)
    assert found.shape[2] == BOX
    return found
