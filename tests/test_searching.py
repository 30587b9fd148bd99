"""A search goes on as if it had not been stopped, ends when a space is exhausted, keeps limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_space import SIGNATURE, six, space
from torch import nn

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import canonical
from hypernas.errors import ConfigError
from hypernas.randomness import rng
from hypernas.results import Limits, Scored
from hypernas.samplers import ROUND, SAMPLERS, make
from hypernas.scoring import BLOCK, Score
from hypernas.searching import distinct, random_feasible, search, top
from hypernas.spaces import Space
from hypernas.study import Study
from hypernas.tasks import Signature


def number_of(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32


def score_of(candidate: Candidate, block: list[Candidate] | None = None) -> Score:
    """Score by the choices and, where a block is given, by all candidates in it."""
    value = number_of(canonical(candidate.choices))
    if block is not None:
        value += number_of("".join(canonical(other.choices) for other in block))
    return Score(score=value, interval=(value, value), score_accuracy=value)


class Scoring:
    """Scores by block, as a hypernetwork's last bits do, and stops after some candidates."""

    def __init__(self, stop_after: int = 10**9, *, by_block: bool = True) -> None:
        self.left, self.by_block = stop_after, by_block
        self.blocks = 0

    def __call__(self, blocks: list[list[Candidate]], padded: int) -> Iterator[list[Score]]:
        for block in blocks:
            self.blocks += 1
            assert len(block) <= padded <= BLOCK
            made_up = [*block, *[block[-1]] * (padded - len(block))]
            neighbours = made_up if self.by_block else None
            yield [self._score(candidate, neighbours) for candidate in block]

    def _score(self, candidate: Candidate, block: list[Candidate] | None) -> Score:
        return score_of(candidate, block)


class Stopping(Study):
    """A study whose process is killed when it holds so many candidates."""

    most = 10**9

    def add(self, trial: Any) -> None:
        if len(self.trials) == self.most:
            raise KeyboardInterrupt
        super().add(trial)


SMASH = {"random": 20, "perturb": 19, "markov": 10, "temperature": 0.5, "probability": 0.2}


