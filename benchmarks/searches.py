"""Searches that train networks for real, replayed on a table of ground truth and paid for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from known import Floats, Known

from hypernas.choices import Architecture
from hypernas.config import Pruner
from hypernas.jobs import Part
from hypernas.pruning import Race
from hypernas.randomness import rng
from hypernas.results import Limits, Scored
from hypernas.samplers import Asked, Evolution, Reinforce, Sampler

LEARNERS = {
    "evolution": Evolution(population=16, tournament=4, at_once=1),
    "REINFORCE": Reinforce(at_once=1),
}
"""samplers of the package that learn from real trainings (arXiv 1802.01548, 1902.09635)"""
ROUNDS = 5
"""of a race over all networks; what was trained before goes on from there"""

Search = Iterable[tuple[float, int | None]]
"""CPU seconds of training so far, and a network that is trained to the end by then"""


def trained(known: Known, order: Iterable[int]) -> Search:
    """Train networks to the end, one after the other."""
    spent = 0.0
    for number in order:
        spent += known.seconds[number]
        yield spent, number


def random_search(known: Known, seed: int) -> Search:
    """Train networks in a random order."""
    count = len(known.truths)
    return trained(known, rng(seed, "random search").sample(range(count), count))


def by_score(known: Known, scores: Floats) -> Search:
    """Train networks in the order of their scores."""
    return trained(known, np.argsort(-scores, kind="stable").tolist())


def judged(known: Known, seed: int, pruner: Pruner) -> Iterator[tuple[int, Part]]:
    """Yield how far networks in a random order come before they are stopped, ROUNDS times over."""
    racing, generator = Race(pruner, known.recipe.epochs), rng(seed, pruner)
    count = len(known.truths)
    for _ in range(ROUNDS):
        for number in generator.sample(range(count), count):
            reached = known.by_epoch[number]
            yield number, racing(lambda until, r=reached: Part(until, r[until - 1], 0.0))


def race(known: Known, seed: int, pruner: Pruner) -> Search:
    """Stop the bad ones of networks; what was trained before goes on from there."""
    epochs, paid, spent = known.recipe.epochs, np.zeros(len(known.truths), dtype=int), 0.0
    for number, part in judged(known, seed, pruner):
        more = max(0, part.epochs - paid[number])
        paid[number] += more
        spent += known.seconds[number] * more / epochs
        yield spent, number if part.epochs == epochs else None


def by_sampler(known: Known, seed: int, sampler: Sampler) -> Search:
    """Train what a sampler of the package proposes; of the untrained ones the most alike."""

    def order() -> Iterator[int]:
        history: list[Scored] = []
        left = set(range(len(known.truths)))
        while left:
            candidates, limits = known.place.candidates, Limits()
            asked = Asked(candidates, history, [], seed, len(history), limits)
            proposed = next(sampler.proposals(asked)).choices
            child = min(sorted(left), key=lambda n: apart(known.choices[n], proposed))
            left.remove(child)
            history.append(scored(known, child))
            yield child

    return trained(known, order())


def apart(one: Architecture, other: Architecture) -> int:
    """Return in how many choices two architectures differ."""
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


def scored(known: Known, number: int) -> Scored:
    """Return a network with what it reaches as its score."""
    truth, reached = known.truths[number], known.by_epoch[number, -1]
    return Scored(
        choices=truth.choices,
        params=truth.params,
        macs=truth.macs,
        score=reached,
        interval=(reached, reached),
        score_accuracy=reached,
    )
