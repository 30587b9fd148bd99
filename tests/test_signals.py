"""Candidates ranked by real training or by zero-cost scores, through the same commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_run import RUN

from hypernas.config import Config, check
from hypernas.errors import ConfigError, RunError
from hypernas.finalists import baseline
from hypernas.jobs import Train
from hypernas.ranking import tau
from hypernas.results import Limits
from hypernas.runs import Run

UNFITTED = msgspec.structs.replace(
    RUN, steps=None, trials=6, finalists=2, seeds=2, epochs=1, survey=100
)


def config(score_by: str, **changes: Any) -> Config:
    return msgspec.structs.replace(UNFITTED, score_by=score_by, **changes)


def test_a_search_by_a_proxy(tmp_path: Path) -> None:
    name = "params"
    asked = config(name, trials=20, strategy="top")
    run = Run.start(tmp_path / "run", asked, quiet=True).everything()
    assert not (run.folder / "hypernet.safetensors").exists()
    scored = run.scored
    assert len(scored) == 20
    assert all(one.score_accuracy is None for one in scored)
    assert [one.score for one in scored] == [one.params for one in scored]
    best = max(scored, key=lambda one: (one.score, -one.params))
    assert run.result.finalists[0].choices == best.choices
    assert run.result.search.score_by == name
    assert run.result.hypernet == {}
    page = (run.folder / "report.html").read_text()
    assert f"{name} of the untrained network" in page
    assert "A hypernetwork wrote" not in page
    assert run.ask(msgspec.structs.replace(run.config.limits, max_params=10**6)).found
    signals = [signal.name for signal in run.trust(train=8).signals]
    assert signals[0] == "score"
    assert name not in signals, "it would be held against itself"
    assert "macs" in signals


def test_a_search_by_training(tmp_path: Path, trained: list[Train]) -> None:
    run = Run.start(tmp_path / "run", config("training"), quiet=True).everything()
    for one in run.scored:
        done = Train(choices=one.choices, seed=0, epochs=1).known(run.place)
        assert done is not None
        assert one.score == -done.val_loss
        assert one.score_accuracy == done.val_accuracy
    folders = [job.folder for job in trained]
    assert len(folders) == len(set(folders)), "no training is done twice"
    finalists = {str(one.choices) for one in run.result.finalists}
    seeds = {job.seed for job in trained if str(job.choices) in finalists}
    assert seeds == {0, 1}
    trained.clear()
    sizes = sorted(one.params for one in run.scored)
    assert len(run.ask(Limits(max_params=sizes[2]), top=50).found) < 50
    with pytest.raises(ConfigError, match="none of the trained candidates"):
        run.ask(
            Limits(max_params=min(a.params for a in run.place.survey.drawn), max_macs=sizes[0] * 99)
        )
    assert trained == [], "a question trains nothing"
    meter, random = run.trust(train=8), run.result.random
    assert meter.networks == len(random) == 8
    assert {len(one.seeds) for one in random} == {2}
    once = [-one.seeds[0].val_loss for one in random]
    assert once == [one.score for one in random]
    expected = tau(once, [one.seeds[1].test_accuracy or 0.0 for one in random])
    assert meter.signals[0].tau["all"].value == expected.value, "a training is not its own score"


def test_a_sample_of_a_search_by_training_has_another_seed(own_run: Run) -> None:
    """Where one seed was asked for, too: the first training of a network is its score."""
    place = own_run.place
    for score_by, planned, expected in (
        ("training", 1, {2}),
        ("training", 3, {None, 2}),
        ("hypernet", 1, {None, 1}),
    ):
        place.config = msgspec.structs.replace(place.config, score_by=score_by)
        place.plan = msgspec.structs.replace(place.plan, seeds=planned)
        drawn = [one for one in baseline(place, own_run.scored, 2, 4) if one.source == "random"]
        assert {one.seeds for one in drawn} == expected


def test_stops_change_nothing(tmp_path: Path) -> None:
    few = config("training", trials=4)
    whole = Run.start(tmp_path / "a", few, quiet=True)
    whole.search()
    other = Run.start(tmp_path / "b", few, quiet=True)
    other.search(trials=1)
    Run.open(tmp_path / "b", quiet=True).search(trials=4)
    assert other.scored == whole.scored


@pytest.mark.parametrize("sampler", ["perturb", "evolution", "tpe"])
def test_samplers_search_by_any_signal(sampler: str, tmp_path: Path) -> None:
    chosen = config("naswot", sampler=sampler, trials=40)
    run = Run.start(tmp_path / "run", chosen, quiet=True)
    run.search()
    assert len(run.scored) > 32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 10}, "--steps is for the hypernetwork"),
        ({"fit_epochs": 1.0}, "--fit-epochs is for the hypernetwork"),
        ({"fit_options": {"nodes": 2}}, "--fit-set is for the hypernetwork"),
        ({"teacher": "x"}, "--teacher is for the hypernetwork"),
        ({"start": "generated"}, "--start generated needs a hypernetwork"),
        ({"sampler": "arch-gradient"}, "--sampler arch-gradient needs a hypernetwork"),
        ({"score_epochs": 3}, "--score-epochs 3 is for --score-by training"),
    ],
)
def test_what_needs_a_hypernetwork_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(config("synflow", **changes))


def test_what_a_run_without_one_cannot_do(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", config("params"), quiet=True)
    with pytest.raises(RunError, match="ranks candidates by params, without a hypernetwork"):
        run.fit()
    with pytest.raises(RunError, match="make a run with --score-by hypernet"):
        _ = run.place.hypernet


def test_a_proxy_that_is_not_for_such_data(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    rows = [f"word{n % 7} word{n % 3},{'ab'[n % 2]}" for n in range(60)]
    data.write_text("text,label\n" + "\n".join(rows) + "\n")
    chosen = config("jacob-cov", data=str(data), space="text", options={})
    with pytest.raises(ConfigError, match="jacob-cov"):
        Run.start(tmp_path / "run", chosen, quiet=True)
    assert not (tmp_path / "run").exists()


def test_minutes_become_trainings(tmp_path: Path) -> None:
    open_counts = {"trials": None, "finalists": None, "seeds": None, "best_epochs": None}
    chosen = config("training", minutes=2.0, **open_counts)
    run = Run.start(tmp_path / "run", chosen, quiet=True)
    plan = run.place.plan
    assert plan.steps == 0
    assert plan.trials >= 16
    assert plan.seconds["search"] > plan.seconds["train"]
