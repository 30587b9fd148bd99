"""Candidates of the fit that depend on the losses of its earlier steps.

The loss of a step is of one batch, and losses fall while a hypernetwork learns, so candidates are
compared by what is left when the time is taken out. What was heard is in the fit's checkpoint, and
what follows from it is worked out anew: a fit that was killed goes on with the same candidates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, create_trial

from hypernas.candidate import Candidate
from hypernas.draws import Draws, Told
from hypernas.errors import ConfigError
from hypernas.randomness import derived_seed, rng
from hypernas.study import MOST_PARAMETERS, FollowTrial, distributions, parameters

if TYPE_CHECKING:
    from hypernas.workplace import Workplace

ROUND = 32
"""steps whose candidates TPE proposes at once"""
STARTUP = 2 * ROUND
"""steps before its first proposals"""
HISTORY = 256
"""losses that it learns from, the last ones: it takes longer the more there are"""

Rung: TypeAlias = tuple[int, int]
BRACKETS: tuple[tuple[Rung, ...], ...] = (((9, 1), (3, 3), (1, 9)), ((5, 3), (1, 9)), ((3, 9),))
"""candidates of each rung and the steps that each of them gets, by Hyperband's rule (arXiv
1603.06560, algorithm 1) for at most 9 steps at a time, of which a third climbs"""
LENGTHS = [sum(count * steps for count, steps in rungs) for rungs in BRACKETS]


class Listener(Draws):
    """Draws that keep what they hear; a loss that is not finite says nothing."""

    def tell(self, step: int, candidates: Sequence[Candidate], losses: Sequence[float]) -> None:
        for position, (candidate, loss) in enumerate(zip(candidates, losses, strict=True)):
            if math.isfinite(loss):
                self.told.append(Told(step, position, candidate.choices, loss))


class TPE(Listener):
    """Every other candidate is proposed by a tree-structured Parzen estimator, others are drawn.

    It learns from losses minus those that drawn candidates have at the same time: a line through
    these. The drawn half is there so that the hypernetwork does not forget the rest of the space.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._start = -1
        self._proposed: dict[tuple[int, int], Candidate] = {}
        self._asked: dict[tuple[int, int], tuple[dict[str, Any], dict[str, BaseDistribution]]] = {}

    def __call__(self, step: int, position: int = 0) -> Candidate:
        if not _is_proposed(step, position):
            return super().__call__(step, position)
        start = step - step % ROUND
        if start != self._start:
            self._start, self._proposed = start, self._propose(start)
        return self._proposed[step, position]

    def _propose(self, start: int) -> dict[tuple[int, int], Candidate]:
        """Return the candidates of a round by step and position, from what was told before it."""
        before = [told for told in self.told if told.step < start][-HISTORY:]
        self.told = before + [told for told in self.told if told.step >= start]
        seed = derived_seed(self.seed, "fit-sampler", start) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)
        study = optuna.create_study(sampler=sampler, direction="minimize")
        study.add_trials(self._trials(before))
        steps, positions = range(start, start + ROUND), range(self.meta_batch)
        places = [(step, p) for step in steps for p in positions if _is_proposed(step, p)]
        return {place: self.candidates.make(FollowTrial(study.ask())) for place in places}

    def _trials(self, before: Sequence[Told]) -> list[FrozenTrial]:
        """Return what was told as trials; the value of each is its loss with the time taken out."""
        drawn = [told for told in before if not _is_proposed(told.step, told.position)]
        line = np.polynomial.Polynomial.fit(
            [told.step for told in drawn], [told.loss for told in drawn], deg=1
        )
        self._asked = {(told.step, told.position): self._parameters(told) for told in before}
        trials = []
        for told in before:
            values, kinds = self._asked[told.step, told.position]
            corrected = told.loss - float(line(told.step))
            trials.append(create_trial(params=values, distributions=kinds, value=corrected))
        return trials

    def _parameters(self, told: Told) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return the Optuna parameters of a candidate; they are worked out once."""
        if (told.step, told.position) in self._asked:
            return self._asked[told.step, told.position]
        candidate = self.candidates.of(told.choices)
        kinds: dict[str, BaseDistribution] = {}
        for decision in candidate.decisions.values():
            kinds |= distributions(decision)
        return parameters(candidate.choices, candidate.decisions), kinds


def _is_proposed(step: int, position: int) -> bool:
    return step >= STARTUP and (step + position) % 2 == 1


class Hyperband(Listener):
    """Brackets of successive halving: many candidates get a step or a few, the better ones more.

    The candidates of a rung are fitted in turn, each time in another order, so that losses that
    fall do so for all alike; those with the least mean loss in the bracket climb. Candidates of a
    new bracket are drawn. Each position of a meta-batch has brackets of its own.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._entrants: dict[tuple[int, int], Candidate] = {}

    def __call__(self, step: int, position: int = 0) -> Candidate:
        if step < 0:
            return super().__call__(step, position)
        start, rungs = _bracket(step)
        place = start + self._turn(step, position, start, rungs), position
        if place not in self._entrants:
            self._entrants[place] = super().__call__(*place)
        return self._entrants[place]

    def tell(self, step: int, candidates: Sequence[Candidate], losses: Sequence[float]) -> None:
        super().tell(step, candidates, losses)
        start, _ = _bracket(step + 1)
        self.told = [told for told in self.told if told.step >= start]
        self._entrants = {place: c for place, c in self._entrants.items() if place[0] >= start}

    def _turn(self, step: int, position: int, start: int, rungs: Sequence[Rung]) -> int:
        """Return which of the bracket's candidates has its turn: what led to it is replayed."""
        known = {told.step: told.loss for told in self.told if told.position == position}
        heard: dict[int, list[float]] = defaultdict(list)
        alive, at = list(range(rungs[0][0])), start
        for count, steps in rungs:
            alive = sorted(alive, key=lambda one: _mean(heard[one]))[:count]
            for _ in range(steps):
                for one in rng(self.seed, "turn", at, position).sample(alive, len(alive)):
                    if at == step:
                        return one
                    heard[one] += [known[at]] if at in known else []
                    at += 1
        raise AssertionError(f"step {step} is not of the bracket that begins at {start}")


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses) if losses else math.inf


