"""What it costs to find one of the best networks, by several ways to search, on tables.

    python benchmarks/search_cost.py TABLE ... [--fits 5] [--steps 1000] [--draws 200]
        [--work runs/ranking]

A table of ground truth stands for a space: what a search trains is looked up, epoch by epoch, and
paid for in CPU seconds of this machine. A search has found what was sought when it has trained one
of the best 5 % of the table to the end, by the mean of two seeds on the test split; so all its
networks must be trained twice. That this one is the best of those that it trained it would know by
further seeds, which cost every search the same. The cost of a hypernetwork holds its fit and the
scores of all networks, for the ladder zero-cost ones too, and its rung of some steps where a run
with such trainings has it; ``ladder by naswot`` has no hypernetwork. A run trains random networks
and the biggest too, under every strategy; what that is worth has rows of its own. Means over
``--fits`` fits, or over ``--draws`` runs of what needs none.

Rows of regret are the other way round: how much the best of five picks lacks, where a search has as
many CPU seconds as the ladder has spent, with random networks and the biggest, when it ends. Picks
are the best by validation of what is trained to the end.

The break-even is what all this comes to where the final training is longer: trainings cost more in
proportion, fits and scores do not, and networks are taken to keep their order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import Row, write
from known import Floats, Known
from ranking import PICKS
from replay import Replay
from searches import LEARNERS, Search, by_sampler, by_score, race, random_search
from way import Settings, Way
from ways import WARM, besides, entries, fitted, free_each, hypernet_of, warmed, zero_cost

from hypernas.budget import USUAL
from hypernas.config import Config
from hypernas.ladder import climb
from hypernas.ranking import RESAMPLES

TOP = 0.05
"""share of the networks that are sought"""
UNCHOSEN, WHOLE = Config(data="").sample, USUAL["finalists"]
"""random networks that a run trains for its verdict, and how many of them with all seeds"""
BESIDES = "ladder, with all that a run trains"
"""also these, and the biggest with all seeds; its ladder learns from them"""
FULL = 10
"""candidates that arrive on the ladder's top at most"""
LONG = 50
"""epochs of a long final training"""
GOALS = {"random search": 2.0, "Hyperband": 1.3}
"""how many times cheaper the ladder is to be"""


@dataclass(frozen=True)
class Cost:
    """What finding cost, in CPU seconds.

    Attributes:
        fixed: what does not depend on the length of a training.
        training: of each run, (R,).
        lost: runs that ended without one of the best, and count with all that they spent.
        lacks: how much the best of five picks lacks after as long as the ladder takes, (R,).
        ends: after how long a ladder ends, on average, fit and scores included.
    """

    fixed: float
    training: Floats
    lost: int = 0
    lacks: Floats = field(default_factory=lambda: np.zeros(1))
    ends: float | None = None

    def at(self, longer: float) -> float:
        """Return the mean cost where a training is so many times as long."""
        return self.fixed + longer * float(self.training.mean())


