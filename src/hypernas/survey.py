"""A survey of a search space: many random architectures and their sizes.

It is made once for a run. From it come the share of the space that meets a limit, the balanced
draws of fitting, and the biggest network that fits.
"""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import Any

from hypernas.candidate import Candidate, Candidates
from hypernas.curves import Budgets
from hypernas.errors import ConfigError
from hypernas.randomness import rng
from hypernas.results import Limits, Struct

LEAST_DRAWS = 100
MOST_CHANGES = 1000
"""changes that are tried in search of the biggest network; spaces of hundreds of choices would
find bigger ones for hours"""


class Surveyed(Struct, frozen=True):
    """One architecture and its size."""

    choices: dict[str, Any]
    params: int
    macs: int
    operations: int
    """convolutions, linear layers and the like that reach the output"""
    exits: list[int] = []
    """MACs of each exit, where there are several"""

    @property
    def first_answer(self) -> int:
        """MACs of the cheapest exit."""
        return min(self.exits, default=self.macs)


class Survey(Struct, frozen=True, dict=True):
    """Random architectures of a space, drawn by its own weights."""

    drawn: list[Surveyed]

    def share(self, limits: Limits) -> float:
        """Return the share of the draws that meet ``limits``."""
        return sum(limits.admit(a.params, a.macs) for a in self.drawn) / len(self.drawn)

    def require(self, limits: Limits) -> None:
        """Refuse limits that no architecture of the survey meets.

        Raises:
            ConfigError: says the smallest size found.
        """
        if self.share(limits) > 0:
            return
        params = min(a.params for a in self.drawn)
        macs = min(a.macs for a in self.drawn)
        asked = [f"--max-params {limits.max_params}"] if limits.max_params else []
        asked += [f"--max-macs {limits.max_macs}"] if limits.max_macs else []
        raise ConfigError(
            f"no architecture meets {' with '.join(asked)}: of {len(self.drawn)} drawn the "
            f"smallest have {params} params and {macs} MACs; raise the limit, or shrink the space "
            "by --set"
        )

    @property
    def exit_range(self) -> tuple[int, int] | None:
        """MACs of the cheapest and of the dearest exit; None where no network has several."""
        every = [macs for architecture in self.drawn for macs in architecture.exits]
        return (min(every), max(every)) if every else None

    def require_answers(self, budgets: Budgets) -> None:
        """Refuse budgets in which every network is silent.

        Raises:
            ConfigError: says what the cheapest answer costs.
        """
        cheapest = min(architecture.first_answer for architecture in self.drawn)
        if cheapest > budgets.high:
            raise ConfigError(
                f"--budgets {budgets.low} {budgets.high}: no network would ever answer, as the "
                f"cheapest exit of {len(self.drawn)} drawn costs {cheapest} MACs; give a range "
                "that reaches it, or a smaller space (--set)"
            )

    def answering(self, budget: int) -> float:
        """Return the share of the draws that have an exit of at most so many MACs."""
        return sum(a.first_answer <= budget for a in self.drawn) / len(self.drawn)

    @cached_property
    def by_operations(self) -> dict[int, list[Surveyed]]:
        """The draws by their number of operations with weights, ascending."""
        groups = defaultdict(list)
        for architecture in self.drawn:
            groups[architecture.operations].append(architecture)
        return dict(sorted(groups.items()))


def surveyed(candidate: Candidate) -> Surveyed:
    """Return the record of a candidate."""
    return Surveyed(
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        operations=candidate.graph.parametrised_operations,
        exits=list(candidate.exit_macs) if len(candidate.exit_macs) > 1 else [],
    )


def survey(
    candidates: Candidates,
    *,
    seed: int,
    draws: int,
    seconds: float = math.inf,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Draw architectures and record their sizes.

    Args:
        candidates: makes them.
        seed: of the draws.
        draws: how many.
        seconds: time after which fewer must do, yet at least LEAST_DRAWS.
        progress: told how far it is.
    """
    drawn: list[Surveyed] = []
    until = time.monotonic() + seconds
    while len(drawn) < (draws if time.monotonic() < until else min(draws, LEAST_DRAWS)):
        drawn.append(surveyed(candidates.draw(rng(seed, "survey", len(drawn)))))
        progress(len(drawn), draws)
    if len(drawn) < draws:
        progress(len(drawn), len(drawn))
    return Survey(drawn=drawn)


def biggest(candidates: Candidates, known: Survey, limits: Limits, *, seed: int) -> Candidate:
    """Return the biggest candidate that fits: most params, then MACs.

    Starts from the biggest of the survey and climbs: a small change that is bigger and fits is
    kept, until 200 changes in a row are not, or as many were tried as the survey drew, at most
    MOST_CHANGES.
    """

    def size(candidate: Any) -> tuple[int, int]:
        return candidate.params, candidate.macs

    fitting = [a for a in known.drawn if limits.admit(a.params, a.macs)]
    best = candidates.of(max(fitting, key=size).choices)
    generator = rng(seed, "biggest")
    since = 0
    for _ in range(min(MOST_CHANGES, max(LEAST_DRAWS, len(known.drawn)))):
        tried = _changed(candidates, best, generator)
        better = limits.admit(tried.params, tried.macs) and size(tried) > size(best)
        best, since = (tried, 0) if better else (best, since + 1)
        if since == 200:
            break
    return best


def _changed(candidates: Candidates, base: Candidate, generator: random.Random) -> Candidate:
    return candidates.perturb(base.choices, 1.5 / max(len(base.choices), 1), generator)
