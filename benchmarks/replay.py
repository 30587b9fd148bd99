"""The ladder's signals and trainings, looked up in a table of ground truth and paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from known import Known

from hypernas import climbing
from hypernas.budget import AT_ONCE, FEWER
from hypernas.ladder import Rung, Widths

if TYPE_CHECKING:
    from way import Way


class Replay:
    """A source of the ladder's signals that looks them up.

    Args:
        known: the table.
        warm: what its networks have after some steps, if there is such a rung.
        fit: of which fit, the first being 0.

    Attributes:
        spent: CPU seconds of trainings so far.
        rung_seconds: CPU seconds of the rung of some steps so far.
        done: share of its training that each network has had, (N,), second seeds counted.
    """

    def __init__(self, known: Known, warm: Way | None = None, fit: int = 0) -> None:
        self.known, self.warm, self.fit = known, warm, fit
        self.spent = self.rung_seconds = 0.0
        self.done = np.zeros(len(known.truths))

    def widths(self, full: int) -> Widths:
        """Return how many networks climb, as in a run of two processes; ``full`` arrive."""
        rungs: dict[Rung, int] = {"warm": FEWER * full} if self.warm else {}
        if self.known.recipe.epochs >= climbing.LONG:
            rungs["part"] = full
        return Widths(rungs=rungs, full=full, finalists=1, at_once=AT_ONCE)

    def climb(self, rung: Rung, numbers: Sequence[int]) -> list[float]:
        """Return the score after some steps, or the accuracy after a third of the training."""
        if rung == "warm":
            assert self.warm is not None
            self.rung_seconds += self.warm.each * len(numbers)
            return self.warm.values[self.fit, list(numbers)].tolist()
        assert rung == "part", rung
        epochs = self.known.recipe.epochs
        third = climbing.part(epochs)
        self._pay(dict.fromkeys(numbers, third / epochs))
        return [float(self.known.by_epoch[number, third - 1]) for number in numbers]

    def train(self, seeds: dict[int, int]) -> dict[int, list[float]]:
        """Return the validation accuracies of whole trainings."""
        self._pay(dict(seeds))
        trials = {number: self.known.truths[number].trials for number in seeds}
        return {
            number: [trial.val_accuracy for trial in trials[number][:count]]
            for number, count in seeds.items()
        }

    def _pay(self, shares: dict[int, float]) -> None:
        for number, share in shares.items():
            self.spent += max(0.0, share - self.done[number]) * self.known.seconds[number]
            self.done[number] = max(share, self.done[number])


def warms(known: Known) -> bool:
    """Say whether the ladder of a run with such trainings has the rung of some steps."""
    batches = known.place.batches(known.place.splits.fit, known.recipe.batch)
    return climbing.warms(known.recipe.epochs, batches.batches_per_epoch)
