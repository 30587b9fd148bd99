"""Every sampler proposes new, valid and feasible candidates, and learns from what was scored."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from small_space import SIGNATURE, six, space
from torch import nn

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Draw, canonical
from hypernas.errors import ConfigError
from hypernas.randomness import rng
from hypernas.results import Limits, Scored
from hypernas.samplers import ELITE, SAMPLERS, Asked, directions, propose
from hypernas.scoring import Score
from hypernas.searching import search
from hypernas.spaces import Space
from hypernas.study import Study, finished, scored_of
from hypernas.tasks import Signature

LIMITS = Limits(max_params=900)


def new_candidates() -> Candidates:
    return Candidates(space(deepest=5), SIGNATURE, remember=2000)


@pytest.fixture(scope="module")
def many() -> Candidates:
    return new_candidates()


def synthetic(candidate: Candidate) -> Score:
    """Score without a network: more and larger convolutions, no pooling, only the deep head."""
    choices = candidate.choices
    value = float(choices.get("heads") == ["deep"])
    for name, choice in choices.items():
        if name.endswith(".op"):
            value += {"conv": 1.0, "none": -0.5, "pool": -1.0}[str(choice)]
        if name.endswith(".kernel"):
            value += 0.2 * (choice == 3)
    return Score(score=value, interval=(value, value), score_accuracy=0.0)


def blocks(todo: list[list[Candidate]]) -> list[list[Score]]:
    return [[synthetic(candidate) for candidate in block] for block in todo]


def asked(many: Candidates, sampler: str, count: int, *, seed: int = 0, number: int = 3) -> Asked:
    """Return a question after ``count`` random candidates were scored."""
    found: dict[str, Candidate] = {}
    step = 0
    while len(found) < count:
        candidate = many.draw(rng(7, "history", step))
        step += 1
        if LIMITS.admit(candidate.params, candidate.macs):
            found[canonical(candidate.choices)] = candidate
    aims = len(directions(sampler))
    trials = [finished(c, synthetic(c), aims=aims) for c in found.values()]
    history = [scored_of(trial) for trial in trials]
    return Asked(many, history, trials, seed, number, LIMITS)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("count", [0, 70])
def test_proposals_are_valid_feasible_distinct_and_new(
    many: Candidates, sampler: str, count: int
) -> None:
    question = asked(many, sampler, count)
    found = propose(sampler, question, 24, most_draws=2000)
    assert len(found) == 24
    keys = {canonical(candidate.choices) for candidate in found}
    assert len(keys) == 24
    assert not keys & {canonical(scored.choices) for scored in question.history}
    anew = new_candidates()
    for candidate in found:
        assert candidate.params <= 900
        again = anew.of(candidate.choices)  # refuses what the space does not allow
        assert (again.params, again.macs) == (candidate.params, candidate.macs)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_follow_from_history_seed_and_round(many: Candidates, sampler: str) -> None:
    def proposed(where: Candidates, **which: int) -> list[str]:
        question = asked(where, sampler, 66, **which)
        return [canonical(c.choices) for c in propose(sampler, question, 8, most_draws=1000)]

    first = proposed(many)
    assert proposed(new_candidates()) == first
    assert proposed(many, seed=1) != first
    assert proposed(many, number=4) != first


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_end_when_nothing_new_is_left(sampler: str) -> None:
    few = Candidates(Space("six", six), SIGNATURE)
    found = propose(sampler, Asked(few, [], [], 0, 0, Limits()), 32, most_draws=100)
    assert len({canonical(candidate.choices) for candidate in found}) == len(found) == 6


def test_limits_that_nothing_meets_end_too(many: Candidates) -> None:
    question = Asked(many, [], [], 0, 0, Limits(max_params=1))
    assert propose("random", question, 32, most_draws=50) == []


def searched(where: Candidates, sampler: str, trials: int, folder: Path) -> list[Scored]:
    study = Study(folder / "j", "search", directions(sampler))
    search(
        where,
        study,
        blocks,
        sampler=sampler,
        trials=trials,
        limits=LIMITS,
        feasible_share=0.8,
        seed=0,
    )
    assert len(study.trials) == trials
    return study.scored


@pytest.mark.parametrize("sampler", ["perturb", "evolution", "tpe"])
def test_sampler_moves_to_better_regions(many: Candidates, sampler: str, tmp_path: Path) -> None:
    where = Candidates(Space("row", row), SIGNATURE, remember=1000) if sampler == "tpe" else many
    scores = [scored.score for scored in searched(where, sampler, 160, tmp_path)]
    drawn = (where.draw(rng(0, i)) for i in range(200))
    level = mean(synthetic(candidate).score for candidate in drawn)
    assert mean(scores[:32]) == pytest.approx(level, abs=1.0)  # at first nothing is known
    assert mean(scores[112:]) > level + 1.0


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_nsga_improves_over_generations(sampler: str, tmp_path: Path) -> None:
    """A pool is worse than nothing and no smaller, so over generations they become fewer."""
    where = Candidates(Space("row", row), SIGNATURE, remember=1000)
    found = searched(where, sampler, 192, tmp_path)
    pools = [list(scored.choices.values()).count("pool") for scored in found]
    assert mean(pools[:64]) == pytest.approx(2.0, abs=0.3)
    assert mean(pools[128:]) < mean(pools[:64]) - 0.4
    assert len({scored.params for scored in found[128:]}) > 4  # small ones stay


def row(choose: Any, data: Signature) -> nn.Module:
    """Six layers that are there in every architecture: Optuna's samplers relate those best."""
    layers: list[nn.Module] = [nn.Conv2d(1, 3, 3, padding=1)]
    for layer in range(6):
        kind = choose(f"layer{layer}.op", ["conv", "pool", "none"])
        layers += {"conv": [nn.Conv2d(3, 3, 1)], "pool": [nn.MaxPool2d(1)], "none": []}[kind]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(108, data.outputs))


