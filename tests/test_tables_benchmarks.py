"""``benchmarks/ranking.py`` and ``search_cost.py``: what they say of tables that are made up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hypernas import hypernets, ranking
from hypernas.choices import Decision
from hypernas.cli import main
from hypernas.errors import RunError
from hypernas.ground_truth import Setting, Table, Trial, Truth, write
from hypernas.ladder import first_of
from hypernas.spaces import find
from hypernas.training import Recipe

COUNT, EPOCHS = 12, 3
UNFITTED = "random search|successive halving|Hyperband|evolution|REINFORCE|the biggest first"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The modules, which read tables from a folder of the test; hypernetworks stay as they were."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setattr(hypernets.hypernet, "BUILT_IN", dict(hypernets.hypernet.BUILT_IN))
    import ceiling
    import known
    import pages
    import ranking
    import rivals
    import search_cost
    import searches
    import trials
    import variants
    import way
    import ways

    hypernets.hypernet.BUILT_IN.update(variants.OWN)
    monkeypatch.setattr(known, "TRUTH", tmp_path)
    found = {"pages": pages, "ranking": ranking, "search_cost": search_cost, "trials": trials}
    found |= {"way": way, "ways": ways, "rivals": rivals, "searches": searches}
    return SimpleNamespace(**found, known=known, ceiling=ceiling)


@pytest.fixture
def table() -> Any:
    """Twelve networks of rising accuracy; the best of them costs least."""
    accuracy = np.linspace(0.5, 0.61, COUNT)
    macs = np.arange(COUNT, 0, -1) * 100
    truths = [
        SimpleNamespace(
            choices={"op": f"{n % 3}", "used": ["a", "b"][: 1 + n % 2]},
            params=int(macs[n]),
            macs=int(macs[n]),
            trials=[SimpleNamespace(val_accuracy=float(accuracy[n]))],
        )
        for n in range(COUNT)
    ]
    return SimpleNamespace(
        name="made-up",
        truths=truths,
        choices=[truth.choices for truth in truths],
        require_twice=lambda: None,
        recipe=SimpleNamespace(epochs=EPOCHS),
        accuracy=accuracy,
        of_two=accuracy,
        seeds=1,
        by_epoch=np.stack([accuracy - 0.2, accuracy - 0.1, accuracy], axis=1),
        macs=macs.astype(float),
        params=macs.astype(float),
        biggest=0,
        seconds=np.arange(COUNT, 0, -1) * 3.0,
    )


def test_random_regret_is_the_mean_over_all_picks(modules: Any, table: Any) -> None:
    found = modules.ranking.random_regret(table, 1.0, 5)
    every = [max(some) for some in combinations(table.accuracy, 5)]
    assert found == pytest.approx(table.accuracy.max() - np.mean(every))
    assert modules.ranking.random_regret(table, 0.25, COUNT + 1) == 0, "there are no more"


def test_regret_keeps_to_the_limit(modules: Any, table: Any) -> None:
    regret = modules.ranking.regret
    assert regret(table, table.accuracy, 1.0, 1) == 0
    assert regret(table, -table.accuracy, 1.0, 1) == pytest.approx(0.11)
    assert regret(table, -table.accuracy, 0.5, 1) == pytest.approx(0.05), "the cheap half"


def test_what_searches_cost(modules: Any, table: Any) -> None:
    costs = modules.search_cost
    straight = modules.searches.by_score(table, table.accuracy)
    assert costs.replayed(table, straight, 0.0)[:2] == (3.0, COUNT - 1), "the best one is first"
    backward = modules.searches.by_score(table, -table.accuracy)
    assert costs.replayed(table, backward, 0.0)[:2] == (table.seconds.sum(), COUNT - 1)
    orders = [modules.searches.random_search(table, seed) for seed in range(400)]
    random = [costs.replayed(table, order, 0.0)[0] for order in orders]
    assert np.mean(random) == pytest.approx(3 + (table.seconds.sum() - 3) / 2, rel=0.05)


def test_a_race_that_stops_the_best_one_does_not_find_it(modules: Any, table: Any) -> None:
    table.by_epoch = np.stack([table.accuracy[::-1], table.accuracy, table.accuracy], axis=1)
    costs = modules.search_cost
    races = [modules.searches.race(table, seed, "halving") for seed in range(20)]
    runs = [costs.replayed(table, race, 1e9) for race in races]
    lost = [(spent, lacks) for spent, found, lacks in runs if found is None]
    assert 0 < len(lost) < 20
    assert all(spent < table.seconds.sum() and lacks > 0 for spent, lacks in lost)


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_a_race_pays_for_no_epoch_twice(modules: Any, table: Any, pruner: str) -> None:
    steps = list(modules.searches.race(table, 0, pruner))
    assert len(steps) == modules.searches.ROUNDS * COUNT
    spent = [seconds for seconds, _ in steps]
    assert spent == sorted(spent)
    assert spent[-1] <= table.seconds.sum() + 1e-9


def test_a_race_ranks_by_how_far_each_came(modules: Any, table: Any) -> None:
    """What is better from the first epoch on comes farther, and costs no whole trainings."""
    table.by_epoch = np.stack([table.accuracy] * 9, axis=1)
    table.recipe = SimpleNamespace(epochs=9)
    settings = modules.way.Settings(fits=20)
    way = modules.rivals.raced(table, settings, "halving")
    assert way.values.shape == (20, COUNT)
    assert np.corrcoef(way.values.mean(0), table.accuracy)[0, 1] > 0.8
    assert way.values.max() == pytest.approx(9 + table.accuracy.max())
    assert 0 < way.each < table.seconds.mean()


def test_how_likely_a_policy_is_to_answer(modules: Any) -> None:
    decisions = {
        "op": Decision("op", ("a", "b")),
        "reads": Decision("reads", (1, 2), kind="subset", sizes=((1, 1.0), (2, 1.0))),
    }
    one = SimpleNamespace(decisions=decisions, choices={"op": "a", "reads": [2]})
    likely = modules.rivals.likelihood(one, {("op", "a"): np.log(3), ("reads", 1): np.log(4)})
    assert likely == pytest.approx(np.log(0.75 * 0.2 * 0.5))


def test_what_is_picked_within_some_time(modules: Any, table: Any) -> None:
    """The best five by validation of what is trained by then."""
    costs = modules.search_cost
    order = [(3.0 * n, number) for n, number in enumerate([0, 1, 2, 3, 4, 5, 6, 11], start=1)]
    best = table.accuracy.max()
    for within, reached in ((3.0, 0), (12.0, 3), (21.0, 6), (100.0, 11)):
        *_, lacks = costs.replayed(table, order, within)
        assert lacks == pytest.approx(best - table.accuracy[reached]), within
    *_, lacks = costs.replayed(table, order, 1.0)
    assert lacks == pytest.approx(best - table.accuracy[0]), "nothing is as bad as the worst"
    table.by_epoch = -table.by_epoch
    *_, lacks = costs.replayed(table, order, 21.0)
    assert lacks == pytest.approx(best - table.accuracy[4])


@pytest.mark.parametrize("unchosen", [(0, 0), (3, 0), (4, 2)])
@pytest.mark.parametrize("with_warm", [False, True])
def test_the_ladder_pays_for_no_epoch_twice(
    modules: Any,
    table: Any,
    unchosen: tuple[int, int],
    with_warm: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = modules.way.Way
    zero_cost = {name: way(-table.accuracy[None], 0.0, 0.5, "") for name in ("synflow", "naswot")}
    monkeypatch.setattr(modules.ways, "zero_cost", lambda known, settings: zero_cost)
    score, settings = way(-table.accuracy[None], 7.0, 1.0, ""), modules.way.Settings()
    warm = way(table.accuracy[None], 7.0, 2.0, "") if with_warm else None
    others = modules.ways.besides(table, 0, *unchosen) if any(unchosen) else {}
    those = modules.ways.entries(table, score, settings, 0, others, ranked_by="naswot")
    assert [one.seeds for one in those] == [others.get(number, 0) for number in range(COUNT)]
    assert list(those[0].proxies) == ["synflow"], "what ranks is no feature besides"
    climbed = modules.search_cost.climbed(table, score, settings, 0, warm=warm, unchosen=unchosen)
    spent = [seconds for seconds, _ in climbed.steps]
    assert spent == sorted(spent)
    twice = sum(table.seconds[number] for number, seeds in others.items() if seeds == 2)
    whole = table.seconds.sum() + twice
    assert spent[-1] == pytest.approx(whole), "at last all are trained, few of them twice"
    assert 0 < climbed.ended <= spent[-1]
    assert sorted(number for _, number in climbed.steps) == list(range(COUNT))
    free = 7.0 + COUNT * (1.0 + 2 * 0.5)
    assert climbed.fixed == pytest.approx(free)
    on_the_rung = climbed.rung_seconds / 2.0
    assert 10 <= on_the_rung <= COUNT if with_warm else on_the_rung == 0
    paid = [climbed.by_then[number] for _, number in climbed.steps]
    assert paid == sorted(paid)
    if with_warm:
        first = 2 if others.keys() - {first_of(those)} else 1
        assert paid[0] == 2.0 * first < paid[-1], "the others climb after the first ones"


def test_a_run_trains_some_random_ones_and_the_biggest_with_all_seeds(
    modules: Any, table: Any
) -> None:
    table.seeds = 2
    for seed in range(5):
        others = modules.ways.besides(table, seed, 4, 2)
        assert others[table.biggest] == 2
        assert len(others) in (4, 5), "the biggest may be one of them"
        del others[table.biggest]
        assert sorted(others.values()) in ([1, 1, 2, 2], [1, 1, 2], [1, 2, 2])
    assert set(modules.ways.besides(table, 0, 4).values()) == {1}


def test_a_race_picks_no_network_twice(modules: Any, table: Any) -> None:
    """In each round the same comes again; five picks are five networks."""
    again = [(float(n), number) for n, number in enumerate([9, 9, 9, 9, 9, 11])]
    table.accuracy[9], table.of_two = 0.7, table.accuracy
    table.by_epoch[9], table.accuracy[11] = 1.0, 0.9
    *_, lacks = modules.search_cost.replayed(table, again, 9.0)
    assert lacks == 0


def test_evolution_ranks_by_likeness_to_its_best(modules: Any, table: Any) -> None:
    order = [(1.0 * n, number) for n, number in enumerate(range(COUNT))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules.rivals, "by_sampler", lambda known, seed, sampler: iter(order[:4]))
        way = modules.rivals.bred(table, modules.way.Settings(fits=2))
    assert way.trained is not None
    assert way.trained.sum(1).tolist() == [4, 4]
    best = table.choices[3]
    assert way.values[0].tolist() == [
        -sum(best[name] != choices[name] for name in best) for choices in table.choices
    ]


def test_networks_that_calibrate_are_of_all_sizes(modules: Any, table: Any) -> None:
    for seed in range(5):
        some = modules.way.sample(table, seed, 4)
        assert len(set(some)) == 4
        assert sorted(int((COUNT - 1 - n) // 3) for n in some) == [0, 1, 2, 3]


def reached(modules: Any, *accuracies: Sequence[float]) -> Any:
    """Return a table whose networks reached these, by seed."""
    made = object.__new__(modules.known.Known)
    made.name = "t"
    made.truths = [
        Truth(
            choices={},
            params=1,
            macs=number,
            trials=[
                Trial(seed=seed, val_accuracy=0.5, test_accuracy=float(one), seconds=1.0)
                for seed, one in enumerate(each)
            ],
        )
        for number, each in enumerate(accuracies)
    ]
    return made


def test_a_table_trained_once_is_refused_where_the_best_are_sought(modules: Any) -> None:
    reached(modules, [0.5, 0.6], [0.5, 0.6, 0.7]).require_twice()
    with pytest.raises(RunError, match=r"1 networks of t were trained once; .* --repeated 3"):
        reached(modules, [0.5, 0.6], [0.5], [0.5, 0.6]).require_twice()
    with pytest.raises(RunError, match="2 networks"):
        reached(modules, [0.5], [0.5]).require_twice()


def test_the_truth_is_of_the_seeds_that_all_have(modules: Any) -> None:
    once = reached(modules, [0.5], [0.5, 0.6], [0.5, 0.7])
    assert once.seeds == 1
    np.testing.assert_allclose(once.accuracy, [0.5] * 3)
    np.testing.assert_allclose(once.of_two, [np.nan, 0.55, 0.6])
    twice = reached(modules, [0.5, 0.6], [0.5, 0.7, 0.9])
    assert twice.seeds == 2
    np.testing.assert_allclose(twice.accuracy, [0.55, 0.6])


def test_the_ceiling_is_what_tables_made_anew_agree_by(modules: Any) -> None:
    """Networks worse than the median have more luck; some were trained four times."""
    rng = np.random.default_rng(3)
    true = rng.normal(0.7, 0.03, 150)
    wide = np.where(true < 0.7, 0.015, 0.006)[:, None]

    def trained(seeds: int) -> np.ndarray:
        return true[:, None] + wide * rng.normal(size=(150, seeds))

    one, other = trained(4), trained(2)
    table = reached(modules, *(each[: 4 if n % 8 else 2] for n, each in enumerate(one)))
    tables = [reached(modules, *trained(2)) for _ in range(30)]
    pairs = ranking.pairs_of(one[:, :2].mean(1), table.macs)
    for kind, found in modules.ceiling.ceilings(table).items():
        again = [
            ranking.tau_of(t.accuracy, o.accuracy, ranking.pairs_of(o.accuracy, t.macs)[kind])
            for t, o in zip(tables, tables[1:], strict=False)
        ]
        assert found.value == pytest.approx(np.mean(again), abs=0.05), kind
        assert found.low < ranking.tau_of(other.mean(1), table.accuracy, pairs[kind]) < found.high
    single = modules.ceiling.ceilings(table, seeds=1)
    for kind, value in modules.ceiling.measured(table).items():
        assert single[kind].low < value < single[kind].high


def test_each_answer_of_each_decision_is_a_column(modules: Any, table: Any) -> None:
    found = modules.rivals.one_hot(table.choices)
    assert found.shape == (COUNT, 3 + 2)
    assert set(found.sum(1)) == {2.0, 3.0}
    places = [{"edge0": "x", "edge1": "y"}, {"edge0": "y", "edge1": "x"}]
    assert modules.rivals.one_hot(places).tolist() == [[1, 0, 0, 1], [0, 1, 1, 0]]


def test_what_is_trained_for_a_way_is_not_ranked_by_it(modules: Any) -> None:
    trained = np.array([[True, False, False]])
    way = modules.way.Way(np.array([[1.0, 3.0, 2.0]]), 30.0, 1.0, "", trained)
    assert way.ranks.tolist() == [[False, True, True]]
    assert way.seconds(3) == 11.0


def test_rivals_are_judged_by_the_networks_that_both_rank(modules: Any, table: Any) -> None:
    """One is right where the calibrated score ranks, and one of the two knows what that trained."""
    Way = modules.way.Way
    trained = np.arange(COUNT)[None] < COUNT // 2
    half = np.where(trained, -1.0, 1.0) * np.arange(COUNT)
    ways = {
        modules.ranking.OWN: Way(half, 60.0, 1.0, "", trained),
        "right at first": Way(np.where(trained, 1.0, -1.0) * np.arange(COUNT), 0.0, 1.0, ""),
        "right later": Way(half, 0.0, 1.0, ""),
        "dear": Way(np.arange(COUNT)[None].astype(float), 0.0, 100.0, ""),
    }
    rows = list(modules.ranking.cheap_rows(table, ways))
    assert len(rows) == 3
    for row in rows:
        assert row.value == 1
        assert row.note == "of 2; right later by 0.000 (0.00 to 0.00)"


def test_what_a_way_gives_is_worked_out_once(modules: Any, tmp_path: Path) -> None:
    known = SimpleNamespace(place=SimpleNamespace(folder=tmp_path), digest="those")
    settings, calls = modules.way.Settings(fits=2), []

    def kept(name: str) -> Any:
        def work_out() -> Any:
            calls.append(name)
            return modules.ways.Measured([[1.0 + len(calls)]], 5.0, 0.1)

        return modules.ways.kept(known, name, settings, work_out)

    assert kept("score 1") == kept("score 1")
    assert kept("score 1") != kept("score 2")
    known.digest = "others"
    assert kept("score 1").values == [[4.0]]
    settings = modules.way.Settings(seed=1, fits=2)
    assert kept("score 1").values == [[5.0]], "of other seeds"
    assert calls == ["score 1", "score 2", "score 1", "score 1"]


def test_intervals_hold_as_often_as_they_do(modules: Any, table: Any) -> None:
    """Of four networks two are off by 1.5 and 2.5 deviations, and a trained one does not count."""
    table.validation = np.array([[0.5, np.nan], [0.6, np.nan], [0.7, np.nan], [0.8, np.nan]])
    values = np.array([[0.5, 0.615, 0.725, 0.9]])
    trained, wide = np.array([[False, False, False, True]]), np.full((1, 4), 0.01)
    ways = {"own": modules.way.Way(values, 0.0, 0.0, "", trained, wide)}
    ways["silent"] = modules.way.Way(values, 0.0, 0.0, "")
    (row,) = modules.ranking.interval_rows(table, ways)
    assert row.what == "95 % intervals that hold, made-up, own"
    assert row.value == pytest.approx(2 / 3)
    table.validation[0] = 0.49, 0.51  # seeds have a deviation of 1.4 points
    (row,) = modules.ranking.interval_rows(table, ways)
    assert row.value == 1
    assert "seeds have 1.4" in row.note


def test_the_page_says_what_tables_are_made_of(
    modules: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(modules.pages, "TRUTH", tmp_path)

    def network(*accuracies: float) -> Truth:
        trials = [
            Trial(seed=n, val_accuracy=0.0, test_accuracy=each, seconds=1800.0)
            for n, each in enumerate(accuracies)
        ]
        return Truth(choices={}, params=1, macs=1, trials=trials)

    on_a_gpu = Trial(seed=0, val_accuracy=0.0, test_accuracy=0.6, seconds=9.0, device="cuda")
    setting = Setting(
        data="digits",
        fingerprint="",
        image_size=None,
        examples=4000,
        space="nas-bench-201",
        options=find("nas-bench-201", {"width": 4}).options,
        recipe=Recipe(epochs=3, batch=16),
        seed=0,
    )
    networks = [network(0.5), network(0.25, 0.3), network(0.75), network()]
    networks.append(Truth(choices={}, params=1, macs=1, trials=[on_a_gpu]))
    write(tmp_path / "t.jsonl.gz", Table(setting=setting, networks=networks))
    *_, line = modules.pages.truth(["t", "t-published"]).splitlines()
    made = "`width=4` | 4,000 images, 3 epochs of batch 16"
    assert line == f"| `t` | 4 | 1 of 3, 2 of 1 | 25.0 to 75.0 % | 2.0 | 1 | {made} |"


def test_the_page_says_what_each_search_lacks_on_each_table(modules: Any) -> None:
    rows = [
        {
            "what": f"regret of the best of 5 picks, {table}, {search}",
            "value": value,
            "note": "0.0 to 1.5 in 8 of 10 runs",
        }
        for table, value in (("t", 0.5), ("u", 1.25))
        for search in ("random search", "ladder, with all that a run trains")
    ]
    rows.append(rows[0] | {"what": "regret of the best of 5 picks, u, score (smash)"})
    head, _, first, second, last = modules.pages.regrets(rows).splitlines()
    assert last == "| score (smash) |  | 0.5 (0.0 to 1.5) |"
    assert head == "| search | t | u |"
    assert first == "| random search | 0.5 (0.0 to 1.5) | 1.2 (0.0 to 1.5) |"
    assert second.startswith("| ladder, with all that a run trains | 0.5")


def test_the_page_is_of_the_results_that_are_there(modules: Any) -> None:
    """After a change of text or results: ``python benchmarks/pages.py``."""
    assert modules.pages.PAGE.read_text() == modules.pages.page()


def test_break_even(modules: Any) -> None:
    cost = modules.search_cost.Cost
    random, ladder = cost(0.0, np.array([100.0])), cost(60.0, np.array([20.0]))
    told = modules.search_cost.break_even
    assert told(random, ladder, 10, 2) == "2 times from 20 epochs"
    assert random.at(2) == pytest.approx(2 * ladder.at(2))
    assert told(random, ladder, 10, 5) == "5 times never (at most 5.0)"
    varied = cost(0.0, np.array([80.0, 120.0] * 50))
    assert modules.search_cost.times(varied, ladder) == "1.2 to 1.3"
    assert modules.search_cost.times(varied, ladder, 100.0) == "4.7 to 5.0"


@pytest.mark.slow  # 2 minutes
def test_the_commands_measure_every_way(
    modules: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    space = ["nas-bench-201", "digits", "--set", "width=2", "cells=1", "stages=2"]
    size = ["--architectures", "24", "--seeds", "2", "--repeated", "24", "--epochs", "3"]
    made = ["--examples", "400", "--table", str(tmp_path / "t.jsonl.gz"), "--workers", "1"]
    main(["train", *space, *size, *made, "--quiet"])
    more = ["--fits", "2", "--steps", "3", "--work", str(tmp_path / "work")]
    monkeypatch.setattr("hypernas.climbing.OFTEN", 0)  # they are short
    rows: dict[str, list[Any]] = {}
    names = ["averaged", "re-estimated", "60 steps", "ensemble", "1 cell", "no places", "modulated"]
    for name, own in (("ranking", []), ("search_cost", []), ("trials", names)):
        module = getattr(modules, name)
        keep = lambda _, r, n=name, **_rest: rows.update({n: list(r)})  # noqa: E731
        monkeypatch.setattr(module, "write", keep)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "t", *own, *more])
        module.main()
    told = {row.what: row.value for one in rows.values() for row in one}
    assert np.isfinite(list(told.values())).all()
    ways = "params|macs|synflow|naswot|weight sharing|score (ghn)|calibrated score|ladder"
    more_ways = "score after 60 steps|calibrated, 60 steps|ridge on choices|1 epoch of training"
    more_ways += "|a whole training|REINFORCE's policy|evolution|successive halving|Hyperband"
    for way in f"{ways}|{more_ways}|ceiling".split("|"):
        for kind in ("all", "better half", "equal size"):
            assert -1 <= told[f"tau, {kind}, t, {way}"] <= 1
    assert all(f"tau, equal size, {name}" in told for name in names)
    assert told["regret of the best of 5 picks, t, ladder"] >= 0
    assert 0 <= told["95 % intervals that hold, t, calibrated score"] <= 1
    assert told["rivals that cost no more and rank as well as calibrated score, all, t"] >= 0
    fitted = "weight sharing|score (ghn)|ladder|ladder by naswot|ladder without 60 steps"
    for search in f"{UNFITTED}|{fitted}".split("|"):
        assert told[f"CPU seconds to the best 5%, t, {search}"] > 0
        assert told[f"regret of the best of 5 picks, t, {search}"] >= 0
