"""The ladder in a run: its signals come from jobs, and what it knows is on disk at any moment.

After each step ``picks.json`` holds the networks that are trained or being trained, so that a run
that was stopped can be reported and exported with what it has, and ``ladder.json`` what is believed
of the best candidates. Each signal is kept beside its network and is not worked out again, so a
ladder that was stopped climbs on to the same.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec

from hypernas import jobs
from hypernas.budget import FEWER, OFTEN, THIRD, climbers
from hypernas.calibrating import zero_cost
from hypernas.choices import canonical
from hypernas.console import Voice
from hypernas.files import read_json, write_json
from hypernas.finalists import Pick, Picks, baseline, kept_picks, picked
from hypernas.jobs import Job, Rescore, Train, TrainPart, Warm, done
from hypernas.ladder import (
    REGRET,
    Entry,
    Rung,
    Standing,
    Widths,
    by_promise,
    climb,
    first_of,
)
from hypernas.outcome import in_words
from hypernas.remembered import Believed, LadderRecord
from hypernas.results import Scored
from hypernas.searching import distinct, top
from hypernas.workers import Pool
from hypernas.workplace import Workplace

LONG = 20
"""epochs of a training whose first part says more of it than is known before (docs/log.md)"""
SHOWN = 10
"""candidates that ``ladder.json`` tells of"""


class Trained:
    """A source of signals that trains in the processes of a run.

    Args:
        place: of the run.
        pool: its processes.
        voice: shows how it goes.
        entries: of the ladder.
        by_epoch: measure trainings after each epoch, of which the rung of a part needs one.

    Attributes:
        seeds: how often each entry was trained, by its number.
        spent: CPU seconds of signals.
        parts: CPU seconds of trainings as far as the rung of a part, by number.
    """

    def __init__(
        self,
        place: Workplace,
        pool: Pool,
        voice: Voice,
        entries: Sequence[Entry],
        *,
        by_epoch: bool,
    ) -> None:
        self.place, self.pool, self.voice, self.entries = place, pool, voice, entries
        self.by_epoch = by_epoch
        self.seeds: dict[int, int] = {}
        self.spent = 0.0
        self.parts: dict[int, float] = {}

    @property
    def rung_seconds(self) -> float:
        """CPU seconds of what was done below the full training, and of trainings given up."""
        given_up = (cost for number, cost in self.parts.items() if number not in self.seeds)
        return self.spent + sum(given_up)

    def climb(self, rung: Rung, numbers: Sequence[int]) -> list[float]:
        """Return the signal of each entry on a rung."""
        every = [self.entries[number].choices for number in numbers]
        if rung == "part":
            epochs = self.place.plan.epochs
            parts = [TrainPart(choices=c, epochs=epochs, until=part(epochs)) for c in every]
            reached = self._done(rung, parts)
            for number, one in zip(numbers, reached, strict=True):
                if one["again"]:
                    self.spent += one["seconds"]
                else:
                    self.parts[number] = one["seconds"]
            return [one["accuracy"] for one in reached]
        kind = Rescore if rung == "rescore" else Warm
        found = self._done(rung, [kind(choices=choices) for choices in every])
        self.spent += sum(one["seconds"] for one in found)
        return [one["value"] for one in found]

    def train(self, seeds: Mapping[int, int]) -> dict[int, list[float]]:
        """Train entries with so many seeds; return their accuracies."""
        order = sorted(seeds, key=lambda number: -self.entries[number].macs)
        todo = [
            (number, self._training(number, seed))
            for number in order
            for seed in range(seeds[number])
        ]
        self.seeds |= seeds
        reached: dict[int, list[float]] = {number: [] for number in seeds}
        answers = self._done("train", [job for _, job in todo])
        for (number, _), answer in zip(todo, answers, strict=True):
            reached[number].append(answer["val_accuracy"])
        return reached

    def _training(self, number: int, seed: int) -> Train:
        return Train(
            choices=self.entries[number].choices,
            seed=seed,
            epochs=self.place.plan.epochs,
            by_epoch=self.by_epoch and seed == 0,
        )

    def _done(self, title: str, todo: Sequence[Job]) -> list[Any]:
        return done(self.pool, self.voice, title, todo)


def part(epochs: int) -> int:
    """Return how many epochs of a training of at least LONG the rung below it has."""
    return epochs // THIRD


def warms(epochs: int, batches_per_epoch: int) -> bool:
    """Say whether trainings are so long that some steps beside them are cheap."""
    return epochs * batches_per_epoch >= OFTEN * jobs.WARM_STEPS


def widths(place: Workplace) -> Widths:
    """Return how many candidates of a run climb; a rung that says nothing new is left out."""
    plan = place.plan
    most = climbers(plan)
    rungs: dict[Rung, int] = {}
    if place.config.fits:  # these rungs are of generated weights
        if place.data.validation > place.config.score_images:
            rungs["rescore"] = FEWER**2 * most
        if warms(plan.epochs, place.train_batches.batches_per_epoch):
            rungs["warm"] = FEWER * most
    if plan.epochs >= LONG and place.budgets is None:  # a part is judged by its last exit
        rungs["part"] = most
    return Widths(
        rungs=rungs,
        full=most,
        finalists=plan.finalists,
        seeds=plan.seeds,
        at_once=plan.at_once,
    )


def climbed(place: Workplace, scored: Sequence[Scored], voice: Voice) -> Picks:
    """Return the networks that were trained, as the ladder says; it trains them."""
    known = kept_picks(place, scored) or _with_other_sample(place, scored)
    if known is not None:
        return known
    wide, plan = widths(place), place.plan
    field = _field(place, scored, FEWER**3 * wide.full)
    others = baseline(place, scored, min(plan.finalists, len(field)), plan.sample)
    steps = [f"{most} ({rung})" for rung, most in [*wide.rungs.items(), ("full", wide.full)]]
    voice.say(
        f"a ladder: one candidate and {len(others)} networks that nothing chose, then at most "
        f"{', '.join(steps)}; recipe: {in_words(place.recipe(plan.epochs))}"
    )
    place.threads(1)
    with Pool(place.folder, place.config.processes, lambda job: jobs.do(place, job)) as pool:
        every = [one.choices for one in [*field, *others]]
        proxies, spent = zero_cost(pool, voice, every, place.config.score_by)
        entries = _entries(field, others, plan.seeds, proxies)
        source = Trained(place, pool, voice, entries, by_epoch="part" in wide.rungs)
        first = _finalists(place, scored, source, [first_of(entries)], ())
        picks = _kept(place, scored, first, others, ended=False)
        for standing in climb(entries, wide, source, seed=place.config.seed):
            finalists = _finalists(place, scored, source, standing.arrived, standing.finalists)
            picks = _kept(place, scored, finalists, others, ended=standing.ended)
            told = _told(entries, standing, spent + source.rung_seconds)
            write_json(place.folder / "ladder.json", told)
            _say(voice, entries, standing)
    return picks


def _with_other_sample(place: Workplace, scored: Sequence[Scored]) -> Picks | None:
    """Return the picks of a ladder that has ended with as many random networks as are asked for.

    Who wants to know how scores rank does not ask for other finalists. None where other finalists
    are asked for, or there are none yet.
    """
    path, plan = place.folder / "picks.json", place.plan
    picks = read_json(path, Picks) if path.exists() else None
    if picks is None or not picks.ended:
        return None
    chosen = picks.trials, picks.finalists, picks.epochs
    if chosen != (len(scored), plan.finalists, plan.epochs):
        return None
    in_full = len(_field(place, scored, plan.finalists))
    others = baseline(place, scored, in_full, plan.sample)
    return _kept(place, scored, picks.of("search"), others, ended=True)


def _field(place: Workplace, scored: Sequence[Scored], most: int) -> list[Scored]:
    """Return the candidates that promise most, different ones."""
    field = by_promise(top(scored, len(scored), place.config.limits))
    found = distinct((place.candidates.of(one.choices) for one in field), most)
    names = {canonical(candidate.choices) for candidate in found}
    return [one for one in field if canonical(one.choices) in names]


def _entries(
    field: Sequence[Scored],
    others: Sequence[Pick],
    seeds: int,
    proxies: Mapping[str, Mapping[str, float]],
) -> list[Entry]:
    """Return the candidates, the best first, and after them those that nothing chose.

    Args:
        field: the candidates.
        others: what nothing chose.
        seeds: of a finalist.
        proxies: zero-cost scores by the canonical form of choices.
    """
    found = {
        canonical(one.choices): Entry(
            choices=one.choices,
            params=one.params,
            macs=one.macs,
            score=one.score,
            proxies=proxies[canonical(one.choices)],
        )
        for one in field
    }
    for pick in others:
        key = canonical(pick.choices)
        before = found.get(key)
        found[key] = Entry(
            choices=pick.choices,
            params=pick.params,
            macs=pick.macs,
            score=pick.score.score,
            proxies=proxies[key],
            seeds=max(before.seeds if before else 0, pick.seeds or seeds),
            candidate=before is not None and before.candidate,
        )
    return list(found.values())


def _finalists(
    place: Workplace,
    scored: Sequence[Scored],
    source: Trained,
    arrived: Sequence[int],
    finalists: Container[int],
) -> list[Pick]:
    """Return candidates as picks: finalists of the plan's seeds, others of as many as they have."""
    candidates = [place.candidates.of(source.entries[number].choices) for number in arrived]
    picks = picked(place, "search", candidates, scored)
    return [
        pick
        if number in finalists
        else msgspec.structs.replace(pick, seeds=source.seeds.get(number, 1))
        for number, pick in zip(arrived, picks, strict=True)
    ]


