"""Turns minutes into counts: a timed warm-up, then shares of the wall clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hypernas.config import COUNTS, LEAST, Config, Plan
from hypernas.errors import ConfigError

SHARES = {"fit": 0.30, "search": 0.10, "train": 0.40, "longer": 0.20}
"""parts of the wall clock: hypernetwork, scoring, finalists, further training of the winner"""
BY_TRAINING = {"fit": 0.0, "search": 0.60, "train": 0.20, "longer": 0.20}
"""the same where candidates are ranked by training them"""
MARGIN = 1.15
"""how much slower a long run is than its warm-up"""
GOOD_EPOCHS = 5
"""epochs under which fewer networks are trained rather than shorter"""
GIVEN_UP = ((5, 3), (5, 2), (4, 2), (3, 2), (3, 1), (2, 1), (1, 1))
"""finalists and seeds, in the order in which they are given up"""
USUAL = {"finalists": 5, "seeds": 3}
CLIMBERS = 2
"""candidates that the ladder trains to the end at most, for each finalist"""
FEWER = 3
"""one candidate in so many climbs on to the ladder's next rung"""
OFTEN = 20
"""times as long as the rung of some steps a training is at least, where there is that rung"""
THIRD = 3
"""part of the full training that the rung below it is"""
AT_ONCE = 2
"""candidates that arrive on the ladder's top together, at least"""
GENEROUS_EPOCHS, MOST_CLIMBERS = 30, 40
"""epochs above which more candidates climb rather than longer, and how many at most"""
MOST_EPOCHS = 200
MOST_TRIALS = 5000
MOST_STEPS = 200_000


@dataclass(frozen=True)
class Costs:
    """Seconds on the wall clock, measured in a warm-up.

    Attributes:
        step: one step of the hypernetwork.
        score: one candidate, in one process.
        epoch: one epoch of an average network, in one process.
        biggest_epoch: one epoch of the biggest network.
        overhead: what is spent outside the four parts: starting processes, export, report.
        threads: with how many a step takes that long.
        alone: candidates (a count) that are scored one after the other, by one process.
        zero_cost: on the ladder, a candidate's zero-cost scores.
        again: there, a candidate's score on all validation images.
        warm: there, a candidate's steps from its generated weights.
    """

    step: float
    score: float
    epoch: float
    biggest_epoch: float
    overhead: float
    threads: int = 1
    alone: int = 0
    zero_cost: float = 0.0
    again: float = 0.0
    warm: float = 0.0


def plan(config: Config, given: dict[str, int], costs: Costs, *, spent: float = 0.0) -> Plan:
    """Return the counts of a run: those that are given, the rest from its minutes.

    Parts whose counts are given take what they take; the others share the rest of the time.

    Args:
        config: says the minutes, the number of processes, and what is trained besides.
        given: counts that stand.
        costs: measured on this machine.
        spent: seconds that are already gone.

    Raises:
        ConfigError: the minutes are too few; says the least that work.
    """
    total = config.minutes * 60 - spent - costs.overhead
    work = _Work(config, given, costs)
    least = work.least_seconds()
    if total < least:
        minutes = math.ceil((least + spent + costs.overhead) / 6 + 1e-6) / 10  # one that works
        raise ConfigError(
            f"--minutes {config.minutes:g} is too little: at least {minutes:.1f} minutes are "
            "needed here; give more, or a smaller space (--set), or fewer --examples"
        )
    return work.divided(total)


DECIDES = {"fit": "steps", "search": "trials", "train": "epochs", "longer": "best_epochs"}
"""the count that says how long a part takes"""


