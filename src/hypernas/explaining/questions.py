"""Yes-or-no questions about candidates: of each choice, of choices counted, of motifs.

- *choice*: does this decision have this value? Asked of the candidates that face the decision. Of a
  subset: is this option in it? Numbers of more than eight values are cut in two: is it more than m?
- *count*: decisions whose names differ in numbers only (``node0.op``, ``node1.op``) are a family,
  ``node*.op``. Is this value in more than m of its places? Is the mean of its numbers more than m?
- *motif*: is a figure of the computation graph (:mod:`~hypernas.explaining.motifs`) more than m?

Each m is the cut that comes nearest to halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hypernas.choices import Architecture, Scalar, family_of
from hypernas.console import short

Kind = Literal["choice", "count", "motif"]

MOST_VALUES = 8
"""values of a number up to which each is asked about"""


@dataclass(frozen=True)
class Question:
    """What is asked of candidates, and what each answers.

    Attributes:
        kind: what it is about.
        text: the question in words, such as ``edge0-1 = skip_connect``.
        asked: whether it can be asked of a candidate, bool of shape (n,).
        having: whether the candidate answers yes, bool of shape (n,); False where not asked.
    """

    kind: Kind
    text: str
    asked: np.ndarray
    having: np.ndarray


def families(architectures: Sequence[Architecture]) -> dict[str, list[str]]:
    """Return the names of the decisions by family, in the order in which they are met."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for choices in architectures for name in choices):
        found.setdefault(family_of(name), []).append(name)
    return found


def written(value: Scalar) -> str:
    """Return a value as it is shown.

    >>> written(0.5), written(True), written(None)
    ('0.5', 'yes', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(value: float) -> str:
    """Return a number as it is shown.

    >>> figure(12.0), figure(0.3333), figure(231_000.0)
    ('12', '0.3333', '231k')
    """
    return short(value) if abs(value) >= 10_000 else f"{value:.4g}"


def ordered(values: Iterable[Any]) -> list[Any]:
    """Return distinct values, numbers by size, then all others by their text."""
    distinct = {written(value): value for value in values}.values()
    numbers = sorted(value for value in distinct if is_number(value))
    return numbers + sorted((v for v in distinct if not is_number(v)), key=written)


def of_choices(architectures: Sequence[Architecture]) -> list[Question]:
    """Return the questions about each decision in its place."""
    found = []
    for names in families(architectures).values():
        for name in names:
            values = [choices.get(name) for choices in architectures]
            asked = np.array([name in choices for choices in architectures])
            found += [
                Question("choice", f"{name} {words}", asked, having & asked)
                for words, having in _about(values, asked)
            ]
    return [question for question in found if _tells(question)]


def of_counts(architectures: Sequence[Architecture]) -> list[Question]:
    """Return the questions about families of several decisions."""
    found = []
    for family, names in families(architectures).items():
        if len(names) < 2:
            continue
        places = [[choices[n] for n in names if n in choices] for choices in architectures]
        asked = np.array([bool(met) for met in places])
        for text, figures in _counts(family, places):
            found += _above("count", text, np.array(figures), asked)
    return [question for question in found if _tells(question)]


def of_motifs(figures: Sequence[Mapping[str, float]]) -> list[Question]:
    """Return the questions about the graphs; a figure that a graph lacks is 0."""
    everyone = np.ones(len(figures), dtype=bool)
    found = []
    for name in dict.fromkeys(name for one in figures for name in one):
        values = np.array([one.get(name, 0.0) for one in figures])
        found += _above("motif", f"{name}: more than {{m}}", values, everyone)
    return [question for question in found if _tells(question)]


def _about(values: Sequence[Any], asked: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what may be asked of one decision: words, and who answers yes."""
    met = [value for value, there in zip(values, asked, strict=True) if there]
    if any(isinstance(value, list) for value in met):
        for option in ordered(option for chosen in met for option in chosen):
            yield f"has {written(option)}", np.array([option in (v or ()) for v in values])
        return
    options = ordered(met)
    if len(options) > MOST_VALUES and all(map(is_number, options)):
        cut = cut_of(np.array(met, dtype=float))
        yield (
            f"more than {figure(cut)}",
            np.array([is_number(value) and value > cut for value in values]),
        )
        return
    for option in options if len(options) > 2 else options[1:]:  # of two, one says it all
        yield f"= {written(option)}", np.array([written(v) == written(option) for v in values])


def _counts(family: str, places: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[float]]]:
    """Yield figures of a family: in how many places is a value, and what is the mean."""
    every = [value for met in places for value in met]
    if any(isinstance(value, list) for value in every):
        yield (
            f"{family}, how many on average: more than {{m}}",
            [_mean([len(value) for value in met]) for met in places],
        )
        return
    options, numeric = ordered(every), all(map(is_number, every))
    if numeric and len(options) > 2:
        yield f"{family}, mean: more than {{m}}", [_mean(met) for met in places]
    if numeric and len(options) > MOST_VALUES:
        return
    lengths = {len(met) for met in places if met}
    for option in options if len(options) > 2 else options[1:]:
        hits = [[written(value) == written(option) for value in met] for met in places]
        if len(lengths) == 1:
            text = f"{family} = {written(option)}: more than {{m}} of {max(lengths)}"
            yield text, [float(sum(hit)) for hit in hits]
        else:
            text = f"{family} = {written(option)}: more than {{m}} % of them"
            yield text, [100 * _mean(hit) for hit in hits]


def _above(kind: Kind, text: str, figures: np.ndarray, asked: np.ndarray) -> list[Question]:
    """Return the question whether a figure is more than its cut; none where all are equal."""
    if len(np.unique(figures[asked])) < 2:
        return []
    cut = cut_of(figures[asked])
    return [Question(kind, text.replace("{m}", figure(cut)), asked, (figures > cut) & asked)]


def cut_of(figures: np.ndarray) -> float:
    """Return the value with the number of larger ones nearest to a half; of two, the lower.

    >>> cut_of(np.array([0, 0, 0, 1, 2])), cut_of(np.array([1, 2, 3, 4]))
    (0.0, 2.0)
    """
    values, counts = np.unique(figures, return_counts=True)
    larger = len(figures) - counts.cumsum()
    return float(values[:-1][np.abs(larger[:-1] - len(figures) / 2).argmin()])


def each_once(questions: Iterable[Question]) -> list[Question]:
    """Return the questions without those that all candidates answer as they answer an earlier one.

    Where a cell is repeated, for example, the depth of the network follows from that of the cell.
    """
    distinct: dict[bytes, Question] = {}
    for question in questions:
        distinct.setdefault(question.asked.tobytes() + question.having.tobytes(), question)
    return list(distinct.values())


def _tells(question: Question) -> bool:
    """Say whether both answers occur."""
    return bool(question.having.any() and (question.asked & ~question.having).any())


def is_number(value: Any) -> bool:
    """Say whether a value is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
