"""Worlds in which signals are correlated with accuracies as is said, for tests of the ladder.

    python tests/ladder_worlds.py [WORLDS]

prints how often the ladder's promise of a small regret comes true in such worlds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from hypernas import posterior
from hypernas.ladder import REGRET, Entry, Rung, Widths, climb

PROXIES = {"synflow": 0.4, "naswot": 0.4, "jacob-cov": 0.2, "grad-norm": 0.0, "snip": 0.0}
"""correlations of zero-cost scores with the mean accuracy; that of sizes is 0.4"""
RUNGS = ("score", "warm", "part")
WIDTHS = Widths(rungs={"warm": 30, "part": 10}, full=10, finalists=5, seeds=3)


class World:
    """Networks whose signals are known; a source of the ladder.

    Args:
        seed: of all draws.
        candidates: networks that may climb.
        unchosen: networks that are trained in any case, a third of them with three seeds.
        correlations: of score, warm and part with the mean accuracy.
        luck: deviation of a seed, in deviations of the mean accuracy.
        usual: how much of their usual correlations zero-cost scores and sizes have.

    Attributes:
        mean: accuracy of each network over all seeds.
        signals: of each rung, (3, N).
        trained: how often each network was trained, by number.
    """

    def __init__(
        self,
        seed: int,
        *,
        candidates: int = 100,
        unchosen: int = 9,
        correlations: tuple[float, float, float] = (0.5, 0.7, 0.9),
        luck: float = 0.6,
        usual: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        count = candidates + unchosen
        good = rng.normal(size=count)

        def like(correlation: float) -> np.ndarray:
            return correlation * good + np.sqrt(1 - correlation**2) * rng.normal(size=count)

        size = np.exp(10 + 0.5 * like(0.4 * usual))
        proxies = {name: like(usual * worth) for name, worth in PROXIES.items()}
        self.mean = 0.85 + 0.012 * good
        self.signals = np.stack([like(correlation) for correlation in correlations])
        self.accuracies = self.mean[:, None] + 0.012 * luck * rng.normal(size=(count, 3))
        ops = rng.integers(0, 4, (count, 5))
        self.entries = [
            Entry(
                choices={f"edge{place}.op": int(op) for place, op in enumerate(ops[number])},
                params=int(size[number]),
                macs=30 * int(size[number]),
                score=float(self.signals[0, number]),
                proxies={name: float(each[number]) for name, each in proxies.items()},
                seeds=0 if number < candidates else 3 if number % 3 == 0 else 1,
                candidate=number < candidates,
            )
            for number in range(count)
        ]
        self.trained: dict[int, int] = {}
        self.climbed: dict[Rung, list[int]] = {}

    def climb(self, rung: Rung, numbers: Sequence[int]) -> list[float]:
        """Return the signal of each network."""
        self.climbed.setdefault(rung, []).extend(numbers)
        row = self.signals[RUNGS.index(rung)]
        return [float(row[number]) for number in numbers]

    def train(self, seeds: Mapping[int, int]) -> dict[int, list[float]]:
        """Return the accuracies of each network."""
        self.trained |= seeds
        return {number: list(self.accuracies[number][:count]) for number, count in seeds.items()}


def promises(
    worlds: int, correlations: tuple[float, float, float], luck: float, usual: float = 1.0
) -> str:
    """Return in words what was promised after each step of so many ladders, and what came true."""
    told, true, regrets, arrived = [], [], [], []
    for seed in range(worlds):
        world = World(seed, correlations=correlations, luck=luck, usual=usual)
        for standing in climb(world.entries, WIDTHS, world, seed=seed):
            told.append(standing.certainty)
            true.append(world.mean.max() - world.mean[standing.best] < REGRET)
        regrets.append(world.mean.max() - world.mean[standing.best])
        arrived.append(len(standing.arrived))
    said, came = np.array(told), np.array(true)
    parts = [
        f"{low:.1f} to {high:.1f}: {came[there].mean():.2f} of {there.sum()}"
        for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.0))
        if (there := (said >= low) & (said < high)).any()
    ]
    return (
        f"correlations {correlations}, luck {luck}, usual {usual:g}: told {said.mean():.2f}, came "
        f"true {came.mean():.2f} ({'; '.join(parts)}); {np.mean(arrived):.1f} arrive, "
        f"regret {100 * np.mean(regrets):.2f} points"
    )


if __name__ == "__main__":
    posterior.DRAWS = 500
    count = int((sys.argv[1:] or ["40"])[0])
    for luck in (0.3, 0.8):
        for correlations in ((0.5, 0.7, 0.9), (0.3, 0.5, 0.75), (0.1, 0.3, 0.6)):
            print(promises(count, correlations, luck), flush=True)
    print(promises(count, (0.3, 0.5, 0.75), 0.8, usual=-0.5), flush=True)
