"""Boxes and their classes, told in one pass over the image.

A network returns a grid (B, 5 + K, h, w). A cell of it is responsible for the boxes whose centre
lies in it. Its numbers are the logit that there is one; by sigmoids the centre's place in the cell
and the box's width and height as shares of the image; and the logits of the classes. In the manner
of YOLO (arXiv 1506.02640), without anchors.

Shapes: B images, M boxes at most, K classes, N detections.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.errors import ConfigError
from hypernas.tasks.boxes import average_precision, kept, overlaps
from hypernas.tasks.task import Judged, Outputs, exits, final, resampled

NUMBERS = 5
"""of a cell, before its classes"""
MOST = 50
"""detections of an image, the surest ones"""
HIT = 0.5
"""least overlap of a detection with the box that it finds"""
ONE = 0.5
"""overlap above which two detections of one class are one"""


class Detection:
    """Outputs are grids (B, 5 + K, h, w), targets boxes (B, M, 5) with class -1 where none is."""

    measure = "mAP"
    short = "mAP"

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss over exits and images."""
        losses = [_losses(exit_.float(), targets, smoothing).mean() for exit_ in exits(outputs)]
        return torch.stack(losses).mean()

    def distil(self, outputs: Outputs, taught: Tensor, *, temperature: float) -> Tensor:
        """Refuse: boxes of a teacher are no probabilities to be near to."""
        raise ConfigError("--teacher: detectors are not distilled; leave it out")

    def judge(self, outputs: Outputs, targets: Tensor) -> Judged:
        """Return losses, and which of the surest detections found a box.

        The evidence (B, N + M, 3) holds class, score and hit (1 or 0) of each detection, and for
        each box that was to be found its class, -1 and 0; class -1 is nothing.
        """
        last = final(outputs).float()
        boxes, scores, labels = decoded(last)
        found = torch.stack([labels, scores, _hits(boxes, labels, targets)], dim=2)
        wanted = targets[..., 4]
        truth = torch.stack([wanted, -torch.ones_like(wanted), torch.zeros_like(wanted)], dim=2)
        return Judged(_losses(last, targets), torch.cat([found, truth], dim=1))

    def reached(self, evidence: Sequence[Tensor]) -> float:
        """Return the mean average precision at an overlap of 0.5, over the classes to be found."""
        rows = torch.cat([part.flatten(0, 1) for part in evidence]).cpu()
        label, score, hit = rows.unbind(1)
        precisions = []
        for each in label[(score < 0) & (label >= 0)].unique():
            mine = label == each
            told = mine & (score >= 0)
            wanted = int((mine & (score < 0)).sum())
            precisions.append(average_precision(score[told], hit[told] > 0, wanted))
        return sum(precisions) / len(precisions) if precisions else 0.0

    def deviation(self, evidence: Sequence[Tensor]) -> float | None:
        """Return that of the measure over images drawn with replacement."""
        return resampled(self.reached, evidence)

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return the outputs: images with boxes have one view."""
        return outputs


def decoded(grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the surest detections: boxes (B, N, 4), scores (B, N) and classes (B, N).

    The score of a detection is the probability that there is a box, times that of its class. Of
    detections of one class that overlap by more than a half the surest remains; the others get
    class -1.
    """
    there, boxes, logits = _cells(grid)
    chance, labels = logits.softmax(2).max(2)
    scores = there.sigmoid() * chance
    scores, places = scores.topk(min(MOST, scores.shape[1]), dim=1)
    boxes = boxes.gather(1, places[..., None].expand(-1, -1, 4))
    labels = labels.gather(1, places).float()
    apart = boxes + 10 * labels[..., None]  # those of other classes never overlap
    return boxes, scores, torch.where(kept(apart, ONE), labels, -1.0)


def _cells(grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return of every cell whether there is a box, (B, hw), which, (B, hw, 4), and class logits."""
    rows, columns = grid.shape[2:]
    flat = grid.flatten(2).transpose(1, 2)
    there, place, size, logits = flat.split([1, 2, 2, flat.shape[2] - NUMBERS], dim=2)
    y, x = torch.meshgrid(
        torch.arange(rows, device=grid.device),
        torch.arange(columns, device=grid.device),
        indexing="ij",
    )
    corner = torch.stack([x.flatten(), y.flatten()], dim=1)
    centre = (corner + place.sigmoid()) / torch.tensor([columns, rows], device=grid.device)
    half = size.sigmoid() / 2
    return there.squeeze(2), torch.cat([centre - half, centre + half], dim=2), logits


def _losses(grid: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the loss of each image, (B,).

    Whether there is a box: cross-entropy, summed over cells. For each box, of the cell that its
    centre lies in: 1 - overlap, differences of centre and log sides (which have a gradient where
    nothing overlaps), and the cross-entropy of its class. All divided by the number of boxes.
    """
    there, boxes, logits = _cells(grid)
    wanted, real = targets[..., :4], targets[..., 4] >= 0
    cell = _cell_of(wanted, grid.shape[2], grid.shape[3])  # (B, M)
    should = torch.zeros_like(there)
    should.scatter_reduce_(1, cell, real.to(there.dtype), "amax")
    presence = F.binary_cross_entropy_with_logits(there, should, reduction="none").sum(1)
    mine = boxes.gather(1, cell[..., None].expand(-1, -1, 4))
    classes = logits.gather(1, cell[..., None].expand(-1, -1, logits.shape[2]))
    overlap = overlaps(mine.unsqueeze(2), wanted.unsqueeze(2)).squeeze((2, 3))
    away = F.smooth_l1_loss(_described(mine), _described(wanted), reduction="none").sum(2)
    named = F.cross_entropy(
        classes.transpose(1, 2),
        targets[..., 4].clamp(min=0).long(),
        reduction="none",
        label_smoothing=smoothing,
    )
    each = torch.where(real, 1 - overlap + away + named, 0.0).sum(1)
    return (presence + each) / real.sum(1).clamp(min=1)


def _cell_of(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Return the number of the cell in which the centre of each box lies."""
    x, y = ((boxes[..., :2] + boxes[..., 2:]) / 2).unbind(-1)
    column = (x * columns).long().clamp(0, columns - 1)
    return (y * rows).long().clamp(0, rows - 1) * columns + column


def _described(boxes: Tensor) -> Tensor:
    """Return centres and log sides, (..., 4), in units in which a few percent matter."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    return torch.cat([5 * (boxes[..., :2] + boxes[..., 2:]), sides.log()], dim=-1)


def _hits(boxes: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Say which detections found a box, 1 or 0 (B, N); each box is found once, by the surest.

    A detection stands for the box of its class that it overlaps most, as in Pascal VOC: if a surer
    one has found that already, it is wrong.
    """
    same = (labels[..., None] == targets[:, None, :, 4]) & (labels[..., None] >= 0)
    overlap = torch.where(same, overlaps(boxes, targets[..., :4]), 0.0)
    best, which = overlap.max(2)
    taken = torch.zeros(targets.shape[:2], dtype=torch.bool, device=targets.device)
    hits = torch.zeros_like(labels)
    for place in range(labels.shape[1]):
        box = which[:, place, None]
        good = (best[:, place, None] >= HIT) & ~taken.gather(1, box)
        hits[:, place] = good.squeeze(1).to(hits.dtype)
        taken.scatter_(1, box, taken.gather(1, box) | good)
    return hits
