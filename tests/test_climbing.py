"""A run climbs the ladder; one that was stopped has an answer, and goes on to the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_run import RUN, Untouchable

from hypernas import climbing, jobs, outcome
from hypernas.choices import canonical, identity
from hypernas.climbing import climbed, part, widths
from hypernas.console import Voice
from hypernas.errors import RunError
from hypernas.files import read_json, write_json
from hypernas.finalists import Picks, networks
from hypernas.jobs import Rescore, Train, TrainPart, Warm, ZeroCost
from hypernas.normalising import fixed_images
from hypernas.proxies import Timed
from hypernas.randomness import rng
from hypernas.remembered import LadderRecord
from hypernas.results import Training, Verdict
from hypernas.runs import Run
from hypernas.strategy import train_chosen
from hypernas.training import Trainer
from hypernas.warmup import costs
from hypernas.workplace import SCORE_BATCH, Workplace

CLIMBS = msgspec.structs.replace(
    RUN,
    strategy="ladder",
    finalists=1,
    seeds=2,
    epochs=3,
    best_epochs=0,
    trials=24,
    score_images=40,
)
QUIET = Voice(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def short_ladders() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hypernas.climbing.LONG", 3)
        patch.setattr("hypernas.posterior.DRAWS", 200)
        yield


@pytest.fixture(scope="module")
def finished_ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder") / "run"
    Run.start(folder, CLIMBS, quiet=True).everything()
    return folder


@pytest.fixture
def run(finished_ladder: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished_ladder, tmp_path / "run")
    return Run.open(tmp_path / "run", quiet=True)


def stop(monkeypatch: pytest.MonkeyPatch, run: Run, trainings: int) -> None:
    """Begin to train anew, and stop after so many trainings."""
    for name in ("picks.json", "ladder.json", "result.json", "export.json"):
        (run.folder / name).unlink(missing_ok=True)
    shutil.rmtree(run.folder / "networks", ignore_errors=True)
    shutil.rmtree(run.folder / "best", ignore_errors=True)
    done, do = 0, Train.do

    def limited(self: Train, place: Workplace, *rest: Any) -> Any:
        nonlocal done
        if done == trainings:
            raise KeyboardInterrupt
        done += 1
        return do(self, place, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Train, "do", limited)
        with pytest.raises(KeyboardInterrupt):
            run.train()


def test_a_first_seed_that_is_the_score_has_chosen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, judge = [], outcome.verdict

    def spy(*networks: Any, **options: Any) -> Verdict:
        chosen.append(options["chosen"])
        return judge(*networks, **options)

    monkeypatch.setattr(outcome, "verdict", spy)
    run.report()
    run.place.config = msgspec.structs.replace(run.config, score_by="training", strategy=None)
    run.report()
    assert chosen == [False, True]


def test_more_seeds_are_for_finalists_alone(
    run: Run, trained: list[Train], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the ladder chose by one seed: then each that arrived has as many as planned."""
    monkeypatch.setattr("hypernas.strategy.promoted", lambda place, picks: None)
    (run.folder / "picks.json").unlink()
    run.train(seeds=1)
    picks = read_json(run.folder / "picks.json", Picks)
    arrived = picks.of("search")
    assert len(arrived) > 1
    assert [pick.seeds for pick in arrived] == [None, *[1] * (len(arrived) - 1)]
    trained.clear()
    run.train(seeds=2)
    again = {identity(job.choices) for job in trained}
    assert again.isdisjoint(identity(pick.choices) for pick in arrived[1:])


