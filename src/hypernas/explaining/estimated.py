"""Functional analysis of variance estimated from a sample of scored architectures.

A score is modelled as a mean, a part for each choice, one for each pair, and a rest. Parts are
written in contrasts that are orthonormal when choices are independent and as frequent as in the
sample, so the variance of a part is the sum of its squared coefficients. Those of one part are
normal around 0 with a deviation of its own (Gelman, Annals of Statistics 33:1, 2005), half-Cauchy
(Makalic and Schmidt, IEEE Signal Processing Letters 23:179, 2016): what says nothing shrinks to
nothing. All are drawn by Gibbs sampling.

Intervals reach as far as those of the posterior and of the jackknife over groups of candidates,
whichever is wider. Posterior ones alone trust in a normal rest, and scores have long tails: on the
published table of nas-bench-macro they held the shares of choices in 86 of 100 cases, both in 94.

Legend: n candidates, p coefficients, M draws, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import linalg, stats

from hypernas.explaining.factors import Factor
from hypernas.randomness import numpy_rng
from hypernas.results import Estimate

LEAST_SCORED = 50
"""candidates from which anything is estimated"""
MOST_COLUMNS = 280
"""coefficients of a model, enough for all pairs of nas-bench-201; time grows with their cube"""
GROUPS = 20
DRAWS, BURN = 500, 200
REPEATED, WARM = 100, 20
"""draws without each group in turn, and those before them; they go on from the whole chain's end"""
SHUFFLES = 999
MAIN, PAIR = 0.5, 0.2
"""share of the variance at which all choices, and all pairs, are expected before anything is known;
with 300 scores or more other values give the same"""

State = tuple[np.ndarray, np.ndarray, float]
"""of the chain: variances of the parts' coefficients, their helpers, and variance of the rest"""


@dataclass(frozen=True)
class Terms:
    """The parts of a model: contrasts of the choices and their products.

    Attributes:
        parts: the factors of each part, one or two.
        columns: of the candidates, (n, p).
        part: of each column, (p,).
    """

    parts: list[tuple[int, ...]]
    columns: np.ndarray
    part: np.ndarray

    def of(self, *factors: int) -> np.ndarray:
        """Return which columns are of a part, bool (p,)."""
        return self.part == self.parts.index(factors)


