"""The scoring protocol: how good a candidate is with generated weights, without training it.

The same images for every candidate, in the same recorded batches, normalised by each batch's
statistics or by ones re-estimated for the candidate, dropout off. A score depends on the candidate,
the checkpoint and these batches only (and in its last digits on the block of candidates that passes
the hypernetwork with it).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.curves import Budgets, Reached, gathered, judge_exits
from hypernas.data import Batches
from hypernas.hypernets import Hypernet, Weights
from hypernas.normalising import fixed_batches, reestimated
from hypernas.precision import autocast
from hypernas.results import Exit, Struct
from hypernas.tasks import Task

BLOCK = 16
"""candidates that pass the hypernetwork together; a shorter block is padded to as many, or to those
of its round where that is shorter"""


WORST = -1e9
"""score of a candidate whose outputs are not finite"""


class Score(Struct, frozen=True):
    """What generated weights reach on the scoring batches."""

    score: float
    """minus the mean loss; higher is better"""
    interval: tuple[float, float]
    """95 % interval of the score, from the spread over images"""
    score_accuracy: float | None
    """what the task measures, 0 to 1: of classifiers the share of the images that are right; None
    where untrained networks are ranked by something else"""
    curve: list[Exit] = []
    """with budgets: silence and the exits; the score is then the mean over the budgets, and its
    accuracy that of the same exits at the same budgets"""


class Scorer:
    """Scores candidates with one hypernetwork on fixed batches.

    Args:
        hypernet: scored in evaluation mode, whichever it is in.
        batches: of the validation split.
        task: judges outputs.
        images: how many examples; the first ones of a fixed shuffle, in batches of one size, at
            most that of ``batches``.
        seed: of the shuffle.
        precision: ``fp32`` or ``bf16``.
        budgets: for scores that are means over budgets; None scores the last exit alone.
        statistics: batches (B, ...) of the fit split over which each candidate's normalisation is
            re-estimated; without any, each scoring batch is normalised by its own.
    """

    def __init__(
        self,
        hypernet: Hypernet,
        batches: Batches,
        task: Task,
        *,
        images: int,
        seed: int,
        precision: str = "fp32",
        budgets: Budgets | None = None,
        statistics: Sequence[Tensor] = (),
    ) -> None:
        self.hypernet = hypernet
        self.task = task
        self.precision = precision
        self.budgets = budgets
        self.statistics = statistics
        self.batches = fixed_batches(
            batches, images, batches.batch_size, seed=seed, purpose="score"
        )

    @torch.no_grad()
    def __call__(self, candidates: Sequence[Candidate], *, block: int = BLOCK) -> list[Score]:
        """Return the score of each candidate, in order; ``block`` pass the hypernetwork at once."""
        return [self.judge(c, w) for c, w in self._written(candidates, block)]

    @torch.no_grad()
    def losses(self, candidates: Sequence[Candidate]) -> Tensor:
        """Return what each candidate loses on each image, (candidates, images), for differences."""
        found = []
        for candidate, weights in self._written(candidates, BLOCK):
            reached = self._reached(candidate, weights)
            found.append(_weighted(reached, self._shares(candidate, reached)[0]))
        return torch.stack(found)

    def _written(
        self, candidates: Sequence[Candidate], block: int
    ) -> Iterator[tuple[Candidate, Weights]]:
        """Yield the candidates with their generated weights."""
        for start in range(0, len(candidates), block):
            some = candidates[start : start + block]
            padded = [*some, *[some[-1]] * (block - len(some))]
            with evaluating(self.hypernet):
                weights = self.hypernet(padded)
            yield from zip(some, weights, strict=False)

    def loss(self, candidate: Candidate, weights: Weights) -> Tensor:
        """Return the mean loss on the scoring images, with its gradient to the weights.

        Each batch is normalised by its own statistics, for the gradient is to pass through them.
        """
        candidate.module.eval()
        losses = [self.task.loss(candidate(weights, x), targets) for x, targets in self.batches]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def judge(self, candidate: Candidate, weights: Weights) -> Score:
        """Return the score of a candidate with given weights, generated or not."""
        reached = self._reached(candidate, weights)
        if not torch.isfinite(reached.losses).all():
            # Generated weights that overflow are the worst there is, not an error of the user's.
            return Score(score=WORST, interval=(WORST, WORST), score_accuracy=0.0)
        return _score(reached, *self._shares(candidate, reached))

    def _reached(self, candidate: Candidate, weights: Weights) -> Reached:
        """Return what the exits of a candidate reach on each image."""
        candidate.module.eval()
        judged = []
        with self._normalised(candidate, weights):
            for images, targets in self.batches:
                with autocast(images.device, self.precision):
                    outputs = candidate(weights, images)
                if self.budgets is None:
                    judged.append([self.task.judge(outputs, targets)])
                else:
                    judged.append(judge_exits(self.task, outputs, targets))
        return gathered(self.task, judged)

    def _shares(self, candidate: Candidate, reached: Reached) -> tuple[list[float], list[Exit]]:
        """Return how much each exit counts, and with budgets the curve that decides it."""
        if self.budgets is None:
            return [1.0], []
        curve = reached.curve([0, *candidate.exit_macs])
        macs, scores = [exit.macs for exit in curve], [exit.score for exit in curve]
        return self.budgets.shares(macs, scores), curve

    def _normalised(
        self, candidate: Candidate, weights: Weights
    ) -> contextlib.AbstractContextManager[None]:
        if not self.statistics:
            return contextlib.nullcontext()
        return reestimated(candidate, weights, self.statistics, precision=self.precision)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Generator[None, None, None]:
    """While the block runs, the module is in evaluation mode."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _weighted(reached: Reached, shares: Sequence[float]) -> Tensor:
    """Return the loss on each image of exits that are each counted by its share, (images,)."""
    weights = torch.tensor(shares, dtype=torch.double, device=reached.losses.device)
    return weights @ reached.losses


def _score(reached: Reached, shares: Sequence[float], curve: Sequence[Exit]) -> Score:
    """Summarise what the exits reached, each counted by its share."""
    losses = _weighted(reached, shares)
    mean = -losses.mean().item()
    spread = 1.96 * losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else -WORST
    return Score(
        score=mean,
        interval=(mean - spread, mean + spread),
        score_accuracy=sum(s * m for s, m in zip(shares, reached.measures, strict=True)),
        curve=list(curve),
    )
