"""What is told of two scores comes true as often as it says, in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernas.results import Better, Scored
from hypernas.uncertainty import Losses, better, told_apart

STATES, IMAGES = 5, 200


def simulated(
    rng: np.random.Generator, gain: float, *, fit: float, states: int = STATES
) -> tuple[Losses, Losses]:
    """Return losses of two candidates, the first better by ``gain`` but for luck.

    Images are hard for both alike; each state of the fit shifts the difference by a deviation of
    ``fit``, the end as much as the earlier ones.
    """
    hard = rng.normal(2.0, 1.0, IMAGES)
    moved = rng.normal(0.0, fit, (states, 1))
    one = hard + rng.normal(0.0, 0.1, IMAGES)
    other = hard + gain + moved + rng.normal(0.0, 0.1, IMAGES)
    return np.tile(one, (states, 1)), other


def told(count: int, gain: float, **options: float) -> list[Better]:
    rng = np.random.default_rng(0)
    return [better(*simulated(rng, gain, **options)) for _ in range(count)]  # ty: ignore[invalid-argument-type]


def held(found: list[Better], gain: float) -> float:
    return float(np.mean([b.interval[0] <= gain <= b.interval[1] for b in found]))


def test_intervals_from_images_hold_as_often_as_they_say() -> None:
    assert 0.93 < held(told(1000, 0.01, fit=0.0, states=1), 0.01) < 0.97


def test_intervals_hold_where_states_are_as_good_as_other_fits() -> None:
    # rather too wide: the end has luck of its own, which the distance of each state holds again
    found = told(1000, 0.01, fit=0.05)
    assert held(found, 0.01) > 0.95
    alone = [b.difference for b in found]
    assert held(told(1000, 0.01, fit=0.0), 0.01) > 0.93
    images = [abs(d - 0.01) < 1.96 * b.images for d, b in zip(alone, found, strict=True)]
    assert np.mean(images) < 0.5, "the images alone know nothing of the fit"


def test_probabilities_come_true() -> None:
    rng = np.random.default_rng(1)
    gains = rng.normal(0.0, 0.05, 4000)
    found = np.array([better(*simulated(rng, g, fit=0.0, states=1)).probability for g in gains])
    sure, right = np.maximum(found, 1 - found), (gains > 0) == (found > 0.5)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        inside = (sure > low) & (sure < high)
        assert np.mean(right[inside]) == pytest.approx(sure[inside].mean(), abs=0.05)


@pytest.mark.parametrize("fit", [0.0, 0.1])
def test_the_first_of_many_is_not_told_to_be_better_than_it_is(fit: float) -> None:
    """Who leads was chosen for its luck too; what all others scored says how much that may be."""
    rng = np.random.default_rng(2)
    plain, told, right = [], [], []
    for _ in range(100):
        true = 0.1 * rng.beta(5, 1, 60)  # most are near the best
        errors = rng.normal(0, fit / 2**0.5, (STATES, 60, 1)) + rng.normal(0, 0.2, (60, IMAGES))
        losses = (errors - true[:, None]).swapaxes(0, 1)
        seen = -losses[:, 0].mean(1)
        first, *after = np.argsort(-seen)[:6]
        for one in after:
            plain.append(better(losses[first], losses[one]).probability)
            told.append(better(losses[first], losses[one], seen).probability)
            right.append(true[first] > true[one])
    assert np.mean(plain) > np.mean(right) + 0.1
    assert np.mean(told) == pytest.approx(np.mean(right), abs=0.07)


def test_where_scores_lie_apart_the_search_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    one, other = simulated(rng, 0.015, fit=0.0, states=1)
    seen = np.linspace(-4, 0, 3001)
    there = better(one, other, seen).probability
    assert there == pytest.approx(better(one, other).probability, abs=0.03)
    assert 0.5 < there < 1
    assert better(one, other, [-50.0, 90.0]).probability == pytest.approx(0.5)  # both are the same


def test_images_that_are_hard_for_both_do_not_count() -> None:
    ((one, other),) = [simulated(np.random.default_rng(2), 0.05, fit=0.0)]
    paired = better(one, other).images
    assert paired == pytest.approx(0.1 * 2**0.5 / IMAGES**0.5, rel=0.2)
    assert better(one, np.zeros_like(one)).images > 5 * paired


@given(
    st.integers(0, 10**6),
    st.floats(-1, 1),
    st.floats(0, 1),
    st.integers(1, 6),
    st.sampled_from([0, 1, 20, 500]),
)
def test_both_orders_say_the_same(
    seed: int, gain: float, fit: float, states: int, searched: int
) -> None:
    one, other = simulated(np.random.default_rng(seed), gain, fit=fit, states=states)
    seen = -2 + 0.3 * np.random.default_rng(seed).normal(size=searched)
    there, back = better(one, other, seen), better(other, one, seen)
    assert there.probability == pytest.approx(1 - back.probability, abs=1e-12)
    assert there.difference == -back.difference
    assert there.interval == tuple(-end for end in reversed(back.interval))
    assert (there.images, there.fit) == (back.images, back.fit)
    assert 0 <= there.probability <= 1
    assert (there.fit is None) is (states == 1)


def test_states_that_differ_make_it_less_sure() -> None:
    one, other = simulated(np.random.default_rng(3), 0.05, fit=0.0)
    still, moving = other.copy(), other.copy()
    moving[1:] -= 0.04
    assert better(one, still).fit == pytest.approx(0)
    assert better(one, moving).fit == pytest.approx(0.04)
    assert 0.5 < better(one, moving).probability < better(one, still).probability


def test_without_any_deviation_the_sign_decides() -> None:
    flat = np.ones((STATES, IMAGES))
    assert better(flat, flat).probability == 0.5
    assert better(flat, flat + 1).probability == 1.0
    assert better(flat + 1, flat).probability == 0.0
    assert better(flat, flat).interval == (0.0, 0.0)


def test_one_image_tells_nothing() -> None:
    found = better(np.zeros((1, 1)), np.ones((1, 1)))
    assert found.probability == 0.5
    assert found.interval == (-np.inf, np.inf)


def scored(*params: int) -> list[Scored]:
    return [
        Scored(
            choices={"n": n},
            params=size,
            macs=size,
            score=-1.0 - 0.1 * n,
            interval=(-2.0, 0.0),
            score_accuracy=0.5,
        )
        for n, size in enumerate(params)
    ]


def test_a_tie_is_told_as_a_tie() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(1, 0.3, (STATES, IMAGES))
    near = first + rng.normal(0, 0.2, IMAGES)
    near += first[0].mean() - near[0].mean() + 0.001
    far = first + 1.0 + rng.normal(0, 0.1, IMAGES)
    found = told_apart(scored(300, 200, 100), [first, near, far])
    assert (found.tie, found.smallest) == (2, 1)
    assert (found.images, found.states) == (IMAGES, STATES - 1)
    assert found.text.startswith("2 of these 3 are a tie by score")
    assert "the smallest is number 2, with 200 params" in found.text
    assert found.text.endswith(
        "from 200 validation images and 4 earlier states of the hypernetwork"
    )
    one, two, three = found.standings
    assert (one.over_first, three.over_next) == (None, None)
    assert one.over_next is not None
    assert two.over_first == pytest.approx(1 - one.over_next)
    assert 0.3 < one.over_next < 0.7
    assert three.over_first is not None
    assert three.over_first < 0.001
    assert one.interval[0] < -first[0].mean() < one.interval[1]


def test_equal_candidates_are_a_tie_and_a_lone_one_is_none() -> None:
    losses = np.random.default_rng(5).normal(1, 0.3, (1, IMAGES))
    found = told_apart(scored(30, 20), [losses, losses])
    assert (found.tie, found.smallest) == (2, 1)
    assert [s.over_first for s in found.standings] == [None, 0.5]
    assert "alone: this fit kept no earlier states" in found.text
    assert told_apart(scored(30), [losses]).text.startswith("one candidate")
    sure = told_apart(scored(30, 20), [losses, losses + 1])
    assert (sure.tie, sure.smallest) == (1, 0)
    assert sure.text.startswith("the first is better by score than each of the others")
