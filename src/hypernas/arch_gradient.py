"""Architectural gradient descent by proxy: which changes of an architecture a gradient favours.

Source: SMASH (arXiv 1708.05344) names it, and its public code has the bookkeeping but not the step.
The hypernetwork is differentiable in the encoding that it reads, so the loss with generated weights
has a gradient with respect to it. To first order, a change of one decision changes the loss by the
gradient's product with the change of the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hypernas.candidate import Candidate
from hypernas.choices import Decision, Value
from hypernas.errors import ConfigError
from hypernas.hypernets import Hypernet
from hypernas.hypernets.smash import SMASH
from hypernas.scoring import Scorer, evaluating
from hypernas.spaces.banks.architecture import bank_span
from hypernas.spaces.banks.encoding import Encoding, section_of


@dataclass(frozen=True)
class Step:
    """A change of one decision, and by how much it changes the loss, to first order."""

    change: float
    name: str
    value: Value


def require(hypernet: Hypernet) -> None:
    """Refuse a hypernetwork that reads no encoding to which there is a gradient.

    Raises:
        ConfigError: says what to use.
    """
    if not isinstance(hypernet, SMASH) or hypernet.counts or hypernet.slots:
        raise ConfigError(
            "sampler 'arch-gradient' needs the gradient with respect to an encoding; give --space "
            "memory-bank --hypernet smash with its own encoding and generated=mix, or another "
            "sampler"
        )


def gradient(scorer: Scorer, candidate: Candidate) -> np.ndarray:
    """Return d(loss on the scoring images) / d(encoding), (C, S)."""
    hypernet = scorer.hypernet
    assert isinstance(hypernet, SMASH)
    code = hypernet.code(candidate).clone().requires_grad_()
    with evaluating(hypernet):
        weights = hypernet.write(candidate, code)
    loss = scorer.loss(candidate, weights)
    (found,) = torch.autograd.grad(loss, code)
    return found.cpu().numpy()


def favoured(candidate: Candidate, slopes: np.ndarray) -> list[Step]:
    """Return for each decision the other answer that the gradient favours most, best first.

    Whether there is another op, and how many banks it opens, change the size of the map and have no
    gradient; these decisions are left as they are. Of a change that also lights other rows or
    slices (another width, other banks read) only what has a section is counted.

    Args:
        candidate: of a space with an encoding.
        slopes: the gradient, (C, S).
    """
    encoding: Any = candidate.module.encoding
    view = _View(encoding, slopes)
    found = []
    for name, decision in candidate.decisions.items():
        steps = list(view.steps(name, decision, candidate.choices[name]))
        if steps:
            found.append(min(steps, key=lambda step: step.change))
    return sorted(found, key=lambda step: step.change)


class _View:
    """Reads a gradient by decisions."""

    def __init__(self, encoding: Encoding, slopes: np.ndarray) -> None:
        self.encoding = encoding
        self.slopes = slopes
        self.sections = encoding.layout.sections
        starts = encoding.map().starts.tolist()
        spans = [slice(a, b) for a, b in zip(starts, [*starts[1:], slopes.shape[1]], strict=True)]
        self.spans: dict[int, list[slice]] = {}
        for (block, _), span in zip(encoding.ops, spans, strict=True):
            self.spans.setdefault(block, []).append(span)

    def steps(self, name: str, decision: Decision, value: Value) -> Iterator[Step]:
        """Yield the steps away from ``value`` that have a gradient."""
        where, _, field = name.partition(".")
        block = int(where.removeprefix("block"))
        spans = self.spans[block]
        if field.startswith("op"):
            op, _, field = field.partition(".")
            spans = spans[int(op.removeprefix("op")) :: len(self.encoding.blocks[block].ops)]
        if field in ("reads", "writes") and isinstance(value, list):
            yield from self._moves(name, decision, value, block, spans)
        elif section_of(field) in self.sections:
            section = self.sections[section_of(field)]
            slopes = sum(self.slopes[section.start : section.stop, s].sum(axis=1) for s in spans)
            cost = dict(zip(section.options, slopes, strict=True))
            for option in decision.options:
                if option != value:
                    yield Step(float(cost[option] - cost[value]), name, option)

    def _moves(
        self, name: str, decision: Decision, banks: list, block: int, spans: Sequence[slice]
    ) -> Iterator[Step]:
        """Yield steps in which one bank takes another's place, or where sizes allow, one is added
        or left out."""
        what = "read" if name.endswith("reads") else "written"
        cost = {
            bank: sum(self._cost(what, bank, block, span) for span in spans)
            for bank in decision.options
        }
        sizes = dict(decision.sizes)
        inside, outside = banks, [bank for bank in decision.options if bank not in banks]
        for new in [*outside, None]:
            for old in [*inside, None]:
                chosen = [b for b in decision.options if b == new or (b in inside and b != old)]
                if chosen != banks and len(chosen) in sizes:
                    gain = cost.get(new, 0.0) - cost.get(old, 0.0)
                    yield Step(gain, name, chosen)

    def _cost(self, what: str, bank: Any, block: int, span: slice) -> float:
        """Return what it costs that a bank's units are lit, in one slice each where they are read,
        in all slices of the op where they are written."""
        plan = self.encoding.blocks[block]
        first, count = bank_span(plan.inputs, plan.bank, bank)
        start = self.sections[what].start + first
        slopes = self.slopes[start : start + count, span].sum(axis=0)
        return float(slopes.mean() if what == "read" else slopes.sum())