def test_who_climbed_how_far(run: Run) -> None:
    result, wide = run.result, widths(run.place)
    others = {identity(one.choices) for one in [*result.random, result.biggest]}

    def with_file(name: str) -> set[str]:
        return {path.parent.name for path in run.folder.glob(f"networks/*/{name}")}

    assert wide.rungs == {"rescore": 18, "warm": 6, "part": 2}
    for rung, name in (("rescore", "rescore.json"), ("warm", "warm.json")):
        assert 0 < len(with_file(name) - others) <= wide.rungs[rung]
    assert with_file("warm.json") <= with_file("rescore.json") <= with_file("proxies.json")
    best, *left = result.finalists
    assert len(best.seeds) == 2
    assert [len(one.seeds) for one in left] in ([], [1], [2])
    trained = {folder.parent.parent.name for folder in run.folder.glob("networks/*/*/result.json")}
    assert trained == others | {identity(one.choices) for one in result.finalists}
    assert result.unfinished == ""


def test_what_is_believed_is_kept(run: Run) -> None:
    known = read_json(run.folder / "ladder.json", LadderRecord)
    assert known.ended
    assert 0 <= known.certainty <= 1
    expected = [one.accuracy for one in known.candidates]
    assert expected == sorted(expected, reverse=True)
    assert all(1 <= one.rungs <= 5 for one in known.candidates)
    page = (run.folder / "report.html").read_text()
    assert 'id="ladder"' in page
    assert page.count("±") >= len(known.candidates)


def test_what_is_done_is_not_done_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run.folder / "picks.json").read_bytes()
    (run.folder / "picks.json").unlink()

    def advance(self: Trainer, optimiser: object) -> None:
        raise AssertionError("a step was done")

    monkeypatch.setattr(Trainer, "advance", advance)
    train_chosen(run.place, run.scored, QUIET)
    assert (run.folder / "picks.json").read_bytes() == before
    monkeypatch.setattr(climbing, "climb", advance)
    climbed(run.place, run.scored, QUIET)  # what is kept is not climbed again


def test_a_stopped_ladder_has_an_answer_and_goes_on_to_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.result
    stop(monkeypatch, run, 5)
    again = Run.open(run.folder, quiet=True)
    again.export()
    assert (run.folder / "best" / "model.safetensors").exists()
    picks = read_json(run.folder / "picks.json", Picks)
    assert not picks.ended
    assert "the run is not finished: 5 of" in again.result.unfinished
    assert "the ladder may choose more" in again.result.unfinished
    assert "The run is not finished: 5 of" in (run.folder / "report.html").read_text()
    with pytest.raises(RunError, match="not trained yet"):
        again.go_on(epochs=1)
    last = Run.open(run.folder, quiet=True)
    last.everything()
    for one, other in zip(before.finalists, last.result.finalists, strict=True):
        assert one.choices == other.choices
        assert one.val_accuracy == other.val_accuracy
    assert last.result.unfinished == ""


def test_before_there_is_a_finalist_the_best_is_exported_and_the_rest_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(monkeypatch, run, 1)
    again = Run.open(run.folder, quiet=True)
    with pytest.raises(RunError, match=r"no .* is trained yet; run `hypernas train`"):
        again.report()
    again.export()
    assert (run.folder / "best" / "model.safetensors").exists()
    assert not (run.folder / "result.json").exists()


def test_before_anything_is_trained_it_is_said_what_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(monkeypatch, run, 0)
    with pytest.raises(RunError, match=r"none that is; run `hypernas train`") as refused:
        Run.open(run.folder, quiet=True).export()
    assert "\n" not in str(refused.value)


def test_no_rung_below_the_top_looks_at_the_test_split(run: Run) -> None:
    place = Run.open(run.folder, quiet=True).place
    object.__setattr__(place.splits, "test", Untouchable())
    choices = place.candidates.draw(rng(0, "new to the run")).choices
    for rung in (ZeroCost, Rescore, Warm, partial(TrainPart, epochs=9, until=1)):
        rung(choices=choices).do(place)
    with pytest.raises(AssertionError, match="test split"):
        Train(choices=choices, seed=5, epochs=1).do(place)


