"""What a batch is, how outputs become a loss and a score, and which example input traces.

Nothing outside this file knows of cross-entropy or of images.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.results import Struct


class Signature(Struct, frozen=True):
    """What a search space must know of the data: ``data.input_shape`` and ``data.outputs``."""

    input_shape: tuple[int, ...]
    """shape of one example without the batch: (channels, height, width) for images,
    (channels, depth, height, width) for volumes"""
    outputs: int
    """number of values the network returns for an example: the classes"""


Outputs = Tensor | tuple[Tensor, ...]
"""what a module returns: a tensor, or a tuple of exits ordered by cost with the last one final"""


class Task(Protocol):
    """How outputs are judged."""

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss over the batch and the exits, a scalar to minimise."""
        ...

    def judge(self, outputs: Outputs, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the correctness (0 or 1) of each example, both of shape (batch,)."""
        ...

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return one output an example from those of its views, (batch * views, ...)."""
        ...

    def example_input(self, signature: Signature) -> Tensor:
        """Return a batch of two examples that traces and exports a module."""
        ...


class Classification:
    """One label of ``outputs`` classes for each example; outputs are logits (batch, classes)."""

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy over the batch and the exits."""
        exits = outputs if isinstance(outputs, tuple) else (outputs,)
        losses = [F.cross_entropy(o.float(), targets, label_smoothing=smoothing) for o in exits]
        return torch.stack(losses).mean() if len(losses) > 1 else losses[0]

    def judge(self, outputs: Outputs, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross-entropy and correctness of the last exit for each example."""
        logits = (outputs[-1] if isinstance(outputs, tuple) else outputs).float()
        losses = F.cross_entropy(logits, targets, reduction="none")
        return losses, (logits.argmax(1) == targets).float()

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return the logs of the last exit's mean probabilities over views, (batch, classes)."""
        if views == 1:
            return outputs
        logits = (outputs[-1] if isinstance(outputs, tuple) else outputs).float()
        logs = logits.log_softmax(1).view(-1, views, logits.shape[1])
        return logs.logsumexp(1) - math.log(views)

    def example_input(self, signature: Signature) -> Tensor:
        """Return two images of noise, the same each time."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(2, *signature.input_shape, generator=generator)
