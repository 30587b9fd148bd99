"""What candidates would reach, foretold from the networks that a run has trained."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from hypernas import calibrating, jobs
from hypernas.calibrating import calibrated
from hypernas.choices import canonical, identity
from hypernas.cli import main
from hypernas.errors import ConfigError, RunError
from hypernas.files import read_json, write_json
from hypernas.finalists import networks, read_picks
from hypernas.jobs import Train
from hypernas.ladder import believe, by_promise
from hypernas.proxies import Timed
from hypernas.results import Limits, Network, Scored
from hypernas.runs import Run
from hypernas.searching import top


def trained(run: Run) -> list[Network]:
    return networks(run.place, read_picks(run.place, run.scored), run.place.plan)


def field(run: Run) -> list[Scored]:
    return top(run.scored, len(run.scored), Limits())


def as_if_trained(one: Scored, template: Network, accuracy: float) -> Network:
    """Return a candidate as a network of one training that reached an accuracy."""
    training = msgspec.structs.replace(template.seeds[0], val_accuracy=accuracy)
    figures = {name: getattr(one, name) for name in Scored.__struct_fields__}
    return msgspec.structs.replace(template, **figures, val_accuracy=accuracy, seeds=[training])


def test_all_candidates_are_foretold_and_nothing_is_trained(
    own_run: Run, trained: list[Train]
) -> None:
    answer = own_run.calibrated(Limits())
    assert not trained
    known = {canonical(one.choices) for one in own_run.scored}
    listed = {canonical(one.candidate.choices) for one in answer.found}
    assert len(listed) == len(answer.found) > 20
    assert len(listed - known) <= answer.networks  # random and the biggest were not searched
    expected = [one.accuracy for one in answer.found]
    assert expected == sorted(expected, reverse=True)
    assert all(0 < one.near_best <= 1 and one.deviation > 0 for one in answer.found)


def test_trained_networks_say_what_they_reached(own_run: Run) -> None:
    answer = own_run.calibrated(Limits())
    reached = {canonical(one.choices): one.val_accuracy for one in trained(own_run)}
    told = {
        canonical(one.candidate.choices): one.trained
        for one in answer.found
        if one.trained is not None
    }
    assert told == pytest.approx(reached)
    assert answer.networks == len(reached)


def test_candidates_are_foretold_from_the_trained_ones(own_run: Run) -> None:
    """Where small networks reach more, those not trained are expected to as well."""
    candidates, template = field(own_run), trained(own_run)[0]
    logarithms = np.log([one.params for one in candidates])
    accuracy = 0.8 - 0.02 * (logarithms - logarithms.mean()) / logarithms.std()
    some = [as_if_trained(candidates[n], template, accuracy[n]) for n in range(0, 30, 2)]
    answer = calibrated(own_run.place, candidates, some, Limits(), own_run.voice)
    found = {canonical(one.candidate.choices): one for one in answer.found}
    told = [
        (one.accuracy, right)
        for candidate, right in zip(candidates, accuracy, strict=True)
        if (one := found.get(canonical(candidate.choices))) is not None and one.trained is None
    ]
    assert len(told) > 10
    assert np.corrcoef(np.array(told).T)[0, 1] > 0.8
    assert {one.trained for one in answer.found} == {None, *(one.val_accuracy for one in some)}


def test_only_candidates_within_the_limits_are_told_of(own_run: Run) -> None:
    sizes = sorted(one.params for one in own_run.scored)
    limits = Limits(max_params=sizes[len(sizes) // 2])
    answer = own_run.calibrated(limits)
    assert all(limits.admit(one.candidate.params, one.candidate.macs) for one in answer.found)
    assert answer.networks == own_run.calibrated(Limits()).networks  # all of them are learned from
    near = max(one.near_best for one in answer.found)
    inside = {canonical(one.candidate.choices) for one in answer.found}
    everywhere = own_run.calibrated(Limits()).found
    among_all = max(o.near_best for o in everywhere if canonical(o.candidate.choices) in inside)
    assert near >= among_all - 0.02  # with fewer rivals


def test_zero_cost_scores_are_kept(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_run.calibrated(Limits())
    monkeypatch.setattr(jobs.Proxies, "__call__", None)
    assert Run.open(own_run.folder, quiet=True).calibrated(Limits()) == first


def test_zero_cost_scores_that_a_network_lacks_are_named(
    own_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.open(own_run.folder)
    run.calibrated(Limits())
    assert "left out" not in capsys.readouterr().err
    kept = own_run.folder / f"networks/{identity(own_run.result.best.choices)}/proxies.json"
    write_json(kept, read_json(kept) | {"snip": None})
    run.calibrated(Limits())
    assert "left out, as not every network has them: snip" in capsys.readouterr().err


def test_of_many_the_first_are_looked_at(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calibrating.MOST == 200
    monkeypatch.setattr(calibrating, "MOST", 5)
    answer = own_run.calibrated(Limits())
    assert len([one for one in answer.found if one.trained is None]) <= 5
    best = canonical(by_promise(field(own_run))[0].choices)
    assert best in {canonical(one.candidate.choices) for one in answer.found}


def test_a_run_without_trained_networks_has_nothing_to_learn_from(own_run: Run) -> None:
    (own_run.folder / "picks.json").unlink()
    with pytest.raises(RunError, match="no trained networks; run `hypernas train` on it"):
        own_run.calibrated(Limits())


def test_what_a_ladder_measures_is_known_of_all_trained(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random networks that were trained after the ladder's end, for the meter, have skipped it."""
    asked = []

    def keep(entries: Any, signals: dict[int, list[float]], *rest: Any, **options: Any) -> Any:
        asked.append((rest[1], {len(each) for each in signals.values()}))
        return believe(entries, signals, *rest, **options)

    monkeypatch.setattr(calibrating, "believe", keep)
    own_run.calibrated(Limits())
    random = own_run.result.random[0]
    kept = own_run.folder / f"networks/{identity(random.choices)}/warm.json"
    before = read_json(kept, Timed).value
    kept.unlink()
    own_run.calibrated(Limits())
    assert asked[0] == asked[1]
    rungs, heights = asked[0]
    assert rungs[-1] == "warm", "the run has climbed"
    assert max(heights) == 1 + len(rungs)
    assert read_json(kept, Timed).value == before


def test_where_all_are_trained_nothing_is_foretold(own_run: Run) -> None:
    config = msgspec.structs.replace(own_run.config, score_by="training", steps=None)
    write_json(own_run.folder / "config.json", config)
    with pytest.raises(ConfigError, match=r"by training them.* ask without --calibrated"):
        Run.open(own_run.folder, quiet=True).calibrated(Limits())


def test_command(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(own_run.folder)
    main(["ask", folder, "--top", "3", "--calibrated"])
    out, told = capsys.readouterr()
    first = own_run.calibrated(Limits()).found[:3]
    assert [msgspec.json.decode(line) for line in out.splitlines()] == [
        one.candidate.choices for one in first
    ]
    result = own_run.result
    trained = [*result.finalists, *result.random, result.biggest]
    count = len({canonical(one.choices) for one in trained if one is not None})
    assert f"from {count} trained networks; hypernas trust RUN --train 20 makes this surer" in told
    assert f"{first[0].accuracy:.1%} ±" in told
    with pytest.raises(SystemExit) as ended:
        main(["ask", folder, "--calibrated", "--budgets", "10", "20"])
    assert ended.value.code == 2
    assert "--calibrated is over the run's budgets" in capsys.readouterr().err
