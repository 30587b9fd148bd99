"""The policy learns what was rewarded, by the gradient that REINFORCE says, whatever the scale."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from small_space import SIGNATURE
from torch import nn

from hypernas.candidate import Candidates
from hypernas.choices import Chooser, Decision
from hypernas.reinforce import Policy, learned, shares
from hypernas.results import Scored
from hypernas.scoring import WORST
from hypernas.spaces import Space
from hypernas.tasks import Signature


def three(choose: Chooser, data: Signature) -> nn.Module:
    """Decisions of every kind."""
    width = choose("width", [1, 2, 4], weights=[2, 1, 1])
    depth = choose.int("depth", 1, 2)
    used = choose.subset("used", ["a", "b", "c"])
    shape = data.input_shape[0] * data.input_shape[1] * data.input_shape[2]
    layers = [nn.Flatten(), nn.Linear(shape, width * len(used))]
    layers += [nn.Linear(width * len(used), width * len(used)) for _ in range(depth)]
    return nn.Sequential(*layers, nn.Linear(width * len(used), data.outputs))


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return Candidates(Space("three", three), SIGNATURE)


def scored(candidates: Candidates, seed: int, reward: object) -> Scored:
    candidate = candidates.draw(random.Random(seed))
    value = float(reward(candidate.choices))  # type: ignore[operator]
    return Scored(
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        score=value,
        interval=(value, value),
        score_accuracy=None,
    )


def drawn(logits: dict, candidates: Candidates, count: int = 200) -> list[dict]:
    generator = random.Random(1)
    return [candidates.make(Policy(logits, generator)).choices for _ in range(count)]


@pytest.mark.parametrize(
    ("reward", "holds"),
    [
        (lambda c: c["width"] == 4, lambda c: c["width"] == 4),
        (lambda c: -c["depth"], lambda c: c["depth"] == 1),
        (lambda c: "b" in c["used"], lambda c: "b" in c["used"]),
        (lambda c: "b" not in c["used"], lambda c: "b" not in c["used"]),
    ],
)
def test_what_was_rewarded_becomes_likely(
    reward: object, holds: object, candidates: Candidates
) -> None:
    history = [scored(candidates, seed, reward) for seed in range(150)]
    before = sum(map(holds, drawn({}, candidates)))  # type: ignore[call-overload]
    after = sum(map(holds, drawn(learned(history, candidates, 0.3), candidates)))  # type: ignore[call-overload]
    assert before < 150
    assert after > 185


def test_what_overflows_is_avoided_and_spoils_no_average(candidates: Candidates) -> None:
    history = [scored(candidates, n, lambda c: c["width"] == 2) for n in range(60)]
    broken = msgspec.structs.replace(history[20], score=WORST)
    before, after = (
        learned(history[:20], candidates, 0.1),
        learned([*history[:20], broken], candidates, 0.1),
    )
    taken = "width", broken.choices["width"]
    assert after[taken] < before[taken]
    plain = learned(history[:20] + history[21:], candidates, 0.1)
    spoiled = learned([*history[:20], broken, *history[21:]], candidates, 0.1)
    assert spoiled["width", 2] - spoiled["width", 1] == pytest.approx(
        plain["width", 2] - plain["width", 1], abs=0.5
    )


def test_only_differences_of_scores_count(candidates: Candidates) -> None:
    def after(level: float) -> dict:
        rewards = [scored(candidates, n, lambda c: c["depth"] + level) for n in range(20)]
        return learned(rewards, candidates, 0.1)

    assert after(-100.0) == pytest.approx(after(0.0))


def test_a_step_is_along_the_gradient_of_the_likelihood(candidates: Candidates) -> None:
    """The change of each logit is proportional to the slope of log p, by differences."""
    history = [scored(candidates, seed, lambda c: c["width"]) for seed in range(12)]
    first = learned(history[:-1], candidates, 0.1)
    second = learned(history, candidates, 0.1)
    decisions = candidates.of(history[-1].choices).decisions

    def likelihood(logits: dict) -> float:
        total = 0.0
        for decision in decisions.values():
            value = history[-1].choices[decision.name]
            for option, share in zip(decision.options, shares(logits, decision), strict=True):
                if decision.kind == "subset":
                    total += math.log(share if option in value else 1 - share)
                elif option == value:
                    total += math.log(share)
        return total

    ratios = set()
    for decision in decisions.values():
        for option in decision.options:
            key = decision.name, option
            up = likelihood(first | {key: first.get(key, 0.0) + 1e-6})
            slope = (up - likelihood(first)) / 1e-6
            ratios.add(round((second[key] - first.get(key, 0.0)) / slope, 4))
    assert len(ratios) == 1


def test_the_scale_of_scores_does_not_matter(candidates: Candidates) -> None:
    history = [scored(candidates, seed, lambda c: c["width"] + c["depth"]) for seed in range(40)]
    other = [
        scored(candidates, s, lambda c: 1e6 * (c["width"] + c["depth"]) - 7) for s in range(40)
    ]
    one, same = learned(history, candidates, 0.1), learned(other, candidates, 0.1)
    assert one == pytest.approx(same)


def test_equal_scores_teach_nothing(candidates: Candidates) -> None:
    history = [scored(candidates, seed, lambda c: 1.0) for seed in range(20)]
    assert not any(learned(history, candidates, 0.5).values())


def test_learning_starts_at_the_spaces_own_weights() -> None:
    decision = Decision("x", (1, 2, 3), weights=(2.0, 1.0, 1.0))
    assert shares({}, decision) == [0.5, 0.25, 0.25]
    never = Decision("x", (1, 2), weights=(1.0, 0.0))
    assert shares({("x", 2): 50.0}, never) == [1.0, 0.0]


def test_subsets_are_legal(candidates: Candidates) -> None:
    none = {("used", option): -30.0 for option in "abc"}
    assert all(choices["used"] for choices in drawn(none, candidates, 30))
