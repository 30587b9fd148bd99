"""Proposals for the next candidates, by what was scored so far.

A proposal is a function of (history, seed, round), so a search that was killed proposes the same
again. Random draws, perturbation of the best and regularised evolution are ours; TPE and NSGA are
Optuna's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from copy import copy as copy_trial
from dataclasses import dataclass
from typing import TypeAlias

import optuna
from optuna.trial import FrozenTrial

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import canonical
from hypernas.errors import ConfigError
from hypernas.randomness import derived_seed, rng
from hypernas.results import Limits, Scored
from hypernas.study import Aim, FollowTrial

Proposals: TypeAlias = Iterator[Candidate]

POPULATION = 64
"""candidates that take part in evolution: the last so many (arXiv 1802.01548)"""
TOURNAMENT = 16
"""candidates of the population among which a parent is the best"""
ELITE = 16
"""candidates from which perturbation starts: the best so many"""


@dataclass(frozen=True)
class Asked:
    """What a sampler may look at.

    Attributes:
        candidates: makes candidates of the space.
        history: what was scored before this round, in order.
        trials: the same as Optuna trials.
        seed, round: decide every draw.
        limits: bounds that proposals should meet.
    """

    candidates: Candidates
    history: Sequence[Scored]
    trials: Sequence[FrozenTrial]
    seed: int
    round: int
    limits: Limits

    @property
    def rng(self) -> random.Random:
        """A generator for this round."""
        return rng(self.seed, "search", self.round)


def propose(sampler: str, asked: Asked, count: int, *, most_draws: int) -> list[Candidate]:
    """Return up to ``count`` new candidates within the limits, different from each other.

    Fewer are returned when ``most_draws`` proposals brought no more.
    """
    known = {canonical(scored.choices) for scored in asked.history}
    found: list[Candidate] = []
    proposals = SAMPLERS[sampler](asked)
    for _ in range(most_draws):
        candidate = next(proposals)
        key = canonical(candidate.choices)
        if key not in known and asked.limits.admit(candidate.params, candidate.macs):
            known.add(key)
            found.append(candidate)
            if len(found) == count:
                break
    return found


def directions(sampler: str) -> list[Aim]:
    """Return what the study optimises: the score, and for NSGA also few parameters.

    Raises:
        ConfigError: no such sampler.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(f"no sampler {sampler!r}: known are {', '.join(SAMPLERS)}")
    return ["maximize", "minimize"] if sampler.startswith("nsga") else ["maximize"]


def _random(asked: Asked) -> Proposals:
    generator = asked.rng
    while True:
        yield asked.candidates.draw(generator)


def _perturb(asked: Asked) -> Proposals:
    """Draw half of the proposals at random, half as relatives of the best."""
    generator = asked.rng
    best = sorted(asked.history, key=lambda scored: -scored.score)[:ELITE]
    while True:
        if not best or generator.random() < 0.5:
            yield asked.candidates.draw(generator)
        else:
            yield _relative(asked, generator.choice(best), generator)


def _evolution(asked: Asked) -> Proposals:
    """Regularised evolution: a change to the best of a random few of the last candidates."""
    generator = asked.rng
    population = asked.history[-POPULATION:]
    while True:
        if len(population) < POPULATION:
            yield asked.candidates.draw(generator)
        else:
            few = generator.sample(population, TOURNAMENT)
            yield _relative(asked, max(few, key=lambda scored: scored.score), generator)


def _relative(asked: Asked, parent: Scored, generator: random.Random) -> Candidate:
    """Return a candidate with one or two choices drawn anew."""
    probability = 1.5 / max(len(parent.choices), 1)
    return asked.candidates.perturb(parent.choices, probability, generator)


def _tpe(asked: Asked) -> Proposals:
    sampler = optuna.samplers.TPESampler(seed=_seed(asked), n_startup_trials=POPULATION)
    return _follow(asked, sampler, asked.trials, directions("tpe"))


def _nsga2(asked: Asked) -> Proposals:
    sampler = optuna.samplers.NSGAIISampler(seed=_seed(asked), population_size=POPULATION)
    return _follow(asked, sampler, _in_generations(asked, sampler), directions("nsga2"))


def _nsga3(asked: Asked) -> Proposals:
    sampler = optuna.samplers.NSGAIIISampler(seed=_seed(asked), population_size=POPULATION)
    return _follow(asked, sampler, _in_generations(asked, sampler), directions("nsga3"))


def _seed(asked: Asked) -> int:
    return derived_seed(asked.seed, "search", asked.round) % 2**32


def _follow(
    asked: Asked,
    sampler: optuna.samplers.BaseSampler,
    trials: Sequence[FrozenTrial],
    aims: list[Aim],
) -> Proposals:
    """Yield what a sampler suggests that was made anew with the whole history."""
    study = optuna.create_study(sampler=sampler, directions=aims)
    study.add_trials(trials)
    while True:
        yield asked.candidates.make(FollowTrial(study.ask()))


def _in_generations(asked: Asked, sampler: optuna.samplers.BaseSampler) -> list[FrozenTrial]:
    """Mark each trial with its generation, as NSGA does for the trials that it asks itself."""
    key = f"{type(sampler).__name__}:generation"
    marked = []
    for number, trial in enumerate(asked.trials):
        copy = copy_trial(trial)
        copy.system_attrs = {key: number // POPULATION}
        marked.append(copy)
    return marked


SAMPLERS: dict[str, Callable[[Asked], Proposals]] = {
    "random": _random,
    "perturb": _perturb,
    "evolution": _evolution,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
}
