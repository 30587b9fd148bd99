"""Ways to rank networks that train some of them for real, and fit no hypernetwork."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
from known import Floats, Known
from searches import LEARNERS, apart, by_sampler, judged, scored
from sklearn.linear_model import RidgeCV
from way import CALIBRATION, Settings, Way, marked, sample, seconds_of

from hypernas import reinforce
from hypernas.candidate import Candidate
from hypernas.choices import Architecture
from hypernas.config import Pruner


def one_hot(architectures: Sequence[Architecture]) -> Floats:
    """Return a column of 0 and 1 for each answer of each decision, (N, C), of lists each member."""
    given = [
        {(n, repr(v)) for n, value in choices.items() for v in _listed(value)}
        for choices in architectures
    ]
    columns = sorted(set().union(*given))
    return np.array([[column in one for column in columns] for one in given], dtype=float)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def ridge(known: Known, settings: Settings) -> Way:
    """Rank by ridge regression on one-hot choices, fitted on the trained ones."""
    table = one_hot(known.choices)
    rows, used = [], []
    for seed in settings.seeds:
        trained = sample(known, seed)
        model = RidgeCV(alphas=np.logspace(-3, 3, 13))
        model.fit(table[trained], known.by_epoch[trained, -1])
        found = model.predict(table)
        found[trained] = known.by_epoch[trained, -1]
        rows.append(found)
        used.append(marked(known, trained))
    cost = seconds_of(known, used)
    note = f"one-hot choices, {CALIBRATION} networks trained"
    return Way(np.array(rows), cost, 0.0, note, np.array(used))


def raced(known: Known, settings: Settings, pruner: Pruner) -> Way:
    """Rank by how far each came before successive halving or Hyperband stopped it, then by that."""
    rows, cost = np.zeros((settings.fits, len(known.truths))), 0.0
    for row, seed in zip(rows, settings.seeds, strict=True):
        for number, part in islice(judged(known, seed, pruner), len(known.truths)):
            row[number] = part.epochs + part.accuracy
            cost += known.seconds[number] * part.epochs / known.recipe.epochs
    return Way(rows, 0.0, cost / rows.size, "epochs until it was stopped, then accuracy")


def policy(known: Known, settings: Settings) -> Way:
    """Rank by how likely REINFORCE's policy is to draw each, after some trainings."""
    sampler, candidates = LEARNERS["REINFORCE"], known.place.candidates
    rows, used = [], []
    for seed in settings.seeds:
        taken = islice(by_sampler(known, seed, sampler), CALIBRATION)
        trained = [number for _, number in taken if number is not None]
        logits = reinforce.learned([scored(known, n) for n in trained], candidates, sampler.rate)
        rows.append([likelihood(candidates.of(c), logits) for c in known.choices])
        used.append(marked(known, trained))
    cost = seconds_of(known, used)
    return Way(np.array(rows), cost, 0.0, f"{CALIBRATION} networks trained", np.array(used))


def likelihood(candidate: Candidate, logits: reinforce.Logits) -> float:
    """Return the logarithm of how likely a policy is to answer as a candidate does."""
    found = 0.0
    for name, decision in candidate.decisions.items():
        for option, share in zip(decision.options, reinforce.shares(logits, decision), strict=True):
            taken = option in _listed(candidate.choices[name])
            if taken or decision.kind == "subset":
                found += math.log(share if taken else 1 - share)
    return found


def bred(known: Known, settings: Settings) -> Way:
    """Rank by in how few choices each differs from the best of evolution's population."""
    sampler = LEARNERS["evolution"]
    rows, used = [], []
    for seed in settings.seeds:
        taken = islice(by_sampler(known, seed, sampler), CALIBRATION)
        trained = [number for _, number in taken if number is not None]
        best = max(trained[-sampler.population :], key=lambda n: known.by_epoch[n, -1])
        rows.append([-float(apart(choices, known.choices[best])) for choices in known.choices])
        used.append(marked(known, trained))
    cost = seconds_of(known, used)
    note = f"likeness to the best of its population; {CALIBRATION} networks trained"
    return Way(np.array(rows), cost, 0.0, note, np.array(used))
