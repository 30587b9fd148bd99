"""Compares a few candidates by the losses of each image, at the end of the fit and before it.

Losses are computed anew for the candidates that are compared, a handful: the search keeps means.
Each candidate passes each state of the hypernetwork alone, so that what is found of a pair depends
on no third one, nor on order or processes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from hypernas.choices import Architecture
from hypernas.console import Update
from hypernas.curves import Budgets
from hypernas.fitting import kept_states
from hypernas.hypernets import Hypernet
from hypernas.largest import larger
from hypernas.results import Better, Comparison, Scored
from hypernas.scoring import WORST
from hypernas.uncertainty import Losses, better, told_apart
from hypernas.workplace import Workplace

MOST = 20
"""candidates of a list that are compared, from the first on"""


def compare(
    place: Workplace, one: Architecture, other: Architecture, seen: Sequence[Scored]
) -> Better:
    """Say how sure it is that one architecture scores higher than another.

    Args:
        place: the run.
        one: choices.
        other: choices.
        seen: all that the search scored.

    Raises:
        RunError: the run has no trained hypernetwork.
        SpaceError: an architecture is none of the space.
    """
    found = better(*losses(place, [one, other]), _scores(seen))
    beyond = larger(place, [place.candidates.of(choices) for choices in (one, other)])
    return msgspec.structs.replace(found, larger=beyond)


def losses(
    place: Workplace,
    architectures: Sequence[Architecture],
    budgets: Budgets | None = None,
    progress: Update = lambda *_: None,
) -> list[Losses]:
    """Return the losses of each architecture, (S, M): at the end of the fit, then earlier.

    Args:
        place: the run.
        architectures: a few.
        budgets: over which scores are means, in place of the run's.
        progress: told how many losses are known.
    """
    place.threads(1)  # as in the search: last digits depend on it
    candidates = [place.candidates.of(choices) for choices in architectures]
    scorer, found = copy.copy(place.generated), []
    scorer.budgets = budgets or scorer.budgets
    total = len(candidates) * (1 + len(_earlier(place)))
    for state in _states(place):
        scorer.hypernet = state
        for candidate in candidates:
            found.append(scorer.losses(candidate).cpu().numpy())
            progress(len(found), total, "compared")
    return list(np.stack(found).reshape(-1, len(candidates), found[0].size).swapaxes(0, 1))


def _states(place: Workplace) -> Iterator[Hypernet]:
    """Yield the trained hypernetwork, then its earlier states."""
    yield place.hypernet
    for path in _earlier(place):
        yield place.hypernet_of(path)


def _earlier(place: Workplace) -> list[Path]:
    return kept_states(place.folder / "fit", place.plan.steps)


def standings(
    place: Workplace,
    found: Sequence[Scored],
    seen: Sequence[Scored],
    budgets: Budgets | None = None,
    progress: Update = lambda *_: None,
) -> Comparison | None:
    """Say how far candidates are told apart by their scores; None where there is nothing to say.

    Nothing is where a run ranks without a hypernetwork. Of many the first MOST are compared.

    Args:
        place: the run.
        found: the best by score first.
        seen: all that the search scored, over the same budgets.
        budgets: over which scores are means, in place of the run's.
        progress: told how far it is.
    """
    some = found[:MOST]
    if not some or not place.config.fits:
        return None
    known = losses(place, [s.choices for s in some], budgets, progress)
    return told_apart(some, known, _scores(seen))


def _scores(seen: Sequence[Scored]) -> list[float]:
    return [scored.score for scored in seen if scored.score > WORST]
