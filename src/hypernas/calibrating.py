"""What candidates would reach if they were trained, foretold from all that a run knows.

A score ranks and is no accuracy. The networks that a run has trained tell what it is worth beside
size, zero-cost scores and choices, and so what the others would reach: what the ladder would
believe of them (:mod:`hypernas.posterior`), without a further training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean

import msgspec

from hypernas import jobs
from hypernas.choices import Architecture, canonical, identity
from hypernas.console import Voice, chance, share, short
from hypernas.errors import ConfigError
from hypernas.files import read_json
from hypernas.jobs import Rescore, Warm, ZeroCost, done
from hypernas.ladder import REGRET, Entry, Rung, believe, features_of
from hypernas.largest import larger
from hypernas.proxies import PROXIES, SIZES, Timed, common
from hypernas.resampling import different
from hypernas.results import Limits, Network, Scored
from hypernas.searching import distinct
from hypernas.workers import Pool
from hypernas.workplace import Workplace

MOST = 200
"""candidates of which it is foretold, from the most promising on"""
RUNGS: dict[Rung, type[Rescore | Warm]] = {"rescore": Rescore, "warm": Warm}
"""of the ladder, whose signals are kept beside a network, and what measures them"""
TRUSTED, MORE = 20, "hypernas trust RUN --train 20"
"""trained networks that are enough, and what trains so many"""


@dataclass(frozen=True)
class Foretold:
    """What a candidate would reach.

    Attributes:
        candidate: with its score.
        accuracy: expected on the validation split, mean over seeds.
        deviation: how far it may be off.
        near_best: probability that none of the candidates is REGRET or more above it.
        trained: what it did reach, mean over its seeds; None where it was not trained.
    """

    candidate: Scored
    accuracy: float
    deviation: float
    near_best: float
    trained: float | None


@dataclass(frozen=True)
class Calibrated:
    """What candidates would reach, and from how much that is known.

    Attributes:
        found: best first.
        networks: how many trained ones it is foretold from.
        larger: in words, those found that are larger than any that the hypernetwork was fitted on;
            empty where there is none.
    """

    found: list[Foretold]
    networks: int
    larger: str = ""


def calibrated(
    place: Workplace,
    field: Sequence[Scored],
    trained: Sequence[Network],
    limits: Limits,
    voice: Voice,
) -> Calibrated:
    """Return what candidates would reach, trained ones too.

    Args:
        place: the run.
        field: candidates, the most promising first; the first MOST are looked at.
        trained: networks, of whatever size; those within the limits are candidates as well.
        limits: of the candidates.
        voice: shows how it goes.

    Raises:
        ConfigError: none is within the limits.
    """
    trained = different(trained)
    reached = {canonical(n.choices): [t.val_accuracy for t in n.seeds] for n in trained}
    known = {canonical(one.choices): one for one in [*field, *trained]}
    order = (place.candidates.of(one.choices) for one in [*trained, *field])
    keys = [canonical(one.choices) for one in distinct(order, len(trained) + MOST)]
    among = [n for n, key in enumerate(keys) if limits.admit(known[key].params, known[key].macs)]
    if not among:
        raise ConfigError(
            "no scored candidate is within these limits; ask without them, or search more"
        )
    place.threads(1)  # as in the processes of a run: last digits depend on it
    with Pool(place.folder, place.config.processes, lambda job: jobs.do(place, job)) as pool:
        proxies, _ = zero_cost(
            pool, voice, [known[key].choices for key in keys], place.config.score_by
        )
        rungs = _measure_trained(place, pool, voice, [one.choices for one in trained])
    entries = [
        Entry(choices=o.choices, params=o.params, macs=o.macs, score=o.score, proxies=proxies[key])
        for key in keys
        for o in [known[key]]
    ]
    accuracies = {number: reached[key] for number, key in enumerate(keys) if key in reached}
    signals = {
        number: [one.score, *_as_far_as(_measured(place, one.choices), rungs)]
        for number, one in enumerate(entries)
    }
    posterior = believe(features_of(entries), signals, accuracies, rungs, seed=place.config.seed)
    means, deviations = posterior.means, posterior.deviations
    near = posterior.near_best(REGRET, among)
    found = [
        Foretold(
            candidate=known[keys[n]],
            accuracy=float(means[n]),
            deviation=float(deviations[n]),
            near_best=float(near[n]),
            trained=fmean(accuracies[n]) if n in accuracies else None,
        )
        for n in among
    ]
    found.sort(key=lambda one: -one.accuracy)
    return Calibrated(found, len(accuracies), larger(place, [one.candidate for one in found]))


def _measure_trained(
    place: Workplace, pool: Pool, voice: Voice, trained: Sequence[Architecture]
) -> list[Rung]:
    """Return the rungs that the run's ladder had; what trained networks lack there is measured.

    Of a rung that a trained network skipped, the posterior could not learn what it is worth.
    """
    measured = [_measured(place, choices) for choices in trained]
    rungs = [rung for rung in RUNGS if any(rung in own for own in measured)]
    for rung in rungs:
        some = [c for c, own in zip(trained, measured, strict=True) if rung not in own]
        if some:
            done(pool, voice, rung, [RUNGS[rung](choices=choices) for choices in some])
    return rungs


def _measured(place: Workplace, choices: Architecture) -> dict[Rung, float]:
    """Return what has been measured of a network on the rungs below the trainings."""
    folder = place.folder / f"networks/{identity(choices)}"
    paths = {rung: folder / f"{rung}.json" for rung in RUNGS}
    return {rung: read_json(path, Timed).value for rung, path in paths.items() if path.exists()}


def _as_far_as(measured: Mapping[Rung, float], rungs: Sequence[Rung]) -> list[float]:
    """Return the signals of an entry from the lowest rung to the highest that it has climbed."""
    return [measured[rung] for rung in takewhile(lambda rung: rung in measured, rungs)]


def show(voice: Voice, answer: Calibrated, count: int, word: str) -> None:
    """Print the first ``count`` candidates.

    Args:
        voice: prints.
        answer: what was foretold.
        count: how many.
        word: what the task measures, in short.
    """
    rows = [
        (
            f"{number}",
            f"{one.accuracy:.1%} ± {1.96 * one.deviation:.1%}",
            chance(one.near_best),
            share(one.trained),
            f"{one.candidate.score:.3f}",
            short(one.candidate.params),
            short(one.candidate.macs),
        )
        for number, one in enumerate(answer.found[:count], start=1)
    ]
    header = ("rank", f"{word} ± 2 sd", "P near best", "trained", "score", "params", "MACs")
    voice.table(f"best by {word} foretold on validation", header, rows)
    if answer.larger:
        voice.say(answer.larger)
    few = "" if answer.networks >= TRUSTED else f"; {MORE} makes this surer"
    voice.say(
        f"foretold from {answer.networks} trained networks{few}; P near best: none of "
        f"{len(answer.found)} candidates is {100 * REGRET:g} points or more better"
    )


def zero_cost(
    pool: Pool, voice: Voice, architectures: Sequence[Architecture], score_by: str
) -> tuple[dict[str, dict[str, float]], float]:
    """Return the zero-cost scores of architectures by their canonical forms, and CPU seconds.

    Those are left out that one of the architectures does not have, sizes, and what ranks already.
    """
    keys = dict(zip(map(canonical, architectures), architectures, strict=True))
    answers = done(pool, voice, "zero-cost", [ZeroCost(choices=c) for c in keys.values()])
    found = msgspec.convert(answers, list[dict[str, Timed]])
    there = common(found)
    if without := [name for name in PROXIES if name not in there]:
        voice.say(f"left out, as not every network has them: {', '.join(without)}")
    names = [name for name in there if name not in (*SIZES, score_by)]
    values = {
        key: {name: values[name].value for name in names}
        for key, values in zip(keys, found, strict=True)
    }
    return values, sum(one.seconds for values in found for one in values.values())
