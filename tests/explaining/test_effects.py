"""Effects are what counting all pairs gives, and hold what they promise over many draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hypernas.explaining.effects import FEWEST, LEVEL, Effect, effect, smallest_found, stand


def made(seed: int, n: int = 120, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, some of them equal, and who answers yes; these score higher by ``shift``."""
    rng = np.random.default_rng(seed)
    having = rng.random(n) < 0.4
    return (rng.standard_normal(n) + shift * having).round(1), having


def known(scores: np.ndarray, having: np.ndarray, strata: np.ndarray | None = None) -> Effect:
    """Return an effect that there is."""
    found = effect(scores, having, np.zeros(len(scores)) if strata is None else strata)
    assert found is not None
    return found


def counted(scores: np.ndarray, having: np.ndarray, strata: np.ndarray) -> float:
    """Return Cliff's delta by looking at each pair."""
    signs = [
        np.sign(scores[i] - scores[j])
        for i in np.flatnonzero(having)
        for j in np.flatnonzero(~having)
        if strata[i] == strata[j]
    ]
    return float(np.mean(signs))


@pytest.mark.parametrize("classes", [1, 4])
def test_effect_is_the_balance_of_all_pairs(classes: int) -> None:
    scores, having = made(0)
    strata = np.arange(len(scores)) % classes
    assert known(scores, having, strata).delta == pytest.approx(counted(scores, having, strata))


def test_p_is_that_of_the_rank_sum_test_or_the_interval_s() -> None:
    for seed in range(30):
        scores, having = made(seed)
        expected = stats.mannwhitneyu(
            scores[having], scores[~having], method="asymptotic", use_continuity=False
        ).pvalue
        found = known(scores, having)
        assert found.p > expected - 1e-12
        assert found.p < 0.02 + 2 * expected
        assert found.p >= LEVEL or found.low > 0 or found.high < 0


def test_interval_is_near_a_bootstrap_one() -> None:
    scores, having = made(2, shift=0.8)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        rows = rng.integers(len(scores), size=len(scores))
        drawn.append(counted_fast(scores[rows], having[rows]))
    found = known(scores, having)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def counted_fast(scores: np.ndarray, having: np.ndarray) -> float:
    return float(np.sign(np.subtract.outer(scores[having], scores[~having])).mean())


@pytest.mark.parametrize(("n", "shift"), [(40, 0.0), (40, 1.0), (200, 0.5)])
def test_intervals_hold_the_truth_in_95_of_100_cases(n: int, shift: float) -> None:
    truth = 2 * stats.norm.cdf(shift / np.sqrt(2)) - 1
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        having = np.arange(n) < 0.4 * n
        found = known(rng.standard_normal(n) + shift * having, having)
        held.append(found.low <= truth <= found.high)
    assert 0.915 <= np.mean(held) <= 0.985


def test_perfect_separation_leaves_an_interval() -> None:
    scores = np.arange(40.0)
    found = known(scores, scores >= 20)
    assert (found.delta, found.high) == (1, 1)
    assert found.low == pytest.approx(0.7)
    assert known(-scores, scores >= 20).high == pytest.approx(-0.7)


def test_equal_scores_tell_nothing() -> None:
    found = known(np.ones(40), np.arange(40) < 20)
    assert (found.delta, found.p) == (0, 1)


def test_too_few_on_one_side_are_not_compared() -> None:
    scores = np.arange(100.0)
    assert effect(scores, scores < FEWEST - 1, np.zeros(100)) is None
    assert effect(scores, scores < FEWEST, np.zeros(100)) is not None
    # each stratum has candidates of one answer only
    assert effect(scores, scores < 50, (scores < 50).astype(int)) is None


def test_what_size_explains_is_gone_at_equal_size() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(8, size=400)
    having = rng.random(400) < size / 8
    scores = size + 0.1 * rng.standard_normal(400)
    assert known(scores, having).low > 0.3
    within = known(scores, having, size)
    assert within.low < 0 < within.high


def test_few_questions_of_one_kind_are_not_drowned_by_many_of_another() -> None:
    many = np.linspace(0.001, 1, 5000).tolist()
    alone = stand([0.002, *many], ["motif"] * 5001)
    weighted = stand([0.002, *many], ["motif"] + ["choice"] * 5000)
    assert not alone[0]
    assert weighted[0]
    assert stand([], []) == []


def test_nothing_is_shown_that_would_not_be_alone() -> None:
    assert stand([0.001] * 30 + [0.06], ["choice"] * 30 + ["motif"]) == [True] * 30 + [False]


def test_false_ones_are_rare_whatever_the_kinds() -> None:
    any_shown = []
    for seed in range(400):
        p = np.random.default_rng(seed).random(60).tolist()
        any_shown.append(any(stand(p, ["a"] * 5 + ["b"] * 55)))
    assert np.mean(any_shown) <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / 400)


def test_smallest_effect_is_found_in_four_of_five_cases() -> None:
    n, questions = 200, 50
    delta = smallest_found(n, questions)
    shift = np.sqrt(2) * stats.norm.ppf((delta + 1) / 2)
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        having = np.arange(n) < n // 2
        found.append(known(rng.standard_normal(n) + shift * having, having).p < LEVEL / questions)
    assert 0.72 <= np.mean(found) <= 0.88
