"""How far a yes-or-no question separates good candidates from bad ones.

The effect is Cliff's delta: of all pairs of a candidate that answers yes with one that answers no,
the share in which the yes has the higher score minus the share in which the no has it. +1 means
that every yes beats every no, 0 that the answer tells nothing. *At equal size* only pairs count
whose two candidates are of one size (lie in one stratum), all strata pooled.

Intervals are Newson's (Stata Journal 6:309, 2006): the infinitesimal jackknife over candidates, by
Student's t, on Fisher's scale, on which they stay within -1 and +1. Thousands of questions take
seconds so, where a bootstrap takes minutes. A p value is that of Wilcoxon's rank sum test (van
Elteren's where there are strata, with each pair of equal weight), or the interval's where that is
larger, so that nothing is shown whose interval holds 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import stats

from hypernas.results import Struct

LEVEL = 0.05
"""share of false ones among the effects that are said to be shown, at most on average"""
FEWEST = 10
"""candidates that must answer yes, and as many no, for a question to be asked"""
POWER = 0.8


class Effect(Struct, frozen=True):
    """Cliff's delta with its 95 % interval."""

    delta: float
    low: float
    high: float
    p: float
    """of an effect as large by chance, for this question alone"""
    shown: bool = False
    """whether it stands when all questions that were asked are counted"""


def effect(scores: np.ndarray, having: np.ndarray, strata: np.ndarray) -> Effect | None:
    """Return the effect of a question, or None where too few pairs can be compared.

    Args:
        scores: of the candidates that were asked, (n,).
        having: whether each answers yes, (n,).
        strata: a number for each; only those of one number are compared, (n,).
    """
    won, pairs = np.zeros(len(scores)), np.zeros(len(scores))
    surplus = variance = 0.0
    few = 0
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        yes = having[inside]
        ones, others = int(yes.sum()), int((~yes).sum())
        if not ones or not others:
            continue
        few += min(ones, others)
        ranks = stats.rankdata(scores[inside])
        won[inside], pairs[inside] = _wins(scores[inside], yes, ranks)
        surplus += 2 * (ranks[yes].sum() - ones * (len(inside) + 1) / 2)
        variance += 4 * ones * others / len(inside) * ranks.var(ddof=1)
    if few < FEWEST:
        return None
    delta = float(won[having].sum() / pairs[having].sum())
    error = float(np.sqrt(((won - delta * pairs) ** 2).sum()) / pairs[having].sum())
    p = 2 * stats.norm.sf(abs(surplus) / np.sqrt(variance)) if variance else 1.0
    if abs(delta) > 1 - 1e-9:  # no pair goes the other way, so nothing is known of the spread
        edge = 1 - 6 / few  # the rule of three: up to 3 in n may, when none was seen
        low, high = (edge, 1.0) if delta > 0 else (-1.0, -edge)
        return Effect(delta=delta, low=low, high=high, p=float(p))
    scale = error / (1 - delta**2)  # of Fisher's z
    half = stats.t.ppf(0.975, few - 1) * scale
    low, high = np.tanh(np.arctanh(delta) + np.array([-half, half]))
    wide = 2 * stats.t.sf(abs(np.arctanh(delta)) / scale, few - 1) if scale else 1.0
    return Effect(delta=delta, low=float(low), high=float(high), p=float(max(p, wide)))


def _wins(scores: np.ndarray, yes: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each candidate by how many pairs the yes wins in which it is, and their number."""
    own = np.empty(len(scores))
    own[yes], own[~yes] = stats.rankdata(scores[yes]), stats.rankdata(scores[~yes])
    pairs = np.where(yes, (~yes).sum(), yes.sum())
    below = ranks - own  # of the others, those that score lower; equal ones count half
    return np.where(yes, 2 * below - pairs, pairs - 2 * below), pairs.astype(float)


def stand(p: Sequence[float], kinds: Sequence[str]) -> list[bool]:
    """Say which of many effects are shown: Benjamini and Hochberg's procedure at LEVEL.

    Each kind of question gets an equal share of the error (weights as in Genovese, Roeder and
    Wasserman, Biometrika 93:509, 2006), so that a kind with thousands of questions does not drown
    one with ten. None is shown that would not be if it were the only question.

    >>> stand([0.001, 0.5, 0.5, 0.5], ["a", "b", "b", "b"])
    [True, False, False, False]
    """
    if not p:
        return []
    sizes = Counter(kinds)
    heavy = [len(sizes) * sizes[kind] / len(kinds) for kind in kinds]
    weighted = np.minimum(np.multiply(p, heavy), 1.0)
    found = zip(stats.false_discovery_control(weighted), p, strict=True)
    return [bool(q < LEVEL and alone < LEVEL) for q, alone in found]


def smallest_found(candidates: int, questions: int) -> float:
    """Return the effect that is found in four of five cases if half of the candidates answer yes.

    Taken for the strictest case, in which it is the only one of ``questions`` that has any.

    >>> round(smallest_found(500, 100), 2)
    0.22
    """
    half = candidates / 2
    error = np.sqrt((candidates + 1) / (3 * half * half))
    level = LEVEL / max(questions, 1)
    return float((stats.norm.isf(level / 2) + stats.norm.ppf(POWER)) * error)
