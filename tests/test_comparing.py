"""Candidates of a run are compared by what its fit kept, whatever else is compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from small_run import RUN

from hypernas import comparing
from hypernas.cli import main
from hypernas.comparing import losses
from hypernas.errors import DataError, RunError
from hypernas.files import read_tensors, write_tensors
from hypernas.fitting import KEPT, kept_states
from hypernas.results import Comparison, Limits
from hypernas.runs import Run


def forget(run: Run) -> None:
    """Make a run as those were that kept no earlier states."""
    for path in kept_states(run.folder / "fit", RUN.steps or 0):
        path.unlink()


def standings(run: Run, top: int = 3) -> Comparison:
    found = run.standings(run.ask(Limits(), top=top))
    assert found is not None
    return found


def test_losses_are_those_of_the_score_and_depend_on_no_other(finished_run: Run) -> None:
    place, some = finished_run.place, finished_run.scored[:4]
    choices = [s.choices for s in some]
    found = losses(place, choices)
    again = losses(place, [choices[2], choices[0]])
    assert all(one.shape == (1 + KEPT, 90) for one in found)
    for scored, each in zip(some, found, strict=True):
        assert -each[0].mean() == pytest.approx(scored.score, abs=1e-6)
        assert len({state.mean() for state in each}) == 1 + KEPT  # each state is another one
    np.testing.assert_array_equal(found[2], again[0])
    np.testing.assert_array_equal(found[0], again[1])


def test_the_states_are_asked_first_to_last(finished_run: Run) -> None:
    paths = kept_states(finished_run.folder / "fit", RUN.steps or 0)
    assert [path.name for path in paths] == [
        f"step-{step}.safetensors" for step in (20, 25, 30, 35)
    ]
    place, scored = finished_run.place, finished_run.scored[0]
    place.hypernet = place.hypernet_of(paths[1])
    before = place.generated.losses(place.candidates.of(scored.choices))
    there = Run.open(finished_run.folder, quiet=True).place
    np.testing.assert_array_equal(losses(there, [scored.choices])[0][2], before.numpy())


def test_two_architectures_are_compared(finished_run: Run) -> None:
    one, other = finished_run.scored[0], finished_run.scored[1]
    there = finished_run.compare(one.choices, other.choices)
    back = finished_run.compare(other.choices, one.choices)
    assert there.probability == pytest.approx(1 - back.probability, abs=1e-15)
    assert there.difference == pytest.approx(one.score - other.score, abs=1e-6)
    assert there.fit is not None
    assert there.interval[0] < there.difference < there.interval[1]
    same = finished_run.compare(one.choices, one.choices)
    assert (same.probability, same.difference) == (0.5, 0.0)


def test_a_list_says_the_same_as_its_pairs(finished_run: Run) -> None:
    found = standings(finished_run)
    one, two, three = (s.choices for s in found.standings)
    assert found.standings[1].over_next == finished_run.compare(two, three).probability
    assert found.standings[2].over_first == finished_run.compare(three, one).probability
    longer = standings(finished_run, top=5)
    assert longer.standings[:2] == found.standings[:2]


def test_old_runs_know_the_images_alone(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with_states = standings(own_run)
    forget(own_run)
    found = standings(own_run)
    assert (with_states.states, found.states) == (KEPT, 0)
    for one, other in zip(found.standings, with_states.standings, strict=True):
        narrow, wide = (s.interval[1] - s.interval[0] for s in (one, other))
        assert narrow < wide
    first, second = (s.choices for s in found.standings[:2])
    assert own_run.compare(first, second).fit is None
    main(["ask", str(own_run.folder), "--top", "2"])
    told = " ".join(capsys.readouterr().err.split())
    assert "alone: this fit kept no earlier states of the hypernetwork" in told


def test_a_state_that_is_missing_is_as_if_none_were_there(own_run: Run) -> None:
    kept_states(own_run.folder / "fit", RUN.steps or 0)[1].unlink()
    assert standings(own_run).states == 0


def test_weights_that_overflow_are_a_sure_loss(own_run: Run) -> None:
    """Its losses are no numbers at the end and before."""
    run, scorer = own_run, own_run.place.generated
    one, other = (run.place.candidates.of(s.choices) for s in run.scored[:2])
    forward = scorer.hypernet.forward

    def overflowing(candidates: object) -> object:
        return [{k: v * torch.inf for k, v in weights.items()} for weights in forward(candidates)]  # ty: ignore[invalid-argument-type]

    good = scorer.losses(one)[None].numpy()
    scorer.hypernet.forward = overflowing  # ty: ignore[invalid-assignment]
    bad = scorer.losses(other)[None].numpy()
    assert comparing.better(good, bad).probability > 0.999


def test_the_result_compares_its_finalists(finished: Path) -> None:
    run = Run.open(finished, quiet=True)
    result = run.result
    assert result.compared is not None
    by_score = sorted(result.finalists, key=lambda network: -network.score)
    assert [s.choices for s in result.compared.standings] == [n.choices for n in by_score]
    assert result.compared.text[1:] in (finished / "report.html").read_text()


def test_the_command_tells_probabilities_and_ties(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ask", str(finished), "--top", "3"])
    told = " ".join(capsys.readouterr().err.split())
    assert all(words in told for words in ("P > next", "P > first", "score ± 95 %", "tie by score"))


def test_more_than_a_handful_are_not_compared(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparing, "MOST", 2)
    run = Run.open(finished, quiet=True)
    assert len(standings(run, top=4).standings) == 2
    main(["ask", str(finished), "--top", "4"])
    assert "these 2 are" in " ".join(capsys.readouterr().err.split())


def test_scores_are_told_where_the_data_are_gone(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise DataError("no data set 'digits'")

    monkeypatch.setattr("hypernas.workplace.load", gone)
    main(["ask", str(finished), "--top", "2"])
    told = " ".join(capsys.readouterr().err.split())
    assert "nothing is said of ties: no data set 'digits'" in told
    assert "score ± 95 %" in told
    assert "P > next" not in told


def test_runs_without_a_hypernetwork_say_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = msgspec.structs.replace(RUN, score_by="params", steps=None, trials=8)
    run = Run.start(tmp_path / "run", chosen, quiet=True)
    run.search()
    answer = run.ask(Limits(), top=2)
    assert run.standings(answer) is None
    with pytest.raises(RunError, match="ranks candidates by params, without a hypernetwork"):
        run.compare(answer.found[0].choices, answer.found[1].choices)
    main(["ask", str(run.folder), "--top", "2"])
    told = capsys.readouterr().err
    assert "tie" not in told
    assert "P >" not in told
    assert "±" not in told


def test_the_end_of_the_fit_counts_and_what_lies_beside_it_does_not(own_run: Run) -> None:
    """Only the states that the plan names are read."""
    before = standings(own_run)
    fit = own_run.folder / "fit"
    tensors, _ = read_tensors(own_run.folder / "hypernet.safetensors")
    write_tensors(fit / "step-7.safetensors", tensors)
    shutil.copy(fit / "step-20.safetensors", fit / "step-50.safetensors")
    assert standings(own_run) == before
