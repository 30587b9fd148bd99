"""Candidates climb by what is believed of them, wherever their signals come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ladder_worlds import World

from hypernas import ladder
from hypernas.ladder import Standing, Widths, climb
from hypernas.results import Scored

WIDTHS = Widths(rungs={"warm": 24, "part": 8}, full=8, finalists=3, seeds=3)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypernas.posterior.DRAWS", 300)


def climbed(world: World, widths: Widths = WIDTHS) -> list[Standing]:
    return list(climb(world.entries, widths, world))


def never_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "REGRET", -1.0)


def test_fewer_climb_on_each_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    never_sure(monkeypatch)
    world = World(0)
    *_, last = climbed(world)
    unchosen = {number for number, one in enumerate(world.entries) if one.seeds}
    for rung, count in WIDTHS.rungs.items():
        numbers = world.climbed[rung]
        assert len(numbers) == len(set(numbers))
        assert unchosen < set(numbers)
        assert len(set(numbers) - unchosen) == count
    assert set(world.climbed["part"]) <= set(world.climbed["warm"])
    assert set(world.trained) == unchosen | set(last.arrived)
    assert len(last.arrived) == WIDTHS.full
    often = sorted((world.trained[number] for number in last.arrived), reverse=True)
    assert often == [3] * 3 + [1] * (WIDTHS.full - 3)
    assert sorted(last.rungs, reverse=True)[: len(world.trained)] == [4] * len(world.trained)


def test_no_more_than_a_third_of_those_below_climb() -> None:
    """Where fewer are scored than the widths have room for."""
    world = World(0)
    unchosen = sum(one.seeds > 0 for one in world.entries)
    left = sum(one.candidate for one in world.entries)
    climbed(world, replace(WIDTHS, rungs={"warm": 90}))
    assert len(world.climbed["warm"]) - unchosen == left // 3 < 90


def test_there_is_an_answer_from_the_first_training_on() -> None:
    world = World(1)
    standings = climbed(world)
    assert standings[0].arrived == [ladder.first_of(world.entries)]
    for standing in standings:
        assert standing.best in world.trained
        assert standing.expected[standing.best] == max(
            standing.expected[number] for number in world.trained if standing.rungs[number] == 4
        )
    assert [standing.ended for standing in standings] == [False] * (len(standings) - 1) + [True]


def test_the_first_answer_waits_for_no_more_than_the_biggest_network() -> None:
    """Which is the one of most params, as in a run, whatever its MACs."""
    world = World(1)
    unchosen = [number for number, one in enumerate(world.entries) if one.seeds]
    biggest = max(unchosen, key=lambda n: world.entries[n].params)
    dearest = next(number for number in unchosen if number != biggest)
    more = 2 * world.entries[biggest].macs
    world.entries[dearest] = replace(world.entries[dearest], macs=more)
    first = ladder.first_of(world.entries)
    standings = climb(world.entries, WIDTHS, world)
    next(standings)
    assert set(world.trained) == {first, biggest}
    next(standings)
    assert set(world.trained) == {first, *unchosen}
    assert set(world.climbed["warm"]) == {first, *unchosen}


def test_it_ends_better_than_the_top_by_score() -> None:
    """Regret in points, of 8 worlds with an accuracy's deviation of 1.2."""
    climbing, top = [], []
    for seed in range(8):
        world = World(seed)
        *_, last = climbed(world)
        climbing.append(world.mean.max() - world.mean[last.best])
        order = sorted(range(100), key=lambda number: -world.entries[number].score)[:5]
        best = max(order, key=lambda number: world.accuracies[number].mean())
        top.append(world.mean.max() - world.mean[best])
    assert 100 * np.mean(climbing) < 0.6
    assert np.mean(climbing) < 0.6 * np.mean(top)


