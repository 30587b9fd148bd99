"""What ``explain.json`` holds."""

from __future__ import annotations

from typing import Any, Literal

from hypernas.explaining.effects import Effect
from hypernas.explaining.questions import Kind
from hypernas.results import Estimate, Struct

Mark = Literal["more", "less", "same"]


class Finding(Struct, frozen=True):
    """What was asked of the candidates, and how the answer goes with their scores."""

    kind: Kind
    text: str
    """the question: a decision's value, a count over places, or a figure of the graph"""
    asked: int
    """candidates of which it can be asked"""
    having: int
    """those of them that answer yes"""
    median_with: float
    """score of those that answer yes"""
    median_without: float
    effect: Effect
    at_size: Effect | None
    """among candidates whose MACs differ by less than 20 %; None where there are too few pairs"""


class Share(Struct, frozen=True):
    """How often something is chosen."""

    value: str
    top: float | None
    """mean share among the best candidates, 0 to 1; None where none of them has such a place"""
    all: float
    """mean share among all candidates, 0 to 1"""
    differs: Mark
    """"same" unless the best differ by more than blind picks of as many"""


class Spread(Struct, frozen=True):
    """What is chosen in one place, or over all places of a family of decisions."""

    name: str
    shares: list[Share]


class Arc(Struct, frozen=True):
    """A connection between two values of a cell, and the operations that it carries."""

    source: int
    target: int
    shares: list[Share]
    """one of the value "" where it carries none"""


class MeanCell(Struct, frozen=True):
    """The cells of the best candidates and of all, averaged."""

    values: list[str]
    """in the order in which they are computed"""
    arcs: list[Arc]
    operations: dict[str, list[Share]]
    """of the values that an operation makes, by their position in ``values``"""


class LeftOut(Struct, frozen=True):
    """Choices of which an analysis of variance cannot tell."""

    reason: str
    names: list[str]


class Weight(Struct, frozen=True):
    """How much of the variance of scores a choice explains."""

    name: str
    alone: Estimate
    """share of the variance, 0 to 1, by itself"""
    total: Estimate
    """share with everything that it takes part in; of an estimate with its pairs"""
    silent: str
    """in which way it does not matter, in words; empty of one that does"""


class Together(Struct, frozen=True):
    """How much of the variance of scores two choices explain beyond each by itself."""

    names: tuple[str, str]
    share: Estimate


class Step(Struct, frozen=True):
    """What a dearer answer to a decision buys, all else equal, on average."""

    name: str
    before: str
    after: str
    score: Estimate
    """change of the score"""
    better: float | None
    """share of the architectures that score higher after it; None of an estimate"""
    macs: float
    """change of the MACs, above 0"""
    macs_share: float
    """the same as a share of the candidates' median"""
    per_million: Estimate
    """change of the score for a million MACs"""
    per_percent: Estimate
    """the same for a hundredth of the candidates' median"""


class Importance(Struct, frozen=True):
    """Where the variance of scores comes from: functional analysis of variance."""

    exact: bool
    """whether every architecture of the space is scored; else all is estimated from a sample"""
    candidates: int
    deviation: float
    """standard deviation of the scores"""
    choices: list[Weight]
    """largest total first"""
    pairs: list[Together]
    """largest first"""
    rest: Estimate
    """share of three and more choices together; of an estimate also of what is left out"""
    left_out: list[LeftOut]
    steps: list[Step]
    """what buys most per MAC, at the lower end of the interval, first"""


class Change(Struct, frozen=True):
    """A network that differs from another in one choice, and saves MACs."""

    name: str
    before: str
    after: str
    choices: dict[str, Any]
    """of the changed network"""
    params: int
    macs: int
    saved: float
    """share of the MACs, 0 to 1"""
    score: Estimate
    """change of the score; the interval is that of a comparison, see `hypernas.uncertainty`"""
    best: bool
    """whether no other change saves as many MACs at a higher score"""


class Savings(Struct, frozen=True):
    """What a network gives up for fewer MACs, choice by choice."""

    whose: str
    """which network it is, in words"""
    choices: dict[str, Any]
    macs: int
    score: float
    possible: int
    """how many changes of one choice there are"""
    tried: int
    """how many of them were looked at"""
    changes: list[Change]
    """those that save MACs, the least first"""


class Explanation(Struct, frozen=True):
    """What good candidates of a run have in common."""

    candidates: int
    """how many were looked at"""
    source: str
    """where they come from, in words"""
    best: int
    """how many are the top 5 %"""
    findings: list[Finding]
    """strongest first within each kind"""
    unasked: int
    """questions for which fewer than 10 candidates answer yes, or no"""
    smallest: float
    """effect that would have been found in four of five cases, if half of the candidates have it"""
    spreads: list[Spread]
    """what is chosen how often, by families of decisions"""
    cell: MeanCell | None
    """for spaces that say how their cell is wired"""
    notes: list[str]
    """what these candidates cannot tell"""
    importance: Importance | None = None
    """None of too few candidates"""
    savings: Savings | None = None
    """None where networks are not scored by generated weights"""