def _bracket(step: int) -> tuple[int, tuple[Rung, ...]]:
    """Return the first step of a step's bracket, and its rungs."""
    start = step - step % sum(LENGTHS)
    for length, rungs in zip(LENGTHS, BRACKETS, strict=True):
        if step < start + length:
            return start, rungs
        start += length
    raise AssertionError(f"no bracket has step {step}")


SAMPLERS: dict[str, type[Draws]] = {"random": Draws, "tpe": TPE, "hyperband": Hyperband}


def draws_of(place: Workplace, steps: int) -> Draws:
    """Return the candidates of a run's fit over ``steps``."""
    config = place.config
    return SAMPLERS[config.fit_sampler](
        place.fit_candidates,
        place.fit_survey,
        by=config.draw,
        meta_batch=config.meta_batch,
        annealed=place.fit_recipe.anneal * steps,
        seed=config.seed,
    )


def require(place: Workplace) -> None:
    """Refuse a sampler of the fit that cannot work in this run.

    Args:
        place: with its surveys.

    Raises:
        ConfigError: names the option and a way out.
    """
    name = place.config.fit_sampler
    if name != "random" and place.fit_recipe.anneal:
        raise ConfigError(
            f"--fit-sampler {name} compares losses, and annealed candidates of different steps are "
            "of different ease; give --anneal 0, or --fit-sampler random"
        )
    if name == "tpe":
        largest = max(place.fit_survey.drawn, key=lambda architecture: len(architecture.choices))
        candidate = place.fit_candidates.of(largest.choices)
        count = len(parameters(candidate.choices, candidate.decisions))
        if count > MOST_PARAMETERS:
            raise ConfigError(
                f"architectures of this space have {count} Optuna parameters, and --fit-sampler "
                f"tpe works with up to {MOST_PARAMETERS}; give --fit-sampler hyperband or random"
            )