def test_random_does_not_learn(many: Candidates) -> None:
    question = asked(many, "random", 96)
    found = propose("random", question, 64, most_draws=2000)
    level = mean(scored.score for scored in question.history)
    assert mean(synthetic(c).score for c in found) == pytest.approx(level, abs=0.8)


def test_perturb_stays_near_the_best(many: Candidates) -> None:
    question = asked(many, "perturb", 96)
    best = sorted(question.history, key=lambda s: -s.score)[:ELITE]

    def distance(candidate: Candidate) -> int:
        mine = candidate.choices.items()
        return min(sum(item not in s.choices.items() for item in mine) for s in best)

    near = mean(distance(c) for c in propose("perturb", question, 48, most_draws=2000))
    far = mean(distance(c) for c in propose("random", question, 48, most_draws=2000))
    assert near < 0.75 * far


def test_nsga_breeds_from_the_generation_before(many: Candidates) -> None:
    """Children take each value from a parent, but for a few mutations."""
    # a history in which everything has width 3, so that children of it do too
    narrow = [many.make(_Fixed(rng(0, "narrow", i))) for i in range(400)]
    kept = {canonical(c.choices): c for c in narrow if LIMITS.admit(c.params, c.macs)}
    trials = [finished(c, synthetic(c), aims=2) for c in list(kept.values())[:64]]
    question = Asked(many, [scored_of(t) for t in trials], trials, 0, 2, LIMITS)
    found = propose("nsga2", question, 32, most_draws=2000)
    assert mean(c.choices["width"] == 3 for c in found) > 0.75
    unseen = Asked(many, [], [], 0, 2, LIMITS)
    drawn = propose("nsga2", unseen, 32, most_draws=2000)
    assert mean(c.choices["width"] == 3 for c in drawn) < 0.75


class _Fixed(Draw):
    """Draws networks of width 3."""

    def decide(self, decision):  # type: ignore[no-untyped-def]
        return 3 if decision.name == "width" else super().decide(decision)


def test_unknown_sampler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'anneal'.*random, perturb, evolution, tpe, nsga2, n"):
        directions("anneal")


def test_only_nsga_has_two_aims() -> None:
    assert {s: len(directions(s)) for s in SAMPLERS} == {
        "random": 1,
        "perturb": 1,
        "evolution": 1,
        "tpe": 1,
        "nsga2": 2,
        "nsga3": 2,
    }
