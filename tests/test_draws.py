"""What a hypernetwork is fitted on, step by step."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from scipy.stats import chisquare
from small_space import SIGNATURE, space

from hypernas.candidate import Candidates
from hypernas.choices import Decision
from hypernas.draws import By, Deal, Draws
from hypernas.survey import Survey, survey


def test_balanced_draws_give_each_number_of_operations_equally_often() -> None:
    few = Candidates(space(deepest=1), SIGNATURE, remember=500)
    known = survey(few, seed=0, draws=300)
    draws = Draws(few, known, by="balanced", seed=3)
    counts = Counter(draws(step).graph.parametrised_operations for step in range(1000))
    assert counts.keys() == known.by_operations.keys()
    assert len(counts) >= 4
    assert chisquare(list(counts.values())).pvalue > 0.01
    of_survey = [len(group) for group in known.by_operations.values()]
    assert chisquare(of_survey).pvalue < 1e-6  # the space itself is far from it


def test_balanced_draws_are_not_only_those_of_the_survey(candidates: Candidates) -> None:
    few = survey(candidates, seed=0, draws=30)
    draws = Draws(candidates, few, by="balanced", seed=0)
    known = [a.choices for a in few.drawn]
    assert sum(draws(step).choices not in known for step in range(100)) > 30


def test_uniform_draws_follow_the_weights_of_the_space() -> None:
    few = Candidates(space(deepest=1), SIGNATURE, remember=500)
    draws = Draws(few, survey(few, seed=0, draws=5), by="uniform", seed=0)
    drawn = [draws(step).choices.get("layer0.op") for step in range(1000)]
    counts = Counter(op for op in drawn if op is not None)
    expected = [sum(counts.values()) * share for share in (0.5, 0.25, 0.25)]
    assert chisquare([counts[op] for op in ("conv", "pool", "none")], expected).pvalue > 0.01


def test_operations_are_dealt_each_equally_often(known: Survey) -> None:
    candidates = Candidates(space(), SIGNATURE, remember=2000)
    draws = Draws(candidates, known, by="operations", seed=0)
    drawn = [draws(step).choices for step in range(-12, 1188)]
    for name, options in (("width", [3, 6]), ("depth", [0, 1, 2, 3])):  # every network has them
        for pack in range(0, len(drawn), len(options)):
            dealt = [choices[name] for choices in drawn[pack : pack + len(options)]]
            assert sorted(dealt) == options
    orders = {tuple(c["depth"] for c in drawn[pack : pack + 4]) for pack in range(0, 400, 4)}
    assert len(orders) == 24
    ops = Counter(c["layer0.op"] for c in drawn if "layer0.op" in c)  # drawn by weights 2, 1, 1
    assert chisquare([ops[op] for op in ("conv", "pool", "none")]).pvalue > 0.01
    wide = [c["layer0.kernel"] for c in drawn if c["width"] == 6 and "layer0.kernel" in c]
    assert chisquare([Counter(wide)[kernel] for kernel in (1, 3, 5)]).pvalue > 0.01
    assert chisquare(list(Counter(str(c["heads"]) for c in drawn).values())).pvalue > 0.01


def test_choices_are_dealt_independently(known: Survey) -> None:
    draws = Draws(Candidates(space(), SIGNATURE), known, by="operations", seed=1)
    pairs = Counter((c["width"], c["depth"]) for c in (draws(s).choices for s in range(800)))
    assert len(pairs) == 8
    assert chisquare(list(pairs.values())).pvalue > 0.01


def test_a_meta_batch_deals_one_pack_in_one_step(known: Survey) -> None:
    draws = Draws(Candidates(space(), SIGNATURE), known, by="operations", meta_batch=4, seed=0)
    for step in range(6):
        assert {draws(step, p).choices["depth"] for p in range(4)} == {0, 1, 2, 3}


def test_what_has_no_weight_is_never_dealt() -> None:
    decision = Decision("op", ("a", "b", "c"), weights=(1.0, 0.0, 5.0))
    dealt = Counter(Deal(0, number).decide(decision) for number in range(100))
    assert dealt == {"a": 50, "c": 50}


@pytest.mark.parametrize("by", get_args(By))
def test_a_draw_is_a_function_of_seed_and_step(known: Survey, by: By) -> None:
    def draws(seed: int = 0) -> Draws:
        return Draws(Candidates(space(), SIGNATURE), known, by=by, seed=seed)

    first = draws()
    forwards = [first(step, position).choices for step in range(10) for position in (0, 1)]
    second = draws()
    backwards = [
        second(step, position).choices for step in reversed(range(10)) for position in (1, 0)
    ]
    assert forwards == backwards[::-1]
    assert forwards[0::2] != forwards[1::2]
    assert forwards[0::2] != [draws(1)(step).choices for step in range(10)]


def test_annealed_draws_begin_with_the_easiest(known: Survey) -> None:
    candidates = Candidates(space(), SIGNATURE, remember=5000)
    draws = Draws(candidates, known, by="balanced", annealed=100, seed=0)
    assert [draws.ease(step) for step in (0, 25, 99, 100, 500, -1)] == [0, 0.25, 0.99, 1, 1, 1]

    def widths(steps: range) -> float:
        wide = [draws(step, i).choices["width"] == 6 for step in steps for i in range(10)]
        return sum(wide) / len(wide)

    for position in range(50):
        easiest = draws(0, position).choices
        assert easiest["width"] == 3
        assert {v for name, v in easiest.items() if name.endswith("kernel")} <= {1}
    assert 0 < widths(range(1, 30)) < widths(range(60, 100)) < 0.6


def test_annealed_draws_end_as_all_others(known: Survey) -> None:
    def draws(annealed: float) -> Draws:
        candidates = Candidates(space(), SIGNATURE)
        return Draws(candidates, known, by="balanced", annealed=annealed, seed=0)

    plain, annealed = draws(0), draws(12.5)
    for step in [*range(13, 30), -1, -4]:
        assert annealed(step).choices == plain(step).choices


def test_an_eased_candidate_is_the_same_candidate(known: Survey) -> None:
    candidates = Candidates(space(), SIGNATURE)
    eased = Draws(candidates, known, by="uniform", annealed=100, seed=0)(10)
    assert candidates.of(eased.choices) is eased
    other = Candidates(space(), SIGNATURE).of(eased.choices)
    assert other.decisions == eased.decisions  # weights and all, at ease 1
    assert (other.params, other.macs) == (eased.params, eased.macs)
