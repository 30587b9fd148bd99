"""A class for each pixel.

Shapes: B images, K classes, H rows, W columns; a network may return fewer rows and columns, h and
w, which are scaled up.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.tasks.task import Judged, Outputs, divergence, exits, final, resampled

VOID = -1
"""class of a pixel of which nothing is to be told"""


class Segmentation:
    """Outputs are logits (B, K, h, w), targets masks (B, H, W): 0 where void, else class + 1."""

    measure = "mean IoU"
    short = "mIoU"

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean over exits and images of the mean cross-entropy of an image's pixels."""
        losses = [_losses(exit_, targets, smoothing).mean() for exit_ in exits(outputs)]
        return torch.stack(losses).mean()

    def distil(self, outputs: Outputs, taught: Tensor, *, temperature: float) -> Tensor:
        """Return the mean divergence from the teacher's class probabilities, over all pixels."""
        size = taught.shape[2:]
        apart = [
            divergence(F.interpolate(o, size, mode="bilinear"), taught, temperature)
            for o in exits(outputs)
        ]
        return torch.stack(apart).mean()

    def judge(self, outputs: Outputs, targets: Tensor) -> Judged:
        """Return cross-entropies, and for each class how many pixels are told so and are so.

        The evidence (B, K, 2) holds, for each class, the pixels that are of it and told to be, and
        those that are one or the other.
        """
        last = final(outputs)
        classes = _labels(targets)
        told = _scaled(last, targets).argmax(1)
        known = classes != VOID
        every = torch.arange(last.shape[1], device=last.device).view(1, -1, 1, 1)
        is_so, is_told = ((c[:, None] == every) & known[:, None] for c in (classes, told))
        both, either = ((hits).sum((2, 3)) for hits in (is_so & is_told, is_so | is_told))
        return Judged(_losses(last, targets), torch.stack([both, either], dim=2).float())

    def reached(self, evidence: Sequence[Tensor]) -> float:
        """Return the mean IoU over the classes that occur: shared pixels / pixels of either."""
        both, either = torch.cat(list(evidence)).double().sum(0).unbind(1)
        there = either > 0
        return (both[there] / either[there]).mean().item() if there.any() else 0.0

    def deviation(self, evidence: Sequence[Tensor]) -> float | None:
        """Return that of the measure over images drawn with replacement."""
        return resampled(self.reached, evidence)

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return the outputs: images with masks have one view."""
        return outputs


def _labels(targets: Tensor) -> Tensor:
    return targets.to(torch.int64) - 1


def _scaled(logits: Tensor, targets: Tensor) -> Tensor:
    """Return logits at the size of the masks, (B, K, H, W)."""
    logits = logits.float()
    if logits.shape[2:] == targets.shape[1:]:
        return logits
    return F.interpolate(logits, targets.shape[1:], mode="bilinear", align_corners=False)


def _losses(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy over the pixels of each image that are not void, (B,)."""
    classes = _labels(targets)
    losses = F.cross_entropy(
        _scaled(logits, targets),
        classes,
        reduction="none",
        ignore_index=VOID,
        label_smoothing=smoothing,
    )
    return losses.sum((1, 2)) / (classes != VOID).sum((1, 2)).clamp(min=1)
