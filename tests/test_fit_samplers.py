"""Candidates that follow from the losses of a fit, and a fit that goes on with the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from small_space import SIGNATURE, batches, space

from hypernas import cli, fit_samplers, fitting, hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.choices import canonical
from hypernas.config import Config, check
from hypernas.draws import Draws
from hypernas.errors import ConfigError
from hypernas.files import read_json, read_tensors
from hypernas.fit_samplers import BRACKETS, LENGTHS, SAMPLERS, require
from hypernas.fitting import RECIPES, Fit, FitOptions, fit
from hypernas.randomness import rng
from hypernas.runs import Run
from hypernas.scoring import Scorer
from hypernas.survey import Survey
from hypernas.tasks import Classification
from hypernas.workplace import Workplace

SMALL = f"{Path(__file__).parent / 'small_space.py'}:small"
LISTENERS = ("tpe", "hyperband")
ROUND, STARTUP, HISTORY = 8, 16, 64
Loss = Callable[[Candidate, int], float]


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make rounds short, so that few steps show several."""
    monkeypatch.setattr(fit_samplers, "ROUND", ROUND)
    monkeypatch.setattr(fit_samplers, "STARTUP", STARTUP)
    monkeypatch.setattr(fit_samplers, "HISTORY", HISTORY)


def sampler(name: str, known: Survey, *, meta_batch: int = 1, seed: int = 0) -> Draws:
    candidates = Candidates(space(), SIGNATURE)
    return SAMPLERS[name](candidates, known, by="uniform", meta_batch=meta_batch, seed=seed)


def fitted(draws: Draws, steps: int | range, loss: Loss) -> list[list[Candidate]]:
    """Return the candidates of each step of a fit whose losses are simulated."""
    found = []
    for step in range(steps) if isinstance(steps, int) else steps:
        found.append([draws(step, position) for position in range(draws.meta_batch)])
        draws.tell(step, found[-1], [loss(candidate, step) for candidate in found[-1]])
    return found


def badness(candidate: Candidate) -> float:
    """How much worse than the best a candidate is: wide and deep networks are good."""
    return 0.1 * (candidate.choices["width"] == 3) + 0.1 * (3 - candidate.choices["depth"])


def falling(candidate: Candidate, step: int) -> float:
    """A loss that falls, with the noise of a batch: the fall is larger than all differences."""
    return badness(candidate) + 3 - 0.01 * step + rng(0, "noise", step).gauss(0, 0.1)


def texts(steps: Sequence[Sequence[Candidate]]) -> list[list[str]]:
    return [[canonical(candidate.choices) for candidate in step] for step in steps]


# -- TPE ------------------------------------------------------------------------------------------


def test_tpe_proposes_candidates_of_low_loss(known: Survey) -> None:
    late = [step[0] for step in fitted(sampler("tpe", known), 160, falling)[64:]]
    proposed, drawn = mean(map(badness, late[1::2])), mean(map(badness, late[0::2]))
    assert drawn == pytest.approx(0.2, abs=0.05)
    assert proposed < 0.6 * drawn


def test_every_other_candidate_of_tpe_is_drawn_as_without_it(known: Survey) -> None:
    plain = sampler("random", known, meta_batch=2)
    steps = fitted(sampler("tpe", known, meta_batch=2), 40, falling)
    same = [
        [found.choices == plain(step, position).choices for position, found in enumerate(both)]
        for step, both in enumerate(steps)
    ]
    assert same[:STARTUP] == [[True, True]] * STARTUP
    for step in range(STARTUP, 40):
        assert same[step][step % 2]
    assert mean(same[step][1 - step % 2] for step in range(STARTUP, 40)) < 0.2
    assert [plain(-1 - i).choices for i in range(4)] == [
        sampler("tpe", known)(-1 - i).choices for i in range(4)
    ]


def test_tpe_takes_the_fall_of_the_loss_out(known: Survey) -> None:
    draws = sampler("tpe", known)
    assert isinstance(draws, fit_samplers.TPE)
    fitted(draws, 48, lambda candidate, step: badness(candidate) + 3 - 0.1 * step)
    trials = draws._trials(draws.told)
    offsets = [
        trial.value - badness(draws.candidates.of(told.choices))
        for trial, told in zip(trials, draws.told, strict=True)
        if trial.value is not None
    ]
    assert max(offsets) - min(offsets) < 0.2  # of a fall by 4.7; the rest is the luck of the draws