@dataclass(frozen=True)
class Model:
    """What a sample tells.

    Attributes:
        factors: the choices that were looked at.
        terms: the parts of their model.
        draws: coefficients in deviations of the scores, and the variance of the rest, (M, p+1).
        without: the same of the sample without each group in turn, (G, M', p+1).
        scores: less their mean, in their deviations, (n,).
        scale: their deviation.
        macs: the coefficients of the MACs, (p,).
    """

    factors: list[Factor]
    terms: Terms
    draws: np.ndarray
    without: np.ndarray
    scores: np.ndarray
    scale: float
    macs: np.ndarray

    def main(self) -> list[Estimate]:
        """Return the share of the variance that each choice explains by itself."""
        return self._shares([[(i,)] for i in range(len(self.factors))])

    def total(self) -> list[Estimate]:
        """Return the share of each choice with all pairs of the model in which it is."""
        every = range(len(self.factors))
        return self._shares([[part for part in self.terms.parts if i in part] for i in every])

    def pairs(self) -> dict[tuple[int, int], Estimate]:
        """Return the share that each pair of the model explains beyond its two choices."""
        known = [(part[0], part[1]) for part in self.terms.parts if len(part) == 2]
        return dict(zip(known, self._shares([[pair] for pair in known]), strict=True))

    def rest(self) -> Estimate:
        """Return the share of three and more choices together, of what is left out, and noise."""
        return self._estimates(lambda draws: 1 - self._parts(draws).sum(-1, keepdims=True))[0]

    def change(self, factor: int, before: int, after: int) -> Estimate:
        """Return the mean change of the score from one level to another, all else equal."""
        step = self._step(factor, before, after)
        return self._estimates(lambda draws: self.scale * (draws[..., :-1] @ step)[..., None])[0]

    def chance(self, factor: int) -> float:
        """Return how likely so much would go with a choice that has no effect.

        Without an effect, who answers what is exchangeable. So answers are shuffled, and what all
        other parts leave of the scores is compared with the choice, and with its pairs.
        """
        parts, columns = self.terms.parts, self.terms.columns
        left = self._left(
            ~np.isin(self.terms.part, [n for n, p in enumerate(parts) if factor in p])
        )
        pairs = [part for part in parts if len(part) == 2 and factor in part]
        beside = [columns[:, self.terms.of(sum(pair) - factor)] for pair in pairs]
        products = np.hstack([left[:, None], *(other * left[:, None] for other in beside)])
        rows, which = contrasts(self.factors[factor].shares), self.factors[factor].which
        rng, found = numpy_rng(0, "explain", "shuffle"), []
        for number in range(SHUFFLES + 1):
            squares = (rows[rng.permutation(which) if number else which].T @ products) ** 2
            found.append((squares[:, 0].sum(), squares[:, 1:].sum()))
        above = (np.array(found[1:]) >= np.array(found[0]) - 1e-12).sum(0)
        p = (above + 1) / (SHUFFLES + 1)
        return float(min(1.0, 2 * p.min())) if pairs else float(p[0])

    def _left(self, kept: np.ndarray) -> np.ndarray:
        """Return what some columns leave of the scores, fitted without the others, (n,)."""
        columns, part = self.terms.columns[:, kept], self.terms.part
        sums = np.bincount(part, (self.draws[:, :-1] ** 2).mean(0))
        variance, rest = (sums / np.bincount(part))[part][kept], self.draws[:, -1].mean()
        precision = columns.T @ columns / rest + np.diag(1 / variance)
        fitted = linalg.solve(precision, columns.T @ self.scores / rest, assume_a="pos")
        return self.scores - columns @ fitted

    def better(self, factor: int, before: int, after: int) -> float | None:
        """Return None: no two candidates of a sample differ in one choice alone."""
        return None

    def cost(self, factor: int, before: int, after: int) -> float:
        """Return the mean change of the MACs."""
        return float(self.macs @ self._step(factor, before, after))

    def _step(self, factor: int, before: int, after: int) -> np.ndarray:
        """Return what a change does to the columns on average over all else, (p,)."""
        found = np.zeros(len(self.terms.part))
        rows = contrasts(self.factors[factor].shares)
        found[self.terms.of(factor)] = rows[after] - rows[before]
        return found

    def _parts(self, draws: np.ndarray) -> np.ndarray:
        """Return the shares of the variance of all parts, (…, parts)."""
        starts = np.flatnonzero(np.diff(self.terms.part, prepend=-1))
        squares = np.add.reduceat(draws[..., :-1] ** 2, starts, axis=-1)
        return squares / (squares.sum(-1) + draws[..., -1])[..., None]

    def _shares(self, wanted: Sequence[Sequence[tuple[int, ...]]]) -> list[Estimate]:
        """Return the shares of some parts together."""
        if not wanted:
            return []
        sums = np.array([[part in some for some in wanted] for part in self.terms.parts], float)
        found = self._estimates(lambda draws: self._parts(draws) @ sums)
        return [Estimate(value=e.value, low=max(e.low, 0.0), high=min(e.high, 1.0)) for e in found]

    def _estimates(self, figures: Callable[[np.ndarray], np.ndarray]) -> list[Estimate]:
        """Return figures of the coefficients with their intervals; (…, p+1) to (…, figures)."""
        drawn, without = figures(self.draws), figures(self.without).mean(1)
        value = drawn.mean(0)
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        spread = ((without - without.mean(0)) ** 2).sum(0)
        half = stats.t.ppf(0.975, GROUPS - 1) * np.sqrt((GROUPS - 1) / GROUPS * spread)
        ends = zip(
            value, np.minimum(low, value - half), np.maximum(high, value + half), strict=True
        )
        return [Estimate(value=float(v), low=float(a), high=float(b)) for v, a, b in ends]


