"""The best by score, as many random ones and the biggest are trained, each seed once."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest

from hypernas.choices import canonical
from hypernas.config import Plan
from hypernas.errors import RunError
from hypernas.finalists import Pick, Picks, best_of, best_seed, networks, pick, trainings
from hypernas.results import Network, Source, Training
from hypernas.runs import Run
from hypernas.scoring import Score
from hypernas.searching import top
from hypernas.workplace import Workplace

PLAN = Plan(steps=1, trials=1, finalists=2, seeds=2, epochs=3, best_epochs=0)
SCORE = Score(score=-1.0, interval=(-1.1, -0.9), score_accuracy=0.5)


def test_picks_are_the_best_random_ones_and_the_biggest(finished_run: Run) -> None:
    place, scored = finished_run.place, finished_run.scored
    picks = pick(place, scored, 3)
    assert (picks.trials, picks.finalists) == (len(scored), 3)
    best, random, biggest = (picks.of(s) for s in ("search", "random", "biggest"))
    assert [len(best), len(random), len(biggest)] == [3, 3, 1]
    by_score = [p.score.score for p in best]
    assert by_score == sorted(by_score, reverse=True)
    assert by_score[0] == max(s.score for s in scored)
    assert best[0].choices == top(scored, 1, finished_run.config.limits)[0].choices
    assert biggest[0].params >= max(a.params for a in place.survey.drawn)
    for group in (best, random):  # different networks, not only different choices
        graphs = [place.candidates.of(p.choices).graph for p in group]
        assert len({graph.nodes for graph in graphs}) == 3
    assert pick(place, scored, 3) == picks


def test_every_pick_has_the_score_of_the_protocol(finished_run: Run) -> None:
    place = finished_run.place
    known = {canonical(s.choices): s.score for s in finished_run.scored}
    for found in pick(place, finished_run.scored, 3).networks:
        expected = place.score([place.candidates.of(found.choices)])[0]
        assert found.score.score == pytest.approx(expected.score, abs=1e-6)
        if canonical(found.choices) in known:
            assert found.score.score == known[canonical(found.choices)]


def test_picks_keep_the_limits(finished_run: Run) -> None:
    sizes = sorted(s.params for s in finished_run.scored)
    limit = sizes[len(sizes) // 2]
    config = msgspec.structs.replace(finished_run.config, max_params=limit)
    picks = pick(Workplace(finished_run.folder, config), finished_run.scored, 2)
    assert all(p.params <= limit for p in picks.networks)
    fitting = [s.score for s in finished_run.scored if s.params <= limit]
    assert picks.of("search")[0].score.score == max(fitting)


def made(name: str, macs: int, source: str = "search") -> Pick:
    return Pick(choices={"n": name}, params=1, macs=macs, score=SCORE, source=source)  # type: ignore[arg-type]


def test_costliest_are_trained_first_and_each_once() -> None:
    every = [made("a", 10), made("b", 30), made("a", 10, "random"), made("c", 20, "biggest")]
    jobs = trainings(Picks(trials=9, finalists=2, networks=every), PLAN)
    assert [(job.choices["n"], job.seed) for job in jobs] == [
        ("b", 0),
        ("b", 1),
        ("c", 0),
        ("c", 1),
        ("a", 0),
        ("a", 1),
    ]
    assert {job.epochs for job in jobs} == {3}


def training(seed: int, accuracy: float) -> Training:
    return Training(
        seed=seed, epochs=1, val_accuracy=accuracy, val_loss=1, test_accuracy=0.5, seconds=1
    )


def network(accuracy: float, params: int, source: Source = "search") -> Network:
    return Network(
        choices={},
        params=params,
        macs=1,
        score=-1,
        interval=(-2, 0),
        score_accuracy=0.5,
        val_accuracy=accuracy,
        test_accuracy=0.5,
        seeds=[training(0, 0.5), training(1, 0.7), training(2, 0.7)],
        source=source,
    )


def test_best_is_by_mean_validation_then_a_finalist_then_by_size() -> None:
    every = [network(0.8, 100), network(0.9, 300), network(0.9, 200), network(0.7, 1)]
    every += [network(0.9, 50, "random"), network(0.9, 400, "biggest")]
    assert best_of(every) is every[2]
    assert best_of([every[0], *every[4:]]) is every[4]
    assert best_seed(every[0]).seed == 1  # the first of equals


def test_networks_have_the_mean_over_their_seeds(finished_run: Run) -> None:
    picks = msgspec.json.decode((finished_run.folder / "picks.json").read_bytes(), type=Picks)
    found = networks(finished_run.place, picks, finished_run.place.plan)
    sources = [n.source for n in found]
    assert sources == sorted(sources, key=["search", "random", "biggest"].index)
    assert [sources.count(each) for each in ("random", "biggest")] == [2, 1]
    whole = [one.source for one in found if len(one.seeds) == 2]
    assert whole.count("search") >= 2, "one that leads by a single seed gets the others too"
    assert [whole.count(each) for each in ("random", "biggest")] == [2, 1]
    for one in found:
        assert [t.seed for t in one.seeds] == [0, 1][: len(one.seeds)]
        each = [t.val_accuracy for t in one.seeds], [t.test_accuracy or 0 for t in one.seeds]
        assert one.val_accuracy == pytest.approx(np.mean(each[0]))
        assert one.test_accuracy == pytest.approx(np.mean(each[1]))


def test_networks_that_are_not_trained_are_an_error_that_says_so(own_run: Run) -> None:
    picks = msgspec.json.decode((own_run.folder / "picks.json").read_bytes(), type=Picks)
    shutil.rmtree(own_run.folder / "networks")
    with pytest.raises(RunError, match=r"not trained yet.*hypernas train"):
        networks(own_run.place, picks, own_run.place.plan)
