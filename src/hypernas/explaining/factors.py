"""The choices of scored architectures as factors of an analysis of variance.

A factor is a decision that every architecture faces, with the answers that occur as its *levels*.
What only some architectures face (the kernel of an operation that is not always there) has no place
in a product of all answers: it is left out by name, and what it does is in the remainder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypernas.choices import Architecture, Value
from hypernas.explaining.effects import FEWEST
from hypernas.explaining.questions import MOST_VALUES, is_number, ordered, written
from hypernas.explaining.record import LeftOut

POOLED = "others"


@dataclass(frozen=True)
class Factor:
    """A decision, and what each of n architectures answers.

    Attributes:
        name: of the decision.
        levels: what is answered, numbers by size.
        which: the level of each architecture, (n,).
        numbers: whether the levels are numbers, or ranges of them.
    """

    name: str
    levels: list[str]
    which: np.ndarray
    numbers: bool

    @cached_property
    def shares(self) -> np.ndarray:
        """How often each level is answered, 0 to 1, (levels,)."""
        return np.bincount(self.which, minlength=len(self.levels)) / len(self.which)


def told(value: Value) -> str:
    """Return an answer as it is shown; a subset by what is in it.

    >>> told(["plain", "deep"]), told([]), told(0.5)
    ('plain + deep', 'nothing', '0.5')
    """
    if isinstance(value, list):
        return " + ".join(map(written, value)) or "nothing"
    return written(value)


def plain_factors(architectures: Sequence[Architecture]) -> list[Factor] | None:
    """Return every decision with every answer; None where architectures face different ones."""
    names = list(architectures[0])
    if any(choices.keys() != architectures[0].keys() for choices in architectures):
        return None
    return [_plain(name, [choices[name] for choices in architectures]) for name in names]


def pooled_factors(architectures: Sequence[Architecture]) -> tuple[list[Factor], list[LeftOut]]:
    """Return the factors that a sample of architectures can tell of, and what is left out.

    Many numbers become ranges of about equally many architectures, and answers that fewer than
    ``FEWEST`` architectures give are pooled.
    """
    found: list[Factor] = []
    gone: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for choices in architectures for name in choices):
        if any(name not in choices for choices in architectures):
            gone.setdefault("not in every architecture", []).append(name)
            continue
        factor = _pooled(_plain(name, [choices[name] for choices in architectures]))
        if factor.levels[-1] == POOLED and factor.shares[-1] > 0.5:
            gone.setdefault("too many answers", []).append(name)
        elif len(factor.levels) < 2 or factor.shares.max() > 1 - FEWEST / len(architectures):
            gone.setdefault("answered alike by nearly all", []).append(name)
        else:
            found.append(factor)
    return found, [LeftOut(reason=reason, names=names) for reason, names in gone.items()]


def _plain(name: str, values: Sequence[Value]) -> Factor:
    distinct = {told(value): value for value in values}
    numbers = all(is_number(value) for value in distinct.values())
    levels = [told(v) for v in ordered(distinct.values())] if numbers else sorted(distinct)
    place = {level: number for number, level in enumerate(levels)}
    return Factor(name, levels, np.array([place[told(value)] for value in values]), numbers)


def _pooled(factor: Factor) -> Factor:
    counts = np.bincount(factor.which, minlength=len(factor.levels))
    if factor.numbers and len(counts) > MOST_VALUES:
        return _ranges(factor, counts)
    rare = counts < FEWEST
    if not rare.any():
        return factor
    kept = np.flatnonzero(~rare)
    place = np.full(len(counts), len(kept))
    place[kept] = np.arange(len(kept))
    levels = [*(factor.levels[level] for level in kept), POOLED]
    return Factor(factor.name, levels, place[factor.which], numbers=False)


def _ranges(factor: Factor, counts: np.ndarray) -> Factor:
    """Cut ordered levels into ranges of about equally many architectures."""
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    bins = np.unique(np.minimum((middle * MOST_VALUES).astype(int), MOST_VALUES - 1))
    place = np.searchsorted(bins, np.minimum((middle * MOST_VALUES).astype(int), MOST_VALUES - 1))
    levels = []
    for number in range(len(bins)):
        ends = [factor.levels[level] for level in np.flatnonzero(place == number)]
        levels.append(ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}")
    return Factor(factor.name, levels, place[factor.which], numbers=True)
