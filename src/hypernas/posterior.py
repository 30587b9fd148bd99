"""What is believed of a candidate's accuracy, from signals of rising cost on a ladder of rungs.

Rung by rung a signal costs more and says more: scores, some steps of training, a short training,
the full one. Who is on a rung has all the signals below it, so the joint distribution falls into
regressions, each of one rung's signal on everything below, on size, zero-cost scores and what was
chosen (monotone missing data: Rubin, Multiple Imputation, 1987, 5.4). Who climbs is chosen by what
the regressions are given, so the choice does not bend them. Each is a conjugate Bayesian one; what
a candidate may reach is drawn from all of them in turn, with their own uncertainty.

At the top stands the accuracy that a network has on average over seeds. A training shows it with
the luck of its seed, whose variance is learned from networks that were trained several times. So of
many that were trained once the best is not taken for as good as it looked, and what no training
could show does not count as regret.

With few candidates on a rung the prior speaks: the signal just below has a slope of 0.5 ± 0.4, in
deviations, or shares it with the one below that; that of each size, synflow, NASWOT and jacob-cov
is 0.15 ± 0.3, as these rank all spaces that were tried (docs/log.md); that of other zero-cost
scores is 0 ± 0.3; how often what is chosen adds 0 ± 0.5, and as much where.
``tests/ladder_worlds.py`` prints how often what it tells is true.

Legend: N candidates, M draws, S signals of the rungs below, F features that all candidates have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hypernas.choices import Architecture, family_of
from hypernas.scoring import WORST

Floats = NDArray[np.float64]

OTHER_DEVIATION = 0.3
"""of the slopes of sizes, of zero-cost scores and of signals further below"""
SUPPOSED, SUPPOSED_SLOPE = ("synflow", "naswot", "jacob-cov"), 0.15
"""zero-cost scores that are supposed to rank, as sizes are, and the slope of each at first"""
CHOICES_DEVIATION = 0.5
"""what choices add to a candidate by how often they are made, all together, in deviations of the
signal, before it is known; and as much by where"""
FREEDOM = 4.0
"""how many candidates the prior of the noise is worth"""
SPREAD, SPREAD_WORTH = 0.015, 2.0
"""deviation of the accuracies of a space, and how many networks it is worth before any is known"""
LUCK, LUCK_FREEDOM = 0.4, 4.0
"""share of seeds in the variance of accuracies, and how many repetitions it is worth"""
LEAST_OWN = 0.05
"""share of the noise that at least is not the luck of seeds"""
FAR, FARTHEST = 4.0, 8.0
"""interquartile ranges from the median beyond which a signal is worth its logarithm, and so many
times as far it says no more than that it is far"""
RANK = 1e-9
"""share of the largest singular value below which a direction is none"""
DRAWS = 2000


@dataclass(frozen=True)
class Prior:
    """What the signal just below is worth before anything is known of it.

    Attributes:
        slope: in deviations of the next signal for one of its own: the correlation, as it were.
        deviation: of the slope.
        second: the slope of the signal below that one, where it is supposed to add to it; of the
            same deviation then, else as for signals further below.
        features: whether sizes and zero-cost scores are supposed to add to it.
    """

    slope: float = 0.5
    deviation: float = 0.4
    second: float = 0.0
    features: bool = True


@dataclass(frozen=True)
class Features:
    """What is known of candidates before any signal, by :func:`described`.

    Attributes:
        values: (N, F), so scaled that slopes have a prior deviation of 1.
        slopes: their prior means, (F,).
    """

    values: Floats
    slopes: Floats

    def of(self, some: NDArray[np.bool_]) -> Features:
        """Return what is known of some of the candidates, (N,)."""
        return Features(self.values[some], self.slopes)


@dataclass(frozen=True)
class Climber:
    """A candidate and what is known of it.

    Attributes:
        signals: on each rung below the top, from the first on; higher is better.
        accuracies: of its full trainings, one a seed; they count where it stands on all rungs.
    """

    signals: Sequence[float]
    accuracies: Sequence[float] = ()


@dataclass(frozen=True)
class Link:
    """The regression of a rung's signal on what is known below, with its uncertainty.

    Attributes:
        middle, scale: of each signal below, (S,).
        target: middle and scale of the signal.
        slopes: posterior mean, (S + F + 1,), the intercept last; all in deviations.
        root: a root of their covariance in units of the noise's variance, square.
        squares, freedom: of the inverse chi-squared distribution of the noise's variance.
    """

    middle: Floats
    scale: Floats
    target: tuple[float, float]
    slopes: Floats
    root: Floats
    squares: float
    freedom: float

    def lines(
        self, below: Sequence[Floats], features: Features, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Return expected signals (M, N) and the noise's deviation (M, 1), each draw with its own.

        Args:
            below: S signals, each (M, N).
            features: of N candidates.
            rng: draws slopes and noise.
        """
        draws, count = len(below[0]) if below else DRAWS, len(below)
        noise = np.sqrt(self.squares / rng.chisquare(self.freedom, (draws, 1)))
        slopes = self.slopes + noise * (rng.normal(size=(draws, len(self.root))) @ self.root.T)
        found = slopes[:, count:-1] @ features.values.T + slopes[:, -1:]
        for signal, middle, scale, slope in zip(
            below, self.middle, self.scale, slopes.T[:count, :, None], strict=True
        ):
            found += slope * ((signal - middle) / scale)
        return self.target[0] + self.target[1] * found, self.target[1] * noise


