"""A run over networks with early exits, from the survey to what a person takes away."""

from __future__ import annotations

import json
import shutil
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from small_run import RUN

from hypernas import asking
from hypernas.choices import canonical
from hypernas.cli import main
from hypernas.config import Config, check
from hypernas.curves import Budgets, reached_by
from hypernas.early_exits import EarlyExits
from hypernas.errors import ConfigError
from hypernas.jobs import Train
from hypernas.results import Limits
from hypernas.runs import Run
from hypernas.scoring import Scorer
from hypernas.training import measure_exits
from hypernas.workplace import MEASURE_BATCH, Workplace

CONFIG = msgspec.structs.replace(
    RUN, space="anytime", options={"width": 4, "nodes": [3, 2], "exits": 0.5}, survey=40, trials=24,
    steps=20, finalists=1, seeds=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; only to be read."""
    made = tmp_path_factory.mktemp("anytime") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hypernas.survey.MOST_CHANGES", 20)
        Run.start(made, CONFIG, quiet=True).everything()
    return made


@pytest.fixture
def run(folder: Path) -> Run:
    return Run.open(folder, quiet=True)


def test_budgets_are_those_of_the_survey(run: Run) -> None:
    exits = [macs for architecture in run.place.survey.drawn for macs in architecture.exits]
    assert run.place.budgets == Budgets(low=min(exits), high=max(exits))
    given = msgspec.structs.replace(run.config, budgets=(5000, 9000), budget_scale="log")
    assert Workplace(run.folder, given).budgets == Budgets(low=5000, high=9000, scale="log")


def test_scores_are_means_over_the_budgets(run: Run) -> None:
    budgets = run.place.budgets
    assert budgets is not None
    assert len(run.scored) == CONFIG.trials
    for one in run.scored:
        macs, scores = [e.macs for e in one.curve], [e.score for e in one.curve]
        assert macs == [0, *run.place.candidates.of(one.choices).exit_macs]
        assert one.score == pytest.approx(budgets.mean(macs, scores))
    assert run.result.best.curve


def test_accuracies_are_means_over_the_budgets_by_the_validation_split(run: Run) -> None:
    place, final = run.place, run.best.final
    budgets = place.budgets
    assert budgets is not None
    (training,) = run.result.biggest.seeds
    job = Train(choices=run.result.biggest.choices, seed=0, epochs=training.epochs)
    assert job.known(place) == training
    macs = [e.macs for e in training.curve]
    shares = budgets.shares(macs, [e.val_accuracy for e in training.curve])
    for name in ("val_accuracy", "test_accuracy", "val_loss"):
        values = [getattr(e, name) for e in training.curve]
        expected = sum(s * v for s, v in zip(shares, values, strict=True))
        assert getattr(training, name) == pytest.approx(expected)
    test = place.batches(place.splits.test, MEASURE_BATCH)
    for batches, name in ((place.validation_batches, "val"), (test, "test")):
        reached = measure_exits(run.best.module, batches, place.task).measures
        costs = [0, *run.place.candidates.of(run.best.choices).exit_macs]
        if name == "val":
            shares = budgets.shares(costs, reached)
        expected = sum(s * v for s, v in zip(shares, reached, strict=True))
        assert getattr(final, f"{name}_accuracy") == pytest.approx(expected, abs=1e-6)


def test_a_branch_has_the_budgets_of_its_run(run: Run) -> None:
    from hypernas.branches import branch

    space = run.place.space.with_options(width=6)
    place = branch(run.place, "scaled/x", space)
    assert place.budgets == run.place.budgets
    assert not place.folder.exists()


def test_a_winner_that_would_never_answer_is_not_scaled(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"cheapest exit would cost \d+ MACs .* never answer"):
        run.scale({"width": 64}, epochs=1)
    assert not (run.folder / "scaled").exists()


def test_budgets_that_cannot_be(tmp_path: Path) -> None:
    for given in ((0, 10), (10, 10), (20, 10)):
        with pytest.raises(ConfigError, match="--budgets"):
            check(msgspec.structs.replace(CONFIG, budgets=given))
    with pytest.raises(ConfigError, match="--budget-scale log: networks of space cell"):
        Run.start(tmp_path / "run", msgspec.structs.replace(RUN, budget_scale="log"), quiet=True)


def test_budgets_on_the_command_line() -> None:
    import tyro

    found = tyro.cli(Config, args=["digits", "--budgets", "200k", "20M"])
    assert found.budgets == (200_000, 20_000_000)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Config) == found


# --- other budgets ------------------------------------------------------------------------------


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Run:
    """A copy of the finished run that a test may change."""
    shutil.copytree(folder, tmp_path / "run")
    return Run.open(tmp_path / "run", quiet=True)


def cheap(run: Run) -> tuple[int, int]:
    """Return a range of budgets below most of the run's."""
    low, dearest = min(s.curve[1].macs for s in run.scored), run.scored[0].curve[-1].macs
    return low, (low + dearest) // 2


def over(run: Run, budgets: tuple[int, int], scale: Any = "linear") -> Workplace:
    """Return the parts of a run of other budgets with the same hypernetwork."""
    config = msgspec.structs.replace(run.config, budgets=budgets, budget_scale=scale)
    return Workplace(run.folder, config)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_other_budgets_are_asked_without_scoring(
    own: Run, monkeypatch: pytest.MonkeyPatch, scale: Any
) -> None:
    other = over(own, cheap(own), scale)
    expected = {
        canonical(one.choices): other.score([other.candidates.of(one.choices)])[0]
        for one in own.scored[:8]
    }
    monkeypatch.setattr(Scorer, "__call__", None)
    before = own.scored
    answer = own.ask(Limits(), top=len(before), budgets=cheap(own), budget_scale=scale)
    assert (answer.new, answer.budgets) == (0, other.budgets)
    found = {canonical(one.choices): one for one in answer.found}
    scores = [one.score for one in answer.found]
    assert scores == sorted(scores, reverse=True)
    for key in found.keys() & expected.keys():
        assert found[key].score == pytest.approx(expected[key].score, abs=1e-6)
        assert found[key].score_accuracy == pytest.approx(expected[key].score_accuracy)
        low, high = found[key].interval
        assert low < -1e8 < 1e8 < high  # the losses of the images are not kept
    assert len(found.keys() & expected.keys()) > 4
    assert own.scored == before
    as_made = own.ask(Limits(), top=len(before))
    assert [one.choices for one in as_made.found] != [one.choices for one in answer.found]
    assert as_made.budgets is None


def test_new_candidates_are_scored_over_the_budgets_of_the_run(
    own: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_NEW", 4)
    wanted = len(own.scored) + 2
    answer = own.ask(Limits(), top=wanted, budgets=cheap(own))
    assert answer.new == 4
    budgets = over(own, cheap(own)).budgets
    assert budgets is not None
    for one in answer.found:
        assert one.score == pytest.approx(budgets.means(one.curve)[0])
    kept = own._study("ask").scored
    place = own.place
    (alone,) = place.score([place.candidates.of(kept[0].choices)])
    assert kept[0].score == pytest.approx(alone.score, abs=1e-6)
    assert kept[0].interval == pytest.approx(alone.interval, abs=1e-6)


def test_candidates_are_compared_over_other_budgets(own: Run) -> None:
    for answer in (own.ask(Limits(), top=2, budgets=cheap(own)), own.ask(Limits(), top=2)):
        found = own.standings(answer)
        assert found is not None
        for scored, stands in zip(answer.found, found.standings, strict=True):
            middle = sum(stands.interval) / 2
            assert stands.score == scored.score == pytest.approx(middle, abs=1e-5)


def test_the_budgets_of_the_run_are_no_others(own: Run) -> None:
    budgets = own.place.budgets
    assert budgets is not None
    asked = own.ask(Limits(), budgets=(budgets.low, budgets.high), budget_scale="linear")
    assert asked == own.ask(Limits())


def test_other_budgets_on_the_command_line(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    low, high = cheap(own)
    main(["ask", str(own.folder), "--budgets", str(low), str(high), "--top", "2"])
    told = capsys.readouterr().err
    assert f"mean over budgets of {low:,} to {high:,} MACs" in " ".join(told.split())
    assert "95 %" in told
    assert "tie by score" in " ".join(told.split()) or "better by score" in " ".join(told.split())
    main(["ask", str(own.folder), "--budget-scale", "log", "--top", "2"])
    assert "evenly by their logarithm" in " ".join(capsys.readouterr().err.split())
    main(["ask", str(own.folder), "--top", "2"])
    told = capsys.readouterr().err
    assert "95 %" in told
    assert "budgets" not in told


def test_other_budgets_that_cannot_be(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^--budgets 9 5: expected the least"):
        own.ask(Limits(), budgets=(9, 5))
    with pytest.raises(ConfigError, match=r"^--budgets 1 2: no network would ever answer"):
        own.ask(Limits(), budgets=(1, 2))
    bare = msgspec.structs.replace(own.scored[0], curve=[])
    monkeypatch.setattr("hypernas.study.scored_of", lambda _: bare)
    with pytest.raises(ConfigError, match="were scored without their exits"):
        own.ask(Limits(), budgets=(1000, 90_000))


def exported(folder: Path) -> Any:
    """Return the source file of an export as a module."""
    module = types.ModuleType("model")
    module.__file__ = str(folder / "model.py")
    exec(compile((folder / "model.py").read_text(), "model.py", "exec"), vars(module))
    return module


def test_the_network_answers_within_budgets_here_and_exported(run: Run) -> None:
    result, early = run.result, run.best.module
    assert isinstance(early, EarlyExits)
    assert early.asked == result.exits
    assert result.export["model.py"].startswith("same outputs")
    assert result.budgets == msgspec.to_builtins(run.place.budgets)
    network = exported(run.folder / "best").load()
    x = run.place.signature.example_input(6)
    outputs = early(x)
    for exit in result.exits:
        given = early.predict(x, budget=exit.macs)
        torch.testing.assert_close(given, outputs[exit.number])
        torch.testing.assert_close(network.predict(x, budget=exit.macs), given)
    for threshold in (0.1, 0.3):
        given = early.predict(x, threshold=threshold)
        torch.testing.assert_close(network.predict(x, threshold=threshold), given)
    about = json.loads((run.folder / "best/architecture.json").read_text())
    assert about["exits"] == msgspec.to_builtins(result.exits)
    assert [stop["threshold"] for stop in about["stops"]] == [s.threshold for s in result.stops]
    assert len(result.stops) == 7


def test_the_final_curve_is_that_of_the_exported_weights(run: Run) -> None:
    place, final = run.place, run.best.final
    reached = measure_exits(run.best.module, place.validation_batches, place.task)
    assert [e.val_accuracy for e in final.curve] == pytest.approx(reached.measures)
    assert [e.macs for e in final.curve][1:] == list(
        place.candidates.of(run.best.choices).exit_macs
    )
    best = {exit.number: exit for exit in run.result.exits}
    for number, exit in best.items():
        assert exit.val_accuracy == final.curve[number + 1].val_accuracy


def test_the_front_is_a_set_of_curves(run: Run) -> None:
    budgets = run.place.budgets
    assert budgets is not None
    kept = run.front
    assert kept
    assert kept[0].score == max(one.score for one in run.scored)
    grid = budgets.grid(50)
    highest, of_front = (
        np.max(
            [reached_by([e.macs for e in s.curve], [e.score for e in s.curve], grid) for s in some],
            axis=0,
        )
        for some in (run.scored, kept)
    )
    np.testing.assert_allclose(of_front, highest)
    assert "Answers within a budget" in (run.folder / "report.html").read_text()