def run(
    path: Path,
    trials: int,
    *,
    sampler: str = "evolution",
    stop_at: int = 10**9,
    limits: Limits | None = None,
    where: Space | None = None,
    by_block: bool = True,
    share: float = 1.0,
) -> list[Scored]:
    """Search with everything new, as in a process of its own."""
    proposer = make(sampler, SMASH if sampler == "smash" else None)
    study = Stopping(path, "search", proposer.directions)
    study.most = stop_at
    candidates = Candidates(where or space(), SIGNATURE, remember=2000)
    try:
        search(
            candidates,
            study,
            Scoring(by_block=by_block),
            sampler=proposer,
            trials=trials,
            limits=limits or Limits(),
            feasible_share=share,
            seed=0,
        )
    except KeyboardInterrupt:
        assert stop_at < trials
    return study.scored


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Scored]]:
    """The same searches, never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    samplers = ("perturb", "nsga2", "random", "smash")
    return {s: run(folder / s, 2 * ROUND + 8, sampler=s) for s in samplers}


@pytest.mark.parametrize("stop_at", [0, 1, BLOCK - 1, BLOCK, BLOCK + 5, ROUND, ROUND + BLOCK + 3])
def test_stopped_search_goes_on_to_the_same_candidates(
    tmp_path: Path, whole: dict[str, list[Scored]], stop_at: int
) -> None:
    trials = 2 * ROUND + 8
    stopped = run(tmp_path / "j", trials, sampler="perturb", stop_at=stop_at)
    assert len(stopped) == stop_at
    assert run(tmp_path / "j", trials, sampler="perturb") == whole["perturb"]


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_search_stopped_twice_goes_on(
    tmp_path: Path, whole: dict[str, list[Scored]], sampler: str
) -> None:
    trials = 2 * ROUND + 8
    for stop_at in (ROUND + 3, 2 * ROUND + 4):
        run(tmp_path / "j", trials, sampler=sampler, stop_at=stop_at)
    assert run(tmp_path / "j", trials, sampler=sampler) == whole[sampler]
    assert len(whole[sampler]) == trials


@pytest.mark.parametrize("stop_at", [0, 3, 17, 20, 25, 38, 39, 40, 52])
def test_stopped_chain_goes_on_to_the_same_candidates(
    tmp_path: Path, whole: dict[str, list[Scored]], stop_at: int
) -> None:
    trials = 2 * ROUND + 8
    assert len(run(tmp_path / "j", trials, sampler="smash", stop_at=stop_at)) == stop_at
    assert run(tmp_path / "j", trials, sampler="smash") == whole["smash"]


@pytest.mark.parametrize("first", [7, 20, 30, 39, 45])
def test_stages_are_cut_at_the_end_and_the_chain_goes_on(tmp_path: Path, first: int) -> None:
    options = {"sampler": "smash", "by_block": False}
    at_once = run(tmp_path / "whole", 60, **options)
    assert run(tmp_path / "j", first, **options) == at_once[:first]
    assert run(tmp_path / "j", 60, **options) == at_once


def test_finished_search_scores_nothing(tmp_path: Path) -> None:
    before = run(tmp_path / "j", 20)
    size = (tmp_path / "j").stat().st_size
    assert run(tmp_path / "j", 20) == before
    assert (tmp_path / "j").stat().st_size == size


@pytest.mark.parametrize("first", [1, 20, ROUND, ROUND + 7])
def test_asking_for_more_continues_the_same_search(tmp_path: Path, first: int) -> None:
    options = {"sampler": "perturb", "by_block": False}
    at_once = run(tmp_path / "whole", 2 * ROUND, **options)
    before = run(tmp_path / "j", first, **options)
    assert len(before) == first
    assert run(tmp_path / "j", 2 * ROUND, **options) == at_once


def test_fewer_than_there_are_changes_nothing(tmp_path: Path) -> None:
    before = run(tmp_path / "j", 20)
    assert run(tmp_path / "j", 5) == before


@pytest.mark.parametrize("sampler", [*SAMPLERS])
def test_exhausted_space_ends_with_fewer(
    tmp_path: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypernas.searching.DRAWS_PER_CANDIDATE", 4)
    options = {"sampler": sampler, "where": Space("six", six)}
    found = run(tmp_path / "j", 100, **options)
    assert len({canonical(s.choices) for s in found}) == len(found) == 6
    assert run(tmp_path / "j", 100, **options) == found


def test_exhausted_space_is_said(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    search(
        Candidates(Space("six", six), SIGNATURE),
        Study(tmp_path / "j", "search", ["maximize"]),
        Scoring(),
        sampler=make("random"),
        trials=100,
        limits=Limits(),
        feasible_share=1.0,
        seed=0,
        progress=lambda *what: told.append(what),
    )
    assert told == [(6, 6, "no new candidates are found")]


def test_limits_are_respected(tmp_path: Path) -> None:
    limits = Limits(max_params=400, max_macs=9000)
    found = run(tmp_path / "j", 40, limits=limits, share=0.5)
    assert len(found) == 40
    assert all(s.params <= 400 and s.macs <= 9000 for s in found)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ("random", [(BLOCK, BLOCK), (BLOCK, BLOCK), (BLOCK, BLOCK), (2, BLOCK)]),
        # rounds of 20, of 19, and of one: no more is made up than the round has
        ("smash", [(BLOCK, BLOCK), (4, BLOCK), (BLOCK, BLOCK), (3, BLOCK), *[(1, 1)] * 11]),
    ],
)
def test_blocks_are_of_one_size(
    tmp_path: Path, sampler: str, expected: list[tuple[int, int]]
) -> None:
    sizes: list[tuple[int, int]] = []

    def note(blocks: list[list[Candidate]], padded: int) -> Iterator[list[Score]]:
        for block in blocks:
            sizes.append((len(block), padded))
            yield [score_of(candidate) for candidate in block]

    search(
        Candidates(space(), SIGNATURE),
        Study(tmp_path / "j", "search", ["maximize"]),
        note,
        sampler=make(sampler, SMASH if sampler == "smash" else None),
        trials=ROUND + BLOCK + 2,
        limits=Limits(),
        feasible_share=1.0,
        seed=0,
    )
    assert sizes == expected


def scored(score: float, params: int, macs: int = 1) -> Scored:
    return Scored(
        choices={"n": params},
        params=params,
        macs=macs,
        score=score,
        interval=(score, score),
        score_accuracy=0.0,
    )


def test_top_is_by_score_then_by_params_within_limits() -> None:
    every = [scored(-1, 10), scored(-3, 1), scored(-1, 9), scored(-0.5, 99), scored(-0.7, 5, 50)]
    limits = Limits(max_params=50, max_macs=10)
    assert [s.params for s in top(every, 2, limits)] == [9, 10]
    assert [s.params for s in top(every, 9, limits)] == [9, 10, 1]
    assert [s.params for s in top(every, 9, Limits())] == [99, 5, 9, 10, 1]
    assert top(every, 3, Limits(max_params=0)) == []


def doubled(choose: Any, data: Signature) -> nn.Module:
    """Two names for the same network: the second choice changes nothing."""
    width = choose("width", [2, 3])
    choose("idle", [0, 1, 2])
    return nn.Sequential(nn.Flatten(), nn.Linear(36, width), nn.Linear(width, data.outputs))


def test_distinct_leaves_out_networks_that_are_the_same() -> None:
    made = Candidates(Space("doubled", doubled), SIGNATURE)
    every = [made.of({"width": w, "idle": i}) for w in (2, 3) for i in (0, 1, 2)]
    assert [c.choices for c in distinct(every, 5)] == [
        {"width": 2, "idle": 0},
        {"width": 3, "idle": 0},
    ]
    assert [c.choices for c in distinct(reversed(every), 1)] == [{"width": 3, "idle": 2}]


def test_random_feasible_are_distinct_and_fit(candidates: Candidates) -> None:
    draw = lambda number: candidates.draw(rng(0, "pick", number))  # noqa: E731
    limits = Limits(max_params=300)
    found = random_feasible(draw, 5, limits, 1000)
    assert len(found) == 5
    assert all(candidate.params <= 300 for candidate in found)
    assert len({candidate.graph.nodes for candidate in found}) == 5
    assert random_feasible(draw, 5, limits, 1000) == found
    few = Candidates(Space("six", six), SIGNATURE)
    assert len(random_feasible(lambda n: few.draw(rng(0, n)), 50, Limits(), 200)) == 6
    with pytest.raises(ConfigError, match="none of 20 random architectures"):
        random_feasible(draw, 5, Limits(max_params=1), 20)
