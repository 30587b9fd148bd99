"""What is known of a space before anything is fitted, and the draws that follow from it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_space import SIGNATURE, six, space

from hypernas.candidate import Candidates
from hypernas.errors import ConfigError
from hypernas.results import Limits
from hypernas.spaces import Space
from hypernas.survey import LEAST_DRAWS, Draws, Survey, biggest, survey, surveyed


def test_survey_is_a_function_of_its_seed(candidates: Candidates, known: Survey) -> None:
    anew = Candidates(space(), SIGNATURE)
    assert survey(anew, seed=0, draws=300) == known
    assert survey(anew, seed=1, draws=20).drawn != known.drawn[:20]
    for architecture in known.drawn[:20]:
        assert surveyed(candidates.of(architecture.choices)) == architecture


def test_survey_tells_how_far_it_is(candidates: Candidates) -> None:
    told: list[tuple[int, int]] = []
    survey(candidates, seed=0, draws=5, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(("draws", "expected"), [(1000, LEAST_DRAWS), (7, 7)])
def test_short_time_makes_a_smaller_survey(draws: int, expected: int) -> None:
    tiny = Candidates(Space("six", six), SIGNATURE)
    assert len(survey(tiny, seed=0, draws=draws, seconds=0.0).drawn) == expected


def test_share_counts_what_fits(known: Survey) -> None:
    sizes = sorted(a.params for a in known.drawn)
    middle = sizes[len(sizes) // 2]
    expected = sum(size <= middle for size in sizes) / len(sizes)
    assert known.share(Limits(max_params=middle)) == expected
    assert known.share(Limits()) == 1.0
    macs = min(a.macs for a in known.drawn)
    both = known.share(Limits(max_params=middle, max_macs=macs))
    assert 0 < both <= sum(a.macs == macs for a in known.drawn) / len(known.drawn)


def test_limits_that_nothing_meets_name_the_smallest(known: Survey) -> None:
    smallest = min(a.params for a in known.drawn)
    macs = min(a.macs for a in known.drawn)
    known.require(Limits(max_params=smallest))
    with pytest.raises(ConfigError) as refused:
        known.require(Limits(max_params=smallest - 1, max_macs=10**9))
    text = str(refused.value)
    for part in (f"--max-params {smallest - 1}", f"{smallest} params", f"{macs} MACs", "raise"):
        assert part in text
    with pytest.raises(ConfigError, match="--max-macs 1:"):
        known.require(Limits(max_macs=1))


@settings(max_examples=6, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 5))
def test_biggest_is_no_smaller_than_any_surveyed_that_fits(
    candidates: Candidates, known: Survey, params: float, macs: float, seed: int
) -> None:
    limits = Limits(
        max_params=sorted(a.params for a in known.drawn)[int(params * (len(known.drawn) - 1))],
        max_macs=sorted(a.macs for a in known.drawn)[int(macs * (len(known.drawn) - 1))],
    )
    fitting = [a for a in known.drawn if limits.admit(a.params, a.macs)]
    if fitting:
        found = biggest(candidates, known, limits, seed=seed)
        assert limits.admit(found.params, found.macs)
        assert (found.params, found.macs) >= max((a.params, a.macs) for a in fitting)


def test_biggest_climbs_beyond_the_survey(candidates: Candidates, known: Survey) -> None:
    few = Survey(drawn=sorted(known.drawn, key=lambda a: a.params)[:20])
    found = biggest(candidates, few, Limits(), seed=0)
    layers = {
        f"layer{i}.{what}": v for i in range(3) for what, v in (("op", "conv"), ("kernel", 5))
    }
    most = candidates.of({"width": 6, "depth": 3, "heads": ["plain", "deep"]} | layers)
    assert found.params == most.params
    assert biggest(candidates, few, Limits(), seed=0).choices == found.choices


def test_the_biggest_of_a_space_without_end_is_given_up(
    candidates: Candidates, known: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Survey(drawn=sorted(known.drawn, key=lambda a: a.params)[:1])
    monkeypatch.setattr("hypernas.survey.MOST_CHANGES", 0)
    assert biggest(candidates, few, Limits(), seed=0).params == few.drawn[0].params
    monkeypatch.setattr("hypernas.survey.MOST_CHANGES", 1000)
    assert biggest(candidates, few, Limits(), seed=0).params > few.drawn[0].params


def test_candidates_larger_than_seen_are_warned_about(
    candidates: Candidates, known: Survey
) -> None:
    small = Survey(drawn=sorted(known.drawn, key=lambda a: a.params)[:150])
    largest = max(known.drawn, key=lambda a: a.params)
    warnings = small.warnings(candidates.of(largest.choices))
    most = max(a.params for a in small.drawn)
    assert f"params {largest.params} is more than any drawn to fit on ({most})" in warnings
    assert known.warnings(candidates.of(largest.choices)) == []


def test_groups_hold_every_architecture_once(known: Survey) -> None:
    assert list(known.by_operations) == sorted(known.by_operations)
    assert sum(map(len, known.by_operations.values())) == len(known.drawn)
    for operations, group in known.by_operations.items():
        assert {a.operations for a in group} == {operations}


def test_balanced_draws_give_each_number_of_operations_equally_often() -> None:
    few = Candidates(space(deepest=1), SIGNATURE, remember=500)
    known = survey(few, seed=0, draws=300)
    draws = Draws(few, known, balanced=True, seed=3)
    counts = Counter(draws(step).graph.parametrised_operations for step in range(1000))
    assert counts.keys() == known.by_operations.keys()
    assert len(counts) >= 4
    assert chisquare(list(counts.values())).pvalue > 0.01
    of_survey = [len(group) for group in known.by_operations.values()]
    assert chisquare(of_survey).pvalue < 1e-6  # the space itself is far from it


def test_balanced_draws_are_not_only_those_of_the_survey(candidates: Candidates) -> None:
    few = survey(candidates, seed=0, draws=30)
    draws = Draws(candidates, few, balanced=True, seed=0)
    known = [a.choices for a in few.drawn]
    assert sum(draws(step).choices not in known for step in range(100)) > 30


def test_uniform_draws_follow_the_weights_of_the_space() -> None:
    few = Candidates(space(deepest=1), SIGNATURE, remember=500)
    draws = Draws(few, survey(few, seed=0, draws=5), balanced=False, seed=0)
    drawn = [draws(step).choices.get("layer0.op") for step in range(1000)]
    counts = Counter(op for op in drawn if op is not None)
    expected = [sum(counts.values()) * share for share in (0.5, 0.25, 0.25)]
    assert chisquare([counts[op] for op in ("conv", "pool", "none")], expected).pvalue > 0.01


@pytest.mark.parametrize("balanced", [True, False])
def test_a_draw_is_a_function_of_seed_and_step(known: Survey, balanced: bool) -> None:
    def draws(seed: int = 0) -> Draws:
        return Draws(Candidates(space(), SIGNATURE), known, balanced=balanced, seed=seed)

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
    draws = Draws(candidates, known, balanced=True, annealed=100, seed=0)
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
        return Draws(candidates, known, balanced=True, annealed=annealed, seed=0)

    plain, annealed = draws(0), draws(12.5)
    for step in [*range(13, 30), -1, -4]:
        assert annealed(step).choices == plain(step).choices


def test_an_eased_candidate_is_the_same_candidate(known: Survey) -> None:
    candidates = Candidates(space(), SIGNATURE)
    eased = Draws(candidates, known, balanced=False, annealed=100, seed=0)(10)
    assert candidates.of(eased.choices) is eased
    other = Candidates(space(), SIGNATURE).of(eased.choices)
    assert other.decisions == eased.decisions  # weights and all, at ease 1
    assert (other.params, other.macs) == (eased.params, eased.macs)
