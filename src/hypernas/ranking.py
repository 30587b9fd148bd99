"""How well values of networks put them in the order of their accuracy, with intervals.

Rank correlation is Kendall's tau-b, a sum over pairs of networks, so that any set of pairs can be
asked about: all of them, those of the better half, those of equal size. Resampled networks are
counts w of how often each was drawn, and the sum over their pairs is a quadratic form, w' S w; a
network paired with itself ties and adds nothing. So 2,000 resamples of 150 networks take a tenth
of a second.

Legend: F fits or seeds that gave values, N networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hypernas.results import Estimate, Pairs

RESAMPLES = 2000
GROUPS = 5
"""quantiles of MACs within which networks count as of equal size"""

Floats = NDArray[np.float64]


def pairs_of(accuracy: ArrayLike, macs: ArrayLike) -> dict[Pairs, NDArray[np.bool_]]:
    """Return which pairs of networks (N, N) each name stands for.

    Args:
        accuracy: of each network, trained, (N,); the better half are those at the median or above.
        macs: of each network, (N,); of equal size are those between the same two of GROUPS + 1
            quantiles.
    """
    right, size = np.asarray(accuracy, dtype=float), np.asarray(macs, dtype=float)
    better = right >= np.median(right)
    edges = np.quantile(size, np.linspace(0, 1, GROUPS + 1)[1:-1])
    group = np.searchsorted(edges, size, side="right")
    return {
        "all": np.ones((len(right), len(right)), dtype=bool),
        "better half": better[:, None] & better[None],
        "equal size": group[:, None] == group[None],
    }


def tau(values: ArrayLike, accuracy: ArrayLike, pairs: NDArray[np.bool_] | None = None) -> Estimate:
    """Return Kendall's tau-b of values and accuracies over some pairs of networks.

    Args:
        values: (N,), or (F, N) for the mean over fits.
        accuracy: (N,).
        pairs: which pairs count, (N, N), or (F, N, N) where each fit has its own; by default all.
    """
    return _resampled(_taus(values, pairs), values, accuracy)


def tau_of(values: ArrayLike, accuracy: ArrayLike, pairs: NDArray[np.bool_]) -> float:
    """Return the same of a single row of values, without an interval."""
    value, right = (np.asarray(each, dtype=float) for each in (values, accuracy))
    return float(_tau_over(pairs)(value, right, np.ones((1, len(right))))[0])


def tau_gain(
    values: ArrayLike,
    others: ArrayLike,
    accuracy: ArrayLike,
    pairs: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Return by how much tau of ``values`` is above that of ``others``, the rest as for `tau`.

    Networks are resampled for both alike, and so are fits, one with its fellow; where one side is
    a single row it is the fellow of each of the others.
    """
    right = np.asarray(accuracy, dtype=float)
    one, other = (_of_each(_taus(each, pairs), each, right) for each in (values, others))
    return _over_fits(one[0] - other[0], one[1] - other[1])


def _taus(values: ArrayLike, pairs: NDArray[np.bool_] | None) -> list[Statistic]:
    """Return the statistic of each fit, over its pairs."""
    fits = np.atleast_2d(np.asarray(values))
    shape = (*fits.shape, fits.shape[1])
    masks = np.broadcast_to(np.asarray(True if pairs is None else pairs), shape)
    return [_tau_over(mask) for mask in masks]


def spearman(values: ArrayLike, accuracy: ArrayLike) -> Estimate:
    """Return Spearman's rank correlation, arguments as for :func:`tau`.

    Resampled networks keep the ranks that they have among all.
    """
    return _resampled(_correlation(rankdata), values, accuracy)


def pearson(values: ArrayLike, accuracy: ArrayLike) -> Estimate:
    """Return Pearson's correlation, arguments as for :func:`tau`."""
    return _resampled(_correlation(np.asarray), values, accuracy)


def overlap(values: ArrayLike, accuracy: ArrayLike, k: int) -> Estimate:
    """Return the share of the k networks of highest value that are among the k most accurate.

    A resampled network that was drawn several times fills as many places of the k.
    """

    def share(value: Floats, right: Floats, counts: Floats) -> Floats:
        return np.minimum(_places(value, counts, k), _places(right, counts, k)).sum(1) / k

    return _resampled(share, values, accuracy)


