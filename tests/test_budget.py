"""Minutes become counts that take no longer than the minutes."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ladder_worlds import World

from hypernas import budget
from hypernas.budget import MARGIN, SHARES, USUAL, Costs, clock
from hypernas.climbing import warms, widths
from hypernas.config import COUNTS, LEAST, Config, Plan
from hypernas.errors import ConfigError
from hypernas.ladder import Rung, climb
from hypernas.trust import LEAST_SAMPLE
from hypernas.workplace import Workplace

TYPICAL = Costs(step=0.05, score=0.02, epoch=2.0, biggest_epoch=3.0, overhead=25.0)
seconds = st.floats(1e-4, 50.0)
costs = st.builds(
    Costs,
    step=st.floats(1e-3, 2.0),
    score=st.floats(1e-3, 2.0),
    epoch=seconds,
    biggest_epoch=seconds,
    overhead=st.floats(0.0, 60.0),
    zero_cost=st.sampled_from([0.0, 0.3]),
    again=st.sampled_from([0.0, 0.1]),
    warm=st.sampled_from([0.0, 0.5, 20.0]),
)
given_counts = st.fixed_dictionaries(
    {},
    optional={
        "steps": st.integers(0, 3000),
        "trials": st.integers(1, 3000),
        "finalists": st.integers(1, 12),
        "sample": st.integers(0, 12),
        "seeds": st.integers(1, 5),
        "epochs": st.integers(1, 30),
        "best_epochs": st.integers(0, 60),
    },
)
ways = st.sampled_from([{"strategy": "top"}, {"strategy": "ladder"}, {"score_by": "training"}])
"""finalists by score, those of the ladder, and by trainings, after which random ones need two"""


def plan(settings: tuple[Config, dict[str, int]], cost: Costs, *, spent: float = 0.0) -> Plan:
    return budget.plan(*settings, cost, spent=spent)


def config(minutes: float, workers: int = 2, **options: Any) -> tuple[Config, dict[str, int]]:
    options = {"strategy": "top"} | options
    made = Config(data="digits", minutes=minutes, workers=workers, **options)
    return made, made.given(batches_per_epoch=10)


def ladder(minutes: float, workers: int = 2, **counts: int) -> tuple[Config, dict[str, int]]:
    return config(minutes, workers, strategy="ladder", **counts)


def parts(found: Plan, cost: Costs, asked: Config) -> dict[str, float]:
    """Return the seconds of each part, computed from the counts alone."""
    workers = asked.processes
    least = 2 if asked.score_by == "training" else 1
    count, more = found.finalists, max(0, found.sample - found.finalists)
    trainings = found.seeds * (count * cost.epoch + cost.biggest_epoch)
    trainings += (count * max(found.seeds, least) + more * least) * cost.epoch
    climbing = 0.0
    if asked.strategy == "ladder":
        most, others = found.climbers, count + more + 1
        trainings += (most - count) * cost.epoch
        entered = min(27 * most, found.trials)
        again = min(9 * most, entered, max(most, entered // 3)) if cost.again else entered
        warm = min(3 * most, again, max(most, again // 3))
        climbing = cost.zero_cost * (entered + others) + cost.again * (again + others)
        if found.epochs * cost.epoch >= 20 * cost.warm * (1 - 1e-9):
            climbing += cost.warm * (warm + others)
    return {
        "fit": found.steps * cost.step,
        "search": found.trials * cost.score / workers,
        "train": (found.epochs * trainings + climbing) / workers,
        "longer": found.best_epochs * cost.biggest_epoch,
    }


def test_candidates_that_follow_each_other_take_one_process() -> None:
    """Of 700 candidates in 4 processes 100 are scored one by one: 250 turns of a candidate."""
    chain = replace(TYPICAL, alone=100)
    settings = config(60, workers=4, trials=700)
    assert plan(settings, chain).seconds["search"] == pytest.approx(250 * MARGIN * chain.score)
    assert plan(settings, TYPICAL).seconds["search"] == pytest.approx(175 * MARGIN * chain.score)


def test_counts_of_the_configuration_stand() -> None:
    found = plan(config(60, trials=7, best_epochs=0), TYPICAL)
    assert (found.trials, found.best_epochs) == (7, 0)
    assert Config(data="digits", fit_epochs=2.5).given(batches_per_epoch=10) == {"steps": 25}


def test_every_run_has_a_sample_that_says_something() -> None:
    for minutes in (4, 6, 10, 60):
        assert plan(config(minutes), TYPICAL).sample == LEAST_SAMPLE
    assert plan(config(60, finalists=1), TYPICAL).sample == LEAST_SAMPLE


def test_a_smaller_sample_leaves_more_finalists_or_epochs() -> None:
    assert plan(config(6, sample=0), TYPICAL).finalists > plan(config(6), TYPICAL).finalists
    assert plan(config(3, sample=0), TYPICAL).epochs > plan(config(3), TYPICAL).epochs


def test_a_ladder_leaves_fewer_epochs() -> None:
    found = plan(ladder(20), replace(TYPICAL, warm=3.0, again=0.2))
    assert found.epochs < plan(config(20), TYPICAL).epochs
    assert (found.finalists, found.climbers) == (5, 10)


def test_on_the_ladder_time_goes_into_candidates_before_epochs() -> None:
    costs = replace(TYPICAL, warm=3.0)
    some, more = (plan(ladder(minutes), costs) for minutes in (75, 110))
    assert 10 < some.climbers < more.climbers <= 40
    assert some.epochs == 30
    assert plan(ladder(240, epochs=8), costs).climbers == 10  # a count that is given stands
    assert plan(config(240), TYPICAL).climbers == 0
    assert plan(ladder(240, workers=16), costs).at_once == 16


@pytest.mark.parametrize("entered", [270, 100, 40, 12])
@pytest.mark.parametrize("images", [500, 2000])
def test_as_many_climb_each_rung_as_are_planned_for(
    entered: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ladder is climbed, and counted, beside the seconds of its rungs."""
    monkeypatch.setattr("hypernas.posterior.DRAWS", 20)
    counts = Plan(steps=1, trials=1, finalists=5, seeds=3, epochs=30, best_epochs=0, climbers=10)
    place = SimpleNamespace(
        plan=counts,
        config=SimpleNamespace(fits=True, score_images=1000),
        data=SimpleNamespace(validation=images),
        train_batches=SimpleNamespace(batches_per_epoch=40),
        budgets=None,
    )
    wide = widths(cast(Workplace, place))
    rungs: dict[Rung, int] = {rung: wide.rungs[rung] for rung in wide.rungs if rung != "part"}
    world = World(0, candidates=entered, unchosen=9)  # 8 random ones and the biggest
    monkeypatch.setattr("ladder_worlds.RUNGS", ("score", "rescore", "warm"))
    for _ in climb(world.entries, replace(wide, rungs=rungs), world):
        pass
    again = len(world.climbed.get("rescore", []))
    unit = replace(TYPICAL, again=1.0 if images > 1000 else 0.0, warm=1000.0, epoch=10_000.0)
    assert (again > 0) == (images > 1000)
    work = budget._Work(*ladder(60, trials=entered), unit)
    assert work.before(5, 10, epochs=30) == again + 1000 * len(world.climbed["warm"])
    assert work.before(5, 10, epochs=1) == again


