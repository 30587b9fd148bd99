"""What ``explain.json`` holds."""

from __future__ import annotations

from typing import Literal

from hypernas.explaining.effects import Effect
from hypernas.explaining.questions import Kind
from hypernas.results import Struct

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
