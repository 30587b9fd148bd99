"""Ways to rank networks without training all of them, on a table of ground truth.

Each way is a function of a :class:`~known.Known` table and gives a :class:`Way`. What takes long is
kept in the table's folder and not worked out again: the fits, and what each way gives the networks,
which are small files that another machine can go on from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec
import numpy as np
import variants
from known import Known
from replay import Replay, warms
from rivals import bred, policy, raced, ridge
from scipy.stats import rankdata
from variants import Measured
from way import CALIBRATION, Settings, Way, marked, sample, seconds_of

from hypernas import climbing
from hypernas.files import read_json, write_json
from hypernas.ladder import Entry, Rung, believe, climb, features_of
from hypernas.proxies import PROXIES, SIZES, Proxies
from hypernas.randomness import rng
from hypernas.survey import Survey
from hypernas.workplace import Workplace

WARM = "60 steps"
"""the variant of a score after some steps from the generated weights"""
SURVEY = 500
"""architectures that are drawn before a fit"""


# -- what a network costs -------------------------------------------------------------------------


def size(known: Known, name: str) -> Way:
    """Rank by parameters or MACs; what reaches no output was never built, so they are active."""
    return Way(np.array([getattr(known, name)]), 0.0, 0.0, "active; the bigger the better")


def proxy(known: Known, name: str, settings: Settings) -> Way:
    """Rank by a zero-cost score."""

    def work_out() -> Measured:
        networks = [known.place.candidates.of(choices) for choices in known.choices]
        began, rows = time.process_time(), []
        for seed in settings.seeds:
            rows.append(Proxies(known.place, seed=seed)(name, networks))
        cost = (time.process_time() - began) / (len(networks) * settings.fits)
        return Measured(rows, 0.0, cost)

    found = kept(known, f"proxy-{name}", settings, work_out)
    return Way(np.array(found.values), 0.0, found.score, "an untrained network, one batch")


def kept(known: Known, name: str, settings: Settings, work_out: Callable[[], Measured]) -> Measured:
    """Return what a way gives the networks, worked out once for these seeds of these networks."""
    seeds = f"{settings.seed}-{settings.fits}"
    path = known.place.folder / f"{name}-{seeds}-{known.digest}.json".replace(" ", "-")
    if not path.exists():
        write_json(path, work_out())
    return read_json(path, Measured)


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

    def work_out() -> Measured:
        places = [fit_place(known, hypernet, seed) for seed in settings.seeds]
        folder = known.place.folder / hypernet
        return variants.measured(
            places, known.choices, variant, steps=settings.steps, folder=folder
        )

    name = f"score-{hypernet}-{variants.kept_as(variant)}-{settings.steps}"
    found = kept(known, name, settings, work_out)
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
        those = features_of(entries(known, score, settings, fit))
        rungs: list[Rung] = ["warm"] if warm else []
        believed = believe(those, signals, accuracies, rungs, seed=seed)
        rows.append(believed.means)
        wide.append(believed.deviations)
        used.append(marked(known, trained))
    return Way(
        np.array(rows),
        score.fixed + seconds_of(known, used),
        score.each + free_each(known, settings) + (warm.each if warm else 0.0),
        f"{score.note}, zero-cost scores, size and choices; {CALIBRATION} networks trained",
        np.array(used),
        np.array(wide),
    )


def free_each(known: Known, settings: Settings) -> float:
    """CPU seconds of all zero-cost scores of a network."""
    return sum(way.each for way in zero_cost(known, settings).values())


def besides(known: Known, seed: int, count: int, whole: int = 0) -> dict[int, int]:
    """Return how often networks are trained that nothing chose, by number, as in a run.

    Args:
        known: the table.
        seed: of the draw.
        count: how many, spread over the sizes; with them the biggest.
        whole: of these, with the biggest, have all seeds of the table, and the others one.
    """
    drawn = sample(known, seed, count)
    rng(seed, "whole").shuffle(drawn)
    found = {n: known.seeds if place < whole else 1 for place, n in enumerate(drawn)}
    return found | {known.biggest: known.seeds if whole else 1}


def entries(
    known: Known,
    score: Way,
    settings: Settings,
    fit: int,
    unchosen: Mapping[int, int] = MappingProxyType({}),
    *,
    ranked_by: str = "",
) -> list[Entry]:
    """Return the networks of a table as entries of the ladder.

    Args:
        known: the table.
        score: what they begin with.
        settings: with the seeds of the fits.
        fit: by which one, the first being 0.
        unchosen: how often networks are trained in any case, by number.
        ranked_by: the zero-cost score that is the score.
    """
    proxies = proxies_of(known, settings, fit)
    proxies.pop(ranked_by, None)
    return [
        Entry(
            choices=truth.choices,
            params=truth.params,
            macs=truth.macs,
            score=float(score.values[fit, number]),
            proxies={name: values[number] for name, values in proxies.items()},
            seeds=unchosen.get(number, 0),
        )
        for number, truth in enumerate(known.truths)
    ]


def ladder(known: Known, score: Way, settings: Settings, warm: Way | None = None) -> Way:
    """Rank by what the ladder believes at its end of those that it did not train."""
    rows, wide, spent, used = [], [], [], []
    for fit, seed in enumerate(settings.seeds):
        source = Replay(known, warm, fit)
        unchosen = besides(known, seed, CALIBRATION // 2)
        those = entries(known, score, settings, fit, unchosen)
        *_, last = climb(those, source.widths(CALIBRATION // 2), source, seed=seed)
        rows.append(last.expected)
        wide.append(last.deviations)
        used.append(source.done >= 1)
        spent.append(source.spent + source.rung_seconds)
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
    yield "evolution", lambda: bred(known, settings)
    yield "successive halving", lambda: raced(known, settings, "halving")
    yield "Hyperband", lambda: raced(known, settings, "hyperband")
    third = max(1, climbing.part(known.recipe.epochs))
    for epochs in sorted({1, math.ceil(third / 2), third}):
        word = "epoch" if epochs == 1 else "epochs"
        yield f"{epochs} {word} of training", lambda e=epochs: part(known, e)
    yield "a whole training", lambda: part(known, known.recipe.epochs)