@dataclass(frozen=True)
class _Work:
    """What a run has to do, and what that costs here.

    Attributes:
        config: says what is trained, and in how many processes.
        given: counts that stand.
        costs: measured on this machine.
    """

    config: Config
    given: dict[str, int]
    costs: Costs

    @property
    def shares(self) -> Mapping[str, float]:
        """Parts of the wall clock."""
        return BY_TRAINING if self.config.score_by == "training" else SHARES

    def divided(self, total: float) -> Plan:
        """Divide ``total`` seconds among the parts."""
        given, costs, processes = self.given, self.costs, self.config.processes
        fixed = {part: s for part, s in self.seconds().items() if DECIDES[part] in given}
        free = {part: share for part, share in self.shares.items() if part not in fixed}
        left = total - sum(fixed.values())
        share = fixed | {part: left * value / sum(free.values()) for part, value in free.items()}
        work = {part: seconds / MARGIN for part, seconds in share.items()}
        finalists, seeds, epochs, most = self.trainings(work["train"] * processes)
        longer = work["longer"] / costs.biggest_epoch
        counts = {
            "steps": _between(work["fit"] / (costs.step or 1), LEAST.steps, MOST_STEPS),
            "trials": _between(work["search"] * processes / costs.score, LEAST.trials, MOST_TRIALS),
            "finalists": finalists,
            "seeds": seeds,
            "epochs": epochs,
            "best_epochs": _between(longer, LEAST.best_epochs, MOST_EPOCHS),
        } | given
        less = [
            f"{name} {counts[name]} instead of {most}"
            for name, most in USUAL.items()
            if counts[name] < most and name not in given
        ]
        return Plan(
            **counts,
            sample=self.config.sample,
            climbers=most,
            at_once=at_once(most, processes),
            threads=costs.threads,
            seconds={part: share[part] for part in SHARES},
            forced=f"{' and '.join(less)}: the time allows no more" if less else "",
        )

    def trainings(self, seconds: float) -> tuple[int, int, int, int]:
        """Return finalists, seeds, epochs and climbers that take ``seconds`` of one process."""

        def epochs_of(most: int) -> int:
            def within(epochs: int) -> int:
                left = seconds - self.before(finalists, most, epochs)
                return _whole(left / self.epoch_of_all(finalists, seeds, most))

            least = _long_enough(self.costs)
            return max(within(least), min(within(0), least - 1))

        given = self.given
        finalists = seeds = 1
        for count, often in GIVEN_UP:
            finalists, seeds = given.get("finalists", count), given.get("seeds", often)
            most = self.climbers(finalists)
            if epochs_of(most) >= given.get("epochs", GOOD_EPOCHS):
                break
        if most and "epochs" not in given:
            while most < MOST_CLIMBERS and epochs_of(most + 1) >= GENEROUS_EPOCHS:
                most += 1
        return finalists, seeds, _between(epochs_of(most), LEAST.epochs, MOST_EPOCHS), most

    def epoch_of_all(self, finalists: int, seeds: int, most: int) -> float:
        """Seconds of one epoch of the finalists, as many random networks, and the biggest.

        Of the sample the rest are trained no oftener than is needed, and on the ladder ``most``
        candidates once, the finalists among them.
        """
        least, more = self.config.least_seeds, max(0, self.config.sample - finalists)
        trainings = finalists * (seeds + max(seeds, least)) + more * least
        trainings += max(0, most - finalists)
        return trainings * self.costs.epoch + seeds * self.costs.biggest_epoch

    def before(self, finalists: int, most: int, epochs: int) -> float:
        """Seconds of zero-cost scores, and of the rungs below the trainings of ``epochs``.

        For all that climb them, ``most`` to the end.
        """
        if not most:
            return 0.0
        costs, others = self.costs, max(finalists, self.config.sample) + 1
        entered = min(FEWER**3 * most, self.given.get("trials", MOST_TRIALS))
        again = min(FEWER**2 * most, _fewer(entered, most)) if costs.again else entered
        warm = min(FEWER * most, _fewer(again, most))
        seconds = costs.zero_cost * (entered + others) + costs.again * (again + others)
        return seconds + (costs.warm * (warm + others) if epochs >= _long_enough(costs) else 0.0)

    def climbers(self, finalists: int) -> int:
        """Return how many candidates the ladder trains to the end; 0 where there is none."""
        return CLIMBERS * finalists if self.config.climbs else 0

    def seconds(self) -> dict[str, float]:
        """Seconds of each part by the given counts, and the least of the others; with margin."""
        given, costs, processes = self.given, self.costs, self.config.processes
        count = {name: given.get(name, getattr(LEAST, name)) for name in COUNTS}
        if "epochs" in given:  # then fewer networks are the last thing to give up
            count |= {name: given.get(name, most) for name, most in USUAL.items()}
        finalists, epochs = count["finalists"], count["epochs"]
        most = self.climbers(finalists)
        training = epochs * self.epoch_of_all(finalists, count["seeds"], most)
        parts = {
            "fit": count["steps"] * costs.step,
            "search": (costs.alone + (count["trials"] - costs.alone) / processes) * costs.score,
            "train": (training + self.before(finalists, most, epochs)) / processes,
            "longer": count["best_epochs"] * costs.biggest_epoch,
        }
        return {part: MARGIN * seconds for part, seconds in parts.items()}

    def least_seconds(self) -> float:
        """Seconds of the shortest run in which every part gets by with its share of the time."""
        parts = self.seconds()
        fixed = sum(seconds for part, seconds in parts.items() if DECIDES[part] in self.given)
        free = {part: s for part, s in self.shares.items() if DECIDES[part] not in self.given}
        whole = sum(free.values())
        return fixed + max((parts[part] * whole / s for part, s in free.items()), default=0)


def _long_enough(costs: Costs) -> int:
    """Return the fewest epochs of trainings of which some first steps are a rung."""
    return math.ceil(OFTEN * costs.warm / costs.epoch - 1e-9)


def _fewer(below: int, most: int) -> int:
    """Return how many of those below climb a rung, where ``most`` are trained to the end."""
    return min(below, max(most, below // FEWER))


def climbers(plan: Plan) -> int:
    """Return how many candidates the ladder of a plan trains to the end at most."""
    return max(plan.climbers, CLIMBERS * plan.finalists)


def at_once(most: int, processes: int) -> int:
    """Return how many of ``most`` candidates are trained beside each other."""
    return max(AT_ONCE, min(processes, most))


def _between(value: float, least: int, most: int) -> int:
    return max(least, min(_whole(value), most))


def _whole(value: float) -> int:
    """Return the whole part; what a rounding error keeps from a whole number counts as it."""
    return int(value + 1e-9)


def clock(
    work: Callable[[int], object], repeats: Sequence[int], *, enough: float = math.inf
) -> float:
    """Return the mean wall-clock seconds of ``work`` over ``repeats``, one run before them.

    After ``enough`` seconds the runs that were done must do.
    """
    work(repeats[0])
    began, mean = time.perf_counter(), math.nan
    for done, number in enumerate(repeats, start=1):
        work(number)
        passed = time.perf_counter() - began
        mean = passed / done
        if passed >= enough:
            break
    return mean
