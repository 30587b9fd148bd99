"""The candidates that an explanation is drawn from: random ones wherever there are enough, or all.

What a sampler proposed by what scored well is related to what scored well: its choices go with high
scores because its parents had them, whether they matter or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from hypernas.candidate import Candidate
from hypernas.choices import canonical
from hypernas.console import Voice
from hypernas.enumerating import every_architecture
from hypernas.errors import ConfigError, RunError
from hypernas.jobs import do, score_blocks
from hypernas.randomness import rng
from hypernas.results import Scored
from hypernas.samplers import ROUND
from hypernas.scoring import BLOCK
from hypernas.study import Study, finished
from hypernas.workers import Pool
from hypernas.workplace import Workplace

ENOUGH = 100
"""random candidates of a search that are preferred to all of its candidates"""
MOST_ALL = 20_000
"""architectures of a space of which all are scored"""
DRAWS = 50
"""draws for each candidate that is wanted, until no more are hoped for"""


@dataclass(frozen=True)
class Sample:
    """Scored candidates.

    Attributes:
        scored: at least one.
        source: where they come from, in words.
        notes: what is wrong with them.
    """

    scored: list[Scored]
    source: str
    notes: list[str] = field(default_factory=list)


def sample_of(
    place: Workplace,
    study: Callable[[str], Study],
    voice: Voice,
    random: int | None,
    every: bool,
) -> Sample:
    """Return the candidates that an explanation is drawn from.

    Args:
        place: the run.
        study: opens one of its studies by name.
        voice: told how far scoring is.
        random: how many random ones, in place of those of the search.
        every: take all of a small space.

    Raises:
        HypernasError: both are asked for, or there are none.
    """
    if random is not None and every:
        raise ConfigError(f"--random {random} and --all exclude each other; leave one out")
    if place.config.score_by == "training" and (every or random is not None):
        raise ConfigError(
            f"{'--all' if every else f'--random {random}'} would train them, for {place.folder} "
            "ranks candidates by training; leave it out"
        )
    if random is not None:
        return at_random(place, study("explain"), random, voice)
    if every:
        return of_all(place, study("all"), voice)
    return of_search(place, study("search").scored)


def of_search(place: Workplace, scored: list[Scored]) -> Sample:
    """Return the random candidates of a search, or where they are too few all of them.

    Raises:
        RunError: there are none.
    """
    if not scored:
        raise RunError(f"{place.folder} has no scored candidates; run `hypernas search` on it")
    name = place.config.sampler
    if name == "random":
        return Sample(scored, "the search, all of them random")
    random = place.sampler.stages(len(scored)).get("random", min(len(scored), ROUND))
    if random >= ENOUGH:
        return Sample(scored[:random], f"the random ones of the search by {name}")
    note = (
        f"these candidates are relatives of the best, as {name} proposes them, so what goes with a "
        "high score here need not be its cause; --random 300 scores random ones"
    )
    return Sample(scored, f"the search by {name}", [note])


def at_random(place: Workplace, study: Study, count: int, voice: Voice) -> Sample:
    """Return ``count`` random candidates within the run's limits; those that miss are scored.

    Args:
        place: the run.
        study: keeps what was scored for earlier explanations; new ones are added to it.
        count: how many.
        voice: told how far it is.

    Raises:
        ConfigError: the limits leave none.
    """
    if count < 1:
        raise ConfigError(f"--random is {count}; expected 1 or more")
    _score(place, study, islice(_drawn(place, count), len(study.scored), count), count, voice)
    if not study.scored:
        raise ConfigError(
            f"none of {DRAWS * count} random architectures meets the limits; leave --random out"
        )
    return Sample(study.scored[:count], "drawn at random for this explanation")


def of_all(place: Workplace, study: Study, voice: Voice) -> Sample:
    """Return every candidate of a small space within the run's limits; missing ones are scored.

    Args:
        place: the run.
        study: keeps what was scored for earlier explanations; new ones are added to it.
        voice: told how far it is.

    Raises:
        SpaceError: the space has more than ``MOST_ALL`` architectures.
        ConfigError: the limits leave none.
    """
    every = []
    with voice.bar("count") as update:
        for choices in every_architecture(place.candidates, most=MOST_ALL, seed=place.config.seed):
            every.append(choices)
            update(len(every), MOST_ALL, "at most")
    known, limits = {canonical(one.choices) for one in study.scored}, place.config.limits
    made = (place.candidates.of(choices) for choices in every if canonical(choices) not in known)
    missing = (one for one in made if limits.admit(one.params, one.macs))
    _score(place, study, missing, len(every), voice)
    if not study.scored:
        raise ConfigError(
            f"none of all {len(every):,} architectures meets the limits; leave --all out"
        )
    if len(study.scored) == len(every):
        return Sample(study.scored, "all architectures of the space")
    return Sample(
        study.scored, f"all within the limits, of {len(every):,} architectures of the space"
    )


def _score(
    place: Workplace, study: Study, missing: Iterator[Candidate], total: int, voice: Voice
) -> None:
    """Score candidates in blocks, in the run's processes, and add them to a study."""
    place.threads(1)
    with (
        Pool(place.folder, place.config.processes, lambda job: do(place, job)) as pool,
        voice.bar("score") as update,
    ):
        score = score_blocks(pool)
        while some := list(islice(missing, BLOCK * place.config.processes)):
            blocks = [some[start : start + BLOCK] for start in range(0, len(some), BLOCK)]
            for block, scores in zip(blocks, score(blocks, BLOCK), strict=True):
                for candidate, reached in zip(block, scores, strict=True):
                    study.add(finished(candidate, reached, aims=len(study.directions)))
                update(len(study.scored), total, "candidates")


def _drawn(place: Workplace, count: int) -> Iterator[Candidate]:
    """Yield different candidates within the limits, the same ones in every process."""
    seen: set[str] = set()
    for number in range(DRAWS * count):
        candidate = place.candidates.draw(rng(place.config.seed, "explain", number))
        key = canonical(candidate.choices)
        if key not in seen and place.config.limits.admit(candidate.params, candidate.macs):
            seen.add(key)
            yield candidate
