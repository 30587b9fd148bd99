"""What a network gives up for fewer MACs: every change of one choice, scored beside it.

The network and its changes are scored on the same images and by the same states of the
hypernetwork, so the interval of a difference is that of :mod:`hypernas.uncertainty`: narrower than
those of the two scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from hypernas.candidate import Candidate
from hypernas.choices import Decision, Value
from hypernas.comparing import losses
from hypernas.console import Voice
from hypernas.explaining.factors import told
from hypernas.explaining.record import Change, Savings
from hypernas.files import read_json
from hypernas.randomness import rng
from hypernas.results import Better, Estimate, Result, Scored
from hypernas.scoring import WORST
from hypernas.searching import top
from hypernas.uncertainty import Losses, better
from hypernas.workplace import Workplace

MOST = 200
"""changes that are tried; of more, as many picked at random"""

Named = tuple[str, str, str, Candidate]
"""a decision, what it was, what it is, and the network then"""


def savings_of(place: Workplace, scored: Sequence[Scored], voice: Voice) -> Savings | None:
    """Return what changes of one choice save, and what they cost.

    Args:
        place: a run with a hypernetwork.
        scored: candidates of which the best is changed where the run has no winner yet.
        voice: told how far the scoring of changes is.
    """
    path = place.folder / "result.json"
    if path.exists():
        whose, choices = "the winner", read_json(path, Result).best.choices
    else:
        whose, choices = "the best by score", top(scored, 1, place.config.limits)[0].choices
    base = place.candidates.of(choices)
    every = [(d, value) for d in base.decisions.values() for value in others(d, choices[d.name])]
    tried = every
    if len(every) > MOST:
        picked = rng(place.config.seed, "explain", "changes").sample(range(len(every)), MOST)
        tried = [every[number] for number in sorted(picked)]
    cheaper = list(_cheaper(place, base, tried))
    networks = [base.choices, *(one[-1].choices for one in cheaper)]
    with voice.bar("changes") as update:
        before, *after = losses(place, networks, progress=update)
    if not _finite(before):
        return None
    known = zip(cheaper, after, strict=True)
    changes = [_change(base, one, better(own, before)) for one, own in known if _finite(own)]
    return Savings(
        whose=whose,
        choices=base.choices,
        macs=base.macs,
        score=-float(before[0].mean()),
        possible=len(every),
        tried=len(tried),
        changes=fronted(changes),
    )


def cheapest(savings: Savings, share: float) -> Change | None:
    """Return the change that saves this share of the MACs at the highest score, if one does."""
    fitting = [change for change in savings.changes if change.saved >= share]
    return max(fitting, key=lambda change: change.score.value, default=None)


def fronted(changes: Sequence[Change]) -> list[Change]:
    """Return changes by what they save, those marked that nothing beats in both."""
    order = sorted(changes, key=lambda change: (change.saved, change.score.value))
    best, highest = set(), -math.inf
    for number in reversed(range(len(order))):
        if order[number].score.value > highest:
            highest = order[number].score.value
            best.add(number)
    return [replace(change, best=number in best) for number, change in enumerate(order)]


def _cheaper(
    place: Workplace, base: Candidate, changes: Sequence[tuple[Decision, Value]]
) -> Iterator[Named]:
    """Yield the networks within the limits that need fewer MACs after a change."""
    for number, (decision, value) in enumerate(changes):
        name = decision.name
        generator = rng(place.config.seed, "explain", "change", number)
        # what the new answer asks for is drawn, what it no longer asks for falls away
        changed = place.candidates.perturb(base.choices | {name: value}, 0.0, generator)
        within = place.config.limits.admit(changed.params, changed.macs)
        if within and changed.macs < base.macs:
            yield name, told(base.choices[name]), told(value), changed


def others(decision: Decision, chosen: Value) -> Iterator[Value]:
    """Yield the other answers to a decision; of a subset those with one option more or less."""
    if not isinstance(chosen, list):
        yield from (o for o in decision.options if (type(o), o) != (type(chosen), chosen))
        return
    for option in decision.options:
        kept = [o for o in decision.options if (o in chosen) != (o == option)]
        if decision.admits(kept):
            yield kept


def _finite(losses: Losses) -> bool:
    """Say whether a network overflows by no state of the hypernetwork, (S, M)."""
    return bool((losses.mean(1) < -WORST).all())


def _change(base: Candidate, named: Named, gain: Better) -> Change:
    """Return a change by how much higher its network scores."""
    name, before, after, candidate = named
    low, high = gain.interval
    return Change(
        name=name,
        before=before,
        after=after,
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        saved=1 - candidate.macs / base.macs,
        score=Estimate(value=gain.difference, low=low, high=high),
        best=False,
    )
