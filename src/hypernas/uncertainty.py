"""How sure it is that one candidate's score is higher than another's.

Two candidates are judged on the same images, so what counts is the difference of their losses image
by image, which varies far less than either score. It is unsure for two reasons:

- **The images are a sample.** The mean difference of M images has the deviation s / √M.
- **The hypernetwork is one of many that the fit could have ended with.** A learning rate that falls
  to 0 lets the last iterates stand still (their spread over the last tenth of a fit was a twentieth
  of what other seeds make of a difference), so earlier states are asked, spread over the last half
  (:data:`hypernas.fitting.KEPT`): by how much, as a root mean square over the K of them, was the
  difference another one than at the end? Drift counts too, as it must: a fit that still learns
  could have learned something else.

Both together are the deviation of the difference d. P(A better than B) is Student's distribution at
d / deviation, with the degrees of freedom of Welch and Satterthwaite: M - 1 for the images, K for
the states.

Source: that iterates tell how sure a fit is, SWAG (arXiv 1902.02476). Networks drawn around their
mean, as there, were measured and are not used: docs/trust.md.

Legend: S states of the hypernetwork, the last one first; M images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from hypernas.console import chance, short
from hypernas.results import Better, Comparison, Scored, Standing

Losses = NDArray[np.float64]
"""of a candidate, (S, M)"""

BETTER = ("P > next", "P > first")
"""columns of :func:`probabilities`"""
SURE = 0.975
"""P from which a difference is no tie: its 95 % interval does not hold 0"""


def better(one: Losses, other: Losses) -> Better:
    """Say how sure it is that one candidate scores higher than another; both (S, M).

    >>> equal = np.ones((5, 100))
    >>> better(equal, equal).probability
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
        # the smaller tail, so that both orders have one answer
        tail = float(student.sf(abs(difference) / deviation, 1 / shares))
        half = float(student.ppf(SURE, 1 / shares)) * deviation
    else:
        tail, half = float(not difference or deviation > 0) / 2, deviation
    sure = 1 - tail if difference > 0 else tail
    interval = (difference - half, difference + half)
    return Better(
        probability=sure,
        difference=difference,
        interval=interval,
        images=images,
        fit=fit if states else None,
    )


def told_apart(found: Sequence[Scored], known: Sequence[Losses]) -> Comparison:
    """Say how far candidates are told apart by their scores.

    Args:
        found: one or more, the best by score first.
        known: the losses of each, (S, M).
    """
    over_first = [better(each, known[0]).probability for each in known[1:]]
    over_next = [better(*pair).probability for pair in pairwise(known)]
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
