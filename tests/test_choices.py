"""An architecture is what was chosen: drawn, replayed, perturbed, written and read back."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernas.candidate import Candidates
from hypernas.choices import (
    Architecture,
    Chooser,
    Draw,
    Perturb,
    Replay,
    canonical,
    identity,
)
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.tasks import Signature

SEEDS = st.integers(0, 2**32)


def nested(choose: Chooser) -> None:
    """Ask in every way there is; what is asked depends on what was answered."""
    kind = choose("kind", ["conv", "linear"], weights=[3, 1])
    depth = choose.int("depth", 0, 3)
    for layer in range(depth):
        choose(f"layer{layer}.width", [8, 16] if kind == "conv" else [16, 32, None])
    choose.subset("exits", range(depth + 1), at_least=1)
    choose("flag", [True, 1, 1.0, "1"])


def run(choose: Chooser, space: Callable[[Chooser], Any] = nested) -> Architecture:
    space(choose)
    choose.finish()
    return choose.choices


def tokens(choices: Architecture) -> list[tuple[str, type, Any]]:
    """Return the choices in a form in which 1, True and 1.0 differ."""
    return [(name, type(value), value) for name, value in choices.items()]


@given(SEEDS)
def test_a_replayed_draw_asks_and_answers_the_same(seed: int) -> None:
    draw = Draw(random.Random(seed))
    replay = Replay(run(draw))
    assert tokens(run(replay)) == tokens(draw.choices)
    assert replay.decisions == draw.decisions


@given(SEEDS)
def test_json_keeps_an_architecture_with_its_types(seed: int) -> None:
    choices = run(Draw(random.Random(seed)))
    for text in (canonical(choices), json.dumps(choices)):
        back = run(Replay(json.loads(text)))
        assert tokens(back) == tokens(choices)
        assert canonical(back) == canonical(choices)
        assert identity(back) == identity(choices)


@given(SEEDS, SEEDS, st.floats(0, 1))
def test_a_perturbed_architecture_is_replayable(first: int, second: int, chance: float) -> None:
    base = run(Draw(random.Random(first)))
    perturbed = run(Perturb(base, chance, random.Random(second)))
    assert tokens(run(Replay(perturbed))) == tokens(perturbed)


@given(SEEDS)
def test_perturbing_nothing_changes_nothing_and_leaves_the_base_alone(seed: int) -> None:
    base = run(Draw(random.Random(seed)))
    before = canonical(base)
    assert tokens(run(Perturb(base, 0.0, random.Random(0)))) == tokens(base)
    run(Perturb(base, 1.0, random.Random(0)))
    assert canonical(base) == before


def test_perturbing_everything_draws_by_the_weights() -> None:
    rng = random.Random(0)
    found = Counter(
        run(Perturb({"a": "x"}, 1.0, rng), lambda c: c("a", ["x", "y"], weights=[1, 3]))["a"]
        for _ in range(2000)
    )
    assert found["y"] == pytest.approx(1500, abs=100)


def test_each_choice_is_perturbed_with_the_probability() -> None:
    rng = random.Random(0)
    base = dict.fromkeys(map(str, range(5000)), 0)

    def ask(choose: Chooser) -> None:
        for name in base:
            choose.int(name, 0, 9)

    changed = sum(value != 0 for value in run(Perturb(base, 0.3, rng), ask).values())
    assert changed == pytest.approx(5000 * 0.3 * 0.9, abs=150)


def test_names_fall_away_and_new_ones_are_drawn() -> None:
    base: Architecture = {"kind": "conv", "depth": 2, "gone": 1, "layer0.width": 8, "exits": [0]}
    perturbed = run(Perturb(base, 0.0, random.Random(0)))
    assert perturbed.keys() == {"kind", "depth", "layer0.width", "layer1.width", "exits", "flag"}
    assert perturbed["layer0.width"] == 8


def test_a_value_no_longer_among_the_options_is_drawn() -> None:
    base: Architecture = {"kind": "linear", "depth": 1, "layer0.width": 8, "exits": [0, 3]}
    perturbed = run(Perturb(base, 0.0, random.Random(0)))
    assert perturbed["layer0.width"] in (16, 32, None)
    assert perturbed["exits"] in ([0], [1], [0, 1])


GOOD: Architecture = {"kind": "conv", "depth": 1, "layer0.width": 8, "exits": [0, 1], "flag": "1"}


@pytest.mark.parametrize("name", list(GOOD))
def test_a_missing_choice_is_refused_by_name(name: str) -> None:
    with pytest.raises(SpaceError, match=f"choice '{name}' is missing"):
        run(Replay({key: value for key, value in GOOD.items() if key != name}))


def test_an_extra_choice_is_refused_by_name_with_the_close_one() -> None:
    with pytest.raises(SpaceError, match=r"'layer1.width' is not asked .*'layer0.width'.*1 such"):
        run(Replay(GOOD | {"layer1.width": 8}))
    with pytest.raises(SpaceError, match=r"'depth' is missing.*did you mean 'depht'"):
        run(Replay({"depht": 1} | {k: v for k, v in GOOD.items() if k != "depth"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "pool"),
        ("kind", ["conv"]),
        ("depth", 4),
        ("depth", -1),
        ("depth", 1.0),
        ("depth", True),
        ("depth", "1"),
        ("layer0.width", 32),
        ("layer0.width", None),
        ("exits", []),
        ("exits", 0),
        ("exits", [1, 0]),
        ("exits", [0, 0]),
        ("exits", [2]),
        ("exits", [True]),
        ("flag", None),
        ("flag", False),
    ],
)
def test_an_illegal_choice_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(SpaceError, match=f"choice '{name}' is .*; expected "):
        run(Replay(GOOD | {name: value}))


def test_one_true_and_one_point_zero_are_three_values() -> None:
    values: list[Any] = [1, True, 1.0, "1"]
    assert len({identity({"flag": value}) for value in values}) == 4
    for value in values:
        given_back = run(Replay({"flag": value}), lambda c: c("flag", values))["flag"]
        assert type(given_back) is type(value)
    for value, options in ((1, [True, 2]), (True, [1, 0]), (1.0, [1]), (1, [1.0])):
        with pytest.raises(SpaceError, match="flag"):
            run(Replay({"flag": value}), lambda c, options=options: c("flag", options))


@pytest.mark.parametrize("chooser", [Draw(random.Random(0)), Replay({"a": 1})])
def test_a_name_used_twice_is_an_error(chooser: Chooser) -> None:
    chooser("a", [1, 2])
    with pytest.raises(SpaceError, match="asks for 'a' twice"):
        chooser.int("a", 1, 2)


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c("bad", []),
        lambda c: c("bad", [1, 2, 1]),
        lambda c: c("bad", [1, 2], weights=[1]),
        lambda c: c("bad", [1, 2], weights=[0, 0]),
        lambda c: c("bad", [1, 2], weights=[1, -1]),
        lambda c: c("bad", [1, 2], weights=[1, float("nan")]),
        lambda c: c.int("bad", 3, 2),
        lambda c: c.subset("bad", [1, 2], at_least=3),
        lambda c: c.subset("bad", [1, 2], at_least=-1),
        lambda c: c("bad", [[1], [2]]),  # a list is no option: JSON would read it as a subset
        lambda c: c("bad", [float("inf"), 1.0]),  # JSON has no infinity
        lambda c: c("bad", [object()]),
    ],
)
def test_an_unusable_question_is_refused_by_name(ask: Callable[[Chooser], Any]) -> None:
    with pytest.raises(SpaceError, match="'bad'"):
        ask(Draw(random.Random(0)))


def test_options_are_drawn_by_their_weights() -> None:
    rng = random.Random(0)
    found = Counter(
        Draw(rng)("op", ["a", "b", "c", "d"], weights=[1, 5, 0, 2]) for _ in range(4000)
    )
    assert found["c"] == 0
    assert [found["a"], found["b"], found["d"]] == pytest.approx([500, 2500, 1000], rel=0.15)


def test_whole_numbers_include_both_ends() -> None:
    rng = random.Random(0)
    found = Counter(Draw(rng).int("n", -1, 2) for _ in range(4000))
    assert sorted(found) == [-1, 0, 1, 2]
    assert min(found.values()) > 850


@pytest.mark.parametrize("least", [0, 1, 2, 3])
def test_allowed_subsets_are_equally_likely_and_in_order(least: int) -> None:
    rng = random.Random(0)
    found = Counter(tuple(Draw(rng).subset("s", "abc", at_least=least)) for _ in range(4000))
    assert all(list(subset) == sorted(subset) and len(subset) >= least for subset in found)
    assert len(found) == {0: 8, 1: 7, 2: 4, 3: 1}[least]
    assert min(found.values()) > 0.8 * 4000 / len(found)


@pytest.mark.parametrize("chooser", [Draw(random.Random(0)), Replay({"s": ["a", "b"]})])
def test_a_space_that_edits_its_list_does_not_edit_the_architecture(chooser: Chooser) -> None:
    chooser.subset("s", ["a", "b"], at_least=2).append("c")
    assert chooser.choices == {"s": ["a", "b"]}
    if isinstance(chooser, Replay):
        assert chooser.given == {"s": ["a", "b"]}


@pytest.mark.parametrize("name", ["cell", "nas-bench-201"])
@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_replay_builds_the_same_module_and_graph(name: str, seed: int) -> None:
    space = find(name, {"width": 4, "cells": 1})
    data = Signature(input_shape=(1, 8, 8), outputs=3)
    drawn = Candidates(space, data).draw(random.Random(seed))
    replayed = Candidates(space, data).of(json.loads(canonical(drawn.choices)))
    assert replayed is not drawn
    shapes = [{k: v.shape for k, v in c.module.state_dict().items()} for c in (drawn, replayed)]
    assert shapes[0] == shapes[1]
    assert replayed.graph == drawn.graph


def test_a_subset_has_a_size_that_is_allowed_by_its_weight() -> None:
    rng = random.Random(0)
    sizes = {2: 3.0, 4: 1.0, 1: 0.0}
    drawn = [Draw(rng).subset("s", range(5), sizes=sizes) for _ in range(2000)]
    counts = Counter(map(len, drawn))
    assert set(counts) == {2, 4}
    assert 2.4 < counts[2] / counts[4] < 3.7
    assert Replay({"s": [3]}).subset("s", range(5), sizes=sizes) == [3]  # unlikely, yet legal
    with pytest.raises(SpaceError, match="2 or 4 or 1 of 0, 1, 2, 3, 4"):
        Replay({"s": [0, 1, 2]}).subset("s", range(5), sizes=sizes)
