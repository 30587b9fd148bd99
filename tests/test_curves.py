"""Means over budgets: computed by hand, equal to an integral, and the front of curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hypernas.curves import Budgets, answers, front, gathered, judge_exits, reached_by
from hypernas.results import Exit, Scored
from hypernas.tasks import Classification

CURVES = st.lists(st.tuples(st.integers(1, 1000), st.floats(-3, 3)), min_size=1, max_size=6).map(
    lambda exits: sorted(exits, key=lambda e: e[0])
)


def test_answers_are_the_best_so_far() -> None:
    assert answers([0.1, 0.0, 0.3, 0.3, 0.2]) == [0, 0, 2, 2, 2]


@given(CURVES, st.sampled_from(["linear", "log"]), st.integers(1, 500), st.integers(1, 500))
def test_the_mean_is_the_area_under_the_curve(
    exits: list[tuple[int, float]], scale: str, low: int, width: int
) -> None:
    budgets = Budgets(low=low, high=low + width, scale=scale)  # ty: ignore[invalid-argument-type]
    macs, values = [0, *(m for m, _ in exits)], [-1.0, *(v for _, v in exits)]
    shares = budgets.shares(macs, values)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0
    grid = budgets.grid(40_001)
    area = reached_by(macs, values, grid)[:-1].mean()  # each step by its left end
    assert budgets.mean(macs, values) == pytest.approx(area, abs=2e-3)


def test_shares_by_hand() -> None:
    macs, values = [0, 2, 8, 20], [0.1, 0.5, 0.4, 0.9]
    assert Budgets(low=1, high=16).shares(macs, values) == pytest.approx([1 / 15, 14 / 15, 0, 0])
    log = Budgets(low=1, high=16, scale="log")
    assert log.shares(macs, values) == pytest.approx([0.25, 0.75, 0, 0])
    assert log.place(4) == pytest.approx(0.5)
    assert Budgets(low=30, high=40).shares(macs, values) == [0, 0, 0, 1]


def test_what_a_curve_reaches() -> None:
    found = reached_by([0, 10, 20], [0.1, 0.6, 0.5], np.array([0, 9, 10, 19, 20, 99]))
    assert found.tolist() == [0.1, 0.1, 0.6, 0.6, 0.6, 0.6]


def scored(*exits: tuple[int, float], name: int = 0) -> Scored:
    every = [(0, -2.0), *exits]
    mean = Budgets(low=10, high=100).mean(*map(list, zip(*every, strict=True)))
    return Scored(
        choices={"name": name}, params=1, macs=1, score=mean, interval=(mean, mean),
        score_accuracy=0.0, curve=[Exit(macs=m, score=s, score_accuracy=0.0) for m, s in every],
    )  # fmt: skip


def test_the_front_leaves_out_what_another_reaches_everywhere() -> None:
    early = scored((10, -1.0), (50, -0.9), name=0)
    late = scored((60, -0.1), name=1)
    worse = scored((12, -1.0), (50, -0.9), name=2)
    none = Scored(choices={}, params=1, macs=1, score=-1e9, interval=(0, 0), score_accuracy=0.0)
    found = front([worse, none, late, early], Budgets(low=10, high=100))
    assert [one.choices["name"] for one in found] == [0, 1]
    assert front([worse, worse], Budgets(low=10, high=100)) == [worse]


def test_exits_are_judged_one_by_one_beside_silence() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(8, 5), torch.randn(8, 5)
    targets, task = torch.arange(8) % 5, Classification()
    halves = [(tuple(o[part] for o in outputs), targets[part]) for part in (slice(5), slice(5, 8))]
    reached = gathered(task, [judge_exits(task, o, t) for o, t in halves])
    assert reached.losses.shape == (3, 8)
    assert reached.losses[0] == pytest.approx(math.log(5))
    for row, output in zip((1, 2), outputs, strict=True):
        judged = task.judge(output, targets)
        torch.testing.assert_close(reached.losses[row].float(), judged.losses)
        assert reached.measures[row] == pytest.approx(task.reached([judged.evidence]))


def test_views_are_brought_together_for_each_exit() -> None:
    torch.manual_seed(0)
    outputs, targets = (torch.randn(6, 4), torch.randn(6, 4)), torch.tensor([0, 3])
    task = Classification()
    silence, first, last = judge_exits(task, outputs, targets, views=3)
    assert silence.losses == pytest.approx(math.log(4))
    for judged, output in ((first, outputs[0]), (last, outputs[1])):
        mean = output.softmax(1).view(2, 3, 4).mean(1)
        assert judged.losses == pytest.approx(-mean[range(2), targets].log())