def test_a_score_on_all_images_is_another(run: Run) -> None:
    scored = run.scored[0]
    found = Rescore(choices=scored.choices).do(run.place).value
    place = run.place
    few, many = place.generated.batches, place.generated_on_all.batches
    assert sum(len(x) for x, _ in few) == 40
    assert sum(len(x) for x, _ in many) == place.data.validation
    assert found != scored.score
    assert found == pytest.approx(scored.score, abs=0.2)


@pytest.mark.parametrize("statistics", ["batch", "reestimated"])
def test_all_rungs_are_of_the_policy_of_norms_of_the_scores(
    run: Run, statistics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Run.open(run.folder, quiet=True).place
    place.config = msgspec.structs.replace(place.config, statistics=statistics)
    monkeypatch.setattr("hypernas.jobs.WARM_STEPS", 0)
    choices, candidate = run.scored[0].choices, place.candidates.of(run.scored[0].choices)
    recipe = msgspec.structs.replace(place.recipe(1), start="generated")
    module = Train(choices=choices, seed=0, epochs=1).first(place, recipe)
    weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
    reestimated = fixed_images(place.fit_batches, place.config, SCORE_BATCH)
    expected = {}
    for policy, images in (("batch", []), ("reestimated", reestimated)):
        few, many = place.scorer(place.hypernet), place.scorer(place.hypernet, 10**6)
        few.statistics = many.statistics = images
        expected[policy] = many([candidate])[0].score, few.judge(candidate, weights).score
    assert expected["batch"] != pytest.approx(expected["reestimated"], abs=1e-3)
    found = []
    for kind in (Rescore, Warm):
        kept = run.folder / f"networks/{identity(choices)}/{kind.__name__.lower()}.json"
        kept.unlink(missing_ok=True)
        found.append(kind(choices=choices).do(place).value)
    assert found == pytest.approx(expected[statistics], abs=1e-5)


def test_the_test_split_decides_nothing_on_the_ladder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is measured with each training, while the ladder still decides on further ones."""
    before = {name: read_json(run.folder / name, dict) for name in ("picks.json", "ladder.json")}
    for name in before:
        (run.folder / name).unlink()
    shutil.rmtree(run.folder / "networks")
    do = Train.do

    def reversed_on_test(self: Train, place: Workplace, *rest: Any) -> Training:
        result = do(self, place, *rest)
        assert result.test_accuracy is not None
        changed = msgspec.structs.replace(result, test_accuracy=1 - result.test_accuracy)
        write_json(place.folder / self.folder / "result.json", changed)
        return changed

    monkeypatch.setattr(Train, "do", reversed_on_test)
    run.train()
    after = {name: read_json(run.folder / name, dict) for name in before}
    for one in (before, after):
        assert one["ladder.json"].pop("seconds") > 0
    assert after == before


def test_longer_trainings_are_climbed_to_anew(run: Run) -> None:
    run.train(epochs=4)
    picks = read_json(run.folder / "picks.json", Picks)
    assert picks.epochs == 4
    found = networks(run.place, picks, run.place.plan)
    assert {t.epochs for one in found for t in one.seeds} == {4}
    first = read_json(run.folder / "ladder.json", LadderRecord)
    assert first.seconds > 0
    assert first.ended


def test_a_rung_that_says_nothing_new_is_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = run.place
    assert "part" in widths(place).rungs
    place.plan = msgspec.structs.replace(place.plan, epochs=climbing.LONG - 1)
    assert "part" not in widths(place).rungs
    assert [part(epochs) for epochs in (3, 9, 20)] == [1, 3, 6]
    place.config = msgspec.structs.replace(place.config, score_images=10**6)
    assert list(widths(place).rungs) == ["warm"]
    steps = place.plan.epochs * place.train_batches.batches_per_epoch
    for often, there in ((steps / jobs.WARM_STEPS, ["warm"]), (1.01 * steps / jobs.WARM_STEPS, [])):
        monkeypatch.setattr(climbing, "OFTEN", often)
        assert list(widths(place).rungs) == there
    place.plan = msgspec.structs.replace(place.plan, climbers=12)
    monkeypatch.setattr(climbing, "OFTEN", 0)
    assert (widths(place).full, widths(place).rungs["warm"]) == (12, 36)


def test_no_more_than_the_field_is_looked_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws of thousands of candidates would fill the memory."""
    (run.folder / "picks.json").unlink()
    monkeypatch.setattr(climbing, "FEWER", 2)
    entered: list[int] = []
    climb = climbing.climb

    def count(entries: Any, *rest: Any, **options: Any) -> Any:
        entered.append(sum(one.candidate for one in entries))
        for one in entries:  # what the posterior learns from
            path = run.folder / f"networks/{identity(one.choices)}/proxies.json"
            kept = read_json(path, dict[str, Timed])
            assert list(one.proxies) == ["synflow", "naswot", "jacob-cov", "grad-norm", "snip"]
            assert one.proxies == {name: kept[name].value for name in one.proxies}
        return climb(entries, *rest, **options)

    monkeypatch.setattr(climbing, "climb", count)
    climbed(run.place, run.scored, QUIET)
    assert len(run.scored) > 16
    assert entered == [2**3 * 2], "of 2 in full"


def test_more_random_networks_do_not_change_the_finalists(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_json(run.folder / "picks.json", Picks)
    run.place.plan = msgspec.structs.replace(run.place.plan, sample=4)

    def climb(*_: object, **__: object) -> None:
        raise AssertionError("it climbed again")

    monkeypatch.setattr(climbing, "climb", climb)
    after = climbed(run.place, run.scored, QUIET)
    assert after.of("search") == before.of("search")
    assert len(after.of("random")) == 4
    assert after.of("random")[0] == before.of("random")[0]


def test_without_a_hypernetwork_the_rungs_of_generated_weights_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfitted = msgspec.structs.replace(CLIMBS, steps=None, strategy=None, score_by="synflow")
    run = Run.start(tmp_path / "run", unfitted, quiet=True)
    known, climb = [], climbing.climb

    def look(entries: Any, *rest: Any, **options: Any) -> Any:
        known.extend(list(one.proxies) for one in entries)
        return climb(entries, *rest, **options)

    monkeypatch.setattr(climbing, "climb", look)
    run.everything()
    assert known
    assert all(names == ["naswot", "jacob-cov", "grad-norm", "snip"] for names in known), (
        "what ranks already is no second signal"
    )
    assert widths(run.place).rungs == {"part": 2}
    assert read_json(run.folder / "ladder.json", LadderRecord).ended
    assert 1 <= len(run.result.finalists) <= 2
    assert not list(run.folder.glob("networks/*/warm.json"))
    found = costs(run.place)
    assert (found.again, found.warm) == (0, 0)
    assert found.zero_cost > 0


def test_a_random_network_that_is_a_candidate_enters_once(run: Run) -> None:
    picks = read_json(run.folder / "picks.json", Picks)
    field = run.scored[:3]
    double = msgspec.structs.replace(picks.of("random")[0], choices=field[1].choices)
    proxies = {canonical(one.choices): {"snip": 1.0} for one in [*field, *picks.networks]}
    entries = climbing._entries(field, [double, *picks.of("biggest")], 2, proxies)
    assert [canonical(one.choices) for one in entries[:3]] == [
        canonical(one.choices) for one in field
    ]
    assert [(one.candidate, one.seeds) for one in entries] == [
        (True, 0),
        (True, 2),
        (True, 0),
        (False, 2),
    ]


def test_zero_cost_scores_are_priced_where_hardly_anything_fits(run: Run) -> None:
    least = min(one.params for one in run.place.survey.drawn)
    place = Workplace(run.folder, msgspec.structs.replace(run.place.config, max_params=least))
    place.data, place.survey = run.place.data, run.place.survey
    found = costs(place)
    assert found.zero_cost > 0
    assert found.warm > 0
