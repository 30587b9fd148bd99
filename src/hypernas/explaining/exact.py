"""Functional analysis of variance of a space of which every architecture is scored.

The score as a function of the choices is a sum of a mean, a part for each choice, a part for each
pair, and so on, all orthogonal when every architecture is equally likely (Hoeffding; Sobol,
Mathematics and Computers in Simulation 55:271, 2001). So the variance is the sum of theirs, and
each follows from means over the full grid: nothing is estimated.

Legend: L1 … Ld levels of the d factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hypernas.explaining.factors import Factor
from hypernas.results import Estimate

NEVER = 1e-9
"""share of the variance below which a choice has no effect but for the last digits of scores"""


def certain(value: float) -> Estimate:
    """Return a figure that is known, as an estimate without an interval.

    >>> certain(0.5).low
    0.5
    """
    return Estimate(value=float(value), low=float(value), high=float(value))


@dataclass(frozen=True)
class Table:
    """Scores and MACs of all architectures, (L1, …, Ld) each."""

    factors: list[Factor]
    scores: np.ndarray
    macs: np.ndarray

    def main(self) -> list[Estimate]:
        """Return the share of the variance that each choice explains by itself."""
        return [certain(self._of((i,)) / self.scores.var()) for i in range(self.scores.ndim)]

    def total(self) -> list[Estimate]:
        """Return the share of each choice with everything that it takes part in."""
        every = range(self.scores.ndim)
        return [certain(self.scores.var(axis=i).mean() / self.scores.var()) for i in every]

    def pairs(self) -> dict[tuple[int, int], Estimate]:
        """Return the share that each pair explains beyond its two choices."""
        alone = [self._of((i,)) for i in range(self.scores.ndim)]
        return {
            (i, j): certain((self._of((i, j)) - alone[i] - alone[j]) / self.scores.var())
            for i, j in combinations(range(self.scores.ndim), 2)
        }

    def rest(self) -> Estimate:
        """Return the share of three and more choices together."""
        known = [*self.main(), *self.pairs().values()]
        return certain(1 - sum(one.value for one in known))

    def change(self, factor: int, before: int, after: int) -> Estimate:
        """Return the mean change of the score from one level to another, all else equal."""
        return certain(self._differences(self.scores, factor, before, after).mean())

    def better(self, factor: int, before: int, after: int) -> float | None:
        """Return the share of the architectures that score higher after this change."""
        return float((self._differences(self.scores, factor, before, after) > 0).mean())

    def chance(self, factor: int) -> float:
        """Return 1 for a choice on which no score depends, else 0: nothing is left to chance."""
        return float(self.scores.var(axis=factor).mean() <= NEVER * self.scores.var())

    def cost(self, factor: int, before: int, after: int) -> float:
        """Return the mean change of the MACs."""
        return float(self._differences(self.macs, factor, before, after).mean())

    def _of(self, kept: tuple[int, ...]) -> float:
        """Return the variance of the means over all factors but those kept."""
        others = tuple(i for i in range(self.scores.ndim) if i not in kept)
        return float(self.scores.mean(axis=others).var())

    @staticmethod
    def _differences(table: np.ndarray, factor: int, before: int, after: int) -> np.ndarray:
        return table.take(after, axis=factor) - table.take(before, axis=factor)


def full_table(factors: Sequence[Factor], scores: np.ndarray, macs: np.ndarray) -> Table | None:
    """Return the table of a space; None unless each combination of levels is there once.

    Args:
        factors: of the n architectures.
        scores: (n,).
        macs: (n,).
    """
    sizes = tuple(len(factor.levels) for factor in factors)
    if math.prod(sizes) != len(scores):
        return None
    cells = np.ravel_multi_index([factor.which for factor in factors], sizes)
    if len(np.unique(cells)) < len(cells):
        return None
    kept = [factor for factor in factors if len(factor.levels) > 1]
    order, shape = np.argsort(cells), tuple(size for size in sizes if size > 1)
    return Table(kept, scores[order].reshape(shape), macs[order].reshape(shape))
