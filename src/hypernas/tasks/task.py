"""What every task says: how outputs become a loss and a measure; and what a space is told of data.

Shapes: B examples a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.results import Struct


class Signature(Struct, frozen=True, repr_omit_defaults=True):
    """What a search space must know of the data: ``data.input_shape`` and ``data.outputs``."""

    input_shape: tuple[int, ...]
    """shape of one example without the batch: (channels, height, width) for images,
    (channels, depth, height, width) for volumes, (length,) for texts, (columns,) for tables"""
    outputs: int
    """the classes K. For classification a network returns (B, K) logits, for segmentation (B, K,
    rows, columns) and for detection (B, 5 + K, rows, columns), see :mod:`hypernas.tasks`"""
    vocabulary: int | None = None
    """of texts: the network reads integers from 0 (padding) to this less one; None is floats"""
    task: str = "classification"
    """name of the task"""

    def __str__(self) -> str:
        """Return it in words: ``images of 1×8×8, 10 classes``."""
        shape = "×".join(map(str, self.input_shape))
        return f"{self.inputs} of {shape}, {self.outputs} classes"

    @property
    def inputs(self) -> Literal["images", "texts", "tables"]:
        """What an example is; volumes count as images."""
        if self.vocabulary is not None:
            return "texts"
        return "tables" if len(self.input_shape) == 1 else "images"

    @property
    def sides(self) -> tuple[int, ...]:
        """The lengths of the axes of space: rows and columns of images, the length of texts."""
        return self.input_shape if self.vocabulary is not None else self.input_shape[1:]

    @property
    def dtype(self) -> torch.dtype:
        """The type of the inputs."""
        return torch.float32 if self.vocabulary is None else torch.int64

    def example_input(self, batch: int = 2) -> Tensor:
        """Return a batch of noise that traces and exports a module, the same each time."""
        generator = torch.Generator().manual_seed(0)
        if self.vocabulary is not None:
            shape = (batch, *self.input_shape)
            return torch.randint(self.vocabulary, shape, generator=generator)
        return torch.randn(batch, *self.input_shape, generator=generator)


Outputs = Tensor | tuple[Tensor, ...]
"""what a module returns: a tensor, or a tuple of exits ordered by cost with the last one final"""


def exits(outputs: Outputs) -> tuple[Tensor, ...]:
    """Return all exits."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def final(outputs: Outputs) -> Tensor:
    """Return the last exit."""
    return outputs[-1] if isinstance(outputs, tuple) else outputs


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return the mean divergence of class probabilities from a teacher's, both (B, K, ...).

    It is the Kullback–Leibler divergence at a temperature T, times T² so that gradients keep their
    size (arXiv 1503.02531, section 2.1).
    """
    told = F.log_softmax(logits.float() / temperature, dim=1)
    wanted = F.log_softmax(taught.float() / temperature, dim=1)
    apart = F.kl_div(told, wanted, reduction="none", log_target=True).sum(1)
    return apart.mean() * temperature**2


class Judged(NamedTuple):
    """How a network did on the examples of a batch."""

    losses: Tensor
    """of each example, (B,)"""
    evidence: Tensor
    """what the task's measure is made of, (B, ...): for accuracy whether each is right, 0 or 1"""


RESAMPLES = 64


def resampled(reached: Callable[[Sequence[Tensor]], float], evidence: Sequence[Tensor]) -> float:
    """Return the standard deviation of a measure over examples drawn with replacement."""
    whole = torch.cat(list(evidence))
    generator = torch.Generator().manual_seed(0)
    draws = [
        torch.randint(len(whole), (len(whole),), generator=generator) for _ in range(RESAMPLES)
    ]
    return torch.tensor([reached([whole[draw.to(whole.device)]]) for draw in draws]).std().item()


class Task(Protocol):
    """How outputs are judged."""

    measure: str
    """the word for what is reported of trained networks, such as accuracy; 0 to 1, more is
    better"""
    short: str
    """that word in a narrow column"""

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss over the batch and the exits, a scalar to minimise."""
        ...

    def distil(self, outputs: Outputs, taught: Tensor, *, temperature: float) -> Tensor:
        """Return how far outputs are from a teacher's, mean over the batch and the exits.

        Args:
            outputs: of a network under training.
            taught: the teacher's last exit.
            temperature: by which logits are divided on both sides.

        Raises:
            ConfigError: the task cannot.
        """
        ...

    def judge(self, outputs: Outputs, targets: Tensor) -> Judged:
        """Return the loss of each example, and what its share in the measure follows from."""
        ...

    def reached(self, evidence: Sequence[Tensor]) -> float:
        """Return the measure, 0 to 1, from the evidence of all batches."""
        ...

    def deviation(self, evidence: Sequence[Tensor]) -> float | None:
        """Return how far the measure is off, as other examples were as likely.

        None of a share of the examples, whose deviation follows from their number.
        """
        ...

    def over_views(self, outputs: Outputs, views: int) -> Outputs:
        """Return one output an example from those of its views, (B * views, ...)."""
        ...
