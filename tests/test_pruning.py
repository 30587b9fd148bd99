"""Halving and Hyperband stop what falls behind, whoever trains it and wherever it was stopped."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import msgspec
import pytest
from test_signals import config

from hypernas.climbing import Trained
from hypernas.config import Pruner, check
from hypernas.console import Voice
from hypernas.errors import ConfigError
from hypernas.files import read_json
from hypernas.jobs import Part, Train, TrainPart
from hypernas.ladder import Entry
from hypernas.pruning import Race, expected_epochs
from hypernas.results import Training
from hypernas.runs import Run
from hypernas.training import Trainer
from hypernas.workers import Pool

RACED = config("training", pruner="halving", score_epochs=3, trials=9, train_batch=16)


def steady(quality: float, epoch: int) -> Part:
    """A training that is as good at every epoch as in the end."""
    return Part(epochs=epoch, accuracy=quality, loss=-quality)


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_the_best_is_trained_to_the_end_and_the_bad_are_not(pruner: Pruner) -> None:
    race = Race(pruner, 9)
    qualities = [0.5 + 0.4 * ((7 * n) % 31) / 31 for n in range(31)]
    reached = [race(lambda epoch, q=q: steady(q, epoch)).epochs for q in qualities]
    best = max(range(31), key=qualities.__getitem__)
    assert reached[best] == 9
    assert sum(reached) < 0.7 * 9 * 31
    bad = [e for e, q in zip(reached, qualities, strict=True) if q < 0.6]
    good = [e for e, q in zip(reached, qualities, strict=True) if q > 0.8]
    assert sum(bad) / len(bad) < sum(good) / len(good)


def test_a_candidate_is_judged_by_those_before_it_alone() -> None:
    qualities = [0.3, 0.8, 0.5, 0.9, 0.2, 0.85, 0.4]
    whole, part = Race("halving", 9), Race("halving", 9)
    every = [whole(lambda epoch, q=q: steady(q, epoch)) for q in qualities]
    assert [part(lambda epoch, q=q: steady(q, epoch)) for q in qualities[:4]] == every[:4]


def test_expected_epochs_by_running() -> None:
    """With qualities in no order, about as many epochs are trained as is told."""
    rng, race = random.Random(0), Race("halving", 9)
    qualities = [rng.random() for _ in range(300)]
    spent = [race(lambda epoch, q=q: steady(q, epoch)).epochs for q in qualities]
    assert sum(spent) / 300 == pytest.approx(expected_epochs("halving", 9), rel=0.25)
    assert 9 > expected_epochs("hyperband", 9) > expected_epochs("halving", 9)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.start(tmp_path_factory.mktemp("raced") / "run", RACED, quiet=True)
    run.search()
    return run


def test_a_search_stops_trainings(raced: Run) -> None:
    done = [Train(choices=one.choices, seed=0, epochs=3).known(raced.place) for one in raced.scored]
    assert 0 < sum(result is not None for result in done) < 9
    for one, result in zip(raced.scored, done, strict=True):
        if result is not None:
            assert one.score == -result.val_loss
            assert len(result.by_epoch) == 3


@pytest.mark.parametrize("changes", [{"workers": 2}, {"stopped": 5}], ids=["processes", "stopped"])
def test_processes_and_stops_change_nothing(
    changes: dict[str, int], raced: Run, tmp_path: Path
) -> None:
    stopped = changes.pop("stopped", None)
    other = Run.start(tmp_path / "b", msgspec.structs.replace(RACED, **changes), quiet=True)
    if stopped:
        other.search(trials=stopped)
        other = Run.open(tmp_path / "b", quiet=True)
        assert len(other.scored) == stopped
    other.search(trials=9)
    assert other.scored == raced.scored


def test_what_was_trained_is_not_trained_again(raced: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class TrainsError(Exception):
        pass

    def advance(self: Trainer, optimiser: object) -> None:
        raise TrainsError

    monkeypatch.setattr(Trainer, "advance", advance)
    run = Run.open(raced.folder, quiet=True)
    whole = 0
    for one in run.scored:
        part = TrainPart(choices=one.choices, epochs=3, until=1).do(run.place)
        assert part.epochs == 1
        if Train(choices=one.choices, seed=0, epochs=3).known(run.place):
            whole += 1
            parts = [
                TrainPart(choices=one.choices, epochs=3, until=until).do(run.place)
                for until in (2, 3)
            ]
            assert [part.epochs for part in parts] == [2, 3]
        else:  # it was stopped
            with pytest.raises(TrainsError):
                TrainPart(choices=one.choices, epochs=3, until=3).do(run.place)
    assert 0 < whole < len(run.scored)


def test_a_part_of_a_whole_training_has_its_own_loss(raced: Run, tmp_path: Path) -> None:
    """Whether a random network was trained to the end in between changes no study."""
    one = raced.scored[0]
    alone = Run.start(tmp_path / "alone", RACED, quiet=True)
    first = TrainPart(choices=one.choices, epochs=3, until=1)
    before = first.do(alone.place)
    Train(choices=one.choices, seed=0, epochs=3).do(alone.place)
    after = first.do(alone.place)
    assert (after.accuracy, after.loss) == (before.accuracy, before.loss)


def test_a_training_that_was_not_measured_on_the_way_is_measured_anew(
    raced: Run, tmp_path: Path
) -> None:
    one = raced.scored[0]
    part = TrainPart(choices=one.choices, epochs=3, until=2)
    alone = Run.start(tmp_path / "alone", RACED, quiet=True).place
    expected = part.do(alone)
    other = Run.start(tmp_path / "other", RACED, quiet=True).place
    whole = Train(choices=one.choices, seed=0, epochs=3)
    assert whole.do(other).by_epoch == []
    found = part.do(other)
    assert (found.accuracy, found.loss) == (expected.accuracy, expected.loss)
    assert found.again
    assert not expected.again


def test_what_the_ladder_paid_for_parts(raced: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of trainings given up, and of those that were whole before; the others go on."""
    parts = [Part(1, 0.5, 0.0, seconds=s, again=again) for s, again in ((5, True), (3, False))]
    parts.append(Part(1, 0.5, 0.0, seconds=2))
    choices = raced.scored[0].choices
    entries = [Entry(choices, params=1, macs=1, score=0.0, proxies={})] * 3
    source = Trained(raced.place, cast(Pool, None), Voice(quiet=True), entries, by_epoch=True)
    monkeypatch.setattr(source, "_done", lambda *_: msgspec.to_builtins(parts))
    assert source.climb("part", [0, 1, 2]) == [0.5, 0.5, 0.5]
    source.seeds = {0: 1, 1: 1}
    assert source.rung_seconds == 5 + 2


def test_parts_make_the_same_training_as_a_whole(raced: Run, tmp_path: Path) -> None:
    one = next(
        scored
        for scored in raced.scored
        if Train(choices=scored.choices, seed=0, epochs=3).known(raced.place)
    )
    parts = Train(choices=one.choices, seed=0, epochs=3, by_epoch=True)
    in_parts = read_json(raced.folder / parts.folder / "result.json", Training)
    whole_run = Run.start(tmp_path / "whole", RACED, quiet=True)
    whole = parts.do(whole_run.place)
    assert msgspec.structs.replace(whole, seconds=0.0) == msgspec.structs.replace(
        in_parts, seconds=0.0
    )


def test_a_pruner_needs_trainings() -> None:
    with pytest.raises(ConfigError, match="--pruner halving stops trainings"):
        check(config("synflow", pruner="halving"))
    with pytest.raises(ConfigError, match="--pruner halving stops trainings"):
        check(config("hypernet", pruner="halving"))
