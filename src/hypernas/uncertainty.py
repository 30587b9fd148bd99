"""How sure it is that one candidate's score is higher than another's.

Two candidates are judged on the same images, so what counts is the difference of their losses image
by image, which varies far less than either score. It is unsure for two reasons:

- **The images are a sample.** The mean difference of M images has the deviation s / √M.
- **The hypernetwork is one of many that the fit could have ended with.** A learning rate that falls
  to 0 lets the last iterates stand still (those of the last tenth of a fit added nothing to what
  the images tell: docs/trust.md), so earlier states are asked, spread over the last half
  (:data:`hypernas.fitting.KEPT`): by how much, as a root mean square over the K of them, was the
  difference another one than at the end? Drift counts too, as it must: a fit that still learns
  could have learned something else.

Both together are the deviation of the difference, and Student's distribution gives its interval,
with the degrees of freedom of Welch and Satterthwaite: M - 1 for the images, K for the states.

**P(A better than B)** has to know more: who leads a list of hundreds was chosen for its score, luck
included. So the scores of the whole search say what true scores there are: the distribution which,
blurred by such a deviation, looks like theirs (Robbins' empirical Bayes, by a few steps of EM from
the scores themselves; Laird, JASA 1978). Given it each candidate has a posterior, and P is how
often a draw of A's is above one of B's. At the crowded top of a search a difference is thus worth
less than it is elsewhere.

Source: that iterates tell how sure a fit is, SWAG (arXiv 1902.02476). Networks drawn around their
mean, as there, were measured and are not used: docs/trust.md.

Legend: S states of the hypernetwork, the last one first; M images; N scores of a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from hypernas.console import chance, short
from hypernas.results import Better, Comparison, Scored, Standing

Losses = NDArray[np.float64]
"""of a candidate, (S, M)"""

BETTER = ("P > next", "P > first")
"""columns of :func:`probabilities`"""
SURE = 0.975
"""P from which a difference is no tie"""
PLACES = 200
"""at most so many values stand for the true scores"""
EM_STEPS = 10
"""more of them would gather the true scores in a few spikes"""


def better(one: Losses, other: Losses, seen: ArrayLike = ()) -> Better:
    """Say how sure it is that one candidate scores higher than another.

    Args:
        one: (S, M).
        other: (S, M).
        seen: scores of the search, (N,); of none nothing is known before.

    >>> equal = np.ones((5, 100))
    >>> better(equal, equal, [-1.0, -2.0]).probability
    0.5
    """
    gains = other - one
    difference = float(gains[0].mean())
    count, states = gains.shape[1], len(gains) - 1
    images = float(gains[0].std(ddof=1)) / sqrt(count) if count > 1 else np.inf
    moved = gains[1:].mean(1) - difference
    fit = float(np.sqrt((moved**2).mean())) if states else 0.0
    deviation = hypot(images, fit)
    if 0 < deviation < np.inf:
        shares = (images / deviation) ** 4 / (count - 1) + (fit / deviation) ** 4 / max(states, 1)
        half = float(stdtrit(1 / shares, SURE)) * deviation
        scores = -one[0].mean(), -other[0].mean()
        probability = _above(*scores, deviation, 1 / shares, np.asarray(seen, dtype=float))
    else:
        half = deviation
        probability = 0.5 if deviation else (1 + float(np.sign(difference))) / 2
    return Better(
        probability=probability,
        difference=difference,
        interval=(difference - half, difference + half),
        images=images,
        fit=fit if states else None,
    )


def _above(one: float, other: float, deviation: float, freedom: float, seen: Losses) -> float:
    """Return the probability that the first of two scores is truly the higher.

    Args:
        one: score.
        other: score.
        deviation: of their difference, to which both add alike.
        freedom: degrees of it.
        seen: scores of the search, (N,).
    """
    if not len(seen):
        return float(stdtr(freedom, (one - other) / deviation))
    if len(seen) > PLACES:
        seen = np.quantile(seen, (np.arange(PLACES) + 0.5) / PLACES)
    places = np.sort(seen)
    likely = _likely(places, places, deviation / sqrt(2), freedom)
    shares = np.full(len(places), 1 / len(places))
    for _ in range(EM_STEPS):
        shares = _normed(likely * shares).mean(0)
    both = np.array([one, other])
    of_one, of_other = _normed(_likely(both, places, deviation / sqrt(2), freedom) * shares)
    return float(np.clip(of_one @ (of_other.cumsum() - of_other / 2), 0, 1))


def _likely(scores: Losses, places: Losses, deviation: float, freedom: float) -> Losses:
    """Return how likely each score is at each true one, each row as a share of its most likely."""
    squares = ((scores[:, None] - places) / deviation) ** 2
    logarithms = -(freedom + 1) / 2 * np.log1p(squares / freedom)
    return np.exp(logarithms - logarithms.max(1, keepdims=True))


def _normed(rows: Losses) -> Losses:
    return rows / rows.sum(1, keepdims=True)


def told_apart(
    found: Sequence[Scored], known: Sequence[Losses], seen: ArrayLike = ()
) -> Comparison:
    """Say how far candidates are told apart by their scores.

    Args:
        found: one or more, the best by score first.
        known: the losses of each, (S, M).
        seen: scores of the search, (N,).
    """
    over_first = [better(each, known[0], seen).probability for each in known[1:]]
    over_next = [better(one, after, seen).probability for one, after in pairwise(known)]
    listed = [
        Standing(
            choices=scored.choices,
            params=scored.params,
            macs=scored.macs,
            score=scored.score,
            interval=better(each, np.zeros_like(each)).interval,
            over_first=first,
            over_next=after,
        )
        for scored, each, first, after in zip(
            found, known, [None, *over_first], [*over_next, None], strict=True
        )
    ]
    tie = [0, *(n for n, p in enumerate(over_first, start=1) if 1 - p < SURE)]
    smallest = min(tie, key=lambda position: (found[position].params, found[position].macs))
    states, images = len(known[0]) - 1, known[0].shape[1]
    return Comparison(
        standings=listed,
        tie=len(tie),
        smallest=smallest,
        images=images,
        states=states,
        text=_in_words(listed, len(tie), smallest, images, states),
    )


def probabilities(stands: Standing | None) -> tuple[str, str]:
    """Write with which probabilities a candidate is better than the next, and than the first."""
    if stands is None:  # beyond those that are compared
        return "–", "–"
    return chance(stands.over_next), chance(stands.over_first)


def _in_words(listed: Sequence[Standing], tie: int, smallest: int, images: int, states: int) -> str:
    """Say which are a tie, and from what that is known."""
    source = f"from {images:,} validation images "
    if states:
        source += f"and {states} earlier states of the hypernetwork"
    else:
        source += "alone: this fit kept no earlier states of the hypernetwork"
    if len(listed) == 1:
        return f"one candidate, and none to tell it from; {source}"
    if tie == 1:
        return f"the first is better by score than each of the others with P ≥ {SURE:.1%}; {source}"
    which = f"these {tie} are" if tie == len(listed) else f"{tie} of these {len(listed)} are"
    return (
        f"{which} a tie by score, the first better than none of them with P ≥ {SURE:.1%}; the "
        f"smallest is number {smallest + 1}, with {short(listed[smallest].params)} params; {source}"
    )
