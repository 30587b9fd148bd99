"""How well each way to rank networks does on tables of ground truth, and what its picks are worth.

    python benchmarks/ranking.py TABLE ... [--fits 5] [--steps 1000] [--work runs/ranking]
        [--ways "score (ghn)" "weight sharing"] [--published nas-bench-macro_cifar10.json]

TABLE is a file of ``truth/`` without its ending. The truth is the accuracy on the test split, mean
over the seeds that all its networks have; ``ceiling`` is how well as many further seeds would agree
with that (see `ceiling.py`). Tau is told over all
pairs of networks, within the better half, and within fifths by MACs, with 95 % intervals over
resampled networks and fits; a way that trains some networks to calibrate ranks the others, and what
it says of how far it may be off is held against what they reach. Regret is, in points, by how much
the best of five picks is worse than the best there is, the mean over fits and over limits at four
quantiles of MACs. With ``--ways`` only these are worked out and kept, and nothing is written: so
several processes can share the work, each with tables or hypernetworks of its own. A killed one
goes on.

With ``--published`` a table of ``nas-bench-macro`` has rows of its own in which the truth is the
published accuracy of its networks at their full size (github.com/xiusu/NAS-Bench-Macro), and a way
of its own: their accuracy at the size at which they were trained here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import comb
from pathlib import Path

import numpy as np
import torch
from ceiling import ceilings, measured
from common import Row, write
from known import Floats, Known, luck, published
from numpy.typing import NDArray
from way import CALIBRATION, Settings, Way
from ways import WARM, every, small

from hypernas.ranking import pairs_of, pearson, tau, tau_gain
from hypernas.results import Estimate, Pairs

OWN, FURTHER = "calibrated score", f"calibrated, {WARM}"
SCORES = ("score (ghn)", "score (smash)", f"score after {WARM}", "score and params")
OURS = (OWN, FURTHER, *SCORES, "ladder")
"""ways that are no rivals"""
GOALS = {"all": 0.88, "better half": 0.70, "equal size": 0.60}
"""of the calibrated score; 95 % of the ceiling will do"""
OF_CEILING = 0.95
PICKS = 5
LIMITS = (0.25, 0.5, 0.75, 1.0)
"""quantiles of MACs, limits within which networks are picked"""
PEARSON = {"all": "GHN, published: 0.68", "better half": "GHN, published: 0.48"}
"""arXiv 1810.05749, of 100 networks of its own space on CIFAR-10, and of the better 50"""


def main() -> None:
    """Measure every way on every table, print the rows, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of each fit")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--ways", nargs="*", help="work out these alone, and write nothing")
    parser.add_argument("--published", type=Path, help="table of NAS-Bench-Macro")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(fits=given.fits, steps=given.steps, seed=given.first_seed)
    rows: list[Row] = []
    for name in given.tables:
        known = Known(name, given.work)
        found: dict[str, Way] = {}
        for way, work_out in every(known, settings):
            if given.ways is None or way in given.ways:
                found[way] = work_out()
                print(f"{name}: {way}", flush=True)
        if given.ways is None:
            taus = taus_of(known, found)
            rows += [*tau_rows(known, found, taus), *cheap_rows(known, found)]
            rows += [*pearson_rows(known, found), *regret_rows(known, found)]
            rows += interval_rows(known, found)
            if given.published and known.place.space.name == "nas-bench-macro":
                other = published(known, given.published)
                rows += cheap_rows(other, found)
                found |= {"trained here": small(known)}
                rows += tau_rows(other, found, taus_of(other, found))
    if given.ways is None:
        write(Path(__file__), rows)


Taus = dict[str, dict[Pairs, Estimate]]
"""tau of each way, by each statistic"""


def taus_of(known: Known, ways: dict[str, Way]) -> Taus:
    """Return how well each way ranks the networks that it does rank."""
    pairs = pairs_of(known.accuracy, known.macs)
    found: Taus = {}
    for name, way in ways.items():
        both = way.ranks[:, :, None] & way.ranks[:, None, :]
        found[name] = {k: tau(way.values, known.accuracy, p & both) for k, p in pairs.items()}
    return found


