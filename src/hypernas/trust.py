"""The trust meter: how far a run's scores may be believed, from random networks trained for real.

A random sample of the space is trained. The score and each rival are held against the accuracies
that the sample reaches, by :mod:`hypernas.ranking`, beside what they cost. Three answers follow:

- whether the score says more than size does: the correlation of score and accuracy, both as normal
  scores of their ranks (van der Waerden) and without what those of params and MACs explain, with
  the interval of Fisher's transformation (widened for ranks: Fieller, Hartley and Pearson,
  Biometrika 1957). It was seen to hold in 94 to 95 of 100 samples of 12 to 80 networks;
- which of all trained networks the seeds do not tell from the best, and the smallest of these;
- how good the best of random search would be for the processor seconds of this search: the expected
  best of so many draws from the sample's accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata, t

from hypernas.console import Update, Voice, cost
from hypernas.jobs import ZeroCost
from hypernas.proxies import Timed, common
from hypernas.ranking import overlap, pairs_of, regret, spearman, tau
from hypernas.resampling import Group, Luck, alike, different, without_choice
from hypernas.results import Answer, Estimate, Meter, Network, Pairs, Ranked, Tie
from hypernas.workplace import Workplace

LEAST_SAMPLE = 8
"""networks without which nothing is said of a ranking"""
LEAST_PAIRS = 10
"""of networks, without which no tau is told of them"""
TIE_DRAWS = 10_000
"""of the luck of all networks"""
SOURCES = {"search": "a searched one", "random": "a random one", "biggest": "the biggest"}
TOP = 5
"""picks of which overlap and regret are told, where the sample has twice as many"""


def trust(
    place: Workplace,
    networks: Sequence[Network],
    seconds: Mapping[str, float],
    scored: int,
    climb_seconds: float = 0.0,
    progress: Update = lambda *_: None,
) -> Meter | None:
    """Return how far the scores of a run may be believed.

    Args:
        place: of the run.
        networks: all that were trained for real.
        seconds: on the wall clock, of each step.
        scored: candidates of the search.
        climb_seconds: CPU seconds of the ladder beside the trainings of these networks.
        progress: told for how many networks the rivals are computed.
    """
    first = int(place.config.score_by == "training")  # then the first seed is the score
    random = [n for n in networks if n.source == "random" and len(n.seeds) > first]
    sample = alike(random, first) if random else []
    place.threads(1)  # as in the processes of a run: last digits depend on it
    found: list[dict[str, Timed]] = []
    for done, network in enumerate(sample, start=1):
        found.append(ZeroCost(choices=network.choices).do(place))
        progress(done, len(sample), "networks")
    rivals = {}
    for name in common(found):
        if name == place.config.score_by:
            continue  # the score itself
        each = [values[name] for values in found]
        rivals[name] = [v.value for v in each], float(np.mean([v.seconds for v in each]))
    search = seconds.get("search", 0.0) * place.config.processes
    search += seconds.get("fit", 0.0) * place.plan.threads
    # a seed that chose is lucky, and the search itself has trained it
    fair = without_choice(networks, first)
    trained = sum(t.seconds for n in fair if n.source == "search" for t in n.seeds)
    paid = search + climb_seconds + trained
    return meter(
        sample,
        fair,
        rivals,
        scored=scored,
        search_seconds=search,
        paid_seconds=paid,
    )


def ranked(
    name: str, values: ArrayLike, accuracy: ArrayLike, macs: ArrayLike, seconds: float, top: int
) -> Ranked:
    """Return how well values (N,) rank networks of these accuracies and MACs, each (N,)."""
    return Ranked(
        name=name,
        tau=_taus(values, accuracy, macs),
        spearman=spearman(values, accuracy),
        overlap=overlap(values, accuracy, top),
        regret=regret(values, accuracy, top),
        seconds=seconds,
    )


def _taus(values: ArrayLike, accuracy: ArrayLike, macs: ArrayLike) -> dict[Pairs, Estimate]:
    """Return tau over those pairs of networks of which there are enough."""
    return {
        kind: tau(values, accuracy, chosen)
        for kind, chosen in pairs_of(accuracy, macs).items()
        if np.triu(chosen, 1).sum() >= LEAST_PAIRS
    }


def beyond(values: ArrayLike, accuracy: ArrayLike, sizes: Sequence[ArrayLike]) -> Estimate:
    """Return the rank correlation of values and accuracies without what sizes explain.

    With so few networks that sizes explain everything it is 0, between -1 and 1.

    Args:
        values: (N,).
        accuracy: (N,).
        sizes: what is taken out, each (N,).
    """
    count = len(np.asarray(accuracy))
    freedom = count - 3 - len(sizes)
    if freedom < 1:
        return Estimate(value=0.0, low=-1.0, high=1.0)
    known = np.column_stack([np.ones(count), *map(_normal_scores, sizes)])
    left = []
    for scores in (_normal_scores(values), _normal_scores(accuracy)):
        rest = scores - known @ np.linalg.lstsq(known, scores, rcond=None)[0]
        spread = np.sqrt((rest**2).sum())
        left.append(rest / spread if spread > 1e-9 * count else 0 * rest)
    value = float(np.clip(left[0] @ left[1], -1, 1))
    z, half = (
        atanh(np.clip(value, -0.999999, 0.999999)),
        t.ppf(0.975, freedom) * sqrt(1.06 / freedom),
    )
    return Estimate(value=value, low=tanh(z - half), high=tanh(z + half))


def _normal_scores(values: ArrayLike) -> NDArray[np.float64]:
    """Return ranks as quantiles of the normal distribution (van der Waerden's scores)."""
    ranks = rankdata(values)
    return norm.ppf((ranks - 0.5) / len(ranks))


def tied(networks: Sequence[Network]) -> Tie | None:
    """Return which networks may be the best on validation, as far as seeds tell.

    The mean of a seeds is off by luck with the deviation s / √a, where s is pooled over all
    networks that have several seeds. A network is left out when others are so far above it as luck
    would put them in 5 of 100 cases if it were the best: so the best is among those returned, and
    of networks that are all alike each is, with 95 %. Source: Gupta, Technometrics 1965 (subset
    selection); here with a number of seeds of each network's own, by simulation.
    """
    networks = different(networks)
    luck = Luck.of(networks)
    if luck is None:
        return None
    means = np.array([network.val_accuracy for network in networks])
    each = 1 / np.array([len(network.seeds) for network in networks])
    rng = np.random.default_rng(0)
    spread = np.sqrt(rng.chisquare(luck.freedom, TIE_DRAWS) / luck.freedom)
    drawn = rng.normal(size=(TIE_DRAWS, len(networks))) * np.sqrt(each) / spread[:, None]
    equal = []
    for number, network in enumerate(networks):
        wide = np.sqrt(each + each[number])
        above = ((means - means[number]) / wide).max()
        by_luck = ((drawn - drawn[:, [number]]) / wide).max(1)
        if (by_luck * luck.deviation >= above).mean() > 0.05:
            equal.append(network)
    smallest = min(equal, key=lambda network: (network.params, network.macs))
    return Tie(networks=len(equal), smallest=smallest, deviation=luck.deviation)


def best_of_random(validation: ArrayLike, test: ArrayLike, count: int) -> Estimate:
    """Return the expected test accuracy of the best by validation of ``count`` random networks.

    They are drawn with replacement from accuracies (N,); the interval is that of resampled ones. It
    can be no better than what was seen.
    """
    rng = np.random.default_rng(0)
    tested = np.asarray(test, dtype=float)[np.argsort(validation, kind="stable")]
    below = (np.arange(len(tested) + 1) / len(tested)) ** count
    shares = np.diff(below)
    resampled = np.sort(rng.integers(len(tested), size=(2000, len(tested))), axis=1)
    low, high = np.quantile(tested[resampled] @ shares, [0.025, 0.975])
    return Estimate(value=float(tested @ shares), low=float(low), high=float(high))


def ceiling(twice: Sequence[Network]) -> dict[Pairs, Estimate] | None:
    """Return how well the first seed of networks ranks the second; None of too few networks."""
    if len(twice) < LEAST_SAMPLE:
        return None
    first, second = ([_tested(n, seed) for n in twice] for seed in (0, 1))
    return _taus(second, first, [network.macs for network in twice])


def _tested(network: Network, seed: int) -> float:
    accuracy = network.seeds[seed].test_accuracy
    assert accuracy is not None
    return accuracy


def meter(
    sample: Sequence[Network],
    everything: Sequence[Network],
    rivals: Mapping[str, tuple[Sequence[float], float]],
    *,
    scored: int,
    search_seconds: float,
    paid_seconds: float,
) -> Meter | None:
    """Return how far the scores of a run may be believed; None of fewer than LEAST_SAMPLE networks.

    Args:
        sample: random networks, by the same seeds.
        everything: all trained networks, with all their seeds but one that chose.
        rivals: by name, a value of each network of the sample, and the CPU seconds of one.
        scored: candidates of the search.
        search_seconds: CPU seconds of fit and search together.
        paid_seconds: CPU seconds of these, of the ladder, and of all trainings of what was found.
    """
    if len(sample) < LEAST_SAMPLE:
        return None
    accuracy = Group.of(sample).means
    macs = [network.macs for network in sample]
    top = min(TOP, len(sample) // 2)
    scores = [network.score for network in sample]
    signals = [ranked("score", scores, accuracy, macs, search_seconds / max(scored, 1), top)]
    for name, (values, seconds) in rivals.items():
        signals.append(ranked(name, values, accuracy, macs, seconds, top))
    partial = beyond(scores, accuracy, [[network.params for network in sample], macs])
    answer: Answer = "yes" if partial.low > 0 else "no" if partial.high < 0 else "not shown"
    each = np.mean([sum(training.seconds for training in n.seeds) for n in sample])
    count = round(paid_seconds / each) if each > 0 else 0
    often = len(sample[0].seeds)
    searched = [n.by_seeds(0, often) for n in everything if n.source == "search"]
    searched = [n for n in searched if len(n.seeds) == often]
    tie = tied(everything)
    twice = [network for network in different(everything) if len(network.seeds) > 1]
    validation = [network.val_accuracy for network in sample]
    return Meter(
        networks=len(sample),
        top=top,
        signals=signals,
        ceiling=ceiling(twice),
        repeated=len(twice),
        beyond_size=answer,
        partial=partial,
        tie=tie,
        random_search=best_of_random(validation, accuracy, count) if count else None,
        random_count=count,
        searched=max(searched, key=lambda n: n.val_accuracy).test_accuracy if searched else None,
        text=_in_words(len(sample), signals, partial, answer, tie),
    )


def _in_words(
    count: int, signals: Sequence[Ranked], partial: Estimate, answer: Answer, tie: Tie | None
) -> str:
    score, *rivals = signals
    found = score.tau["all"]
    parts = [f"the score ranks {count} random networks with tau {found}"]
    better = [
        rival
        for rival in rivals
        if rival.tau["all"].value >= found.value and rival.seconds <= score.seconds
    ]
    if better:
        best = max(better, key=lambda rival: rival.tau["all"].value)
        parts.append(
            f"{best.name} ranks them as well or better, {best.tau['all']}, at no higher cost"
        )
    wrong = " (it ranks the wrong way)" if answer == "no" else ""
    parts.append(f"adds information beyond size: {answer}{wrong}, partial correlation {partial}")
    if tie is None:
        parts.append("no network was trained twice, so what luck does is not known")
    else:
        parts.append(
            f"a seed moves a network by {100 * tie.deviation:.1f} points, and below that noise "
            f"{tie.networks} networks are a tie with the best; the smallest of them, "
            f"{SOURCES[tie.smallest.source]}, has {tie.smallest.params:,} params (its choices: "
            "trust.tie in result.json)"
        )
    return "; ".join(parts)


def show(voice: Voice, found: Meter | None) -> None:
    """Print how each signal ranks the sample, and in words what that means."""
    if found is None:
        voice.say(
            f"trust: fewer than {LEAST_SAMPLE} random networks are trained, too few to say how "
            "scores rank; hypernas trust RUN --train 20 trains more"
        )
        return
    kinds = [kind for kind in found.signals[0].tau if kind != "all"]
    narrow = [kind.replace(" ", "\n") for kind in kinds]  # the table has to fit 80 columns
    header = ("ranked by", "tau (95 %)", *narrow, "regret", "CPU s")
    rows: list[tuple[str, ...]] = [
        (
            signal.name,
            str(signal.tau["all"]),
            *(_short(signal.tau[kind]) for kind in kinds),
            f"{100 * signal.regret.value:.1f}",
            cost(signal.seconds),
        )
        for signal in found.signals
    ]
    if found.ceiling is not None:
        told = [_short(found.ceiling.get(kind)) for kind in kinds]
        name, every = f"another seed ({found.repeated})", str(found.ceiling["all"])
        rows.append((name, every, *told, "–", "–"))
    about = f"regret: in points, of the best of {found.top}; CPU s: of one"
    voice.table(f"how {found.networks} random networks are ranked ({about})", header, rows)
    if found.random_search is not None:
        voice.say(
            f"random search for the same processor time: about {found.random_count} networks, "
            f"the best of which is expected at {found.random_search.value:.2%} on test or above "
            f"(estimated from {found.networks})"
            + (
                f"; the best of this search has {found.searched:.2%}"
                if found.searched is not None
                else ""
            )
        )
    voice.say(f"trust: {found.text}")


def _short(found: Estimate | None) -> str:
    """Return an estimate alone, so that a row fits a terminal; its interval is in the report."""
    return "–" if found is None else f"{found.value:.2f}".replace("-", "−")
