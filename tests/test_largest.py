"""Scores of networks larger than any that the hypernetwork was fitted on come with a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import shrink_fitted
from test_fitting import work

from hypernas import asking
from hypernas.candidate import Candidates
from hypernas.cli import main
from hypernas.console import Voice
from hypernas.files import read_tensors, write_tensors
from hypernas.fitting import Fit
from hypernas.largest import Largest, fitted
from hypernas.results import Limits
from hypernas.runs import Run
from hypernas.survey import Survey, Surveyed

WORD = "larger than any that the hypernetwork was trained on"


def sizes(several: list[Surveyed]) -> Largest:
    return Largest().among(several)


def test_each_size_has_its_own_largest(known: Survey) -> None:
    by_params, by_macs = (
        max(known.drawn, key=lambda a, name=name: getattr(a, name)) for name in ("params", "macs")
    )
    found = Largest().among(known.drawn)
    assert found == Largest(params=by_params.params, macs=by_macs.macs)
    assert found.among(known.drawn[:3]) == found


def test_what_is_larger_is_said_of_each_size(candidates: Candidates, known: Survey) -> None:
    drawn = sorted(known.drawn, key=lambda a: a.params)
    bound, largest = sizes(drawn[:150]), drawn[-1]
    told = bound.warnings(candidates.of(largest.choices))
    assert f"params {largest.params} is more than any that was fitted on ({bound.params})" in told
    assert sizes(drawn).warnings(candidates.of(largest.choices)) == []


def test_how_many_are_larger_is_said(known: Survey) -> None:
    drawn = sorted(known.drawn, key=lambda a: a.params)
    bound = sizes(drawn[:150])
    beyond = [a for a in drawn if a.params > bound.params]
    told = bound.larger([*drawn[:2], *beyond[:2]])
    assert told.startswith(f"2 networks here are {WORD}")
    assert bound.larger(beyond[:1]).startswith(f"1 network here is {WORD}")
    assert sizes(drawn).larger(beyond) == ""


def test_the_bound_is_of_the_steps_and_not_of_the_survey(known: Survey, tmp_path: Path) -> None:
    """The survey has larger ones than ten steps meet; a fit that was killed remembers its own."""

    def steps(fit: Fit, count: int) -> Largest:
        for _ in range(count):
            fit.advance()
        return fit.largest

    fit = work(known)
    drawn = [fit.draws(step) for step in range(10)]
    assert steps(fit, 10) == Largest().among(drawn) != sizes(known.drawn)
    first = work(known)
    steps(first, 6)
    first.save(tmp_path / "checkpoint.safetensors")
    again = work(known)
    again.load(tmp_path / "checkpoint.safetensors")
    assert steps(again, 4) == fit.largest


def test_a_run_keeps_the_bound_beside_the_weights(finished_run: Run) -> None:
    place = finished_run.place
    fit = place.fit(place.new_hypernet(), place.plan.steps)
    drawn = (fit.draws(step) for step in range(place.plan.steps))
    assert fitted(place) == Largest().among(drawn)


def test_a_fit_of_an_earlier_version_has_the_bound_of_its_survey(own_run: Run) -> None:
    path = own_run.folder / "hypernet.safetensors"
    write_tensors(path, read_tensors(path)[0])
    assert fitted(own_run.place) == sizes(own_run.place.survey.drawn)


def test_a_line_of_scores_warns(own_run: Run) -> None:
    largest = max(own_run.scored, key=lambda s: s.params)
    shrink_fitted(own_run.folder, largest.params - 1)
    (line,) = own_run.score([largest.choices])
    assert isinstance(line, asking.ScoredLine)
    assert any("more than any that was fitted on" in warning for warning in line.warnings)


def test_a_comparison_and_an_explanation_warn(own_run: Run) -> None:
    small, *_, large = sorted(own_run.scored, key=lambda s: s.params)
    shrink_fitted(own_run.folder, large.params)
    assert own_run.compare(small.choices, large.choices).larger == ""
    assert not any(WORD in note for note in own_run.explain().notes)
    shrink_fitted(own_run.folder, large.params - 1)
    assert WORD in own_run.compare(small.choices, large.choices).larger
    assert any(WORD in note for note in own_run.explain().notes)


def test_answers_warn(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shrink_fitted(own_run.folder, 10**9)
    before = own_run.ask(Limits(), top=3)
    assert before.larger == ""
    shrink_fitted(own_run.folder, max(one.params for one in before.found) - 1)
    answer = own_run.ask(Limits(), top=3)
    assert answer.found == before.found
    assert WORD in answer.larger
    asking.show(Voice(), answer, None, 3, "acc.")
    assert answer.larger in capsys.readouterr().err


def test_calibrated_answers_warn(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shrink_fitted(own_run.folder, 10**9)
    assert own_run.calibrated(Limits()).larger == ""
    shrink_fitted(own_run.folder, 1)
    main(["ask", str(own_run.folder), "--calibrated"])
    assert WORD in " ".join(capsys.readouterr().err.split())


def test_a_report_warns(own_run: Run) -> None:
    shrink_fitted(own_run.folder, 10**9)
    own_run.report()
    assert own_run.result.larger == ""
    shrink_fitted(own_run.folder, own_run.result.biggest.params - 1)
    own_run.report()
    assert WORD in own_run.result.larger
    assert own_run.result.larger in (own_run.folder / "report.html").read_text()
