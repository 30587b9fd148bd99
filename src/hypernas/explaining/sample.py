"""The candidates that an explanation is drawn from: random ones, wherever there are enough.

What a sampler proposed by what scored well is related to what scored well: its choices go with high
scores because its parents had them, whether they matter or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from hypernas.candidate import Candidate
from hypernas.choices import canonical
from hypernas.console import Voice
from hypernas.errors import ConfigError, RunError
from hypernas.randomness import rng
from hypernas.results import Scored
from hypernas.samplers import ROUND
from hypernas.scoring import BLOCK
from hypernas.study import Study, finished
from hypernas.workplace import Workplace

ENOUGH = 100
"""random candidates of a search that are preferred to all of its candidates"""
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
    missing = islice(_drawn(place, count), len(study.scored), count)
    with voice.bar("score") as update:
        while block := list(islice(missing, BLOCK)):
            for candidate, score in zip(block, place.score(block), strict=True):
                study.add(finished(candidate, score, aims=len(study.directions)))
            update(len(study.scored), count, "random candidates")
    if not study.scored:
        raise ConfigError(
            f"none of {DRAWS * count} random architectures meets the limits; leave --random out"
        )
    return Sample(study.scored[:count], "drawn at random for this explanation")


def _drawn(place: Workplace, count: int) -> Iterator[Candidate]:
    """Yield different candidates within the limits, the same ones in every process."""
    seen: set[str] = set()
    for number in range(DRAWS * count):
        candidate = place.candidates.draw(rng(place.config.seed, "explain", number))
        key = canonical(candidate.choices)
        if key not in seen and place.config.limits.admit(candidate.params, candidate.macs):
            seen.add(key)
            yield candidate
