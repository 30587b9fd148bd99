"""Ways to rank networks without training all of them, on a table of ground truth.

Each way is a function of a :class:`~known.Known` table and gives a :class:`Way`. What takes long is
kept in the table's folder and not worked out again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec
import numpy as np
import variants
from known import Floats, Known
from numpy.typing import NDArray
from replay import Replay, warms
from scipy.stats import rankdata
from searches import LEARNERS, by_sampler, judged, scored
from sklearn.linear_model import RidgeCV

from hypernas import climbing, reinforce
from hypernas.candidate import Candidate
from hypernas.choices import Architecture
from hypernas.config import Pruner
from hypernas.files import read_json, write_json
from hypernas.ladder import Entry, Rung, believe, climb, features_of
from hypernas.proxies import PROXIES, SIZES, Proxies
from hypernas.randomness import rng
from hypernas.survey import Survey
from hypernas.workplace import Workplace

CALIBRATION = 20
"""networks that are trained for a calibrated way, spread over the sizes; it ranks the others"""
WARM = "60 steps"
"""the variant of a score after some steps from the generated weights"""
SURVEY = 500
"""architectures that are drawn before a fit"""


@dataclass(frozen=True)
class Settings:
    """How much is done.

    Attributes:
        fits: of each hypernetwork, and draws of whatever else is random.
        steps: of each fit.
        seed: of the first of them.
    """

    fits: int = 5
    steps: int = 1000
    seed: int = 0

    @property
    def seeds(self) -> range:
        """One for each fit."""
        return range(self.seed, self.seed + self.fits)


@dataclass(frozen=True)
class Way:
    """What the networks of a table are worth by one way.

    Attributes:
        values: of each fit and network, (F, N), the more the better.
        fixed: CPU seconds that are spent once, on a fit or on trainings.
        each: CPU seconds of one value.
        note: what it is.
        trained: which networks were trained for it, (F, N); it ranks the others.
        deviations: how far values may be off, where these are expected accuracies, (F, N).
    """

    values: Floats
    fixed: float
    each: float
    note: str
    trained: NDArray[np.bool_] | None = None
    deviations: Floats | None = None

    @property
    def ranks(self) -> NDArray[np.bool_]:
        """Which networks it ranks, (F, N): those with a value, and not trained for it."""
        there = ~np.isnan(self.values)
        return there if self.trained is None else there & ~self.trained

    def seconds(self, networks: int) -> float:
        """CPU seconds of so many values, each with its share of what is spent once."""
        return self.fixed / networks + self.each


# -- what a network costs -------------------------------------------------------------------------


def size(known: Known, name: str) -> Way:
    """Rank by parameters or MACs; what reaches no output was never built, so they are active."""
    return Way(np.array([getattr(known, name)]), 0.0, 0.0, "active; the bigger the better")


def proxy(known: Known, name: str, settings: Settings) -> Way:
    """Rank by a zero-cost score."""
    seeds = f"{settings.seed}-{settings.fits}"
    path = known.place.folder / f"proxy-{name}-{seeds}-{known.digest}.json"
    if not path.exists():
        networks = [known.place.candidates.of(choices) for choices in known.choices]
        began, rows = time.process_time(), []
        for seed in settings.seeds:
            rows.append(Proxies(known.place, seed=seed)(name, networks))
        cost = (time.process_time() - began) / (len(networks) * settings.fits)
        write_json(path, (rows, cost))
    rows, each = read_json(path, tuple[list[list[float]], float])
    return Way(np.array(rows), 0.0, each, "an untrained network, one batch")


def zero_cost(known: Known, settings: Settings) -> dict[str, Way]:
    """Return the ways of all zero-cost scores but sizes, by name."""
    return {name: proxy(known, name, settings) for name in PROXIES if name not in SIZES}


def proxies_of(known: Known, settings: Settings, fit: int) -> dict[str, list[float]]:
    """Return the zero-cost scores by name, each (N,), that go with a fit, the first being 0."""
    return {name: way.values[fit].tolist() for name, way in zero_cost(known, settings).items()}


def part(known: Known, epochs: int) -> Way:
    """Rank by the validation accuracy after the first epochs of the training itself."""
    share = epochs / known.recipe.epochs
    note = f"the first {epochs} of {known.recipe.epochs} epochs of a training"
    return Way(known.by_epoch[None, :, epochs - 1], 0.0, share * known.seconds.mean(), note)


def small(known: Known) -> Way:
    """Rank by the accuracy at the table's own size, where the truth is that at another one."""
    seconds = known.seeds * known.seconds.mean()
    return Way(known.accuracy[None], 0.0, seconds, "trained to the end at the table's size")


