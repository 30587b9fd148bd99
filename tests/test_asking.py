"""A finished search answers other limits and other architectures without any training."""

from __future__ import annotations

import random

import msgspec
import pytest

from hypernas import asking
from hypernas.asking import ask
from hypernas.candidate import Candidate
from hypernas.choices import Architecture, canonical
from hypernas.errors import ConfigError, GraphError
from hypernas.results import Limits
from hypernas.runs import Run
from hypernas.scoring import Scorer
from hypernas.searching import top


@pytest.fixture
def no_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Scorer, candidates: object) -> None:
        raise AssertionError("nothing is to be scored")

    monkeypatch.setattr(Scorer, "__call__", refuse)


def middle(run: Run) -> Limits:
    """Return limits that about half of the scored candidates meet."""
    params = sorted(s.params for s in run.scored)
    macs = sorted(s.macs for s in run.scored)
    return Limits(max_params=params[len(params) * 2 // 3], max_macs=macs[len(macs) * 2 // 3])


@pytest.mark.usefixtures("no_scoring")
def test_other_limits_are_answered_from_the_scored_ones(own_run: Run) -> None:
    limits = middle(own_run)
    answer = own_run.ask(limits, top=3)
    assert answer.new == 0
    assert answer.found == top(own_run.scored, 3, limits)
    assert len(answer.found) == 3
    assert all(limits.admit(s.params, s.macs) for s in answer.found)


def test_new_ones_are_scored_when_too_few_fit(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_NEW", 20)
    before = own_run.scored
    limits = middle(own_run)
    fitting = [s for s in before if limits.admit(s.params, s.macs)]
    wanted = len(fitting) + 4
    answer = own_run.ask(limits, top=wanted)
    assert 0 < answer.new <= 20
    known = {canonical(s.choices) for s in before}
    new = [s for s in answer.found if canonical(s.choices) not in known]
    assert new
    assert all(limits.admit(s.params, s.macs) for s in answer.found)
    scores = [s.score for s in answer.found]
    assert scores == sorted(scores, reverse=True)
    place = own_run.place
    graphs = {place.candidates.of(s.choices).graph.nodes for s in answer.found}
    assert len(graphs) == len(answer.found) == wanted  # different networks
    for found in new[:3]:
        expected = place.score([place.candidates.of(found.choices)])[0]
        assert found.score == pytest.approx(expected.score, abs=1e-6)
    assert own_run.scored == before  # the search is as it was
    again = Run.open(own_run.folder, quiet=True)
    monkeypatch.setattr(Scorer, "__call__", None)  # an earlier answer is known
    assert again.ask(limits, top=wanted) == asking.Answer(answer.found, 0)


def test_up_to_200_new_ones_are_scored() -> None:
    assert asking.MOST_NEW == 200


def test_small_space_gives_what_it_has(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "DRAWS", 400)
    smallest = min(a.params for a in own_run.place.survey.drawn)
    answer = own_run.ask(Limits(max_params=smallest), top=100)
    assert 0 < len(answer.found) < 100
    assert {s.params for s in answer.found} == {smallest}


@pytest.mark.usefixtures("no_scoring")
def test_limits_that_nothing_meets_say_the_smallest(own_run: Run) -> None:
    smallest = min(a.params for a in own_run.place.survey.drawn)
    with pytest.raises(ConfigError, match=rf"--max-params 1: .* {smallest} params"):
        own_run.ask(Limits(max_params=1))


def test_relatives_of_what_fits_are_drawn_when_the_survey_has_none(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search may have found smaller networks than the survey holds."""
    monkeypatch.setattr(asking, "DRAWS", 150)
    place = own_run.place
    order = sorted(own_run.scored, key=lambda s: s.params)
    limits = Limits(max_params=order[8].params)
    large = [a for a in place.survey.drawn if not limits.admit(a.params, a.macs)]
    place.survey = msgspec.structs.replace(place.survey, drawn=large)
    fitting = [s.choices for s in own_run.scored if limits.admit(s.params, s.macs)]
    bases = []
    perturb = place.candidates.perturb

    def spy(choices: Architecture, probability: float, generator: random.Random) -> Candidate:
        bases.append(choices)
        return perturb(choices, probability, generator)

    monkeypatch.setattr(place.candidates, "perturb", spy)
    answer = ask(place, own_run._study("search"), own_run._study("ask"), limits, 40)
    assert bases
    assert all(base in fitting for base in bases)
    assert answer.new > 0
    assert all(limits.admit(s.params, s.macs) for s in answer.found)


@pytest.mark.usefixtures("no_scoring")
def test_one_exit_has_no_other_budgets(own_run: Run) -> None:
    words = "networks of space .* have one exit, .* leave it out, or make a run with --budgets"
    with pytest.raises(ConfigError, match=f"^--budgets 100 200: {words}"):
        own_run.ask(Limits(), budgets=(100, 200))
    with pytest.raises(ConfigError, match=f"^--budget-scale log: {words}"):
        own_run.ask(Limits(), budget_scale="log")


def test_architectures_are_scored_in_order(finished_run: Run) -> None:
    scored = finished_run.scored[:3]
    good = [s.choices for s in scored]
    wrong = good[0] | {"node0.op": "conv_9x9"}
    missing = {k: v for k, v in good[1].items() if k != "node1.op"}
    lines = list(finished_run.score([good[0], wrong, good[1], missing, good[2]]))
    assert [line.choices for line in lines] == [good[0], wrong, good[1], missing, good[2]]
    told = [msgspec.to_builtins(line) for line in lines]
    figures = {"score", "interval", "score_accuracy", "curve", "params", "macs"}
    keys = {"choices", "warnings"} | figures
    for line, expected in zip(told[0::2], scored, strict=True):
        assert line.keys() == keys
        assert line["score"] == pytest.approx(expected.score, abs=1e-6)
        assert (line["params"], line["macs"]) == (expected.params, expected.macs)
        assert line["warnings"] == []
    assert told[1].keys() == told[3].keys() == {"choices", "error"}
    assert "'node0.op' is \"conv_9x9\"" in told[1]["error"]
    assert "'node1.op' is missing" in told[3]["error"]


def test_module_that_cannot_be_read_is_said_on_its_line(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (s.choices for s in own_run.scored[:2])
    of = own_run.place.candidates.of

    def refuse(choices: Architecture) -> Candidate:
        if choices == bad:
            raise GraphError("node 7 'conv': expected 32 input channels, got 24")
        return of(choices)

    monkeypatch.setattr(own_run.place.candidates, "of", refuse)
    lines = [msgspec.to_builtins(line) for line in own_run.score([bad, good])]
    assert lines[0] == {
        "choices": bad,
        "error": "node 7 'conv': expected 32 input channels, got 24",
    }
    assert "score" in lines[1]
