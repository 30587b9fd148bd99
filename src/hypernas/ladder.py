"""The ladder: who climbs from a score to the full training, by what is believed of candidates.

This is the policy alone: it knows neither a run nor its processes. It is given *entries*, asks a
*source* for signals, and yields a :class:`Standing`, the best answer so far, whenever it has
learned something. A run is a source that trains (:mod:`hypernas.climbing`); a table of ground truth
with recorded scores is one that looks up::

    class Replay:                                       # a Source
        def climb(self, rung, numbers):
            self.seconds += sum(cost[rung][n] for n in numbers)
            return [recorded[rung][n] for n in numbers]

        def train(self, seeds):
            self.seconds += sum(cost["full"][n] * count for n, count in seeds.items())
            return {n: accuracies[n][:count] for n, count in seeds.items()}

    entries = [Entry(choices=t.choices, params=t.params, macs=t.macs, score=s, proxies=p) for ...]
    widths = Widths(rungs={"warm": 30, "part": 10}, full=10, finalists=3, seeds=2)
    for standing in climb(entries, widths, source := Replay(), seed=0):
        print(source.seconds, entries[standing.best].choices, standing.certainty)

Entries and all numbers are positions in the list of entries. What is asked for again (the further
seeds of a finalist, a network that is a finalist and nothing chose) is asked for as a whole: a
source that counts costs should count the difference.

The rungs, in this order; all but the first and the last may be left out:

1. the score, which entries have: generated weights on a few images (who enters at all is for the
   caller to say, as by :func:`by_promise`);
2. ``rescore``: the same on all validation images;
3. ``warm``: the score after some steps of training from the generated weights;
4. ``part``: the accuracy after the first part of the full training;
5. the full training, with one seed.

First the most promising candidate is trained, and with it the other one with ``seeds`` that has the
most params: an answer after two networks. Then the rest of those with ``seeds``, which nothing
chose. All of these are measured on every rung, and tell what each is worth
(:mod:`hypernas.posterior`). Then the candidates of which most is expected climb, fewer on each
rung, as far as ``warm``. From there on a few climb at a time, each time those of which most is
expected by then, through the first part of the training and all of it, until no entry is likely to
be much better than the best, or ``full`` have arrived. The best ``finalists`` of them get all
``seeds``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol

from hypernas.budget import FEWER
from hypernas.choices import Architecture
from hypernas.posterior import (
    Climber,
    Features,
    Floats,
    Posterior,
    Prior,
    described,
    promised,
)
from hypernas.results import Scored

Rung = Literal["rescore", "warm", "part"]
AGAIN = Prior(0.95, 0.1, features=False)
"""what a score is worth for the same on more images; of other rungs little is known before"""
AFTER_WARM = Prior(0.3, second=0.2)
"""some steps say no more than the score, but something else (docs/log.md)"""
LEAST_ARRIVED = 2
"""candidates that arrive in any case"""
REGRET, SURE = 0.005, 0.9
"""no more arrive when with this probability no entry is so much better than the best"""


@dataclass(frozen=True)
class Entry:
    """A network on the first rung.

    Attributes:
        choices: the architecture.
        params, macs: its size.
        score: higher is better.
        proxies: its zero-cost scores by name; all entries have the same ones.
        seeds: trainings that it gets in any case; 0 where it is to climb for them.
        candidate: whether it may climb.
    """

    choices: Architecture
    params: int
    macs: int
    score: float
    proxies: Mapping[str, float]
    seeds: int = 0
    candidate: bool = True


@dataclass(frozen=True)
class Widths:
    """How many candidates climb.

    Attributes:
        rungs: the rungs between the score and the full training, each with its candidates.
        full: most candidates that arrive on the top.
        finalists: how many of them get all seeds.
        seeds: trainings of a finalist.
        at_once: candidates that are trained together, before it is asked again of which most is
            expected, and whether that is enough.
    """

    rungs: Mapping[Rung, int]
    full: int
    finalists: int
    seeds: int = 1
    at_once: int = 2


class Source(Protocol):
    """Where signals of entries come from."""

    def climb(self, rung: Rung, numbers: Sequence[int]) -> Sequence[float]:
        """Return the signal of each entry on a rung; higher is better."""
        ...

    def train(self, seeds: Mapping[int, int]) -> Mapping[int, Sequence[float]]:
        """Train entries to the end, each with so many seeds; return the accuracies of each."""
        ...


@dataclass(frozen=True)
class Standing:
    """What the ladder knows at some moment.

    Attributes:
        best: the trained entry of which most is expected.
        certainty: probability that no entry is better than it by REGRET or more.
        arrived: candidates that are trained to the end, best first.
        finalists: those of them that have all seeds; there are none before the end.
        expected: mean accuracy over seeds that is expected of each entry, (N,).
        deviations: how far each may be off, (N,).
        rungs: on how many rungs each entry stands, the top counted.
        ended: whether nothing more will be asked for.
    """

    best: int
    certainty: float
    arrived: list[int]
    expected: Floats
    deviations: Floats
    rungs: list[int]
    finalists: Sequence[int] = ()
    ended: bool = False

    @property
    def sure(self) -> bool:
        """Whether nothing much better is likely."""
        return self.certainty > SURE


def climb(
    entries: Sequence[Entry], widths: Widths, source: Source, *, seed: int = 0
) -> Iterator[Standing]:
    """Yield what is known after each step of the ladder; the last says that it has ended.

    Args:
        entries: candidates, and networks that nothing chose.
        widths: how many climb.
        source: of signals.
        seed: of the posterior's draws.
    """
    ladder = _Ladder(entries, widths, source, seed)
    left, first = ladder.candidates, first_of(entries)
    for some in ladder.beginnings(first):
        ladder.begin(some)
        yield ladder.standing([first])
    for rung, most in widths.rungs.items():
        if rung != "part":
            count = min(most, max(widths.full, len(left) // FEWER))
            left = [first, *ladder.best([number for number in left if number != first], count - 1)]
            ladder.climb(rung, left)
            yield ladder.standing(left)
    while not ladder.enough(left) and (some := ladder.next(left)):
        if below := [number for number in some if not ladder.on_last(number)]:
            ladder.climb("part", below)
        else:
            ladder.train(dict.fromkeys(some, 1))
        yield ladder.standing(left)
    finalists = ladder.standing(left).arrived[: widths.finalists]
    ladder.train({n: widths.seeds for n in finalists if len(ladder.accuracies[n]) < widths.seeds})
    yield replace(ladder.standing(left), finalists=finalists, ended=True)


def by_promise(several: Sequence[Scored]) -> list[Scored]:
    """Return scored candidates, first those that score and size promise most."""
    if not several:
        return []
    promise = promised([one.score for one in several], _sizes(several), {})
    order = sorted(range(len(several)), key=lambda number: -promise[number])
    return [several[number] for number in order]


def first_of(entries: Sequence[Entry]) -> int:
    """Return the candidate that promises most before anything is trained."""
    promise = promised([one.score for one in entries], _sizes(entries), _proxies(entries))
    candidates = [number for number, one in enumerate(entries) if one.candidate]
    return max(candidates, key=lambda number: promise[number])


def believe(
    features: Features,
    signals: Mapping[int, Sequence[float]],
    accuracies: Mapping[int, Sequence[float]],
    rungs: Sequence[Rung] = (),
    *,
    seed: int = 0,
) -> Posterior:
    """Return what is believed of entries, from what was measured of them.

    Args:
        features: of all N entries (:func:`features_of`).
        signals: of each on the rungs below the top, as far as it climbed; the score is the first.
        accuracies: of those that were trained to the end, one a seed.
        rungs: between the score and the full training.
        seed: of the posterior's draws.
    """
    priors = [_prior(below, rung) for below, rung in pairwise(["score", *rungs, "top"])]
    climbers = [Climber(signals[n], accuracies.get(n, ())) for n in range(len(signals))]
    return Posterior(climbers, priors, features, seed=seed)


def _prior(below: str, rung: str) -> Prior:
    """Return what a rung's signal is supposed to say of the next one's."""
    if rung == "rescore":
        return AGAIN
    return AFTER_WARM if below == "warm" else Prior()


def features_of(entries: Sequence[Entry]) -> Features:
    """Return what is known of entries before any signal."""
    return described([one.choices for one in entries], _sizes(entries), _proxies(entries))


def _sizes(several: Sequence[Entry] | Sequence[Scored]) -> list[tuple[int, int]]:
    return [(one.params, one.macs) for one in several]


def _proxies(entries: Sequence[Entry]) -> dict[str, list[float]]:
    return {name: [one.proxies[name] for one in entries] for name in entries[0].proxies}


class _Ladder:
    """Signals of entries, as far as each has climbed."""

    def __init__(self, entries: Sequence[Entry], widths: Widths, source: Source, seed: int) -> None:
        self.entries, self.widths, self.source, self.seed = entries, widths, source, seed
        self.features = features_of(entries)
        self.candidates = [number for number, one in enumerate(entries) if one.candidate]
        self.signals = {number: [one.score] for number, one in enumerate(entries)}
        self.accuracies: dict[int, Sequence[float]] = {}
        self.known: Posterior | None = None

    def beginnings(self, first: int) -> Iterator[list[int]]:
        """Yield what is trained in any case: the first one and the biggest other, then the rest."""
        others = [n for n, one in enumerate(self.entries) if one.seeds and n != first]
        others.sort(key=lambda number: (-self.entries[number].params, -self.entries[number].macs))
        yield [first, *others[:1]]
        if others[1:]:
            yield others[1:]

    def begin(self, some: Sequence[int]) -> None:
        """Train some in full that have climbed nothing, and measure them all over."""
        self.train({number: max(self.entries[number].seeds, 1) for number in some})
        for rung in self.widths.rungs:
            self.climb(rung, some)

    def climb(self, rung: Rung, numbers: Sequence[int]) -> None:
        """Let those climb a rung that stand right below."""
        height = 1 + list(self.widths.rungs).index(rung)
        below = [number for number in numbers if len(self.signals[number]) == height]
        for number, value in zip(below, self.source.climb(rung, below), strict=True):
            self.signals[number].append(value)
        self.known = None

    def train(self, seeds: Mapping[int, int]) -> None:
        """Train entries to the end."""
        if seeds:
            self.accuracies |= self.source.train(seeds)
            self.known = None

    def best(self, numbers: Sequence[int], count: int) -> list[int]:
        """Return those of which most is expected, best first."""
        means = self.believed().means
        return sorted(numbers, key=lambda number: -means[number])[:count]

    def on_last(self, number: int) -> bool:
        """Say whether an entry has all signals below the full training."""
        return len(self.signals[number]) == 1 + len(self.widths.rungs)

    def next(self, left: Sequence[int]) -> list[int]:
        """Return those of the untrained ones that climb next, as far as there is room for them."""
        last = [number for number in left if self.on_last(number)]
        full = self.widths.full - sum(number in self.accuracies for number in left)
        part = self.widths.rungs.get("part", len(left)) - len(last)
        waiting = [number for number in left if number not in self.accuracies]
        if part <= 0:
            waiting = [number for number in waiting if self.on_last(number)]
        some = self.best(waiting, min(self.widths.at_once, full))
        below = [number for number in some if not self.on_last(number)]
        return below[:part] or some

    def enough(self, left: Sequence[int]) -> bool:
        """Say whether no more of those on the highest rung need arrive."""
        arrived = sum(number in self.accuracies for number in left)
        if arrived >= min(self.widths.full, len(left)):
            return True
        return arrived >= LEAST_ARRIVED and self.standing(left).sure

    def standing(self, left: Sequence[int]) -> Standing:
        """Return what is known now, where ``left`` are the candidates on the highest rung."""
        found = self.believed()
        means = found.means
        best = max(self.accuracies, key=lambda number: means[number])
        arrived = [number for number in left if number in self.accuracies]
        return Standing(
            best=best,
            certainty=float(found.near_best(REGRET)[best]),
            arrived=sorted(arrived, key=lambda number: -means[number]),
            expected=means,
            deviations=found.deviations,
            rungs=[len(s) + (n in self.accuracies) for n, s in self.signals.items()],
        )

    def believed(self) -> Posterior:
        """Return what is believed of all entries by now."""
        if self.known is None:
            signals, rungs = self.signals, list(self.widths.rungs)
            self.known = believe(self.features, signals, self.accuracies, rungs, seed=self.seed)
        return self.known