def link(
    below: Floats, features: Features, targets: Floats, weights: Floats, prior: Prior, scale: float
) -> Link:
    """Fit a rung's signals to what is known below.

    Args:
        below: signals of the rungs below, (N, S), the one just below first.
        features: what else is known of each.
        targets: (N,).
        weights: how many trainings' worth each target is, (N,).
        prior: of the first slope.
        scale: deviation of the targets.
    """
    middle, spread = below.mean(0), _spread(below)
    target = float(np.average(targets, weights=weights)), scale
    x = np.column_stack([(below - middle) / spread, features.values, np.ones(len(targets))])
    y = (targets - target[0]) / scale
    x, y = x * np.sqrt(weights)[:, None], y * np.sqrt(weights)
    count = below.shape[1]
    expected = np.concatenate([np.zeros(count), prior.features * features.slopes, [0.0]])
    deviations = np.array([OTHER_DEVIATION] * count + [1.0] * len(features.slopes) + [10.0])
    if count:
        expected[0], deviations[0] = prior.slope, prior.deviation
    if count > 1 and prior.second:
        expected[1], deviations[1] = prior.second, prior.deviation
    precision = np.diag(deviations**-2)
    covariance = np.linalg.inv(precision + x.T @ x)
    slopes = covariance @ (precision @ expected + x.T @ y)
    rest, moved = y - x @ slopes, slopes - expected
    squares = (
        FREEDOM * (1 - (prior.slope + prior.second) ** 2) + rest @ rest + moved @ precision @ moved
    )
    root = np.linalg.cholesky(covariance)
    freedom = FREEDOM + len(y)
    return Link(middle, spread, target, slopes, root, float(squares), freedom)