@pytest.mark.parametrize(("regret", "count"), [(1.0, 3), (-1.0, 8)])
def test_it_stops_when_nothing_better_is_likely(
    regret: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most promising, then two at once; all where nothing is ever sure."""
    monkeypatch.setattr(ladder, "REGRET", regret)
    *_, last = climbed(World(0))
    assert len(last.arrived) == count
    assert last.sure == (regret > 0)


def test_rungs_are_left_out_and_nothing_need_be_trained_in_any_case() -> None:
    """What a benchmark may ask: no rungs at all is the top by score and the posterior's stop."""
    world = World(0, unchosen=0)
    for rungs in ({}, {"part": 6}):
        *_, last = climbed(world, replace(WIDTHS, rungs=rungs, full=6))
        assert 2 <= len(last.arrived) <= 6
        assert last.ended
    *_, last = climbed(world, replace(WIDTHS, rungs={}, full=3))
    assert ladder.first_of(world.entries) in last.arrived, "the first stays on the highest rung"
    few = World(0, candidates=3, unchosen=2)
    *_, last = climbed(few)
    assert len(last.arrived) <= 3


def test_before_anything_is_trained_score_size_and_zero_cost_scores_promise() -> None:
    world = World(0)
    plain = replace(
        world.entries[0], score=0.0, proxies=dict.fromkeys(world.entries[0].proxies, 0.0)
    )
    several = [
        plain,
        replace(plain, score=1.0, candidate=False),
        replace(plain, score=0.5),
        replace(plain, score=0.5, params=2 * plain.params, macs=2 * plain.macs),
    ]
    assert ladder.first_of(several) == 3
    assert ladder.first_of([*several, replace(plain, score=2.0)]) == 4


def test_who_enters_is_said_by_score_and_size() -> None:
    def scored(score: float, params: int) -> Scored:
        return Scored(
            choices={"n": params},
            params=params,
            macs=10 * params,
            score=score,
            interval=(score, score),
            score_accuracy=None,
        )

    several = [scored(-1.0, 100), scored(-1.0, 400), scored(-1.5, 200), scored(-9.0, 100)]
    first, *_, last = ladder.by_promise(several)
    assert (first.score, first.params) == (-1.0, 400)
    assert last.score == -9.0
    assert ladder.by_promise([]) == []


def test_a_candidate_that_disappoints_midway_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates begin their training one after the other, not all before one has ended it."""
    never_sure(monkeypatch)
    left, trained = [], []
    for seed in range(6):
        world = World(seed, correlations=(0.3, 0.4, 0.99))
        *_, last = climbed(world, replace(WIDTHS, full=5, at_once=1))
        began = set(world.climbed["part"]) & set(world.climbed["warm"][-23:])
        assert len(began) <= WIDTHS.rungs["part"]
        left += [world.mean[number] for number in began - set(last.arrived)]
        trained += [world.mean[number] for number in last.arrived]
    assert len(left) > 3, "some had the first part alone"
    assert np.mean(left) < np.mean(trained)


def test_signals_that_the_next_rung_contradicts_are_not_followed() -> None:
    """The accuracy falls as the score rises, which those that nothing chose tell."""
    world = World(0, unchosen=20)
    good = (world.mean - 0.85) / 0.012
    world.entries = [
        replace(one, score=-float(value)) for one, value in zip(world.entries, good, strict=True)
    ]
    world.signals[1] = good
    climbed(world)
    chosen = [number for number in world.climbed["warm"] if number < 100][1:]
    assert np.median(good[chosen]) > 0.5


def test_a_network_that_nothing_chose_may_be_a_candidate_too() -> None:
    world = World(2)
    best = int(world.mean[:100].argmax())
    world.entries[best] = replace(world.entries[best], seeds=2)
    world.signals[:, best] = 3.0
    *_, last = climbed(world)
    assert best in last.arrived
    assert world.climbed["part"].count(best) == 1


def test_equal_seeds_climb_alike() -> None:
    one, other = World(3), World(3)
    for a, b in zip(climbed(one), climbed(other), strict=True):
        assert (a.best, a.arrived, a.certainty) == (b.best, b.arrived, b.certainty)
    assert one.climbed == other.climbed
