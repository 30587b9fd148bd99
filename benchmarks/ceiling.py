"""How well a table of ground truth would agree with itself if it was made anew: the noise ceiling.

No score should be expected to agree better with a truth of two seeds than two further seeds do. As
hardly any network is trained that often, further seeds are drawn: what is believed of a network,
and the luck of a network of like accuracy. How well one seed agrees with another is measured.
"""

from __future__ import annotations

import numpy as np
from known import Floats, Known, luck

from hypernas.ranking import pairs_of, tau_of
from hypernas.results import Estimate, Pairs

DRAWS = 200
LIKE = 30
"""networks of the nearest accuracies, whose luck is a network's"""


def ceilings(known: Known, seeds: int | None = None) -> dict[Pairs, Estimate]:
    """Return tau between two tables of the same networks, each the mean of seeds of its own.

    The interval is that of what a single pair of tables may show.

    Args:
        known: a table, with networks of at least two seeds.
        seeds: of each of the two tables; by default as many as the truth is of.
    """
    count = known.seeds if seeds is None else seeds
    often = (~np.isnan(known.by_seed)).sum(1)
    means = np.nanmean(known.by_seed, 1)
    # the means vary by luck besides, so what is believed lies closer together
    spread = means.var(ddof=1)
    real = max(0.0, spread - luck(known.by_seed) ** 2 * float((1 / often).mean()))
    believed = means.mean() + np.sqrt(real / spread) * (means - means.mean())
    lucks = _lucks(known.by_seed)
    random = np.random.default_rng(0)

    def drawn() -> Floats:
        return believed + np.array([random.choice(of, count).mean() for of in lucks])

    draws = [_taus(drawn(), drawn(), known.macs) for _ in range(DRAWS)]
    return {kind: _estimate([each[kind] for each in draws]) for kind in draws[0]}


def measured(known: Known) -> dict[Pairs, float]:
    """Return tau between the first seed and the second of the networks that have two.

    Which are the better half is once said by the first and once by the second.
    """
    one, other = known.by_seed[known.twice, :2].T
    macs = known.macs[known.twice]
    there, back = _taus(one, other, macs), _taus(other, one, macs)
    return {kind: (there[kind] + back[kind]) / 2 for kind in there}


def _lucks(by_seed: Floats) -> list[Floats]:
    """Return, for each network, by how much seeds of its like were off their mean.

    Off the mean of few seeds they are less than off that of many, which is made up for.
    """
    some = by_seed[(~np.isnan(by_seed)).sum(1) > 1]
    often = (~np.isnan(some)).sum(1)
    middle = np.nanmean(some, 1)
    off = (some - middle[:, None]) * np.sqrt(often / (often - 1))[:, None]
    found = []
    for mean in np.nanmean(by_seed, 1):
        like = off[np.argsort(np.abs(middle - mean), kind="stable")[:LIKE]]
        found.append(like[~np.isnan(like)])
    return found


def _taus(truth: Floats, again: Floats, macs: Floats) -> dict[Pairs, float]:
    return {kind: tau_of(again, truth, pairs) for kind, pairs in pairs_of(truth, macs).items()}


def _estimate(draws: list[float]) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=float(np.mean(draws)), low=float(low), high=float(high))