class Posterior:
    """What candidates may reach at the top of the ladder.

    Where nobody stands there yet, it is what they may reach on the highest rung that anybody did.

    Args:
        climbers: all candidates, each as far as it climbed.
        priors: of each rung above the first, the top included.
        features: what is known of each besides.
        seed: of the draws.

    Attributes:
        draws: of what each reaches on average over seeds, (M, N).
    """

    def __init__(
        self, climbers: Sequence[Climber], priors: Sequence[Prior], features: Features, *, seed: int
    ) -> None:
        self._rng, self._features = np.random.default_rng(seed), features
        height = np.array([len(one.signals) for one in climbers])
        below: list[Floats] = []
        for rung, prior in enumerate([Prior(0.0), *priors][: height.max()]):
            there = height > rung
            seen = _tamed(np.array([c.signals[rung] for c in climbers if len(c.signals) > rung]))
            below.insert(0, self._rung(below, there, seen, prior))
        self.draws = below[0]
        there = (height == len(priors)) & [bool(one.accuracies) for one in climbers]
        if there.any():
            known = [one.accuracies for one, yes in zip(climbers, there, strict=True) if yes]
            self.draws = self._top(below, there, known, priors[-1])

    def _rung(
        self, below: Sequence[Floats], there: NDArray[np.bool_], seen: Floats, prior: Prior
    ) -> Floats:
        """Return signals of a rung, (M, N): those that were seen, and draws of all others."""
        signals = np.empty((DRAWS, len(there)))
        signals[:, there] = seen
        if not there.all():
            weights, scale = np.ones(len(seen)), float(_spread(seen))
            known = self._features.of(there)
            fitted = link(_first(below, there), known, seen, weights, prior, scale)
            others = [each[:, ~there] for each in below]
            lines, noise = fitted.lines(others, self._features.of(~there), self._rng)
            signals[:, ~there] = lines + noise * self._rng.normal(size=lines.shape)
        return signals

    def _top(
        self,
        below: Sequence[Floats],
        there: NDArray[np.bool_],
        known: Sequence[Sequence[float]],
        prior: Prior,
    ) -> Floats:
        """Return mean accuracies over seeds, (M, N), by the accuracies of those that are there."""
        seeds = np.array([len(each) for each in known])
        means = np.array([np.mean(each) for each in known])
        weights = 2 / (1 + 1 / seeds)  # as if half of the noise were luck
        around = np.var(means) * len(means) + SPREAD_WORTH * SPREAD**2
        scale = float(np.sqrt(around / (len(means) - 1 + SPREAD_WORTH)))
        features = self._features.of(there)
        fitted = link(_first(below, there), features, means, weights, prior, scale)
        lines, noise = fitted.lines(below, self._features, self._rng)
        squares = LUCK_FREEDOM * LUCK * scale**2 + sum(np.var(each) * len(each) for each in known)
        luck = squares / self._rng.chisquare(LUCK_FREEDOM + (seeds - 1).sum(), (DRAWS, 1))
        own = np.maximum(noise**2 - luck, LEAST_OWN * noise**2)
        share = own / (own + luck / seeds)
        middle, variance = lines.copy(), np.repeat(own, len(there), axis=1)
        middle[:, there] += share * (means - lines[:, there])
        variance[:, there] *= 1 - share
        return middle + np.sqrt(variance) * self._rng.normal(size=middle.shape)

    @property
    def means(self) -> Floats:
        """Expected accuracy of each, (N,)."""
        return self.draws.mean(0)

    @property
    def deviations(self) -> Floats:
        """How far each may be off, (N,)."""
        return self.draws.std(0)

    def near_best(self, limit: float, among: ArrayLike | None = None) -> Floats:
        """Return the probability of each that none of several is ``limit`` or more above it, (N,).

        Args:
            limit: how far below the best is near.
            among: the numbers of the several; by default all.
        """
        several = self.draws if among is None else self.draws[:, np.asarray(among)]
        return (several.max(1)[:, None] - self.draws < limit).mean(0)


def promised(
    scores: Sequence[float],
    sizes: Sequence[tuple[int, int]],
    proxies: Mapping[str, Sequence[float]],
) -> Floats:
    """Return what is expected of candidates before anything is trained, (N,), in deviations.

    Of choices nothing is supposed, so they are not looked at.

    Args:
        scores: (N,).
        sizes: params and MACs of each.
        proxies: zero-cost scores by name, each (N,).
    """
    costs = _costs(sizes, proxies)
    return Prior().slope * _standard(_tamed(np.array(scores))) + costs.values @ costs.slopes


