"""Changes of one choice: what they save is real, and what they cost is measured beside."""

from __future__ import annotations

import msgspec
import pytest
from small_space import SIGNATURE, space

from hypernas.candidate import Candidates
from hypernas.comparing import compare
from hypernas.console import Voice
from hypernas.explaining import changes
from hypernas.explaining.changes import cheapest, fronted, others, savings_of
from hypernas.explaining.record import Change, Savings
from hypernas.explaining.weighed import advice
from hypernas.randomness import rng
from hypernas.results import Estimate
from hypernas.runs import Run


def change(saved: float, score: float) -> Change:
    return Change(
        name="op",
        before="conv",
        after=f"{saved}",
        choices={},
        params=1,
        macs=round(1000 * (1 - saved)),
        saved=saved,
        score=Estimate(value=score, low=score - 0.01, high=score + 0.01),
        best=False,
    )


def some(*pairs: tuple[float, float]) -> Savings:
    return Savings(
        whose="the winner",
        choices={},
        macs=1000,
        score=-1.0,
        possible=9,
        tried=9,
        changes=fronted([change(saved, score) for saved, score in pairs]),
    )


def test_the_front_is_what_nothing_beats_in_both() -> None:
    found = some((0.3, -0.2), (0.1, 0.05), (0.6, -0.1), (0.1, -0.3), (0.2, 0.05))
    assert [(one.saved, one.score.value) for one in found.changes if one.best] == [
        (0.2, 0.05),
        (0.6, -0.1),
    ]
    assert [one.saved for one in found.changes] == [0.1, 0.1, 0.2, 0.3, 0.6]


def test_the_cheapest_change_saves_enough_and_costs_least() -> None:
    found = some((0.12, -0.3), (0.3, -0.05), (0.4, -0.2))
    for share, expected in ((0.1, 0.3), (0.25, 0.3), (0.4, 0.4)):
        one = cheapest(found, share)
        assert one is not None
        assert one.saved == expected
    assert cheapest(found, 0.5) is None
    told = advice(found)
    assert told[0] == (
        "to save 10% of the MACs: op from conv to 0.3 (saves 30%), score −0.050 (−0.060 to −0.040)"
    )
    assert told[2] == "to save 50% of the MACs: no single change does"


def test_other_answers_are_legal_and_differ_once() -> None:
    candidates = Candidates(space(), SIGNATURE)
    for number in range(20):
        candidate = candidates.draw(rng(0, "others", number))
        for name, decision in candidate.decisions.items():
            chosen = candidate.choices[name]
            found = list(others(decision, chosen))
            assert all(decision.admits(value) and value != chosen for value in found)
            if isinstance(chosen, list):
                assert all(len(set(chosen) ^ set(value)) == 1 for value in found)
            else:
                assert len(found) == len(decision.options) - 1


def test_changes_of_the_winner_are_scored_beside_it(finished_run: Run) -> None:
    place = finished_run.place
    found = savings_of(place, finished_run.scored, Voice(quiet=True))
    assert found is not None
    winner = finished_run.result.best
    assert (found.whose, found.choices) == ("the winner", winner.choices)
    assert found.macs == winner.macs
    assert found.changes
    assert found.tried == found.possible >= len(found.changes)
    for one in found.changes:
        candidate = place.candidates.of(one.choices)
        assert (candidate.macs, candidate.params) == (one.macs, one.params)
        assert 0 < one.saved == pytest.approx(1 - one.macs / found.macs)
        assert {k for k in one.choices if one.choices[k] != winner.choices.get(k)} == {one.name}
    first = found.changes[0]
    before, after = place.generated(
        [place.candidates.of(c) for c in (winner.choices, first.choices)]
    )
    assert found.score == pytest.approx(before.score, abs=1e-5)
    assert first.score.value == pytest.approx(after.score - before.score, abs=1e-4)
    told = compare(place, first.choices, winner.choices, finished_run.scored)
    assert told.fit, "earlier states of the hypernetwork count too"
    assert (first.score.low, first.score.high) == told.interval
    # paired by images: narrower than the two intervals side by side
    widths = [one.score.high - one.score.low for one in found.changes]
    assert min(widths) < before.interval[1] - before.interval[0]


def test_a_run_without_a_winner_changes_its_best(own_run: Run) -> None:
    (own_run.folder / "result.json").unlink()
    found = savings_of(own_run.place, own_run.scored, Voice(quiet=True))
    assert found is not None
    assert found.whose == "the best by score"
    assert found.choices == max(own_run.scored, key=lambda one: one.score).choices


def test_limits_hold_and_many_changes_are_picked_from(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = finished_run.place
    every = savings_of(place, finished_run.scored, Voice(quiet=True))
    assert every is not None
    most = min(one.params for one in every.changes)
    place.config = msgspec.structs.replace(place.config, max_params=most)
    within = savings_of(place, finished_run.scored, Voice(quiet=True))
    assert within is not None
    assert within.changes
    assert all(one.params <= most for one in within.changes)
    monkeypatch.setattr(changes, "MOST", 3)
    few = savings_of(place, finished_run.scored, Voice(quiet=True))
    assert few is not None
    assert (few.tried, few.possible) == (3, every.possible)
    assert f"3 of {every.possible} changes were tried" in advice(few)[-1]
