"""Which choices the scores depend on, which pairs, which not at all, and what a dearer one buys.

Exact where every architecture is scored (:mod:`~hypernas.explaining.exact`), else estimated
(:mod:`~hypernas.explaining.estimated`); both answer the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from hypernas.explaining.effects import LEVEL
from hypernas.explaining.estimated import LEAST_SCORED, Model, model_of
from hypernas.explaining.exact import Table, full_table
from hypernas.explaining.factors import POOLED, Factor, plain_factors, pooled_factors
from hypernas.explaining.record import Importance, LeftOut, Step, Together, Weight
from hypernas.results import Estimate, Scored
from hypernas.scoring import WORST

LITTLE = 0.01
"""share of the variance below which the images may leave open whether a choice has an effect"""

PAID = 0.01
"""share of the median MACs below which nothing is paid for an answer; it would be divided by"""


def importance_of(
    scored: Sequence[Scored], answers: Mapping[str, int]
) -> tuple[Importance | None, list[str]]:
    """Return where the variance of scores comes from, and what cannot be told.

    Args:
        scored: the candidates.
        answers: how many there are to each decision of these, whether they occur or not.
    """
    kept = [one for one in scored if one.score > WORST]
    notes = []
    if len(kept) < len(scored):
        notes.append(
            f"{len(scored) - len(kept)} candidates whose outputs are not finite are left out of "
            "what choices explain"
        )
    scores = np.array([one.score for one in kept])
    macs = np.array([float(one.macs) for one in kept])
    if len(kept) < 2 or float(np.ptp(scores)) == 0:
        return None, [*notes, "all scores are equal, so no choice explains them"]
    architectures = [one.choices for one in kept]
    plain = plain_factors(architectures)
    whole = plain is not None and all(len(one.levels) == answers[one.name] for one in plain)
    table = full_table(plain, scores, macs) if plain and whole else None
    if table is not None:
        return _importance(table, kept, []), notes
    if len(kept) < LEAST_SCORED:
        return None, [
            *notes,
            f"{len(kept)} candidates are too few to estimate how much each choice explains, which "
            f"takes {LEAST_SCORED}",
        ]
    factors, left_out = pooled_factors(architectures)
    if not factors:
        return None, [*notes, "no choice is made in every architecture, so none is weighed"]
    model = model_of(factors, scores, macs)
    weak = [one.name for one in factors if one not in model.factors]
    if weak:
        left_out.append(
            LeftOut(reason="too many choices, and these go least with scores", names=weak)
        )
    return _importance(model, kept, left_out), notes


def _importance(
    found: Table | Model, scored: Sequence[Scored], left_out: list[LeftOut]
) -> Importance:
    factors, exact = found.factors, isinstance(found, Table)
    pairs = [
        Together(names=(factors[i].name, factors[j].name), share=share)
        for (i, j), share in found.pairs().items()
    ]
    deviation = float(np.std([one.score for one in scored]))
    weights = [
        Weight(
            name=factor.name,
            alone=alone,
            total=total,
            silent=_silent(total, found.chance(number), deviation, scored, exact=exact),
        )
        for number, (factor, alone, total) in enumerate(
            zip(factors, found.main(), found.total(), strict=True)
        )
    ]
    return Importance(
        exact=exact,
        candidates=len(scored),
        deviation=deviation,
        choices=sorted(weights, key=lambda one: (-one.total.value, one.name)),
        pairs=sorted(pairs, key=lambda one: (-one.share.value, one.names)),
        rest=found.rest(),
        left_out=left_out,
        steps=_steps(found, float(np.median([one.macs for one in scored]))),
    )


def _silent(
    total: Estimate, chance: float, deviation: float, scored: Sequence[Scored], *, exact: bool
) -> str:
    """Say in which way a choice does not matter; nothing of one that does."""
    if not exact:
        most = f"{100 * total.high:.2g} %"
        return "" if chance < LEVEL else f"it explains {most} of the variance at most"
    if chance == 1:
        return "no score depends on it"
    errors = [(one.interval[1] - one.interval[0]) / 3.92 for one in scored]
    typical, error = math.sqrt(2 * total.value) * deviation, float(np.median(errors))
    if total.value >= LITTLE or typical >= error:
        return ""
    return (
        f"it changes scores by {typical:.2g}, less than the validation images leave open of one "
        f"score ({error:.2g})"
    )


def _steps(found: Table | Model, median: float) -> list[Step]:
    """Return what dearer answers buy: the next larger number, or what is not the cheapest."""
    steps = []
    for number, factor in enumerate(found.factors):
        for before, after in _compared(found, number, factor):
            macs = found.cost(number, before, after)
            if macs < PAID * median:
                continue
            gain = found.change(number, before, after)
            steps.append(
                Step(
                    name=factor.name,
                    before=factor.levels[before],
                    after=factor.levels[after],
                    score=gain,
                    better=found.better(number, before, after),
                    macs=macs,
                    macs_share=macs / median,
                    per_million=_scaled(gain, 1e6 / macs),
                    per_percent=_scaled(gain, 0.01 * median / macs),
                )
            )
    # by what they buy at least: an estimate of much for next to nothing comes late
    return sorted(steps, key=lambda one: (-one.per_percent.low, one.name, one.after))


def _compared(found: Table | Model, number: int, factor: Factor) -> list[tuple[int, int]]:
    """Return the levels of a factor that are compared, the cheaper first."""
    levels = [level for level, name in enumerate(factor.levels) if name != POOLED]
    by_cost = sorted(levels, key=lambda level: found.cost(number, levels[0], level))
    if factor.numbers:
        dearer = by_cost[-1] == levels[-1]
        return list(pairwise(levels if dearer else levels[::-1]))
    return [(by_cost[0], level) for level in by_cost[1:]]


def _scaled(one: Estimate, factor: float) -> Estimate:
    return Estimate(value=factor * one.value, low=factor * one.low, high=factor * one.high)
