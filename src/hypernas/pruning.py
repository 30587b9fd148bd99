"""Successive halving and Hyperband: candidates trained for real, the bad ones not to the end.

After each epoch Optuna's pruner decides whether a candidate goes on (asynchronous successive
halving, arXiv 1810.05934; Hyperband, arXiv 1603.06560). It knows the candidates before this one and
no later ones, so what it decides depends neither on the number of processes nor on where a search
was stopped. What every candidate gets, the first epoch, is trained ahead in all processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from hypernas import jobs
from hypernas.candidate import Candidate
from hypernas.config import Pruner
from hypernas.jobs import Part, TrainPart
from hypernas.results import Scored
from hypernas.scoring import Score
from hypernas.searching import ScoreBlocks
from hypernas.workers import Pool
from hypernas.workplace import Workplace

REDUCTION = 3
"""one candidate in so many goes on to so many times the epochs"""


class Race:
    """Trains candidates one after the other and stops those that fall behind the ones before.

    Args:
        pruner: what decides.
        epochs: of a candidate that is never stopped.
    """

    def __init__(self, pruner: Pruner, epochs: int) -> None:
        self.epochs = epochs
        self.study = optuna.create_study(
            study_name="race", direction="maximize", pruner=_pruner(pruner, epochs)
        )

    def __call__(self, train_to: Callable[[int], Part]) -> Part:
        """Return how far a candidate came.

        Args:
            train_to: trains it as far as an epoch.
        """
        trial = self.study.ask()
        for epoch in range(1, self.epochs + 1):
            part = train_to(epoch)
            trial.report(part.accuracy, epoch)
            if epoch < self.epochs and trial.should_prune():
                self.study.tell(trial, state=TrialState.PRUNED)
                return part
        self.study.tell(trial, part.accuracy)
        return part


def score_blocks(place: Workplace, pool: Pool, history: list[Scored]) -> ScoreBlocks:
    """Return what scores the blocks of a search; with --pruner, what trains and stops them.

    Args:
        place: of the run.
        pool: its processes.
        history: what was so scored before; it passes the pruner again, and nothing is trained.
    """
    if place.config.pruner == "none":
        return jobs.score_blocks(pool)
    race = Race(place.config.pruner, place.score_epochs)

    def trained(candidates: list[Candidate], until: int) -> list[Part]:
        todo = [
            TrainPart(choices=one.choices, epochs=place.score_epochs, until=until)
            for one in candidates
        ]
        answers = pool.do([msgspec.to_builtins(job) for job in todo])
        return [msgspec.convert(answer, Part) for answer in answers]

    def raced(candidate: Candidate) -> Score:
        part = race(lambda epoch: trained([candidate], epoch)[0])
        score = -part.loss
        return Score(score=score, interval=(score, score), score_accuracy=part.accuracy)

    for scored in history:
        raced(place.candidates.of(scored.choices))

    def score(blocks: list[list[Candidate]], padded: int) -> Iterator[list[Score]]:
        trained([candidate for block in blocks for candidate in block], 1)
        for block in blocks:
            yield [raced(candidate) for candidate in block]

    return score


def _pruner(name: Pruner, epochs: int) -> BasePruner:
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=REDUCTION)
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)


def expected_epochs(name: Pruner, epochs: int) -> float:
    """Return about how many epochs a candidate is trained, on average.

    Of Hyperband's brackets the n-th from the last gets a share of k r^n / (n + 1) of the k, as
    Optuna deals them, for the reduction r; the last one stops nobody.

    >>> expected_epochs("none", 9), round(expected_epochs("halving", 9), 2)
    (9.0, 2.33)
    """
    if name == "none":
        return float(epochs)
    rungs = [1]
    while rungs[-1] * REDUCTION < epochs:
        rungs.append(rungs[-1] * REDUCTION)
    rungs.append(epochs)

    def mean(first: int) -> float:
        """Mean of a bracket whose first decision falls at a rung."""
        total, alive, done = 0.0, 1.0, 0
        for rung in rungs[first:]:
            total, alive, done = total + alive * (rung - done), alive / REDUCTION, rung
        return total

    if name == "halving":
        return mean(0)
    count = int(math.log(epochs, REDUCTION) + 1e-9) + 1
    shares = [math.ceil(count * REDUCTION**n / (n + 1)) for n in reversed(range(count))]
    means = [mean(first) if first < count - 1 else float(epochs) for first in range(count)]
    return sum(s * m for s, m in zip(shares, means, strict=True)) / sum(shares)