def _kept(
    place: Workplace,
    scored: Sequence[Scored],
    finalists: Sequence[Pick],
    others: Sequence[Pick],
    *,
    ended: bool,
) -> Picks:
    plan = place.plan
    picks = Picks(
        trials=len(scored),
        finalists=plan.finalists,
        sample=plan.sample,
        networks=[*finalists, *others],
        ended=ended,
        epochs=plan.epochs,
    )
    write_json(place.folder / "picks.json", picks)
    return picks


def _told(entries: Sequence[Entry], standing: Standing, seconds: float) -> LadderRecord:
    order = sorted(range(len(entries)), key=lambda number: -standing.expected[number])
    candidates = [
        Believed(
            choices=entries[number].choices,
            params=entries[number].params,
            macs=entries[number].macs,
            score=entries[number].score,
            rungs=standing.rungs[number],
            accuracy=float(standing.expected[number]),
            deviation=float(standing.deviations[number]),
        )
        for number in order[:SHOWN]
    ]
    return LadderRecord(
        ended=standing.ended,
        certainty=standing.certainty,
        candidates=candidates,
        seconds=seconds,
    )


def _say(voice: Voice, entries: Sequence[Entry], standing: Standing) -> None:
    best, count = standing.best, len(standing.arrived)
    voice.say(
        f"{'the ladder ends' if standing.ended else 'so far'}, candidates trained: {count}; "
        f"the best of all networks is expected at {standing.expected[best]:.1%} "
        f"± {standing.deviations[best]:.1%} on validation; with a probability of "
        f"{standing.certainty:.0%} none of {len(entries)} is {100 * REGRET:g} points better"
    )