def test_what_tpe_learns_from_is_bounded(known: Survey) -> None:
    draws = sampler("tpe", known, meta_batch=4)
    fitted(draws, 32, falling)
    assert HISTORY <= len(draws.told) <= HISTORY + ROUND * 4
    assert draws.told[-1].step == 31


# -- Hyperband ------------------------------------------------------------------------------------


def test_brackets_are_those_of_hyperband() -> None:
    most, share = 9, 3
    for bracket, rungs in zip((2, 1, 0), BRACKETS, strict=True):
        first = -(-3 * share**bracket // (bracket + 1))
        expected = [
            (first // share**rung, most // share ** (bracket - rung)) for rung in range(bracket + 1)
        ]
        assert list(rungs) == expected
    assert LENGTHS == [27, 24, 27]


def test_the_better_ones_of_a_bracket_are_fitted_longer(known: Survey) -> None:
    drawn = [badness(sampler("random", known)(step)) for step in range(9)]
    distinct = [value + 0.001 * number for number, value in enumerate(drawn)]
    draws, turns = sampler("hyperband", known), []
    for step in range(27):
        assert isinstance(draws, fit_samplers.Hyperband)
        turns.append(draws._turn(step, 0, 0, BRACKETS[0]))
        draws.tell(step, [draws(step)], [distinct[turns[-1]] - 0.01 * step])
    ranked = sorted(range(9), key=distinct.__getitem__)
    assert sorted(turns[:9]) == list(range(9))
    assert set(turns[9:18]) <= set(turns[:9])
    counted = Counter(turns)
    assert sorted(counted.values()) == [1] * 6 + [4] * 2 + [13]
    assert [counted[one] for one in ranked[:3]] == [13, 4, 4]


def test_brackets_follow_each_other(known: Survey) -> None:
    steps = texts(fitted(sampler("hyperband", known), 105, falling))
    drawn = texts([[sampler("random", known)(step)] for step in range(105)])
    for start, length, count in ((0, 27, 9), (27, 24, 5), (51, 27, 3), (78, 27, 9)):
        assert set(map(str, steps[start : start + length])) == set(
            map(str, drawn[start : start + count])
        )


def test_candidates_of_a_rung_take_turns(known: Survey) -> None:
    steps = texts(fitted(sampler("hyperband", known, seed=2), 78, falling))
    for start in (51, 54, 57):
        assert sorted(steps[start : start + 3]) == sorted(steps[51:54])
    assert len({str(steps[start : start + 3]) for start in range(51, 78, 3)}) > 1


def test_each_position_has_brackets_of_its_own(known: Survey) -> None:
    steps = fitted(sampler("hyperband", known, meta_batch=2), 78, falling)
    alone = fitted(sampler("hyperband", known), 78, falling)
    assert texts([step[:1] for step in steps]) == texts(alone)
    assert texts([step[1:] for step in steps]) != texts(alone)


def test_a_candidate_without_a_finite_loss_does_not_climb(known: Survey) -> None:
    first = [sampler("random", known)(step) for step in range(9)]
    broken = [canonical(c.choices) for c in sorted(first, key=badness)[:2]]
    loss = lambda c, step: float("nan") if canonical(c.choices) in broken else badness(c)  # noqa: E731
    steps = texts(fitted(sampler("hyperband", known), 27, loss))
    assert set(broken) <= {text for (text,) in steps[:9]}
    assert not set(broken) & {text for (text,) in steps[9:]}


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTENERS)
@pytest.mark.parametrize("stop", [27, 32])
def test_what_was_told_is_all_that_matters(name: str, stop: int, known: Survey) -> None:
    whole = sampler(name, known, meta_batch=2)
    steps = texts(fitted(whole, 50, falling))
    first = sampler(name, known, meta_batch=2)
    fitted(first, stop, falling)
    second = sampler(name, known, meta_batch=2)
    second.told = list(first.told)
    assert texts(fitted(second, range(stop, 50), falling)) == steps[stop:]
    other = sampler(name, known, meta_batch=2, seed=1)
    assert texts(fitted(other, 50, falling)) != steps


def work(name: str, known: Survey, meta_batch: int = 1) -> Fit:
    torch.manual_seed(0)
    return Fit(
        hypernets.make("shared"),
        sampler(name, known, meta_batch=meta_batch),
        batches(),
        Classification(),
        FitOptions(steps=44, recipe=RECIPES["default"], meta_batch=meta_batch),
    )


def test_a_fit_tells_each_candidate_its_own_loss(known: Survey) -> None:
    made = work("tpe", known, meta_batch=2)
    losses = [made.advance() for _ in range(4)]
    told = made.draws.told
    assert [(one.step, one.position) for one in told] == [(s, p) for s in range(4) for p in (0, 1)]
    pairs = list(zip(told[0::2], told[1::2], strict=True))
    assert [(one.loss + other.loss) / 2 for one, other in pairs] == pytest.approx(losses)
    assert any(one.loss != other.loss for one, other in pairs)
    draws = sampler("random", known, meta_batch=2)
    assert [one.choices for one in told] == [draws(s, p).choices for s in range(4) for p in (0, 1)]


@pytest.mark.parametrize("name", LISTENERS)
def test_killed_fit_goes_on_to_the_same_weights(
    name: str, known: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    whole, first, second = (work(name, known) for _ in range(3))

    def scorer(made: Fit) -> Scorer:
        return Scorer(made.hypernet, batches(32, seed=1), made.task, images=32, seed=0)

    def stop(done: int, total: int, text: str) -> None:
        if done == 35:
            raise KeyboardInterrupt

    fit(whole, tmp_path / "whole", scorer(whole))
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "cut", scorer(first), progress=stop)
    fit(second, tmp_path / "cut", scorer(second))
    one, other = whole.hypernet.state_dict(), second.hypernet.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    logs = [(tmp_path / folder / "log.jsonl").read_text() for folder in ("whole", "cut")]
    assert logs[0] == logs[1]
    told = [read_tensors(tmp_path / f / "checkpoint.safetensors")[1] for f in ("whole", "cut")]
    assert told[0]["told"] == told[1]["told"] != []


def test_random_draws_keep_nothing(known: Survey) -> None:
    draws = sampler("random", known)
    fitted(draws, 5, falling)
    assert draws.told == []


def place(tmp_path: Path, **settings: Any) -> Workplace:
    made = Workplace(tmp_path / "run", Config(**{"data": "digits", "examples": 200} | settings))
    made.data = made.record_data()
    made.look(4)
    return made


@pytest.mark.parametrize("name", LISTENERS)
def test_annealed_draws_are_refused(name: str, tmp_path: Path) -> None:
    for settings in ({"anneal": 0.5}, {"fit_recipe": "classic"}):
        made = place(tmp_path, space=SMALL, fit_sampler=name, **settings)
        with pytest.raises(ConfigError, match=f"--fit-sampler {name} .*--anneal 0") as refused:
            require(made)
        assert "\n" not in str(refused.value)
    require(place(tmp_path, space=SMALL, fit_sampler=name, fit_recipe="classic", anneal=0.0))
    require(place(tmp_path, space=SMALL, anneal=0.5))


def test_tpe_is_refused_where_there_are_too_many_choices(tmp_path: Path) -> None:
    banks: dict[str, Any] = {"space": "memory-bank", "options": {"preset": "tiny"}}
    words = r"have \d+ Optuna parameters, and --fit-sampler tpe works with up to 100; .*hyperband"
    with pytest.raises(ConfigError, match=words) as refused:
        require(place(tmp_path, fit_sampler="tpe", **banks))
    assert "\n" not in str(refused.value)
    require(place(tmp_path, fit_sampler="hyperband", **banks))


@pytest.mark.parametrize("name", LISTENERS)
def test_where_nothing_is_fitted_it_is_refused(name: str) -> None:
    words = f"--fit-sampler {name} needs a hypernetwork, and --score-by naswot has none"
    with pytest.raises(ConfigError, match=words):
        check(Config(data="digits", score_by="naswot", fit_sampler=name))
    check(Config(data="digits", score_by="naswot"))


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = "--set width=4 cells=1 nodes=2 --survey 40 --examples 200 --batch 16"
    counts = "--steps 40 --trials 4 --finalists 1 --sample 0 --seeds 1 --epochs 1 --best-epochs 1"
    asked = "--draw operations --fit-sampler tpe"
    out = ["--out", str(tmp_path / "run")]
    cli.main(["init", "digits", *shape.split(), *counts.split(), *asked.split(), *out])
    assert ", candidates by tpe\n" in capsys.readouterr().err
    kept = read_json(tmp_path / "run" / "config.json", Config)
    assert (kept.draw, kept.fit_sampler) == ("operations", "tpe")
    run = Run.open(tmp_path / "run", quiet=True)
    run.fit()
    work = run.place.fit(run.place.new_hypernet(), 40)
    work.load(tmp_path / "run" / "fit" / "checkpoint.safetensors")
    assert isinstance(work.draws, fit_samplers.TPE)
    assert [told.step for told in work.draws.told] == list(range(40))
