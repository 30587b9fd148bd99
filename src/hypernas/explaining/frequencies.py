"""How often the best candidates choose what, beside how often all do: the mean cell.

A difference is marked only where it is larger than those of equally many candidates picked blindly,
by 5,000 such picks and with all differences counted (Benjamini and Hochberg).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from hypernas.choices import Architecture, Scalar, Value
from hypernas.explaining.effects import LEVEL
from hypernas.explaining.questions import MOST_VALUES, families, ordered, written
from hypernas.explaining.record import Arc, Mark, MeanCell, Share, Spread
from hypernas.spaces.wiring import Wiring

PICKS = 5_000
"""of a random group of candidates as large as the best"""
OTHERS = "other"
ABSENT = "not there"

Figures = dict[tuple[str, str], np.ndarray]
"""for each place and what may stand there, the share of each candidate, NaN where it has no such
place; (n,)"""


def spreads(architectures: Sequence[Architecture], best: np.ndarray) -> list[Spread]:
    """Return how often each value is chosen in each family of decisions.

    Args:
        architectures: the candidates.
        best: positions of the best ones.
    """
    figures: Figures = {}
    for family, names in families(architectures).items():
        places = [[choices[n] for n in names if n in choices] for choices in architectures]
        lists = any(isinstance(value, list) for met in places for value in met)
        row = f"{family}, how many" if lists else family
        row = f"{row} (all {len(names)} places)" if len(names) > 1 else row
        figures |= _family_figures(row, [[_told(v) for v in met] for met in places])
    return _spreads(figures, best)


def mean_cell(wirings: Sequence[Wiring], best: np.ndarray) -> MeanCell:
    """Return how often each connection is there, and each operation on it or behind it.

    Args:
        wirings: the cell of each candidate, all of the same values.
        best: positions of the best candidates.
    """
    values = wirings[0].values
    edges = sorted({edge for wiring in wirings for edge in wiring.edges})
    carried = {e: [wiring.edges.get(e, ABSENT) for wiring in wirings] for e in edges}
    made = {
        value: [wiring.operations.get(value, ABSENT) for wiring in wirings]
        for value in sorted({value for wiring in wirings for value in wiring.operations})
    }
    figures: Figures = {}
    plain = {edge for edge in edges if set(carried[edge]) <= {"", ABSENT}}
    for (a, b), operations in carried.items():
        name = f"{values[a]} → {values[b]}"
        if (a, b) in plain:
            figures[name, ""] = np.array([float(o != ABSENT) for o in operations])
        else:
            figures |= _family_figures(name, [[o] for o in operations])
    for value, operations in made.items():
        figures |= _family_figures(values[value], [[o] for o in operations])
    by_name = {spread.name: spread for spread in _spreads(figures, best)}
    return MeanCell(
        values=list(values),
        arcs=[
            Arc(source=a, target=b, shares=by_name[f"{values[a]} → {values[b]}"].shares)
            for a, b in edges
        ],
        operations={str(value): by_name[values[value]].shares for value in made},
    )


def _told(value: Value) -> Scalar:
    """Return what is counted of a value: of a list, how many are in it."""
    return len(value) if isinstance(value, list) else value


def _family_figures(family: str, places: Sequence[Sequence[Scalar]]) -> Figures:
    """Return for each value in which share of its places each candidate has it."""
    every = [value for met in places for value in met]
    options = [written(value) for value in ordered(every)]
    counts = {option: sum(written(v) == option for v in every) for option in options}
    kept = sorted(options, key=lambda o: -counts[o])[:MOST_VALUES]
    if len(options) > len(kept) + 1:
        options = [option for option in options if option in kept] + [OTHERS]
    asked = np.array([len(met) or np.nan for met in places])
    found = {}
    for option in options:
        rest = option == OTHERS and option not in counts
        hits = [
            sum(written(v) not in kept if rest else written(v) == option for v in met)
            for met in places
        ]
        found[family, option] = np.array(hits) / asked
    return found


def _spreads(figures: Mapping[tuple[str, str], np.ndarray], best: np.ndarray) -> list[Spread]:
    """Compare the means of the best with those of all, and group them by place."""
    if not figures:
        return []
    table = np.stack(list(figures.values()), axis=1)
    every = _means(table, 0.0)
    top = _means(table[best], every)
    p = _by_picks(table, len(best), top - every)
    real = stats.false_discovery_control(p) < LEVEL
    met = ~np.isnan(table[best]).all(0)
    found: dict[str, list[Share]] = {}
    for column, (name, value) in enumerate(figures):
        one, other = float(top[column]), float(every[column])
        mark: Mark = ("more" if one > other else "less") if real[column] else "same"
        share = Share(value=value, top=one if met[column] else None, all=other, differs=mark)
        found.setdefault(name, []).append(share)
    return [Spread(name=name, shares=shares) for name, shares in found.items()]


def _by_picks(table: np.ndarray, size: int, differences: np.ndarray) -> np.ndarray:
    """Return how likely a difference as large is in a blind pick of ``size`` rows, (columns,)."""
    rng = np.random.default_rng(0)
    there = ~np.isnan(table)
    values = np.where(there, table, 0.0)
    every = _means(table, 0.0)
    larger = np.ones(table.shape[1])
    for _ in range(0, PICKS, 500):
        order = rng.random((500, len(table))).argpartition(size - 1, axis=1)[:, :size]
        picked = np.zeros((500, len(table)))
        np.put_along_axis(picked, order, 1.0, axis=1)
        counts = picked @ there
        means = np.where(counts, (picked @ values) / np.maximum(counts, 1), every)
        larger += (np.abs(means - every) >= np.abs(differences) - 1e-12).sum(0)
    return larger / (PICKS + 1)


def _means(table: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """Return the mean of each column over what is there, or ``otherwise`` where nothing is."""
    there = ~np.isnan(table)
    sums = np.where(there, table, 0.0).sum(0)
    return np.where(there.any(0), sums / np.maximum(there.sum(0), 1), otherwise)
