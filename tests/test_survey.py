"""What is known of a space before anything is fitted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_space import SIGNATURE, six, space

from hypernas.candidate import Candidates
from hypernas.errors import ConfigError
from hypernas.results import Limits
from hypernas.spaces import Space
from hypernas.survey import LEAST_DRAWS, Survey, biggest, survey, surveyed


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


def test_groups_hold_every_architecture_once(known: Survey) -> None:
    assert list(known.by_operations) == sorted(known.by_operations)
    assert sum(map(len, known.by_operations.values())) == len(known.drawn)
    for operations, group in known.by_operations.items():
        assert {a.operations for a in group} == {operations}
