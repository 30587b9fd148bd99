"""Which networks are trained for real, and what became of them.

The best by score, or whom the ladder chooses (:mod:`hypernas.climbing`), as many random ones, and
the biggest that fits, all by one recipe: without the last two no one could say whether the search
was worth it. More random ones, of one training each,
tell how far scores may be believed (:mod:`hypernas.trust`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hypernas.candidate import Candidate
from hypernas.choices import canonical
from hypernas.config import Plan
from hypernas.console import Voice
from hypernas.errors import RunError
from hypernas.files import read_json, write_json
from hypernas.jobs import Train
from hypernas.randomness import rng
from hypernas.results import Network, Rebuilt, Scored, Source, Struct, Training
from hypernas.scoring import Score
from hypernas.searching import distinct, top
from hypernas.survey import Surveyed
from hypernas.workplace import Workplace

FURTHER, ANEW = 1000, 0.5
"""draws where the survey has too few within the limits: relatives of those, each choice drawn anew
with this probability"""


class Pick(Struct, frozen=True):
    """A network that is to be trained for real."""

    choices: dict[str, Any]
    params: int
    macs: int
    score: Score
    source: Source
    seeds: int | None = None
    """trainings; None for as many as planned"""


class Picks(Struct, frozen=True):
    """All networks that are to be trained for real; written to ``picks.json``."""

    trials: int
    """number of scored candidates among which the best were picked"""
    finalists: int
    """how many were asked for"""
    networks: list[Pick]
    sample: int = 0
    """random networks that were asked for, where these are more"""
    ended: bool = True
    """False while a ladder may choose further ones"""
    epochs: int = 0
    """of the trainings by which a ladder chose; 0 where none did"""

    def of(self, source: Source) -> list[Pick]:
        """Return those from one source, in order."""
        return [pick for pick in self.networks if pick.source == source]


def pick(place: Workplace, scored: Sequence[Scored], count: int, sample: int = 0) -> Picks:
    """Pick the best ``count`` by score, as many random ones, and the biggest that fits.

    With a larger ``sample`` more random ones are picked, of one training each, beside the one that
    may be their score.
    """
    candidates = place.candidates
    by_score = (candidates.of(s.choices) for s in top(scored, len(scored), place.config.limits))
    best = distinct(by_score, count)
    # a small space, or tight limits, may have no more than len(best)
    networks = [
        *picked(place, "search", best, scored),
        *baseline(place, scored, len(best), sample),
    ]
    return Picks(trials=len(scored), finalists=count, sample=sample, networks=networks)


def baseline(place: Workplace, scored: Sequence[Scored], count: int, sample: int = 0) -> list[Pick]:
    """Pick ``count`` random networks and the biggest that fits; see :func:`pick`."""
    drawn = picked(place, "random", sampled(place, max(count, sample)), scored)
    least = place.config.least_seeds
    whole = None if place.plan.seeds >= least else least
    found = [
        msgspec.structs.replace(one, seeds=whole if number < count else least)
        for number, one in enumerate(drawn)
    ]
    return [*found, *picked(place, "biggest", [place.biggest], scored)]


def sampled(place: Workplace, count: int) -> list[Candidate]:
    """Return random different networks within the limits; the first ones of more are the same.

    They are spread evenly over the sizes in the survey (van der Corput's sequence, begun at a
    random place), so that the sizes of a few are not left to luck; relatives of these follow where
    the survey has no more.
    """
    config = place.config
    fitting = [a for a in place.survey.drawn if config.limits.admit(a.params, a.macs)]
    fitting.sort(key=lambda a: (a.macs, a.params))
    start = rng(config.seed, "sample").random()
    order = dict.fromkeys(
        int((start + _van_der_corput(number)) % 1 * len(fitting))
        for number in range(4 * len(fitting))
    )
    surveyed = (place.candidates.of(fitting[position].choices) for position in order)
    more = (c for c in _relatives(place, fitting) if config.limits.admit(c.params, c.macs))
    return distinct(itertools.chain(surveyed, more), count)


def _relatives(place: Workplace, fitting: Sequence[Surveyed]) -> Iterator[Candidate]:
    for number in range(FURTHER if fitting else 0):
        generator = rng(place.config.seed, "random pick", number)
        yield place.candidates.perturb(generator.choice(fitting).choices, ANEW, generator)


def _van_der_corput(number: int) -> float:
    """Return a place of the sequence 0, 1/2, 1/4, 3/4, 1/8, …

    >>> [_van_der_corput(number) for number in range(4)]
    [0.0, 0.5, 0.25, 0.75]
    """
    return int(f"{number:b}"[::-1], 2) / 2 ** len(f"{number:b}")


def picked(
    place: Workplace, source: Source, found: Sequence[Candidate], scored: Sequence[Scored]
) -> list[Pick]:
    """Give each network its score: from the study where it is there, measured else."""
    scores = {canonical(s.choices): s for s in scored}
    picks = []
    for candidate in found:
        known = scores.get(canonical(candidate.choices))
        if known is None:
            score = place.score([candidate])[0]
        else:
            score = Score(
                score=known.score,
                interval=known.interval,
                score_accuracy=known.score_accuracy,
                curve=known.curve,
            )
        picks.append(
            Pick(
                choices=candidate.choices,
                params=candidate.params,
                macs=candidate.macs,
                score=score,
                source=source,
            )
        )
    return picks


def require_scored(place: Workplace, scored: Sequence[Scored]) -> None:
    """Refuse a run of which nothing was scored yet.

    Raises:
        RunError: says what to do.
    """
    if not scored:
        raise RunError(f"{place.folder} has no scored candidates; run `hypernas search` on it")


def kept_picks(place: Workplace, scored: Sequence[Scored]) -> Picks | None:
    """Return the picks as they are kept; None where more was scored, or others are asked for.

    Those of a ladder that was stopped, or climbed by shorter trainings, are none yet.
    """
    path, plan = place.folder / "picks.json", place.plan
    picks = read_json(path, Picks) if path.exists() else None
    if picks is not None:
        asked = picks.trials, picks.finalists, picks.sample
        if not picks.ended or asked != (len(scored), plan.finalists, plan.sample):
            return None
        if picks.epochs not in (0, plan.epochs):
            return None
    return picks


def renewed(place: Workplace, scored: Sequence[Scored], voice: Voice) -> Picks:
    """Return the networks to train, picked anew when more was scored, or others are asked for."""
    picks = kept_picks(place, scored)
    if picks is None:
        voice.say("picking finalists, random networks and the biggest that fits …")
        picks = pick(place, scored, place.plan.finalists, place.plan.sample)
        write_json(place.folder / "picks.json", picks)
    return picks


def read_picks(place: Workplace, scored: Sequence[Scored]) -> Picks:
    """Return the networks that were trained.

    Raises:
        RunError: none were, or more was scored since.
    """
    path = place.folder / "picks.json"
    if not path.exists():
        raise RunError(f"{place.folder} has no trained networks; run `hypernas train` on it")
    picks = read_json(path, Picks)
    if picks.trials != len(scored):
        raise RunError(
            f"{place.folder} has more scored candidates than its finalists were picked from; "
            "run `hypernas train` on it"
        )
    return picks


def promoted(place: Workplace, picks: Picks) -> Picks | None:
    """Return the picks with all seeds for the best network, or None where it has them.

    A random network that is the best of many by its one seed is so by luck, among other things.
    """
    best = best_of(networks(place, picks, place.plan))
    if len(best.seeds) >= place.plan.seeds:
        return None
    found = [
        msgspec.structs.replace(one, seeds=None) if one.choices == best.choices else one
        for one in picks.networks
    ]
    more = msgspec.structs.replace(picks, networks=found)
    write_json(place.folder / "picks.json", more)
    return more


def trainings(picks: Picks, plan: Plan) -> list[Train]:
    """Return the trainings of all picks, the costliest first so that processes end together."""
    jobs = {}
    for network in sorted(picks.networks, key=lambda n: -n.macs):
        for seed in range(network.seeds or plan.seeds):
            job = Train(choices=network.choices, seed=seed, epochs=plan.epochs)
            jobs[job.folder] = job  # a network with two sources is trained once
    return list(jobs.values())


def networks(place: Workplace, picks: Picks, plan: Plan) -> list[Network]:
    """Return the picks with what they reached.

    Raises:
        RunError: one was not trained yet.
    """
    found = so_far(place, picks, plan)
    planned = sum(pick.seeds or plan.seeds for pick in picks.networks)
    if not picks.ended or sum(len(network.seeds) for network in found) < planned:
        raise RunError(
            f"{place.folder} has networks that are not trained yet; run `hypernas train` on it"
        )
    return found


def so_far(place: Workplace, picks: Picks, plan: Plan) -> list[Network]:
    """Return those picks that were trained with one seed at least, and what they reached.

    Raises:
        RunError: none was.
    """
    found = [_network(place, pick, plan) for pick in picks.networks]
    trained = [network for network in found if network is not None]
    if not trained:
        raise RunError(
            f"{place.folder} has networks that are not trained yet, and none that is; run "
            "`hypernas train` on it"
        )
    return trained


def _network(place: Workplace, pick: Pick, plan: Plan) -> Network | None:
    done = []
    for seed in range(pick.seeds or plan.seeds):
        result = Train(choices=pick.choices, seed=seed, epochs=plan.epochs).known(place)
        if result is None:  # a later one may be there: networks are compared by their first ones
            break
        done.append(result)
    if not done:
        return None
    return Network(
        choices=pick.choices,
        params=pick.params,
        macs=pick.macs,
        score=pick.score.score,
        interval=pick.score.interval,
        score_accuracy=pick.score.score_accuracy,
        curve=pick.score.curve,
        val_accuracy=_mean([training.val_accuracy for training in done]),
        test_accuracy=_mean([t.test_accuracy for t in done if t.test_accuracy is not None]),
        seeds=done,
        source=pick.source,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def best_of(found: Sequence[Network]) -> Network:
    """Return the network with the highest mean validation accuracy.

    Of equal ones a finalist of the search wins, then the one with fewer parameters.
    """
    return max(found, key=lambda n: (n.val_accuracy, n.source == "search", -n.params))


def best_seed(network: Network | Rebuilt) -> Training:
    """Return the training with the highest validation accuracy."""
    return max(network.seeds, key=lambda t: (t.val_accuracy, -t.seed))