# -- hypernetworks --------------------------------------------------------------------------------


def fitted(known: Known, hypernet: str, settings: Settings, variant: str = "plain") -> Way:
    """Rank by the score of a hypernetwork, or a variant of it; one row a fit."""
    places = [fit_place(known, hypernet, seed) for seed in settings.seeds]
    folder = known.place.folder / hypernet
    found = variants.measured(places, known.choices, variant, steps=settings.steps, folder=folder)
    return Way(np.array(found.values), found.fit, found.score, f"{settings.steps} steps a fit")


def hypernet_of(known: Known) -> str:
    """Return the hypernetwork of a table's space."""
    return "smash" if known.place.space.name == "memory-bank" else "ghn"


def warmed(known: Known, settings: Settings) -> Way | None:
    """Return the score after some steps, where a run's ladder asks for it."""
    return fitted(known, hypernet_of(known), settings, WARM) if warms(known) else None


def fit_place(known: Known, hypernet: str, seed: int) -> Workplace:
    """Return where a hypernetwork is fitted: the table's data, the package's own recipe.

    The survey of the space is kept, for every hypernetwork of that seed.
    """
    config = msgspec.structs.replace(known.place.config, hypernet=hypernet, seed=seed)
    place = Workplace(known.place.folder, config)
    place.splits, place.data = known.place.splits, known.place.data
    path = place.folder / f"survey-{SURVEY}-{seed}.json"
    if path.exists():
        place.survey = read_json(path, Survey)
    else:
        place.look(SURVEY)
        write_json(path, place.survey)
    return place


def with_size(known: Known, score: Way) -> Way:
    """Rank by the sum of the ranks by score and by parameters."""
    values = np.array([rankdata(row) for row in score.values]) + rankdata(known.params)
    return Way(values, score.fixed, score.each, "rank by score + rank by params")


# -- some networks trained for real ---------------------------------------------------------------


def sample(known: Known, seed: int, count: int = CALIBRATION) -> list[int]:
    """Return ``count`` networks that are spread over the sizes, one from each of as many strata."""
    strata = np.array_split(np.argsort(known.macs, kind="stable"), count)
    return [int(rng(seed, "calibration", n).choice(list(s))) for n, s in enumerate(strata)]


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
        used.append(_marked(known, trained))
    cost = CALIBRATION * known.seconds.mean()
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
        used.append(_marked(known, trained))
    cost = CALIBRATION * known.seconds.mean()
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


def unscored(known: Known, settings: Settings) -> Way:
    """Return scores that say nothing and cost nothing: what the rest is worth without a fit."""
    return Way(np.zeros((settings.fits, len(known.truths))), 0.0, 0.0, "no score")


def calibrated(known: Known, score: Way, settings: Settings, warm: Way | None = None) -> Way:
    """Rank by what the ladder would believe of each, given its score and some trained ones.

    Args:
        known: the table.
        score: of each network.
        settings: with the seeds of the fits.
        warm: what all of them have on the rung of some steps, where they climb it.
    """
    rows, wide, used = [], [], []
    for fit, seed in enumerate(settings.seeds):
        trained = sample(known, seed)
        by_rung = [score.values[fit], *([warm.values[fit]] if warm else [])]
        signals = dict(enumerate(np.column_stack(by_rung).tolist()))
        accuracies = {n: [float(known.by_epoch[n, -1])] for n in trained}
        those = features_of(entries(known, score, settings, fit, 0))
        rungs: list[Rung] = ["warm"] if warm else []
        believed = believe(those, signals, accuracies, rungs, seed=seed)
        rows.append(believed.means)
        wide.append(believed.deviations)
        used.append(_marked(known, trained))
    return Way(
        np.array(rows),
        score.fixed + CALIBRATION * known.seconds.mean(),
        score.each + free_each(known, settings) + (warm.each if warm else 0.0),
        f"{score.note}, zero-cost scores, size and choices; {CALIBRATION} networks trained",
        np.array(used),
        np.array(wide),
    )


