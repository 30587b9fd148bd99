"""Boxes: how far two overlap, which of many remain, and how precise a list of them is.

Shapes: a box is left, top, right and bottom in shares of the image; N and M boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Return the intersection over union of each pair, (..., N, M) of (..., N, 4), (..., M, 4).

    >>> box = torch.tensor([[0.0, 0.0, 0.2, 0.2]])
    >>> round(overlaps(box, box + 0.1).item(), 4), overlaps(box, box + 0.2).item()
    (0.1429, 0.0)
    """
    first, second = one.unsqueeze(-2), other.unsqueeze(-3)
    corner = torch.maximum(first[..., :2], second[..., :2])
    sides = (torch.minimum(first[..., 2:], second[..., 2:]) - corner).clamp(min=0)
    both = sides.prod(-1)
    return both / (_area(first) + _area(second) - both).clamp(min=1e-9)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def kept(boxes: Tensor, most: float) -> Tensor:
    """Say which boxes remain when each one removes those after it that overlap it more than that.

    Non-maximum suppression, of many images at once.

    Args:
        boxes: of each image, the surest first, (B, N, 4).
        most: intersection over union above which two are one.

    Returns:
        bool (B, N).
    """
    removes = (overlaps(boxes, boxes) > most).triu(1)
    remains = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for place in range(boxes.shape[1]):
        remains &= ~(removes[:, place] & remains[:, place, None])
    return remains


def average_precision(scores: Tensor, hits: Tensor, wanted: int) -> float:
    """Return the area under precision over recall, as Pascal VOC measures it since 2010.

    Precision at a recall is the highest at it or at any higher recall.

    Args:
        scores: of all detections of a class, (N,).
        hits: whether each found a box that no surer one had found, bool (N,).
        wanted: how many boxes there were to find.

    >>> average_precision(torch.tensor([0.9, 0.8, 0.7]), torch.tensor([True, False, True]), 2)
    0.8333333333333333
    """
    order = scores.argsort(descending=True, stable=True)
    found = hits[order].double().cumsum(0)
    precision = found / torch.arange(1, len(order) + 1, dtype=torch.float64, device=found.device)
    best = precision.flip(0).cummax(0).values.flip(0)
    gained = hits[order].double() / max(wanted, 1)
    return (best * gained).sum().item()
