"""Spaces of which every architecture has a score by a law that is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from hypernas.explaining.importance import importance_of
from hypernas.explaining.record import Importance
from hypernas.results import Scored

SIGN = {"low": -1, "high": 1}
COST = {"skip": 0, "conv": 300, "wide": 900}

Law = Callable[[dict[str, Any]], float]


def every(law: Law, *, error: float = 0.0, **options: Sequence[Any]) -> list[Scored]:
    """Return all architectures of a space with the scores of a law; operations cost MACs."""
    found = []
    for values in itertools.product(*options.values()):
        choices = dict(zip(options, values, strict=True))
        score = float(law(choices))
        macs = 1000 + sum(COST.get(v, v if type(v) is int else 0) for v in values)
        interval = (score - 1.96 * error, score + 1.96 * error)
        found.append(
            Scored(
                choices=choices,
                params=1,
                macs=macs,
                score=score,
                interval=interval,
                score_accuracy=0,
            )
        )
    return found


def answers_in(scored: Sequence[Scored]) -> dict[str, int]:
    """Return how many answers occur to each decision."""
    every: dict[str, set[str]] = {}
    for one in scored:
        for name, value in one.choices.items():
            every.setdefault(name, set()).add(repr(value))
    return {name: len(values) for name, values in every.items()}


def known(scored: Sequence[Scored]) -> Importance:
    """Return the importance that there is, where every answer occurs."""
    found = importance_of(scored, answers_in(scored))[0]
    assert found is not None
    return found
