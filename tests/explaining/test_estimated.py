"""Shares of the variance of a sample are near the exact ones, and their intervals hold them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from known_laws import answers_in, every, known

from hypernas.explaining import estimated
from hypernas.explaining.factors import pooled_factors
from hypernas.explaining.importance import importance_of
from hypernas.explaining.record import Importance
from hypernas.explaining.weighed import sentences
from hypernas.results import Scored

SPACE: dict[str, Any] = {
    "op": ("skip", "conv", "wide"),
    "width": (80, 160, 320),
    "norm": ("batch", "group"),
    "place": ("left", "middle", "right", "none"),
    "idle": ("yes", "no", "perhaps"),
}


def space(seed: int) -> list[Scored]:
    """Return a space with random effects of four choices, two and three of them together."""
    drawn = np.random.default_rng(seed)
    parts = [
        (names, {}, size)
        for names, size in (
            (("op",), 1.0),
            (("width",), 0.7),
            (("norm",), 0.4),
            (("place",), 0.2),
            (("op", "width"), 0.5),
            (("op", "width", "place"), 0.3),
        )
    ]

    def law(choices: dict[str, Any]) -> float:
        total = 0.0
        for names, values, size in parts:
            key = tuple(choices[name] for name in names)
            total += values.setdefault(key, size * drawn.normal())
        return total

    return every(law, **SPACE)


def sampled(scored: list[Scored], count: int, seed: int = 0) -> list[Scored]:
    return random.Random(seed).sample(scored, count)


@pytest.fixture(scope="module")
def cases() -> list[tuple[Importance, Importance]]:
    """Exact importances, each with one estimated from half of the candidates."""
    spaces = [space(seed) for seed in range(8)]
    return [(known(one), known(sampled(one, 100, seed))) for seed, one in enumerate(spaces)]


def test_estimates_are_said_to_be(cases: list[tuple[Importance, Importance]]) -> None:
    for exact, found in cases:
        assert exact.exact
        assert not found.exact
        assert found.candidates == 100
        assert all(one.alone.low < one.alone.value < one.alone.high for one in found.choices)


def test_intervals_hold_the_exact_figures(cases: list[tuple[Importance, Importance]]) -> None:
    held: dict[str, list[bool]] = {"alone": [], "pairs": [], "steps": []}
    for exact, found in cases:
        own = {one.name: one.alone.value for one in exact.choices}
        pairs = {frozenset(one.names): one.share.value for one in exact.pairs}
        steps = {(one.name, one.before, one.after): one for one in exact.steps}
        held["alone"] += [holds(one.alone, own[one.name]) for one in found.choices]
        held["pairs"] += [holds(one.share, pairs[frozenset(one.names)]) for one in found.pairs]
        for one in found.steps:
            truth = steps[one.name, one.before, one.after]
            held["steps"].append(holds(one.score, truth.score.value))
            assert one.macs == pytest.approx(truth.macs, rel=0.02)
    assert {name: len(values) for name, values in held.items()} == {
        "alone": 40,
        "pairs": 80,
        "steps": 32,
    }
    assert all(np.mean(values) >= 0.9 for values in held.values())


def holds(interval: Any, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def test_estimates_are_near_and_in_order(cases: list[tuple[Importance, Importance]]) -> None:
    errors = []
    for exact, found in cases:
        own = {one.name: one.alone.value for one in exact.choices}
        errors += [one.alone.value - own[one.name] for one in found.choices]
        if exact.choices[0].total.value > exact.choices[1].total.value + 0.2:
            assert found.choices[0].name == exact.choices[0].name
    assert np.mean(np.abs(errors)) < 0.03
    assert abs(np.mean(errors)) < 0.015


def test_a_choice_without_effect_is_named(cases: list[tuple[Importance, Importance]]) -> None:
    named = [{one.name for one in found.choices if one.silent} for _, found in cases]
    assert np.mean(["idle" in names for names in named]) >= 0.8
    for exact, found in cases:
        totals = {one.name: one.total.value for one in exact.choices}
        assert not [one.name for one in found.choices if one.silent and totals[one.name] > 0.1]
        for one in found.choices:
            if one.silent:
                assert one.silent.startswith("it explains")
                assert f"not shown to matter: {one.name} ({one.silent})" in sentences(found)


def test_a_choice_that_works_only_with_another_is_not_called_silent() -> None:
    drawn = np.random.default_rng(0)

    def law(choices: dict[str, Any]) -> float:
        sign = (choices["norm"] == "batch") != (choices["idle"] == "yes")
        return float(sign) + 0.3 * drawn.normal()

    found = known(sampled(every(law, **SPACE), 100))
    assert {one.name for one in found.choices if not one.silent} >= {"norm", "idle"}


def test_chance_is_exact_where_nothing_matters() -> None:
    """Of choices without any effect one in twenty is called one that matters."""
    named = []
    for seed in range(4):
        drawn = np.random.default_rng(seed)
        noise = sampled(every(lambda _, d=drawn: d.normal(), **SPACE), 60, seed)
        named += [bool(one.silent) for one in known(noise).choices]
    assert np.mean(named) >= 0.85


def test_scale_sign_and_labels_change_little() -> None:
    scored = sampled(space(3), 100)

    def changed(choices: dict[str, Any]) -> dict[str, Any]:
        return choices | {"op": {"skip": "z", "conv": "y", "wide": "x"}[choices["op"]]}

    def other(factor: float, *, renamed: bool = False) -> Importance:
        return known(
            [
                Scored(
                    choices=changed(one.choices) if renamed else one.choices,
                    params=1,
                    macs=one.macs,
                    score=factor * one.score + 10,
                    interval=one.interval,
                    score_accuracy=0,
                )
                for one in scored
            ]
        )

    base = known(scored)
    own = {one.name: one.alone.value for one in base.choices}
    for found in (other(1000.0), other(-1.0), other(1.0, renamed=True)):
        for one in found.choices:
            assert one.alone.value == pytest.approx(own[one.name], abs=0.02)
    gains = {(one.name, one.after): one.score.value for one in base.steps}
    turned = {(one.name, one.after): one.score.value for one in other(-1.0).steps}
    for key, gain in gains.items():
        assert turned[key] == pytest.approx(-gain, abs=0.05)
    assert known(scored) == base  # the same scores, the same explanation


def test_what_not_every_architecture_has_is_left_out_by_name() -> None:
    scored = []
    for one in sampled(space(0), 100):
        more = {"kernel": 3} if one.choices["op"] == "conv" else {}
        own = {"heads": [f"{one.macs}", f"{one.score}"], "always": True}
        scored.append(Scored(**{**fields(one), "choices": one.choices | more | own}))
    found = known(scored)
    assert {left.reason: left.names for left in found.left_out} == {
        "not in every architecture": ["kernel"],
        "too many answers": ["heads"],
        "answered alike by nearly all": ["always"],
    }
    assert "left out (not in every architecture): kernel" in sentences(found)
    assert {one.name for one in found.choices} == set(SPACE)


def fields(one: Scored) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def test_many_numbers_become_ranges_and_rare_answers_are_pooled() -> None:
    drawn = random.Random(0)
    architectures: list[dict[str, Any]] = [
        {"width": drawn.randint(1, 100), "op": "d" if number < 5 else "abc"[number % 3]}
        for number in range(100)
    ]
    (width, op), gone = pooled_factors(architectures)
    assert gone == []
    assert len(width.levels) == 8
    assert width.levels[0].startswith("1 to ")
    assert width.shares.max() < 0.2
    for level, choices in zip(width.which, architectures, strict=True):
        low, high = map(int, width.levels[level].split(" to "))
        assert low <= choices["width"] <= high
    assert op.levels == ["a", "b", "c", "others"]


def test_too_many_choices_are_cut_to_the_strongest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimated, "MOST_COLUMNS", 14)
    found = known(sampled(space(0), 100))
    assert {one.name for one in found.choices} < set(SPACE)
    assert len(found.left_out[0].names) + len(found.choices) == len(SPACE)
    assert found.left_out[0].reason.startswith("too many choices")
    strongest = known(space(0)).choices[0].name
    assert strongest in {one.name for one in found.choices}


def test_few_candidates_are_not_weighed() -> None:
    few = sampled(space(0), 49)
    found, notes = importance_of(few, answers_in(few))
    assert found is None
    assert "49 candidates are too few to estimate" in notes[0]
