"""Rank statistics against SciPy and against plain loops, and what their intervals hold."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hypernas import ranking
from hypernas.ranking import overlap, pairs_of, pearson, regret, spearman, tau, tau_gain, tau_of
from hypernas.results import Estimate


def drawn(seed: int, count: int = 40, *, tied: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return values, (count,), that go along with accuracies to some extent, and these."""
    rng = np.random.default_rng(seed)
    accuracy = rng.normal(size=count)
    values = accuracy + rng.normal(size=count)
    return (values.round(0), accuracy.round(1)) if tied else (values, accuracy)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_whole_statistics_are_scipys(seed: int, tied: bool) -> None:
    values, accuracy = drawn(seed, tied=tied)
    assert tau(values, accuracy).value == pytest.approx(stats.kendalltau(values, accuracy)[0])
    assert spearman(values, accuracy).value == pytest.approx(stats.spearmanr(values, accuracy)[0])
    assert pearson(values, accuracy).value == pytest.approx(stats.pearsonr(values, accuracy)[0])


@pytest.mark.parametrize("seed", range(3))
def test_pairs_by_plain_loops(seed: int) -> None:
    values, accuracy = drawn(seed, 23, tied=True)
    macs = np.random.default_rng(seed).integers(1, 9, 23)
    edges = np.quantile(macs, [0.2, 0.4, 0.6, 0.8])
    group = [int(sum(m >= edges)) for m in macs]
    middle = np.median(accuracy)
    masks = pairs_of(accuracy, macs)
    kinds = {
        "all": lambda i, j: True,
        "better half": lambda i, j: accuracy[i] >= middle and accuracy[j] >= middle,
        "equal size": lambda i, j: group[i] == group[j],
    }
    for name, counts in kinds.items():
        agree = first = second = 0
        for i, j in combinations(range(23), 2):
            if counts(i, j):
                one, other = np.sign(values[i] - values[j]), np.sign(accuracy[i] - accuracy[j])
                agree, first, second = agree + one * other, first + one**2, second + other**2
        expected = agree / np.sqrt(first * second)
        assert tau(values, accuracy, masks[name]).value == pytest.approx(expected)
        assert tau_of(values, accuracy, masks[name]) == pytest.approx(expected)


def test_each_fit_may_have_pairs_of_its_own() -> None:
    """Networks that a fit leaves out count in no pair, whatever their values."""
    values, accuracy = drawn(0, 30)
    fits = np.stack([values, values])
    there = np.ones((2, 30), dtype=bool)
    there[1, :10] = False
    fits[1, :10] = 1e9
    found = tau(fits, accuracy, there[:, :, None] & there[:, None, :])
    whole, rest = tau(values, accuracy).value, tau(values[10:], accuracy[10:]).value
    assert found.value == pytest.approx((whole + rest) / 2)


def test_equal_sizes_take_the_size_out() -> None:
    """Values that know the size alone know nothing among networks of one size."""
    rng = np.random.default_rng(0)
    macs = np.repeat(np.arange(1, 6) * 1000, 20)
    accuracy = macs / 1000 + rng.normal(scale=0.5, size=100)
    by_size = macs + rng.normal(size=100)
    masks = pairs_of(accuracy, macs)
    assert tau(by_size, accuracy).value > 0.6
    found = tau(by_size, accuracy, masks["equal size"])
    assert found.low < 0 < found.high


@pytest.mark.parametrize("k", [1, 3, 5])
def test_picks_by_plain_sorting(k: int) -> None:
    values, accuracy = drawn(7)
    picked = sorted(range(40), key=lambda n: -values[n])[:k]
    best = sorted(range(40), key=lambda n: -accuracy[n])[:k]
    assert overlap(values, accuracy, k).value == len({*picked} & {*best}) / k
    lost = accuracy.max() - max(accuracy[picked])
    assert regret(values, accuracy, k).value == pytest.approx(lost)


def test_perfect_and_reversed_values() -> None:
    _, accuracy = drawn(0)
    assert tau(accuracy, accuracy) == Estimate(value=1.0, low=1.0, high=1.0)
    assert regret(accuracy, accuracy, 1) == Estimate(value=0.0, low=0.0, high=0.0)
    assert tau(-accuracy, accuracy).value == -1
    assert regret(-accuracy, accuracy, 1).value == pytest.approx(np.ptp(accuracy))
    for statistic in (tau, spearman, pearson):
        assert statistic(np.zeros(40), accuracy) == Estimate(value=0.0, low=0.0, high=0.0)


@pytest.mark.parametrize("statistic", [tau, spearman, pearson])
def test_intervals_are_those_of_resampled_networks(statistic: ranking.Statistic) -> None:
    values, accuracy = drawn(3)
    found = statistic(values, accuracy)
    rng = np.random.default_rng(1)
    plain = {tau: stats.kendalltau, spearman: stats.spearmanr, pearson: stats.pearsonr}[statistic]
    some = []
    for _ in range(800):
        chosen = rng.integers(0, 40, 40)
        some.append(plain(values[chosen], accuracy[chosen])[0])
    low, high = np.quantile(some, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.04)
    assert found.high == pytest.approx(high, abs=0.04)


def test_the_mean_over_fits_and_their_part_in_the_interval() -> None:
    values, accuracy = drawn(3)
    opposed = np.stack([values, -values])
    found = tau(opposed, accuracy)
    assert found.value == pytest.approx(0)
    alone = tau(values, accuracy)
    assert found.high >= alone.value, "both fits may be the first one"
    alike = tau(np.stack([values, values]), accuracy)
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_resampled_picks_are_counted_as_often_as_drawn() -> None:
    value, right = np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.9, 0.7])
    counts = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    first = ranking._places(value, counts, 2) > 0
    assert first.tolist() == [[True, False, False], [False, True, True], [True, True, False]]
    assert regret(value, right, 2).value == 0.0


def test_a_perfect_ranking_shares_its_whole_top_however_it_is_resampled() -> None:
    found = overlap(np.arange(20), np.arange(20) / 20, 5)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_a_gain_is_that_of_the_same_networks() -> None:
    """So its interval is narrower than those of the two taus together."""
    rng = np.random.default_rng(0)
    accuracy = rng.normal(size=60)
    worse = accuracy + rng.normal(size=(3, 60))
    better = accuracy + 0.8 * (worse - accuracy)
    found = tau_gain(better, worse, accuracy)
    apart = tau(better, accuracy), tau(worse, accuracy)
    assert found.value == pytest.approx(apart[0].value - apart[1].value)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.7 * max(one.high - one.low for one in apart)
    against_itself = tau_gain(worse, worse, accuracy)
    assert (against_itself.value, against_itself.low, against_itself.high) == (0, 0, 0)
    alone = tau_gain(worse.mean(0), worse, accuracy)
    assert alone.value == pytest.approx(tau(worse.mean(0), accuracy).value - apart[1].value)
