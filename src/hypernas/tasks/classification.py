"""One label for each example, of images, texts and tables alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.tasks.task import Judged, Outputs, divergence, exits, final


class Classification:
    """One label of K classes for each example; outputs are logits (B, K), targets labels (B,)."""

    measure = "accuracy"
    short = "acc."

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy over the batch and the exits."""
        losses = [
            F.cross_entropy(exit_.float(), targets, label_smoothing=smoothing)
            for exit_ in exits(outputs)
        ]
        return torch.stack(losses).mean()

    def distil(self, outputs: Outputs, taught: Tensor, *, temperature: float) -> Tensor:
        """Return the mean divergence from the teacher's class probabilities."""
        return torch.stack([divergence(o, taught, temperature) for o in exits(outputs)]).mean()

    def judge(self, outputs: Outputs, targets: Tensor) -> Judged:
        """Return cross-entropy and correctness (0 or 1) of the last exit for each example."""
        logits = final(outputs).float()
        losses = F.cross_entropy(logits, targets, reduction="none")
        return Judged(losses, (logits.argmax(1) == targets).float())

    def reached(self, evidence: Sequence[Tensor]) -> float:
        """Return the share of the examples that are right."""
        return torch.cat(list(evidence)).mean().item()

    def deviation(self, evidence: Sequence[Tensor]) -> float | None:
        """Return None: accuracy is a share of the examples."""
        return None

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return the logs of the last exit's mean probabilities over views, (B, K)."""
        if views == 1:
            return outputs
        logits = final(outputs).float()
        logs = logits.log_softmax(1).view(-1, views, logits.shape[1])
        return logs.logsumexp(1) - math.log(views)