def main() -> None:
    """Run every search on every table, print the rows, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of each fit")
    parser.add_argument("--draws", type=int, default=200, help="runs of what needs no fit")
    parser.add_argument("--work", type=Path, default=Path("runs/ranking"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(fits=given.fits, steps=given.steps)
    rows: list[Row] = []
    for name in given.tables:
        known = Known(name, given.work)
        rows += rows_of(known, costs(known, settings, given.draws))
    write(Path(__file__), rows)


def costs(known: Known, settings: Settings, draws: int) -> dict[str, Cost]:
    """Return what each search costs."""
    known.require_twice()
    count, own = len(known.truths), hypernet_of(known)
    shared, score = (fitted(known, name, settings) for name in ("shared", own))
    warm, zero = warmed(known, settings), zero_cost(known, settings)
    free = replace(zero["naswot"], each=0.0)  # it is among the zero-cost scores
    climb_by = {
        "ladder": partial(climbed, known, score, settings, warm=warm),
        BESIDES: partial(climbed, known, score, settings, warm=warm, unchosen=(UNCHOSEN, WHOLE)),
        "ladder by naswot": partial(climbed, known, free, settings, ranked_by="naswot"),
    }
    if warm:
        climb_by[f"ladder without {WARM}"] = partial(climbed, known, score, settings)
    ladders = {name: [one(seed) for seed in settings.seeds] for name, one in climb_by.items()}
    within = float(np.mean([one.whole for one in ladders[BESIDES]]))

    def cost(searches: Iterable[Search], fixed: float = 0.0) -> Cost:
        runs = [replayed(known, search, within - fixed) for search in searches]
        spent, found, lacks = zip(*runs, strict=True)
        return Cost(fixed, np.array(spent), found.count(None), np.array(lacks))

    def cost_of_ladder(ladders: Sequence[Climbed]) -> Cost:
        left = [within - one.fixed - one.rung_seconds for one in ladders]
        runs = [replayed(known, one.steps, some) for one, some in zip(ladders, left, strict=True)]
        spent, found, lacks = zip(*runs, strict=True)
        paid = [one.by_then[number] for one, number in zip(ladders, found, strict=True)]
        fixed = float(np.mean([one.fixed for one in ladders]) + np.mean(paid))
        ends = float(np.mean([one.whole for one in ladders]))
        return Cost(fixed, np.array(spent), 0, np.array(lacks), ends)

    unfitted: dict[str, Callable[[Known, int], Search]] = {
        "random search": random_search,
        "successive halving": partial(race, pruner="halving"),
        "Hyperband": partial(race, pruner="hyperband"),
    }
    unfitted |= {name: partial(by_sampler, sampler=one) for name, one in LEARNERS.items()}
    every = {
        n: cost(search(known, seed) for seed in range(draws)) for n, search in unfitted.items()
    }
    every["the biggest first"] = cost([by_score(known, known.params)])
    for name, way in (("weight sharing", shared), (f"score ({own})", score)):
        fixed = way.fixed + way.each * count
        every[name] = cost((by_score(known, scores) for scores in way.values), fixed)
    return every | {name: cost_of_ladder(climbs) for name, climbs in ladders.items()}


def replayed(known: Known, search: Search, within: float) -> tuple[float, int | None, float]:
    """Return what a search had spent when it had trained one of the best, and which.

    A race may stop them all. The last is what the best of its five picks lacks after ``within`` CPU
    seconds of training.
    """
    sought = set(np.argsort(-known.of_two)[: max(1, round(TOP * len(known.truths)))].tolist())
    spent, found, there = 0.0, None, []
    for spent, number in search:
        if found is not None and spent > within:
            break
        if number in sought and found is None:
            found = spent, number
        if number is not None and number not in there and spent <= within:
            there.append(number)  # in a race it comes again each round
    picks = sorted(there, key=lambda number: -known.by_epoch[number, -1])[:PICKS]
    reached = max((known.accuracy[number] for number in picks), default=known.accuracy.min())
    return *(found or (spent, None)), float(known.accuracy.max() - reached)


# -- the ladder -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Climbed:
    """What a ladder did on a table, in CPU seconds.

    Attributes:
        fixed: of fit, scores and zero-cost scores.
        rung_seconds: of the rung of some steps.
        ended: of training when it ended.
        steps: what it trained; after its end the others, in the order of what it expects.
        by_then: what the rung of some steps had cost when a network was trained.
    """

    fixed: float
    rung_seconds: float
    ended: float
    steps: list[tuple[float, int | None]]
    by_then: dict[int | None, float]

    @property
    def whole(self) -> float:
        """CPU seconds of all that it did until it ended."""
        return self.fixed + self.rung_seconds + self.ended


def climbed(
    known: Known,
    way: Way,
    settings: Settings,
    seed: int,
    *,
    warm: Way | None = None,
    unchosen: tuple[int, int] = (0, 0),
    ranked_by: str = "",
) -> Climbed:
    """Let the networks of a table climb.

    Args:
        known: the table.
        way: what they begin with.
        settings: with the seeds of the fits.
        seed: of one of them.
        warm: what they have on the rung of some steps, if there is one.
        unchosen: random networks that are trained in any case, with the biggest, and how many of
            them with all seeds.
        ranked_by: the zero-cost score that they begin with, if it is one.
    """
    fit = seed - settings.seed
    others = besides(known, seed, *unchosen) if any(unchosen) else {}
    those = entries(known, way, settings, fit, others, ranked_by=ranked_by)
    source = Replay(known, warm, fit)
    steps: list[tuple[float, int | None]] = []
    by_then: dict[int | None, float] = {}
    for standing in climb(those, source.widths(FULL), source, seed=seed):
        last = standing
        for number in np.flatnonzero(source.done >= 1).tolist():
            if number not in by_then:
                steps.append((source.spent, number))
                by_then[number] = source.rung_seconds
    rungs, ended = source.rung_seconds, source.spent
    for number in np.argsort(-last.expected).tolist():
        if number not in by_then:
            source.train({number: 1})
            steps.append((source.spent, number))
            by_then[number] = rungs
    fixed = way.fixed + (way.each + free_each(known, settings)) * len(those)
    return Climbed(fixed, rungs, ended, steps, by_then)


# -- rows -----------------------------------------------------------------------------------------


def rows_of(known: Known, found: dict[str, Cost]) -> Iterator[Row]:
    """Yield what each search costs, how much cheaper the ladder is, and where that breaks even."""
    mean = known.seconds.mean()
    for name, cost in found.items():
        count, low, high = np.array([cost.training.mean(), *_middle(cost.training)]) / mean
        yield Row(
            what=f"CPU seconds to the best {TOP:.0%}, {known.name}, {name}",
            value=cost.at(1),
            unit="CPU s",
            note=f"{cost.fixed:.0f} s of fit and scores; {count:.1f} trainings ({low:.1f} to "
            f"{high:.1f} in 8 of 10 runs) of {mean:.0f} s"
            + (f"; {cost.lost} of {len(cost.training)} runs found none" if cost.lost else "")
            + (f"; it ends after {cost.ends:.0f} s" if cost.ends else ""),
        )
    for name, cost in found.items():
        yield Row(
            what=f"regret of the best of {PICKS} picks, {known.name}, {name}",
            value=float(100 * cost.lacks.mean()),
            unit="points",
            note="{:.1f} to {:.1f} in 8 of 10 runs".format(*100 * _middle(cost.lacks)),
        )
    ladder, epochs = found["ladder"], known.recipe.epochs
    for name, goal in GOALS.items():
        for other in ("ladder", BESIDES):
            yield Row(
                what=f"{name} / {other}, {known.name}",
                value=found[name].at(1) / found[other].at(1),
                unit="times",
                goal=goal,
                better="more",
                note=f"{times(found[name], found[other])}; at {epochs} epochs",
            )
    longer = LONG / epochs
    yield Row(
        what=f"random search / ladder at {LONG} epochs, {known.name}",
        value=found["random search"].at(longer) / ladder.at(longer),
        unit="times",
        goal=10.0,
        better="more",
        note="; ".join(
            [
                times(found["random search"], ladder, longer),
                *(
                    break_even(found["random search"], ladder, epochs, often)
                    for often in (2, 5, 10)
                ),
            ]
        ),
    )


def times(dearer: Cost, cheaper: Cost, longer: float = 1.0) -> str:
    """Say the 95 % interval of how many times cheaper one search is, over resampled runs of both.

    Of ladders there are few runs, and the interval of so few is too narrow.
    """
    random = np.random.default_rng(0)
    means = [
        one.fixed + longer * random.choice(one.training, (RESAMPLES, len(one.training))).mean(1)
        for one in (dearer, cheaper)
    ]
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return f"{low:.1f} to {high:.1f}"


def _middle(values: Floats) -> Floats:
    return np.quantile(values, [0.1, 0.9])


def break_even(random: Cost, ladder: Cost, epochs: int, times: float) -> str:
    """Say from how many epochs of training on the ladder is so many times cheaper."""
    gained = float(random.training.mean() - times * ladder.training.mean())
    if gained <= 0:
        most = random.training.mean() / max(float(ladder.training.mean()), 1e-9)
        return f"{times:g} times never (at most {most:.1f})"
    return f"{times:g} times from {epochs * times * ladder.fixed / gained:.0f} epochs"


if __name__ == "__main__":
    main()