def tau_rows(known: Known, ways: dict[str, Way], taus: Taus) -> Iterator[Row]:
    """Yield how well each way ranks, by each statistic, and how well further seeds would."""
    ceiling = ceilings(known)
    for name, way in ways.items():
        for kind, found in taus[name].items():
            own = name in (OWN, FURTHER)
            goal = min(GOALS[kind], OF_CEILING * ceiling[kind].value) if own else None
            yield Row(
                what=f"tau, {kind}, {known.name}, {name}",
                value=found.value,
                unit="tau",
                goal=goal,
                better="more",
                note=f"{found.low:.2f} to {found.high:.2f}; {_cost(way)}; {way.note}",
            )
    yield from ceiling_rows(known, ceiling)


def ceiling_rows(known: Known, ceiling: dict[Pairs, Estimate]) -> Iterator[Row]:
    """Yield how well further seeds would rank, and how well one seed does rank as another."""
    one, seen, count = ceilings(known, seeds=1), measured(known), int(known.twice.sum())
    again = Way(known.accuracy[None], 0.0, known.seeds * known.seconds.mean(), "")
    for kind, found in ceiling.items():
        yield Row(
            what=f"tau, {kind}, {known.name}, ceiling",
            value=found.value,
            unit="tau",
            better="more",
            note=f"{found.low:.2f} to {found.high:.2f}; {_cost(again)}; truth of seeds: "
            f"{known.seeds}; one seed with another, {count} networks: {seen[kind]:.2f}, estimated "
            f"{one[kind].value:.2f} ({one[kind].low:.2f} to {one[kind].high:.2f})",
        )


def cheap_rows(known: Known, ways: dict[str, Way]) -> Iterator[Row]:
    """Yield how many ways that cost no more rank as well as the calibrated score.

    Each is held against it on the networks that both rank.
    """
    count, pairs = len(known.truths), pairs_of(known.accuracy, known.macs)
    for own in (own for own in (OWN, FURTHER) if own in ways):
        most = ways[own].seconds(count)
        cheap = [n for n, way in ways.items() if n not in OURS and way.seconds(count) <= most]
        for kind in GOALS:
            gains = {n: gain(known, ways[n], ways[own], pairs[kind]) for n in cheap}
            above = [
                f"{name} by {found.value:.3f} ({found.low:.2f} to {found.high:.2f})"
                for name, found in gains.items()
                if found.value >= 0
            ]
            yield Row(
                what=f"rivals that cost no more and rank as well as {own}, {kind}, {known.name}",
                value=len(above),
                unit="ways",
                goal=0,
                note=f"of {len(cheap)}; {', '.join(above) or 'none'}",
            )


def gain(known: Known, one: Way, other: Way, pairs: NDArray[np.bool_]) -> Estimate:
    """Return by how much tau of one way is above that of the other, of pairs that both rank."""
    ranked = one.ranks & other.ranks
    both = pairs & ranked[:, :, None] & ranked[:, None, :]
    values = (np.broadcast_to(way.values, ranked.shape) for way in (one, other))
    return tau_gain(*values, known.accuracy, both)


def interval_rows(known: Known, ways: dict[str, Way]) -> Iterator[Row]:
    """Yield how often what networks reach on validation lies within 95 % of what is expected.

    A network's mean has the luck of its seeds besides, as it is known of those that have several.
    """
    seeds = (~np.isnan(known.validation)).sum(1)
    reached, around = np.nanmean(known.validation, 1), luck(known.validation)
    for name, way in ways.items():
        if way.deviations is None:
            continue
        off = np.abs(way.values - reached)
        holds = off < 1.96 * np.sqrt(way.deviations**2 + around**2 / seeds)
        own, all_in_all = (100 * x[way.ranks] for x in (way.deviations, off))
        yield Row(
            what=f"95 % intervals that hold, {known.name}, {name}",
            value=float(holds[way.ranks].mean()),
            unit="share",
            better="more",
            note=f"expected with a deviation of {own.mean():.1f} points on average, seeds have "
            f"{100 * around:.1f}; off by {np.sqrt((all_in_all**2).mean()):.1f} in all",
        )