def model_of(factors: Sequence[Factor], scores: np.ndarray, macs: np.ndarray) -> Model:
    """Return what a sample tells of scores that differ.

    Args:
        factors: the choices, of n candidates.
        scores: (n,).
        macs: (n,).
    """
    strongest = sorted(factors, key=lambda factor: -_strength(factor, scores))
    kept: list[Factor] = []
    for factor in strongest:
        if sum(len(f.levels) - 1 for f in [*kept, factor]) <= MOST_COLUMNS / 2:
            kept.append(factor)
    terms = _terms(kept)
    scale = float(scores.std())
    deviations, sizes = (scores - scores.mean()) / scale, macs - macs.mean()
    draws, state = _chain(terms, deviations, DRAWS, BURN)
    group = numpy_rng(0, "explain", "groups").permutation(len(scores)) % GROUPS
    without = []
    for number in range(GROUPS):
        part = deviations[group != number]
        some = Terms(terms.parts, terms.columns[group != number], terms.part)
        without.append(_chain(some, part - part.mean(), REPEATED, WARM, state)[0])
    spread = float(sizes.std()) or 1.0
    costs = _chain(terms, sizes / spread, REPEATED, BURN)[0][:, :-1].mean(0) * spread
    return Model(kept, terms, draws, np.stack(without), deviations, scale, costs)


def contrasts(shares: np.ndarray) -> np.ndarray:
    """Return orthonormal contrasts of levels that are so frequent, (levels, levels - 1)."""
    start = np.eye(len(shares))
    start[:, 0] = np.sqrt(shares)
    return np.linalg.qr(start)[0][:, 1:] / np.sqrt(shares)[:, None]


def _strength(factor: Factor, scores: np.ndarray) -> float:
    """Return the share of the variance between levels, less what chance would put there."""
    count = np.bincount(factor.which)
    means = np.bincount(factor.which, scores) / count
    between = float((count * (means - scores.mean()) ** 2).sum())
    within = float(((scores - means[factor.which]) ** 2).sum())
    free = len(count) - 1
    return (between - free * within / max(len(scores) - free - 1, 1)) / (between + within)


def _terms(factors: Sequence[Factor]) -> Terms:
    """Return the parts of a model: all choices, and as many pairs as fit, the strongest first."""
    own = [contrasts(factor.shares)[factor.which] for factor in factors]
    parts: list[tuple[int, ...]] = [(i,) for i in range(len(factors))]
    columns = list(own)
    for i, j in sorted(combinations(range(len(factors)), 2), key=lambda pair: (sum(pair), pair)):
        product = (own[i][:, :, None] * own[j][:, None, :]).reshape(len(own[i]), -1)
        if sum(c.shape[1] for c in columns) + product.shape[1] <= MOST_COLUMNS:
            parts.append((i, j))
            columns.append(product)
    sizes = [c.shape[1] for c in columns]
    return Terms(parts, np.hstack(columns), np.repeat(np.arange(len(parts)), sizes))


def _chain(
    terms: Terms, targets: np.ndarray, draws: int, burn: int, state: State | None = None
) -> tuple[np.ndarray, State]:
    """Draw coefficients and the variance of the rest, (draws, p + 1), for targets of mean 0.

    Every chain uses the same random numbers, so that chains of samples that are nearly the same are
    nearly the same, and their differences those of the samples.
    """
    rng = numpy_rng(0, "explain", "chain")
    columns, count = terms.columns, np.bincount(terms.part)
    pairs = np.array([len(part) == 2 for part in terms.parts])
    expected = np.where(pairs, PAIR / max(pairs.sum(), 1), MAIN / (~pairs).sum()) / count
    variance, helper, rest = state or (expected, np.ones(len(count)), 0.5)
    squares, products, power = columns.T @ columns, columns.T @ targets, targets @ targets
    found = np.empty((draws, columns.shape[1] + 1))
    for step in range(-burn, draws):
        precision = squares / rest + np.diag(1 / variance[terms.part])
        root = linalg.cholesky(precision, lower=True, check_finite=False)
        middle = linalg.solve_triangular(root, products / rest, lower=True, check_finite=False)
        drawn = middle + rng.standard_normal(len(middle))
        drawn = linalg.solve_triangular(root, drawn, lower=True, trans=1, check_finite=False)
        sums = np.bincount(terms.part, drawn * drawn)
        variance = (sums / 2 + 1 / helper) / rng.gamma((count + 1) / 2)
        variance = np.maximum(variance, 1e-12)
        helper = (1 / variance + 1 / expected) / rng.gamma(1.0, size=len(count))
        error = max(power - 2 * drawn @ products + drawn @ squares @ drawn, 1e-9)
        rest = error / 2 / rng.gamma(len(targets) / 2)
        if step >= 0:
            found[step] = [*drawn, rest]
    return found, (variance, helper, rest)