def described(
    architectures: Sequence[Architecture],
    sizes: Sequence[tuple[int, int]],
    proxies: Mapping[str, Sequence[float]],
) -> Features:
    """Return what is known of architectures before any signal, by what it is worth.

    These are the logarithms of params and MACs, zero-cost scores, and what is chosen: how often,
    over all decisions whose names differ in numbers only, and where. All are centred, and so scaled
    that slopes of deviation 1 are the prior: one of OTHER_DEVIATION for each size and score, and of
    CHOICES_DEVIATION for all counts together and for all places together. A few trained networks
    tell little of each place, but in some spaces places tell more than counts (docs/log.md).

    Args:
        architectures: N.
        sizes: params and MACs of each.
        proxies: zero-cost scores (:mod:`hypernas.proxies`) by name, each (N,).
    """
    costs, chosen = _costs(sizes, proxies), _rotated(_chosen(architectures))
    return Features(
        np.column_stack([costs.values, chosen]),
        np.concatenate([costs.slopes, np.zeros(chosen.shape[1])]),
    )


def _costs(sizes: Sequence[tuple[int, int]], proxies: Mapping[str, Sequence[float]]) -> Features:
    """Return what is known by sizes and zero-cost scores."""
    logarithms = np.log(np.maximum(np.array(sizes, dtype=float), 1))
    values = [_tamed(np.array(each)) for each in proxies.values()]
    supposed = np.array([True, True, *(name in SUPPOSED for name in proxies)])
    return Features(
        OTHER_DEVIATION * _standard(np.column_stack([logarithms, *values])),
        supposed * SUPPOSED_SLOPE / OTHER_DEVIATION,
    )


def _chosen(architectures: Sequence[Architecture]) -> Floats:
    """Return how often each has what is chosen, and after that where, (N, F)."""
    made = [list(_made(choices)) for choices in architectures]
    how_often = _counted([[(family_of(name), value) for name, value in each] for each in made])
    where = _counted([[pair for pair in each if family_of(pair[0]) != pair[0]] for each in made])
    return np.column_stack([how_often, where])


def _made(choices: Architecture) -> Iterator[tuple[str, str]]:
    for name, value in choices.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, repr(one)


def _counted(several: Sequence[Sequence[tuple[str, str]]]) -> Floats:
    """Return how often each has what some have and others have not, (N, F), as features."""
    counts = [Counter(each) for each in several]
    kinds = dict.fromkeys(kind for count in counts for kind in count)
    table = np.array([[count[kind] for kind in kinds] for count in counts], dtype=float)
    table = table.reshape(len(counts), len(kinds))
    table = table[:, table.std(0) > 0]
    return CHOICES_DEVIATION / np.sqrt(max(table.shape[1], 1)) * _standard(table)


def _rotated(values: Floats) -> Floats:
    """Return no more than N columns (N, R) in place of (N, F), of which the same is believed.

    Slopes that all have the same prior are as likely turned, and no candidate differs in more
    directions than there are candidates. ``memory-bank`` has thousands of places.
    """
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    there = sizes > RANK * sizes.max(initial=0.0)
    return left[:, there] * sizes[there]


def _first(below: Sequence[Floats], there: NDArray[np.bool_]) -> Floats:
    """Return the signals (N, S) of those seen on all rungs; they are alike in all draws."""
    return np.array([each[0, there] for each in below]).T.reshape(there.sum(), len(below))


def _standard(values: Floats) -> Floats:
    return (values - values.mean(0)) / _spread(values)


def _spread(values: Floats) -> Floats:
    found = values.std(0)
    return np.where(found > 0, found, 1.0)


def _tamed(values: Floats) -> Floats:
    """Return signals of which none is so far off that a line would be about it alone.

    Beyond FAR a signal grows with the logarithm, so that networks which nothing chose keep their
    order far below the chosen ones. What has no value is below all that have, and far.
    """
    known = values > WORST
    low, middle, high = np.quantile(values[known], [0.25, 0.5, 0.75]) if known.any() else [0.0] * 3
    reach = FAR * (high - low) or np.abs(values[known] - middle).max(initial=0.0)
    if not reach:
        return np.full(len(values), middle)
    away = np.clip((values - middle) / reach, -FARTHEST, FARTHEST)
    size = np.maximum(np.abs(away), 1)
    found = np.clip(away, -1, 1) * (1 + np.log(size))
    found[~known] = min(-1.0, found[known].min())
    return middle + reach * found