def regret(values: ArrayLike, accuracy: ArrayLike, k: int) -> Estimate:
    """Return the best accuracy there is minus the best among the k networks of highest value.

    A resampled network that was drawn several times fills as many places of the k.
    """

    def lost(value: Floats, right: Floats, counts: Floats) -> Floats:
        there = np.where(counts > 0, right, -np.inf).max(1)
        picked = np.where(_places(value, counts, k) > 0, right, -np.inf).max(1)
        return there - picked

    return _resampled(lost, values, accuracy)


Statistic = Callable[[Floats, Floats, Floats], Floats]
"""from values (N,), accuracies (N,) and counts (R, N) of resampled networks to R statistics"""


def _resampled(
    statistic: Statistic | list[Statistic], values: ArrayLike, accuracy: ArrayLike
) -> Estimate:
    """Return a statistic's mean over fits, with the interval of resampled networks and fits.

    Args:
        statistic: one for all fits, or one for each.
        values: (N,) or (F, N).
        accuracy: (N,).
    """
    fits = np.atleast_2d(np.asarray(values, dtype=float))
    own = statistic if isinstance(statistic, list) else [statistic] * len(fits)
    return _over_fits(*_of_each(own, fits, np.asarray(accuracy, dtype=float)))


def _of_each(own: list[Statistic], values: ArrayLike, right: Floats) -> tuple[Floats, Floats]:
    """Return the statistic of each fit (F,), and that of resampled networks (F, R)."""
    fits, count = np.atleast_2d(np.asarray(values, dtype=float)), len(right)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    counts = np.vstack([np.ones(count), drawn])
    found = np.stack([one(fit, right, counts) for one, fit in zip(own, fits, strict=True)])
    return found[:, 0], found[:, 1:]


def _over_fits(whole: Floats, drawn: Floats) -> Estimate:
    """Return the mean over fits (F,), with the interval of resamples (F, R) and resampled fits."""
    chosen = np.random.default_rng(1).integers(0, len(drawn), drawn.shape)
    spread = np.take_along_axis(drawn, chosen, axis=0).mean(0)
    low, high = np.quantile(spread, [0.025, 0.975])
    return Estimate(value=float(whole.mean()), low=float(low), high=float(high))


def _tau_over(pairs: NDArray[np.bool_]) -> Statistic:
    def statistic(value: Floats, right: Floats, counts: Floats) -> Floats:
        mask = pairs.astype(float)
        one, other = np.sign(value[:, None] - value), np.sign(right[:, None] - right)

        def total(matrix: Floats) -> Floats:
            return ((counts @ (matrix * mask)) * counts).sum(1)

        return _ratio(total(one * other), total(np.abs(one)) * total(np.abs(other)))

    return statistic


def _correlation(transformed: Callable[..., Floats]) -> Statistic:
    """Return Pearson's correlation of what becomes of values and accuracies."""

    def statistic(value: Floats, right: Floats, counts: Floats) -> Floats:
        x, y = _standardised(transformed(value)), _standardised(transformed(right))
        weights = counts / counts.sum(1, keepdims=True)
        mean_x, mean_y = weights @ x, weights @ y
        covariance = weights @ (x * y) - mean_x * mean_y
        spread = (weights @ x**2 - mean_x**2) * (weights @ y**2 - mean_y**2)
        return _ratio(covariance, spread)

    return statistic


def _standardised(values: Floats) -> Floats:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1)


def _ratio(covariance: Floats, spread: Floats) -> Floats:
    """Return a correlation; values that are all tied put nothing in order, so theirs is 0."""
    there = spread > 1e-12
    return np.where(there, covariance / np.sqrt(np.where(there, spread, 1)), 0)


def _places(value: Floats, counts: Floats, k: int) -> Floats:
    """Return how many of the k places of highest value each fills, (R, N); ties: the earlier."""
    order = np.argsort(-value, kind="stable")
    before = np.cumsum(counts[:, order], axis=1) - counts[:, order]
    found = np.empty(counts.shape)
    found[:, order] = np.clip(k - before, 0, counts[:, order])
    return found
