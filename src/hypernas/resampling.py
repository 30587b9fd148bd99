"""Resamples trained networks: what they would have reached by other networks, seeds and examples.

:mod:`hypernas.verdict` says what is resampled where, and why deviations are stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import TypeVar

import numpy as np
from scipy import stats

from hypernas.choices import canonical
from hypernas.results import Network, Rebuilt

RESAMPLES = 10_000
Trained = TypeVar("Trained", bound=Network | Rebuilt)

Difference = tuple[float, float, float]
"""a difference of accuracies (shares of 1) with its 95 % interval: (point, low, high)"""


@dataclass(frozen=True)
class Draws:
    """Resampled groups, each array (RESAMPLES, k)."""

    networks: np.ndarray
    """which network stands in each place"""
    val: np.ndarray
    test: np.ndarray

    def best(self, values: np.ndarray, count: int) -> np.ndarray:
        """Return the value of the best by validation of the first ``count``, (RESAMPLES,)."""
        return np.take_along_axis(values, self.val[:, :count].argmax(1)[:, None], 1)[:, 0]


@dataclass(frozen=True)
class Group:
    """Accuracies of k networks, (k, seeds), padded with 0 where a network has fewer seeds."""

    val: np.ndarray
    test: np.ndarray
    counts: np.ndarray
    """seeds of each network, (k,)"""
    deviations: np.ndarray
    """how far each is off for the split's sake, (k,); NaN where that follows from its size"""

    @classmethod
    def of(cls, networks: Sequence[Network | Rebuilt]) -> Group:
        """Return the group of some networks, each trained at least once."""
        if not networks or any(not network.seeds for network in networks):
            raise ValueError("each group needs a network, and each network a training")
        counts = np.array([len(network.seeds) for network in networks])
        val, test = np.zeros((2, len(networks), counts.max()))
        for row, network in enumerate(networks):
            for column, training in enumerate(network.seeds):
                if training.test_accuracy is None:
                    raise ValueError(f"no test accuracy: {network.choices}, seed {training.seed}")
                val[row, column], test[row, column] = training.val_accuracy, training.test_accuracy
        deviations = [[t.test_deviation for t in network.seeds] for network in networks]
        known = [np.mean(np.array(each, float)) for each in deviations]  # of None it is NaN
        return cls(val, test, counts, np.array(known))

    @property
    def means(self) -> np.ndarray:
        """Test accuracy of each network over its seeds, (k,)."""
        return self.test.sum(1) / self.counts

    @property
    def val_means(self) -> np.ndarray:
        """The same of the validation accuracy."""
        return self.val.sum(1) / self.counts

    @property
    def fewest_seeds(self) -> int:
        """Trainings of the network that has the fewest."""
        return int(self.counts.min())

    def best_of(self, count: int) -> float:
        """Return the expected accuracy of the best by validation of ``count`` of the networks."""
        k = len(self.counts)
        # of equals the first is the best, and stands last here
        order = np.lexsort((-np.arange(k), self.val_means))
        shares = [comb(below, count - 1) / comb(k, count) for below in range(k)]
        return float(self.means[order] @ np.array(shares))

    def with_replacement(self, rng: np.random.Generator) -> np.ndarray:
        """Draw k of the networks, (RESAMPLES, k)."""
        k = len(self.counts)
        return rng.integers(k, size=(RESAMPLES, k))

    def resampled(self, networks: np.ndarray, rng: np.random.Generator) -> Draws:
        """Draw the seeds of each of ``networks`` (RESAMPLES, n) with replacement; average."""
        most = self.val.shape[1]
        counts = self.counts[networks][..., None]
        seeds = (rng.random((*networks.shape, most)) * counts).astype(int)
        there = np.arange(most) < counts
        val, test = (
            (values[networks[..., None], seeds] * there).sum(2) / counts[..., 0]
            for values in (self.val, self.test)
        )
        return Draws(networks, val, test)

    def with_luck(self, luck: Luck | None, rng: np.random.Generator) -> np.ndarray:
        """Draw other seeds of all k networks, whose luck is ``luck``; (RESAMPLES, k) on test."""
        k, most = self.test.shape
        if luck is None:
            return np.tile(self.means, (RESAMPLES, 1))
        drawn = rng.integers(len(luck.test), size=(RESAMPLES, k, most))
        there = np.arange(most) < self.counts[:, None]
        return self.means + (luck.test[drawn] * there).sum(2) / self.counts

    def split_luck(self, examples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw how far each accuracy is off for the split's sake, (RESAMPLES, k).

        Two right and two wrong examples are added before drawing (Agresti and Coull), or a network
        without an error would have no uncertainty.
        """
        share = (self.means * examples + 2) / (examples + 4)
        luck = rng.binomial(examples, share, size=(RESAMPLES, len(share))) / examples - share
        if np.isnan(self.deviations).all():
            return luck
        drawn = rng.normal(size=luck.shape) * self.deviations
        return np.where(np.isnan(self.deviations), luck, drawn)


@dataclass(frozen=True)
class Luck:
    """What seeds do to accuracies, from all networks that were trained several times.

    It is taken to be alike for all networks.

    Attributes:
        val, test: residuals of m trainings, each (m,), brought to the deviation of one training.
        freedom: degrees of freedom that they have together.
    """

    val: np.ndarray
    test: np.ndarray
    freedom: int

    @classmethod
    def of(cls, networks: Sequence[Network | Rebuilt]) -> Luck | None:
        """Return the luck of seeds; None where each network was trained once."""
        several = [network for network in different(networks) if len(network.seeds) > 1]
        if not several:
            return None
        found = Group.of(several)
        there = np.arange(found.val.shape[1]) < found.counts[:, None]
        freedom = int((found.counts - 1).sum())
        val, test = (
            (values - means[:, None])[there] * sqrt(there.sum() / freedom)
            for values, means in ((found.val, found.val_means), (found.test, found.means))
        )
        return cls(val, test, freedom)

    @property
    def deviation(self) -> float:
        """Of the validation accuracy, from seed to seed."""
        return float(np.sqrt((self.val**2).mean()))

    @property
    def stretch(self) -> float:
        """How much wider Student's interval is than that of a normal deviation that is known."""
        return float(stats.t.ppf(0.975, self.freedom) / stats.norm.ppf(0.975))


def different(networks: Sequence[Trained]) -> list[Trained]:
    """Return networks once each; of one with several sources that with the most seeds."""
    by_seeds = sorted(networks, key=lambda network: len(network.seeds))
    return list({canonical(network.choices): network for network in by_seeds}.values())


def alike(networks: Sequence[Network], first: int = 0) -> list[Network]:
    """Return networks by the seeds, from ``first`` on, that all of them have.

    What luck a seed brings is in part common to networks (docs/log.md, 2026-11-30), so a mean over
    other seeds would be another one for no reason of the network's own.
    """
    fewest = min(len(network.seeds) for network in networks)
    return [network.by_seeds(first, fewest) for network in networks]


def without_choice(networks: Sequence[Network], first: int) -> list[Network]:
    """Return networks without the ``first`` seeds of what the search found, which are lucky.

    Those seeds chose it; what had no other is left out.
    """
    return [
        network.by_seeds(first) if network.source == "search" else network
        for network in networks
        if network.source != "search" or network.seeds[first:]
    ]


def stretch(k: int, freedom: int | None = None) -> float:
    """Return by how much deviations from k resampled items fall short of Student's interval.

    Args:
        k: items on a side.
        freedom: degrees of freedom; by default those of a difference of two sides.
    """
    if k < 2:
        return 1.0
    t = stats.t.ppf(0.975, 2 * k - 2 if freedom is None else freedom)
    return sqrt(k / (k - 1)) * float(t / stats.norm.ppf(0.975))


def interval(point: float, draws: np.ndarray, noise: np.ndarray, wider: float) -> Difference:
    """Return a difference with its interval.

    Args:
        point: the difference.
        draws: resampled ones, (RESAMPLES,).
        noise: what the examples of the split add to each, (RESAMPLES,).
        wider: factor of the deviations of the draws.
    """
    low, high = np.quantile(point + wider * (draws - point) + noise, [0.025, 0.975])
    return float(point), float(min(low, point)), float(max(high, point))