@given(st.integers(1, 500), st.floats(1e-3, 100.0))
def test_a_plan_and_a_run_agree_on_what_is_too_short(batches: int, epoch: float) -> None:
    least = budget._long_enough(replace(TYPICAL, epoch=epoch, warm=epoch * 60 / batches))
    with pytest.MonkeyPatch.context() as patch:  # tests have shorter ones
        patch.setattr("hypernas.climbing.OFTEN", budget.OFTEN)
        patch.setattr("hypernas.jobs.WARM_STEPS", 60)
        assert [warms(epochs, batches) for epochs in (least - 1, least)] == [False, True]


def test_trainings_that_are_too_short_have_no_rung_of_some_steps() -> None:
    """One of 6 seconds is for trainings of 60 epochs of 2 seconds; else its time is theirs."""
    short = plan(ladder(60), replace(TYPICAL, warm=6.0))
    assert 5 <= short.epochs < 60
    assert short == plan(ladder(60), replace(TYPICAL, warm=100.0))
    assert plan(ladder(60), replace(TYPICAL, warm=0.0)).epochs == short.epochs
    assert plan(ladder(60), replace(TYPICAL, warm=1.0)).epochs < short.epochs


def test_shares_are_30_10_40_20() -> None:
    assert SHARES == {"fit": 0.30, "search": 0.10, "train": 0.40, "longer": 0.20}
    settings = config(60)
    found = plan(settings, TYPICAL)
    work = 3600 - TYPICAL.overhead
    took = parts(found, TYPICAL, settings[0])
    assert found.seconds == pytest.approx({part: share * work for part, share in SHARES.items()})
    assert (found.finalists, found.seeds, found.forced) == (5, 3, "")
    assert took["fit"] == pytest.approx(0.3 * work / MARGIN, rel=0.01)
    assert found.trials == 5000  # no more is sensible
    assert took["train"] == pytest.approx(0.4 * work / MARGIN, rel=0.1)
    assert found.best_epochs == 200  # nor this
    half = plan(config(30), TYPICAL)
    assert parts(half, TYPICAL, settings[0])["longer"] == pytest.approx(
        0.2 * (1800 - TYPICAL.overhead) / MARGIN, rel=0.02
    )