def free_each(known: Known, settings: Settings) -> float:
    """CPU seconds of all zero-cost scores of a network."""
    return sum(way.each for way in zero_cost(known, settings).values())


def entries(
    known: Known, score: Way, settings: Settings, fit: int, unchosen: int, *, ranked_by: str = ""
) -> list[Entry]:
    """Return the networks of a table as entries of the ladder.

    Args:
        known: the table.
        score: what they begin with.
        settings: with the seeds of the fits.
        fit: by which one, the first being 0.
        unchosen: networks that are trained in any case, spread over the sizes; with them the
            biggest, as in a run.
        ranked_by: the zero-cost score that is the score.
    """
    others: list[int] = []
    if unchosen:
        others = [known.biggest, *sample(known, settings.seeds[fit], unchosen)]
    proxies = proxies_of(known, settings, fit)
    proxies.pop(ranked_by, None)
    return [
        Entry(
            choices=truth.choices,
            params=truth.params,
            macs=truth.macs,
            score=float(score.values[fit, number]),
            proxies={name: values[number] for name, values in proxies.items()},
            seeds=int(number in others),
        )
        for number, truth in enumerate(known.truths)
    ]


def _marked(known: Known, numbers: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of the networks these are, (N,)."""
    return np.isin(np.arange(len(known.truths)), numbers)


def ladder(known: Known, score: Way, settings: Settings, warm: Way | None = None) -> Way:
    """Rank by what the ladder believes at its end of those that it did not train."""
    rows, wide, spent, used = [], [], [], []
    for fit, seed in enumerate(settings.seeds):
        source = Replay(known, warm, fit)
        those = entries(known, score, settings, fit, CALIBRATION // 2)
        *_, last = climb(those, source.widths(CALIBRATION // 2), source, seed=seed)
        rows.append(last.expected)
        wide.append(last.deviations)
        used.append(source.done >= 1)
        spent.append(source.spent + source.rungs)
    return Way(
        np.array(rows),
        score.fixed + float(np.mean(spent)),
        score.each + free_each(known, settings),
        "at its end, of what it did not train",
        np.array(used),
        np.array(wide),
    )


# -- all of them ----------------------------------------------------------------------------------


def every(known: Known, settings: Settings) -> Iterator[tuple[str, Callable[[], Way]]]:
    """Yield each way by name, the cheap ones first."""
    for name in SIZES:
        yield name, lambda n=name: size(known, n)
    for name in PROXIES:
        if name not in SIZES:
            yield name, lambda n=name: proxy(known, n, settings)
    own = hypernet_of(known)

    def score() -> Way:
        return fitted(known, own, settings)

    def warm() -> Way:
        return fitted(known, own, settings, WARM)

    yield "weight sharing", lambda: fitted(known, "shared", settings)
    yield f"score ({own})", score
    if warms(known):
        yield f"score after {WARM}", warm
        yield f"calibrated, {WARM}", lambda: calibrated(known, score(), settings, warm())
    yield "score and params", lambda: with_size(known, score())
    yield "ridge on choices", lambda: ridge(known, settings)
    yield "calibrated score", lambda: calibrated(known, score(), settings)
    yield "calibrated without score", lambda: calibrated(known, unscored(known, settings), settings)
    yield "ladder", lambda: ladder(known, score(), settings, warmed(known, settings))
    yield "REINFORCE's policy", lambda: policy(known, settings)
    yield "successive halving", lambda: raced(known, settings, "halving")
    yield "Hyperband", lambda: raced(known, settings, "hyperband")
    third = max(1, climbing.part(known.recipe.epochs))
    for epochs in sorted({1, math.ceil(third / 2), third}):
        word = "epoch" if epochs == 1 else "epochs"
        yield f"{epochs} {word} of training", lambda e=epochs: part(known, e)
    yield "a whole training", lambda: part(known, known.recipe.epochs)
