"""A way to rank networks: what its values are, and what it takes to have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from known import Floats, Known
from numpy.typing import NDArray

from hypernas.randomness import rng

CALIBRATION = 20
"""networks that are trained for a calibrated way, spread over the sizes; it ranks the others"""


@dataclass(frozen=True)
class Settings:
    """How much is done.

    Attributes:
        fits: of each hypernetwork, and draws of whatever else is random.
        steps: of each fit.
        seed: of the first of them.
    """

    fits: int = 5
    steps: int = 1000
    seed: int = 0

    @property
    def seeds(self) -> range:
        """One for each fit."""
        return range(self.seed, self.seed + self.fits)


@dataclass(frozen=True)
class Way:
    """What the networks of a table are worth by one way.

    Attributes:
        values: of each fit and network, (F, N), the more the better.
        fixed: CPU seconds that are spent once, on a fit or on trainings.
        each: CPU seconds of one value.
        note: what it is.
        trained: which networks were trained for it, (F, N); it ranks the others.
        deviations: how far values may be off, where these are expected accuracies, (F, N).
    """

    values: Floats
    fixed: float
    each: float
    note: str
    trained: NDArray[np.bool_] | None = None
    deviations: Floats | None = None

    @property
    def ranks(self) -> NDArray[np.bool_]:
        """Which networks it ranks, (F, N): those that were not trained for it."""
        return np.full(self.values.shape, True) if self.trained is None else ~self.trained

    def seconds(self, networks: int) -> float:
        """CPU seconds of so many values, each with its share of what is spent once."""
        return self.fixed / networks + self.each


def sample(known: Known, seed: int, count: int = CALIBRATION) -> list[int]:
    """Return ``count`` networks that are spread over the sizes, one from each of as many strata."""
    strata = np.array_split(np.argsort(known.macs, kind="stable"), count)
    return [int(rng(seed, "calibration", n).choice(list(s))) for n, s in enumerate(strata)]


def marked(known: Known, numbers: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of the networks these are, (N,)."""
    return np.isin(np.arange(len(known.truths)), numbers)


def seconds_of(known: Known, trained: Sequence[NDArray[np.bool_]]) -> float:
    """Return the CPU seconds of the trainings behind a fit, the mean over fits, each (N,)."""
    return float(np.mean([known.seconds[some].sum() for some in trained]))
