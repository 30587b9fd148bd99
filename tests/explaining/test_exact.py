"""Shares of the variance of a space that is scored as a whole are those known by hand."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from known_laws import SIGN, answers_in, every, known

from hypernas.explaining.exact import full_table
from hypernas.explaining.factors import plain_factors
from hypernas.explaining.importance import importance_of
from hypernas.explaining.record import Importance
from hypernas.results import Scored
from hypernas.scoring import WORST


def shares(found: Importance) -> dict[str, tuple[float, float]]:
    return {one.name: (one.alone.value, one.total.value) for one in found.choices}


TWO: dict[str, Any] = dict.fromkeys("abcd", ("low", "high"))


def sobol(choices: dict[str, Any]) -> float:
    """Variance 4 of a, 1 of b, 9 of both together, 2 of a, b and c: 16 in all; d does nothing."""
    a, b, c = (SIGN[choices[name]] for name in "abc")
    return 5 + 2 * a + b + 3 * a * b + 2**0.5 * a * b * c


def test_shares_are_the_sobol_indices() -> None:
    found = known(every(sobol, **TWO))
    assert found.exact
    expected = {"a": (4, 15), "b": (1, 12), "c": (0, 2), "d": (0, 0)}
    expected = {name: (alone / 16, total / 16) for name, (alone, total) in expected.items()}
    for name, values in shares(found).items():
        assert values == pytest.approx(expected[name])
    pairs = {one.names: one.share.value for one in found.pairs}
    assert pairs.pop(("a", "b")) == pytest.approx(9 / 16)
    assert list(pairs.values()) == pytest.approx([0] * 5)
    assert found.rest.value == pytest.approx(2 / 16)
    assert found.deviation == pytest.approx(4)
    assert [one.name for one in found.choices] == ["a", "b", "c", "d"]
    assert found.pairs[0].names == ("a", "b")


def test_parts_and_the_rest_are_all_of_the_variance() -> None:
    drawn = np.random.default_rng(0)
    table = {key: drawn.normal() for key in itertools.product("xyz", "pq", "mnop")}
    found = known(every(lambda c: table[tuple(c.values())], one="xyz", two="pq", three="mnop"))
    alone = sum(one.alone.value for one in found.choices)
    together = sum(one.share.value for one in found.pairs)
    assert alone + together + found.rest.value == pytest.approx(1)
    assert all(one.total.value >= one.alone.value > 0 for one in found.choices)


def test_order_names_and_scale_change_nothing() -> None:
    scored = every(sobol, **TWO)
    mixed = random.Random(0).sample(scored, len(scored))
    assert known(mixed) == known(scored)
    scaled = known(every(lambda c: 7 - 3 * sobol(c), **TWO))
    for name, values in shares(scaled).items():
        assert values == pytest.approx(shares(known(scored))[name])


def test_a_choice_without_effect_is_named() -> None:
    silent = {one.name: one.silent for one in known(every(sobol, **TWO)).choices}
    assert silent == {"a": "", "b": "", "c": "", "d": "no score depends on it"}


def test_an_effect_only_together_is_one() -> None:
    found = known(every(lambda c: SIGN[c["a"]] * SIGN[c["b"]], a=TWO["a"], b=TWO["b"]))
    assert shares(found) == {"a": (0, 1), "b": (0, 1)}
    assert not any(one.silent for one in found.choices)


def test_what_images_leave_open_is_told() -> None:
    def law(choices: dict[str, Any]) -> float:
        return SIGN[choices["a"]] + 0.01 * SIGN[choices["b"]]

    options = {"a": TWO["a"], "b": TWO["b"]}
    assert not any(one.silent for one in known(every(law, error=0.01, **options)).choices)
    silent = {one.name: one.silent for one in known(every(law, error=0.05, **options)).choices}
    assert silent["b"].startswith("it changes scores by 0.014, less than the validation images")
    assert silent["a"] == ""


def worth(choices: dict[str, Any]) -> float:
    return {"skip": 0.0, "conv": 2.0, "wide": 1.0}[choices["op"]] + 0.1 * choices["width"]


def test_dearer_answers_are_compared_with_the_cheapest_and_numbers_with_the_next() -> None:
    found = known(every(worth, op=("wide", "skip", "conv"), width=(80, 320, 160)))
    steps = {(one.name, one.before, one.after): one for one in found.steps}
    expected = {
        ("op", "skip", "conv"): (2.0, 300),
        ("op", "skip", "wide"): (1.0, 900),
        ("width", "80", "160"): (8.0, 80),
        ("width", "160", "320"): (16.0, 160),
    }
    assert set(steps) == set(expected)
    median = 1460
    for key, (score, macs) in expected.items():
        step = steps[key]
        assert (step.score.value, step.macs) == pytest.approx((score, macs))
        assert step.better == 1
        assert step.per_million.value == pytest.approx(1e6 * score / macs)
        assert step.macs_share == pytest.approx(macs / median)
        assert step.per_percent.value == pytest.approx(0.01 * median * score / macs)
    assert [one.per_percent.value for one in found.steps] == sorted(
        (one.per_percent.value for one in found.steps), reverse=True
    )


def test_next_to_nothing_is_no_price() -> None:
    found = known(every(worth, op=("skip", "conv"), width=(8, 16)))
    assert [one.name for one in found.steps] == ["op"]


def test_worse_for_more_macs_has_the_other_sign() -> None:
    found = known(every(lambda c: -worth(c), op=("skip", "conv", "wide"), width=(80, 160)))
    assert all(one.score.value < 0 < one.macs and one.better == 0 for one in found.steps)


def test_cheaper_numbers_are_turned_around() -> None:
    """A stride: the larger the cheaper."""
    scored = every(lambda c: -c["stride"], stride=(1, 2), op=("skip", "conv"))
    turned = [
        Scored(
            choices=one.choices,
            params=1,
            macs=4000 // one.choices["stride"],
            score=one.score,
            interval=one.interval,
            score_accuracy=0,
        )
        for one in scored
    ]
    step = known(turned).steps[0]
    assert (step.name, step.before, step.after) == ("stride", "2", "1")
    assert (step.score.value, step.macs) == (1, 2000)


def test_only_a_full_grid_is_exact() -> None:
    scored = every(sobol, **TWO)
    scores, macs = np.zeros(15), np.zeros(15)
    for wrong in (scored[:-1], [*scored[:-1], scored[0]]):
        factors = plain_factors([one.choices for one in wrong])
        assert factors is not None
        assert full_table(factors, scores, macs) is None
        assert importance_of(wrong, answers_in(wrong))[0] is None  # and too few to estimate
    assert plain_factors([scored[0].choices, {"a": "low"}]) is None
    extra = every(sobol, **TWO, always=("yes",))
    assert set(shares(known(extra))) == set("abcd")


def test_a_full_grid_of_some_answers_is_a_sample() -> None:
    """A decision with 200 answers, of which 20 were scored: the others are not known."""
    scored = every(lambda c: c["width"] + c["depth"], width=tuple(range(20)), depth=(1, 2, 3))
    assert known(scored).exact
    found, _ = importance_of(scored, {"width": 200, "depth": 3})
    assert found is not None
    assert not found.exact
    few = [one for one in scored if one.choices["depth"] == 1]
    found, notes = importance_of(few, {"width": 200, "depth": 3})
    assert found is None
    assert "20 candidates are too few" in notes[0]


def test_broken_candidates_and_equal_scores_are_told() -> None:
    scored = every(sobol, **TWO)
    broken = [*scored[:-1], *every(lambda _: WORST, **TWO)[-1:]]
    found, notes = importance_of(broken, answers_in(broken))
    assert found is None
    assert notes[0].startswith("1 candidates whose outputs are not finite are left out")
    equal = every(lambda _: 1.0, **TWO)
    found, notes = importance_of(equal, answers_in(equal))
    assert found is None
    assert notes == ["all scores are equal, so no choice explains them"]
