"""The study outlives its process, and Optuna reads it."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial, TrialState
from small_space import SIGNATURE, space

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Decision, Draw
from hypernas.errors import RunError
from hypernas.randomness import rng
from hypernas.scoring import WORST, Score
from hypernas.study import (
    FollowTrial,
    Scored,
    Study,
    distributions,
    finished,
    parameter_name,
    parameters,
    scored_of,
)

MADE = Candidates(space(deepest=4), SIGNATURE)


def score_of(number: int) -> Score:
    value = -1.0 - number / 7
    return Score(score=value, interval=(value - 0.1, value + 0.1), score_accuracy=0.25)


def drawn(count: int) -> list[Candidate]:
    return [MADE.draw(rng(0, "study", i)) for i in range(count)]


def fill(path: Path, count: int, *, name: str = "search") -> Study:
    study = Study(path, name, ["maximize"])
    for number, candidate in enumerate(drawn(count)):
        study.add(finished(candidate, score_of(number), aims=1))
    return study


def reopened(path: Path, name: str = "search") -> list[Scored]:
    return Study(path, name, ["maximize"]).scored


def expected(count: int) -> list[Scored]:
    """Return what :func:`fill` writes."""
    return [
        Scored(
            choices=candidate.choices,
            params=candidate.params,
            macs=candidate.macs,
            score=score_of(number).score,
            interval=score_of(number).interval,
            score_accuracy=0.25,
        )
        for number, candidate in enumerate(drawn(count))
    ]


def test_reopened_study_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "study.journal"
    study = fill(path, 12)
    assert study.scored == expected(12)
    assert reopened(path) == expected(12)


def test_worst_score_survives(tmp_path: Path) -> None:
    study = Study(tmp_path / "j", "search", ["maximize"])
    worst = Score(score=WORST, interval=(WORST, WORST), score_accuracy=0.0)
    study.add(finished(drawn(1)[0], worst, aims=1))
    assert reopened(tmp_path / "j")[0].score == WORST


def test_one_record_for_each_candidate(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    fill(path, 0)
    before = path.read_bytes().count(b"\n")
    fill(path, 9)
    assert path.read_bytes().count(b"\n") == before + 9


def test_two_studies_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    search = Study(path, "search", ["maximize"])
    ask = Study(path, "ask", ["maximize"])
    for number, candidate in enumerate(drawn(6)):
        (search, ask)[number % 2].add(finished(candidate, score_of(number), aims=1))
    assert reopened(path) == expected(6)[0::2]
    assert reopened(path, "ask") == expected(6)[1::2]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_torn_last_line_is_cut(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "study.journal"
    fill(path, 5)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: last + int(keep * (len(whole) - 1 - last))])
    assert reopened(path) == expected(5)[:4]
    assert path.read_bytes() == whole[:last]
    study = Study(path, "search", ["maximize"])
    study.add(finished(drawn(5)[4], score_of(4), aims=1))
    assert reopened(path) == expected(5)


def test_torn_first_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_bytes(b'{"op_code": 0, "wor')
    assert reopened(path) == []


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling symlink"])
def test_stale_lock_is_removed_at_once(tmp_path: Path, kind: str) -> None:
    path, lock = tmp_path / "study.journal", tmp_path / "study.journal.lock"
    fill(path, 2)
    if kind == "file":
        lock.write_text("")
    else:
        lock.symlink_to(path if kind == "symlink" else tmp_path / "gone")
    began = time.monotonic()
    study = Study(path, "search", ["maximize"])
    study.add(finished(drawn(3)[2], score_of(2), aims=1))
    assert time.monotonic() - began < 2
    assert not os.path.lexists(lock)
    assert reopened(path) == expected(3)


def test_damage_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    fill(path, 3)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:20]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(RunError, match=r"study.journal is damaged"):
        Study(path, "search", ["maximize"])


def test_optuna_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    fill(path, 5)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.load_study(study_name="search", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 5
    assert [scored_of(trial) for trial in study.trials] == expected(5)
    assert study.best_trial.number == 0
    for trial, candidate in zip(study.trials, drawn(5), strict=True):
        assert trial.params == parameters(candidate.choices, candidate.decisions)


def test_two_aims_keep_the_parameters(tmp_path: Path) -> None:
    study = Study(tmp_path / "j", "search", ["maximize", "minimize"])
    candidate = drawn(1)[0]
    study.add(finished(candidate, score_of(0), aims=2))
    again = Study(tmp_path / "j", "search", ["maximize", "minimize"])
    assert again.trials[0].values == [score_of(0).score, candidate.params]
    assert again.scored == expected(1)


@given(st.integers(0, 10**6))
def test_architecture_returns_from_its_optuna_parameters(seed: int) -> None:
    chooser = Draw(random.Random(seed))
    MADE.space.function(chooser, SIGNATURE, **MADE.space.options)
    found = parameters(chooser.choices, chooser.decisions)
    kinds: dict[str, Any] = {}
    for decision in chooser.decisions.values():
        kinds |= distributions(decision)
    assert found.keys() == kinds.keys()
    for name, value in found.items():
        assert kinds[name]._contains(kinds[name].to_internal_repr(value))
    follower = FollowTrial(FixedTrial(found))  # type: ignore[arg-type]
    MADE.space.function(follower, SIGNATURE, **MADE.space.options)
    assert follower.choices == chooser.choices
    assert list(map(type, follower.choices.values())) == list(map(type, chooser.choices.values()))


def test_other_options_have_other_parameter_names() -> None:
    narrow, wide = Decision("kernel", (1, 3)), Decision("kernel", (1, 3, 5))
    names = [
        parameter_name(narrow),
        parameter_name(wide),
        parameter_name(Decision("kernel", (3, 1))),
        parameter_name(Decision("kernel", ("1", "3"))),
        parameter_name(Decision("kernel", (1, 2), kind="int")),
        parameter_name(Decision("kernel", (1, 3), kind="int")),
        *distributions(Decision("kernel", (1, 3), kind="subset", sizes=((1, 1.0), (2, 1.0)))),
    ]
    assert len(set(names)) == len(names) == 8
    assert parameter_name(narrow) == parameter_name(Decision("kernel", (1, 3), weights=(1, 2)))


def test_options_that_vary_do_not_break_the_study(tmp_path: Path) -> None:
    study = Study(tmp_path / "j", "search", ["maximize"])
    for width, kernel in ((3, 1), (6, 5), (3, 3)):
        choices = {"width": width, "depth": 1, "layer0.op": "conv", "layer0.kernel": kernel}
        candidate = MADE.of(choices | {"heads": ["plain"]})
        study.add(finished(candidate, score_of(0), aims=1))
    kept = [s.choices["layer0.kernel"] for s in reopened(tmp_path / "j")]
    assert kept == [1, 5, 3]


@pytest.mark.parametrize("at_least", [0, 1, 2, 3])
@pytest.mark.parametrize("suggested", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_subset_from_a_trial_has_at_least_so_many(at_least: int, suggested: tuple[str]) -> None:
    sizes = tuple((size, 1.0) for size in range(at_least, 4))
    decision = Decision("paths", ("a", "b", "c"), kind="subset", sizes=sizes)
    values = {parameter_name(decision, o): o in suggested for o in decision.options}
    follower = FollowTrial(FixedTrial(values))  # type: ignore[arg-type]
    found = follower.subset("paths", ["a", "b", "c"], at_least=at_least)
    assert decision.admits(found)
    assert set(found) >= set(suggested)
    assert len(found) == max(at_least, len(suggested))


@pytest.mark.parametrize(
    ("suggested", "found"),
    [("", "ab"), ("c", "ac"), ("bd", "bd"), ("bcd", "bc"), ("bcde", "bcde"), ("abcde", "abcd")],
)
def test_subset_from_a_trial_has_a_legal_size(suggested: str, found: str) -> None:
    """The nearest one: the last picked fall away, or the first missing are added."""
    decision = Decision("banks", tuple("abcde"), kind="subset", sizes=((2, 3.0), (4, 1.0)))
    values = {parameter_name(decision, o): o in suggested for o in decision.options}
    follower = FollowTrial(FixedTrial(values))  # type: ignore[arg-type]
    assert "".join(follower.subset("banks", "abcde", sizes={2: 3.0, 4: 1.0})) == found
    assert decision.admits(list(found))


def test_many_parameters_are_left_out_of_the_journal(tmp_path: Path) -> None:
    """What a space of hundreds of decisions would otherwise take: 275 kB and 40 ms a candidate."""
    path = tmp_path / "j"
    study = Study(path, "search", ["maximize"])
    candidate = drawn(1)[0]
    count = len(parameters(candidate.choices, candidate.decisions))
    for most in (count, count - 1):
        study.add(finished(candidate, score_of(0), aims=1, most=most))
    assert [len(trial.params) for trial in study.trials] == [count, 0]
    assert reopened(path) == study.scored == expected(1) * 2
    last, before = path.read_bytes().split(b"\n")[-2:-4:-1]
    assert len(last) < 1000 < len(before) - len(last) + 100 * count


def test_opening_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    fill(path, 3)
    before = path.read_bytes()
    reopened(path)
    assert path.read_bytes() == before