def test_time_that_is_gone_is_not_planned_again() -> None:
    late, early = plan(config(60), TYPICAL, spent=600.0), plan(config(50), TYPICAL)
    assert late == early


@given(costs, st.floats(0.1, 600.0), given_counts, ways, st.integers(1, 8), st.floats(0.0, 100.0))
def test_plan_takes_no_longer_than_the_minutes(
    cost: Costs,
    minutes: float,
    counts: dict[str, int],
    way: dict[str, str],
    workers: int,
    spent: float,
) -> None:
    settings = config(minutes, workers=workers, **counts, **way)
    try:
        found = plan(settings, cost, spent=spent)
    except ConfigError:
        assume(False)
    took = parts(found, cost, settings[0])
    total = sum(took.values()) + cost.overhead + spent
    assert total <= minutes * 60 * (1 + 1e-6)
    for part, share in found.seconds.items():
        assert took[part] * MARGIN <= share * (1 + 1e-6)
    for name in COUNTS:
        assert getattr(found, name) >= min(getattr(LEAST, name), settings[1].get(name, 10**9))


@given(costs, st.floats(0.1, 600.0), given_counts, ways, st.integers(1, 8))
def test_given_counts_stand(
    cost: Costs, minutes: float, counts: dict[str, int], way: dict[str, str], workers: int
) -> None:
    settings = config(minutes, workers=workers, **counts, **way)
    try:
        found = plan(settings, cost)
    except ConfigError:
        assume(False)
    counts |= settings[1]  # without a hypernetwork there are no steps
    assert {name: getattr(found, name) for name in counts} == counts
    if "epochs" in counts:  # then nothing else of the training is given up in silence or aloud
        assert found.finalists == counts.get("finalists", USUAL["finalists"])
        assert found.seeds == counts.get("seeds", USUAL["seeds"])
        assert found.forced == ""


@given(costs, given_counts, ways, st.integers(1, 8), st.floats(0.0, 100.0))
def test_too_few_minutes_name_the_least_that_works(
    cost: Costs, counts: dict[str, int], way: dict[str, str], workers: int, spent: float
) -> None:
    def planned(minutes: float) -> Plan:
        return plan(config(minutes, workers=workers, **counts, **way), cost, spent=spent)

    with pytest.raises(ConfigError) as refused:
        planned(1e-4)
    said = re.search(r"at least ([0-9.]+) minutes", str(refused.value))
    assert said is not None
    least = float(said[1])
    found = planned(least)
    for name, count in counts.items():
        assert getattr(found, name) == (0 if name == "steps" and "score_by" in way else count)
    below = least - 0.2  # it is said to a tenth of a minute, not more than is needed
    if below > 0:
        with pytest.raises(ConfigError, match="too little"):
            planned(below)


def test_fewer_networks_are_said() -> None:
    found = plan(config(6), TYPICAL)
    assert found.finalists < 5 or found.seeds < 3
    for name, usual in (("finalists", 5), ("seeds", 3)):
        count = getattr(found, name)
        assert (f"{name} {count} instead of {usual}" in found.forced) == (count < usual)
    assert "the time allows no more" in found.forced
    asked = plan(config(6, finalists=1, seeds=1), TYPICAL)
    assert (asked.finalists, asked.seeds, asked.forced) == (1, 1, "")


def test_fewer_networks_come_before_short_trainings() -> None:
    for minutes in (6, 10, 15, 20, 30):
        found = plan(config(minutes), TYPICAL)
        assert found.epochs >= 5 or (found.finalists, found.seeds) == (1, 1)


def test_more_processes_do_more() -> None:
    two, four = plan(config(30), TYPICAL), plan(config(30, workers=4), TYPICAL)
    assert four.epochs * four.finalists * four.seeds > two.epochs * two.finalists * two.seeds
    assert four.steps == two.steps


def test_clock_leaves_the_first_run_out() -> None:
    done: list[int] = []
    assert clock(done.append, range(3)) >= 0
    assert done == [0, 0, 1, 2]


def test_clock_stops_when_it_has_seen_enough() -> None:
    done: list[int] = []
    assert clock(done.append, range(1000), enough=0) >= 0
    assert done == [0, 0]
