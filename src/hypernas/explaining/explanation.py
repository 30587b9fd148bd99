"""Explains a search: which choices and motifs separate its good candidates from its bad ones.

It looks at scores with generated weights, not at accuracies: there are hundreds of the former and a
handful of the latter. How far scores follow accuracies is for :mod:`hypernas.trust` to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from hypernas.console import Voice
from hypernas.explaining import weighed
from hypernas.explaining.changes import savings_of
from hypernas.explaining.effects import FEWEST, Effect, effect, smallest_found, stand
from hypernas.explaining.frequencies import mean_cell, spreads
from hypernas.explaining.importance import importance_of
from hypernas.explaining.motifs import figures
from hypernas.explaining.questions import (
    Kind,
    Question,
    each_once,
    of_choices,
    of_counts,
    of_motifs,
)
from hypernas.explaining.record import Explanation, Finding
from hypernas.explaining.sample import Sample
from hypernas.largest import larger
from hypernas.results import Limits, Scored
from hypernas.spaces.wiring import Wiring
from hypernas.workplace import Workplace

BEST = 0.05
"""share of the candidates that the mean cell of the best is made of"""
STEP = 1.2
"""ratio of MACs within which two candidates are of one size. Fifths of the candidates are too
coarse: in nas-bench-201, with scores that depend on MACs and on nothing else, each of 20 draws of
300 candidates "showed" three effects at equal size; by steps of 20 % none of the 20 showed any"""
MOST_ROWS = 10
"""findings of a kind that are printed; all are in the file"""
TITLES: dict[Kind, str] = {
    "choice": "choices, each in its place",
    "count": "choices, counted over their places",
    "motif": "motifs of the computation graph",
}


def explain(place: Workplace, sample: Sample, voice: Voice) -> Explanation:
    """Say what the good ones of some scored candidates have in common.

    Args:
        place: the run.
        sample: its scored candidates, one at least.
        voice: told how far the reading of graphs is.
    """
    scored = sample.scored
    graphs: list[Mapping[str, float]] = []
    answers: dict[str, int] = {}
    with voice.bar("explain") as update:
        for number, one in enumerate(scored, start=1):
            candidate = place.candidates.of(one.choices)
            graphs.append(figures(candidate))
            for name, decision in candidate.decisions.items():
                answers[name] = max(answers.get(name, 0), decision.answers)
            update(number, len(scored), "graphs read")
    beyond = larger(place, scored)
    wirings = [place.space.wiring(one.choices) for one in scored]
    found = explanation(sample, graphs, [wiring for wiring in wirings if wiring is not None])
    importance, untold = importance_of(scored, answers)
    if importance is not None and not importance.exact and place.config.limits != Limits():
        untold.append(
            "within limits choices depend on each other, and the shares of the variance are those "
            "of choices that do not"
        )
    return msgspec.structs.replace(
        found,
        importance=importance,
        savings=savings_of(place, scored, voice) if place.config.fits else None,
        notes=[*found.notes, *untold, *([beyond] if beyond else [])],
    )


def explanation(
    sample: Sample, graphs: Sequence[Mapping[str, float]], wirings: Sequence[Wiring]
) -> Explanation:
    """Return what scored candidates have in common.

    Args:
        sample: the candidates.
        graphs: figures of the graph of each.
        wirings: the cell of each, or nothing where the space does not say.
    """
    scored = sample.scored
    architectures = [one.choices for one in scored]
    questions = each_once(
        [*of_choices(architectures), *of_counts(architectures), *of_motifs(graphs)]
    )
    found = _findings(scored, questions)
    order = sorted(range(len(scored)), key=lambda i: (-scored[i].score, scored[i].params))
    best = np.array(order[: math.ceil(BEST * len(scored))])
    smallest = smallest_found(len(scored), len(found))
    return Explanation(
        candidates=len(scored),
        source=sample.source,
        best=len(best),
        findings=found,
        unasked=len(questions) - len(found),
        smallest=min(smallest, 1.0),
        spreads=spreads(architectures, best),
        cell=mean_cell(wirings, best) if wirings else None,
        notes=[
            *sample.notes,
            *_limits(len(scored), len(best), len(found), len(questions), smallest),
        ],
    )


def _findings(scored: Sequence[Scored], questions: Sequence[Question]) -> list[Finding]:
    """Return the answers of the questions that can be asked, strongest first within each kind."""
    scores = np.array([one.score for one in scored])
    steps = np.array([math.floor(math.log(max(one.macs, 1), STEP)) for one in scored])
    raw = _effects(questions, scores, np.zeros(len(scores)))
    sized = _effects(questions, scores, steps)
    found = [
        Finding(
            kind=question.kind,
            text=question.text,
            asked=int(question.asked.sum()),
            having=int(question.having.sum()),
            median_with=float(np.median(scores[question.having])),
            median_without=float(np.median(scores[question.asked & ~question.having])),
            effect=one,
            at_size=other,
        )
        for question, one, other in zip(questions, raw, sized, strict=True)
        if one is not None
    ]
    return sorted(found, key=lambda f: (list(TITLES).index(f.kind), -abs(f.effect.delta), f.text))


def _effects(
    questions: Sequence[Question], scores: np.ndarray, strata: np.ndarray
) -> list[Effect | None]:
    """Return the effect of each question within strata, and mark those that are shown."""
    found = [effect(scores[q.asked], q.having[q.asked], strata[q.asked]) for q in questions]
    known = {i: one for i, one in enumerate(found) if one is not None}
    shown = stand([one.p for one in known.values()], [questions[i].kind for i in known])
    for (i, one), real in zip(known.items(), shown, strict=True):
        found[i] = msgspec.structs.replace(one, shown=real)
    return found


def _limits(candidates: int, best: int, asked: int, questions: int, smallest: float) -> list[str]:
    """Say what these candidates are too few to tell."""
    words = []
    if not asked:
        words.append(
            f"{candidates} candidates are too few to tell anything: each question takes {FEWEST} "
            f"that answer yes and {FEWEST} that answer no; --random 300 scores more"
        )
    elif questions > asked:
        words.append(
            f"{questions - asked:,} of {questions:,} questions were not asked: fewer than {FEWEST} "
            "candidates answer yes, or no"
        )
    if asked and smallest < 1:
        words.append(
            f"an effect below {smallest:.2f} may have been missed, a rare choice's a larger one"
        )
    elif asked:
        words.append("only a choice that decides nearly everything would have been found")
    if best < FEWEST:
        words.append(f"the top 5 % are {best} candidates: their mean cell says little")
    return words


def show(voice: Voice, found: Explanation) -> None:
    """Print the strongest findings of each kind, and what cannot be told."""
    voice.say(f"explained from {found.candidates:,} candidates: {found.source}")
    header = ("question", "yes", "effect (95 %)", "at equal size (95 %)")
    for kind, title in TITLES.items():
        asked = [finding for finding in found.findings if finding.kind == kind]
        shown = [f for f in asked if is_shown(f)]
        if shown:
            count = f"{len(shown):,} of {len(asked):,} shown"
            if len(shown) > MOST_ROWS:
                count += f", the {MOST_ROWS} strongest here"
            voice.table(f"{title} ({count})", header, [_row(f) for f in shown[:MOST_ROWS]])
        elif asked:
            voice.say(f"{title}: none of {len(asked):,} is shown to matter")
    weighed.show(voice, found.importance, found.savings)
    for note in found.notes:
        voice.say(f"note: {note}")


def is_shown(finding: Finding) -> bool:
    """Say whether a finding stands, at all sizes together or at equal size."""
    return finding.effect.shown or (finding.at_size is not None and finding.at_size.shown)


def _row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.text,
        f"{finding.having}/{finding.asked}",
        in_words(finding.effect),
        in_words(finding.at_size),
    )


def in_words(one: Effect | None) -> str:
    """Write an effect with its interval, and a star where it is shown.

    >>> in_words(Effect(delta=0.5, low=0.4, high=0.6, p=0.001, shown=True))
    '+0.50 (+0.40 to +0.60) ★'
    """
    if one is None:
        return "too few"
    delta, low, high = (f"{round(x, 2) + 0.0:+.2f}" for x in (one.delta, one.low, one.high))
    text = f"{delta} ({low} to {high})".replace("-", "−")
    return f"{text} ★" if one.shown else text