def pearson_rows(known: Known, ways: dict[str, Way]) -> Iterator[Row]:
    """Yield Pearson's correlation of scores and accuracies, which the paper on GHN tells."""
    better = known.accuracy >= np.median(known.accuracy)
    for name, way in ways.items():
        if not name.startswith("score ("):
            continue
        for kind, some in {"all": np.full(len(better), True), "better half": better}.items():
            found = pearson(way.values[:, some], known.accuracy[some])
            yield Row(
                what=f"Pearson, {kind}, {known.name}, {name}",
                value=found.value,
                unit="Pearson r",
                better="more",
                peer=PEARSON[kind],
                note=f"{found.low:.2f} to {found.high:.2f}; of other networks than the paper's",
            )


def _cost(way: Way) -> str:
    if np.isnan(way.each):
        return "not known"
    each = f"{way.each:.0f}" if way.each >= 10 else f"{way.each:.2g}"
    return f"{way.fixed:.0f} s once, {each} s each (CPU)"


def regret_rows(known: Known, ways: dict[str, Way]) -> Iterator[Row]:
    """Yield what the best of five picks by each way lacks, in points."""
    random, more = (
        np.array([[random_regret(known, limit, picks) for limit in LIMITS]])
        for picks in (PICKS, PICKS + CALIBRATION)
    )
    biggest = np.array([[regret(known, known.params, limit, 1) for limit in LIMITS]])
    found = {
        f"{PICKS} random ones": random,
        f"all of {PICKS + CALIBRATION} random ones": more,
        "the biggest that fits": biggest,
    } | {
        name: np.array([[regret(known, row, limit, PICKS) for limit in LIMITS] for row in w.values])
        for name, w in ways.items()
    }
    for name, each in found.items():
        fits = 100 * each.mean(1)
        spread = f"; fits {fits.min():.1f} to {fits.max():.1f}" if len(fits) > 1 else ""
        by_limit = ", ".join(f"{100 * value:.1f}" for value in each.mean(0))
        yield Row(
            what=f"regret of the best of {PICKS} picks, {known.name}, {name}",
            value=float(100 * each.mean()),
            unit="points",
            goal=float(100 * min(random.mean(), biggest.mean())) if name == OWN else None,
            note=f"at the quantiles of MACs {by_limit}{spread}",
        )
    worse = found[OWN].mean(0) - np.minimum(random, biggest)[0]
    yield Row(
        what=f"regret beyond that of random ones and the biggest, at the worst limit, {known.name}",
        value=float(100 * worse.max()),
        unit="points",
        goal=100 * luck(known.by_seed),
        note=f"the goal is a seed's deviation; at {LIMITS[worse.argmax()]:.0%} of MACs",
    )


def regret(known: Known, values: Floats, limit: float, picks: int) -> float:
    """Return the best accuracy within a limit minus the best of those picked there.

    What was trained for a way may be picked as any other, so one that trains some has seen more
    than its picks.
    """
    fits = known.macs <= np.quantile(known.macs, limit)
    there = np.flatnonzero(fits)
    picked = there[np.argsort(-values[there], kind="stable")][:picks]
    return float(known.accuracy[there].max() - known.accuracy[picked].max())


def random_regret(known: Known, limit: float, picks: int) -> float:
    """Return the expected regret of the best of so many different random ones, or of all."""
    within = np.sort(known.accuracy[known.macs <= np.quantile(known.macs, limit)])
    count = len(within)
    picks = min(picks, count)
    # the chance that all picks are among the lowest k
    lowest = [comb(k, picks) / comb(count, picks) for k in range(count + 1)]
    shares = np.diff(lowest)
    return float(within[-1] - shares @ within)


if __name__ == "__main__":
    main()
