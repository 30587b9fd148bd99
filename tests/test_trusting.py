"""``hypernas trust``: more random networks, rivals beside the score, and no winner by one seed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import pytest
from small_run import RUN

from hypernas import finalists, trust
from hypernas.best import stages
from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Architecture, identity
from hypernas.config import Config, Plan
from hypernas.errors import ConfigError, RunError
from hypernas.files import read_json, write_json
from hypernas.finalists import Picks, promoted, sampled, so_far
from hypernas.jobs import Train, ZeroCost
from hypernas.proxies import PROXIES, Timed, common
from hypernas.results import Network, Training
from hypernas.runs import Run
from hypernas.workplace import Workplace


def test_a_run_ends_with_how_far_its_scores_may_be_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"steps": 5, "trials": 8, "finalists": 1, "seeds": 1, "examples": 200, "survey": 60}
    usual = Config(data="digits").sample
    run = Run.start(tmp_path / "run", msgspec.structs.replace(RUN, sample=usual, **counts))
    run.everything()
    assert run.result.trust is not None
    assert run.result.trust.networks == len(run.result.random) == 8
    assert "trust: the score ranks 8 random networks" in capsys.readouterr().err


def test_a_run_without_a_sample_says_that_it_is_too_small(finished_run: Run) -> None:
    assert len(finished_run.result.random) < 4
    assert finished_run.result.trust is None
    assert "Too few random networks" in (finished_run.folder / "report.html").read_text()


def test_trust_trains_a_sample(own_run: Run, trained: list[Train]) -> None:
    before = own_run.result
    found = own_run.trust(train=8)
    result = own_run.result
    assert result.trust == found
    assert [one.choices for one in result.random[:2]] == [one.choices for one in before.random]
    assert [len(one.seeds) for one in result.random[:2]] == [2, 2]
    assert len(result.random) == found.networks == 8
    assert {job.folder for job in trained} <= {
        Train(choices=one.choices, seed=seed, epochs=1).folder
        for one in result.random
        for seed in range(len(one.seeds))
    }
    assert [signal.name for signal in found.signals] == ["score", *PROXIES]
    assert len(result.best.seeds) == 2, "one lucky seed makes no winner"
    page = (own_run.folder / "report.html").read_text()
    assert "By 8 random networks" in page
    assert "naswot" in page
    trained.clear()
    again = own_run.trust(train=8)
    assert trained == []
    assert again == found, "fewer take nothing away"


def test_another_winner_goes_on_as_long_as_the_former(own_run: Run) -> None:
    """Else the exported network would be one of less training."""
    before = own_run.best
    assert before.final.epochs == 2 or "did not improve" in before.final.text
    own_run.go_on(epochs=2)
    result, worse = own_run.result, []
    for path in own_run.folder.glob("networks/*/seed-*-epochs-1/result.json"):
        if path.parts[-3] == identity(result.best.choices):
            training = read_json(path, Training)
            write_json(path, msgspec.structs.replace(training, val_accuracy=0.0))
            worse.append(path)
    assert worse
    own_run.trust(train=8)
    after = own_run.result
    assert after.best.choices != result.best.choices
    assert own_run.best.choices == after.best.choices, "not the one that was best before"
    (stage,) = stages(own_run.place, after.best)
    assert stage.epochs == 1 + 2, "as planned, and as was asked for"
    exported = read_json(own_run.folder / "best/architecture.json")
    assert exported["choices"] == after.best.choices


def test_rivals_are_computed_once(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    one, *others = (ZeroCost(choices=n.choices) for n in own_run.result.random)
    first = one.do(own_run.place)
    assert list(first) == list(PROXIES)
    asked: list[str] = []
    monkeypatch.setattr(
        "hypernas.jobs.Proxies.__call__",
        lambda self, name, candidates: asked.append(name) or [0.0] * len(candidates),
    )
    assert one.do(own_run.place) == first
    assert asked == []
    path = own_run.folder / f"networks/{identity(one.choices)}/proxies.json"
    known = read_json(path, dict[str, Timed | None])
    write_json(path, {k: v for k, v in known.items() if k != "naswot"} | {"gone": None})
    again = one.do(own_run.place)
    assert list(again) == list(PROXIES), "in their usual order"
    assert again["naswot"].value == 0
    assert asked == ["naswot"], "what a newer version knows besides"
    others[0].do(own_run.place)
    assert asked == ["naswot"], "they were computed for the verdict"


def test_a_rival_that_cannot_be_computed_is_left_out(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, name: str, candidates: list[object]) -> list[float]:
        if name == "snip":
            raise RuntimeError("an operation has no gradient")
        if name == "macs":
            raise ConfigError("no")
        return [0.0] * len(candidates)

    monkeypatch.setattr("hypernas.jobs.Proxies.__call__", refuse)
    for path in own_run.folder.glob("networks/*/proxies.json"):
        path.unlink()
    one, *_ = own_run.result.random
    found = ZeroCost(choices=one.choices).do(own_run.place)
    assert list(found) == [name for name in PROXIES if name not in ("macs", "snip")]
    assert common([found, {"naswot": found["naswot"]}]) == ["naswot"]
    assert common([]) == []


def test_the_sample_is_nested_and_spread_over_sizes(finished_run: Run) -> None:
    place = finished_run.place
    eight, sixteen = sampled(place, 8), sampled(place, 16)
    assert [c.choices for c in sixteen[:8]] == [c.choices for c in eight]
    sizes = sorted(a.macs for a in place.survey.drawn)
    shares = sorted(sum(size <= c.macs for size in sizes) / len(sizes) for c in eight)
    assert shares[0] < 0.3
    assert shares[-1] > 0.7
    limit = sorted(a.params for a in place.survey.drawn)[len(sizes) // 3]
    place.config = msgspec.structs.replace(place.config, max_params=limit)
    assert all(candidate.params <= limit for candidate in sampled(place, 8))


def test_more_than_the_survey_holds_are_drawn(finished_run: Run) -> None:
    place = finished_run.place
    few = msgspec.structs.replace(place.survey, drawn=place.survey.drawn[:3])
    place.survey = few
    found = sampled(place, 6)
    assert len(found) == 6


def test_a_space_of_few_networks_is_given_up_on(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch, trained: list[Train]
) -> None:
    """After some draws; and who asks for more is refused before anything is trained."""
    place, drawn = finished_run.place, []
    survey = msgspec.structs.replace(place.survey, drawn=place.survey.drawn[:3])
    place.__dict__ |= {"survey": survey}

    def relatives(self: Candidates, choices: Architecture, *_: Any) -> Candidate:
        drawn.append(choices)
        return self.of(choices)

    monkeypatch.setattr(Candidates, "perturb", relatives)
    assert 1 <= len(sampled(place, 8)) <= 3
    assert len(drawn) == finalists.FURTHER
    with pytest.raises(ConfigError, match="fewer than 8 different networks are in the space"):
        finished_run.trust(train=8)
    assert not trained


def test_the_best_by_one_seed_is_trained_with_all(own_run: Run) -> None:
    place = own_run.place
    picks = finalists.pick(place, own_run.scored, 2, sample=4)
    write_json(own_run.folder / "picks.json", picks)
    plan = place.plan
    for number, one in enumerate(picks.networks):
        for seed in range(one.seeds or plan.seeds):
            job = Train(choices=one.choices, seed=seed, epochs=plan.epochs)
            result = job.do(place)
            accuracy = 0.99 if number == 4 else 0.5
            changed = msgspec.structs.replace(result, val_accuracy=accuracy)
            write_json(own_run.folder / job.folder / "result.json", changed)
    lucky = picks.networks[4]
    assert (lucky.source, lucky.seeds) == ("random", 1)
    more = promoted(place, picks)
    assert more is not None
    assert more.networks[4] == msgspec.structs.replace(lucky, seeds=None)
    assert read_json(own_run.folder / "picks.json", Picks) == more
    Train(choices=lucky.choices, seed=1, epochs=plan.epochs).do(place)
    assert promoted(place, more) is None


@pytest.mark.parametrize("train", [0, 7, -1])
def test_too_few_are_refused(train: int, own_run: Run) -> None:
    with pytest.raises(ConfigError, match=f"--train is {train}; expected 8 or more"):
        own_run.trust(train=train)


def test_what_cannot_be_trained_changes_no_plan(own_run: Run) -> None:
    plan = (own_run.folder / "plan.json").read_text()
    (own_run.folder / "study.journal").unlink()
    for asked in (lambda: own_run.trust(train=8), lambda: own_run.train(seeds=4)):
        with pytest.raises(RunError, match="no scored candidates; run `hypernas search` on it"):
            asked()
    assert (own_run.folder / "plan.json").read_text() == plan


def test_a_seed_that_chose_tells_nothing_of_luck(own_run: Run) -> None:
    """With ``--score-by training`` the first seeds of finalists are the luckiest of many."""
    own_run.trust(train=8)
    place, result, judged = own_run.place, own_run.result, []
    networks = [*result.finalists, *result.random, result.biggest]
    seeds = {1: result.finalists[0].seeds[:1], 2: result.finalists[0].seeds[:2]}
    for finalist in (msgspec.structs.replace(result.finalists[0], seeds=s) for s in seeds.values()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hypernas.trust.meter", lambda *given, **_: judged.append(given[:2]))
            patch.setattr(place, "config", msgspec.structs.replace(RUN, score_by="training"))
            trust.trust(place, [finalist, *networks[1:]], {}, 9)
    once, twice = ([n for n in all_ if n.source == "search"] for _, all_ in judged)
    assert [len(n.seeds) for n in twice[:1]] == [1]
    assert twice[0].seeds[0].seed == 1
    assert len(once) == len(twice) - 1
    for sample, _ in judged:
        assert {t.seed for n in sample for t in n.seeds} == {1}


def test_a_later_seed_without_the_first_does_not_count(own_run: Run) -> None:
    """A run that is stopped may have it; networks are compared by their first seeds."""
    place, plan = own_run.place, own_run.place.plan
    picks = read_json(own_run.folder / "picks.json", Picks)
    one = picks.of("search")[0]
    train = partial(Train, choices=one.choices, epochs=plan.epochs)
    first, second = (own_run.folder / train(seed=seed).folder for seed in (0, 1))
    assert len(so_far(place, picks, plan)[0].seeds) == 2
    second.rename(second.with_name("away"))
    assert len(so_far(place, picks, plan)[0].seeds) == 1
    second.with_name("away").rename(second)
    first.rename(first.with_name("away"))
    assert so_far(place, picks, plan)[0].choices != one.choices


def test_the_sample_is_ranked_by_the_seeds_that_all_of_it_has(own_run: Run) -> None:
    """The first is far better for all: networks that have another would rank last."""
    lucky = {0: 0.9, 1: 0.1}

    def reached(place: Workplace, picks: Picks, plan: Plan) -> list[Network]:
        return [
            msgspec.structs.replace(
                network,
                seeds=[
                    msgspec.structs.replace(t, test_accuracy=lucky[t.seed]) for t in network.seeds
                ],
                test_accuracy=mean(lucky[t.seed] for t in network.seeds),
            )
            for network in so_far(place, picks, plan)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hypernas.outcome.so_far", reached)
        found = own_run.trust(train=8)
    assert found.signals[0].tau["all"].value == 0, "all are equal"
    assert found.searched == 0.9
