"""The gradient with respect to the encoding says what a change of a decision does to the loss."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from small_space import SIGNATURE, batches

from hypernas import arch_gradient, hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Perturb, canonical
from hypernas.errors import ConfigError
from hypernas.hypernets import Hypernet
from hypernas.hypernets.smash import SMASH
from hypernas.randomness import rng
from hypernas.results import Limits, Scored
from hypernas.samplers import Asked, make, propose
from hypernas.scoring import Scorer
from hypernas.spaces import find
from hypernas.tasks import Classification

OPTIONS = {"width": 1, "depth": 2, "blocks": 2, "nonlinearities": ["relu", "tanh"]}


@pytest.fixture(scope="module")
def many() -> Candidates:
    return Candidates(find("memory-bank", OPTIONS), SIGNATURE, remember=1000)


@pytest.fixture(scope="module")
def scorer(many: Candidates) -> Scorer:
    example = many.draw(random.Random(0))
    hypernet = hypernets.make("smash", {"layers": [2], "growth": 4}, example=example)
    hypernet.prepare([many.draw(rng(0, "table", number)) for number in range(8)])
    hypernet.eval()
    return Scorer(hypernet, batches(32, 16), Classification(), images=32, seed=0)


def test_gradient_is_that_of_the_loss(many: Candidates, scorer: Scorer) -> None:
    candidate = many.draw(random.Random(1))
    exact = copy.deepcopy(scorer)  # in double precision, so that a small step shows
    exact.hypernet.prepare([candidate])
    exact.hypernet.double()
    exact.batches = [(images.double(), targets) for images, targets in exact.batches]
    slopes = torch.from_numpy(arch_gradient.gradient(exact, candidate))
    hypernet = exact.hypernet
    assert isinstance(hypernet, SMASH)
    code = hypernet.code(candidate).double()
    assert slopes.shape == code.shape
    direction = torch.randn(code.shape, generator=torch.Generator().manual_seed(0)).double()

    def loss(distance: float) -> float:
        with torch.no_grad():
            weights = hypernet.write(candidate, code + distance * direction)
            return float(exact.loss(candidate, weights))

    measured = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert float((slopes * direction).sum()) == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("seed", range(2))
def test_predicted_changes_are_exact_for_a_linear_loss(many: Candidates, seed: int) -> None:
    """Where only one section of the map changes, the prediction is the product with the change."""
    base = many.draw(random.Random(seed))
    encoding = base.module.encoding
    code = encoding.map().values  # ty: ignore[call-non-callable, unresolved-attribute]
    slopes = np.random.default_rng(seed).normal(size=code.shape).astype(np.float32)
    view = arch_gradient._View(encoding, slopes)  # ty: ignore[invalid-argument-type]
    exact = {"nonlinearity": 0, "kernel": 0, "dilation": 0, "groups": 0, "writes": 0}
    for name, decision in base.decisions.items():
        field = name.rsplit(".", 1)[-1].rstrip("01")
        for step in view.steps(name, decision, base.choices[name]):
            changed = many.make(Perturb(base.choices | {name: step.value}, 0.0, random.Random(0)))
            alone = {**base.choices, name: step.value} == changed.choices
            if field in exact and alone:
                other = changed.module.encoding.map().values  # ty: ignore
                assert step.change == pytest.approx(
                    float((slopes * (other - code)).sum()), abs=1e-3
                )
                exact[field] += 1
    assert all(count > 0 for name, count in exact.items() if name not in ("dilation", "writes"))


def test_repeated_ops_count_as_often_as_they_run(many: Candidates) -> None:
    base = many.draw(random.Random(0))
    twice = Candidates(find("memory-bank", OPTIONS | {"repeats": 2}), SIGNATURE).of(base.choices)
    once = base.module.encoding
    slopes = np.random.default_rng(0).normal(size=once.map().values.shape)  # ty: ignore
    copies = []
    starts = [*once.map().starts, slopes.shape[1]]  # ty: ignore
    done = 0
    for block in once.blocks:  # ty: ignore
        part = slopes[:, starts[done] : starts[done + len(block.ops)]]
        copies += [part, part]
        done += len(block.ops)
    expected, found = (
        arch_gradient.favoured(candidate, values)
        for candidate, values in ((base, slopes), (twice, np.concatenate(copies, axis=1)))
    )
    assert [step.name for step in found] == [step.name for step in expected]
    assert [s.change for s in found] == pytest.approx([2 * s.change for s in expected])


def test_best_step_of_each_decision_comes_first_and_is_legal(many: Candidates) -> None:
    base = many.draw(random.Random(5))
    encoding = base.module.encoding
    slopes = np.random.default_rng(0).normal(size=encoding.map().values.shape)  # ty: ignore
    steps = arch_gradient.favoured(base, slopes)
    assert [step.change for step in steps] == sorted(step.change for step in steps)
    assert len({step.name for step in steps}) == len(steps) > 10
    for step in steps:
        assert base.decisions[step.name].admits(step.value)
        assert base.choices[step.name] != step.value


def scored(candidate: Candidate, score: float) -> Scored:
    return Scored(
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        score=score,
        interval=(score, score),
        score_accuracy=0.0,
    )


def test_sampler_steps_from_the_best_as_the_gradient_favours(
    many: Candidates, scorer: Scorer
) -> None:
    sampler = make("arch-gradient", {"random": 6})
    history = [scored(many.draw(rng(1, "drawn", i)), -float(i)) for i in range(6)]
    asked = Asked(many, history, [], 0, 1, Limits(), scorer)
    proposed = propose(sampler, asked, 5, most_draws=200)
    base = many.of(history[0].choices)
    slopes = arch_gradient.gradient(scorer, base)
    first = arch_gradient.favoured(base, slopes)[0]
    assert first.change < 0
    assert proposed[0].choices[first.name] == first.value
    assert len({canonical(candidate.choices) for candidate in proposed}) == 5
    again = propose(sampler, asked, 5, most_draws=200)
    assert [c.choices for c in again] == [c.choices for c in proposed]
    assert sampler.stages(10) == {"random": 6, "by gradient": 4}
    assert [sampler.round_size(start) for start in (0, 6, 38)] == [6, 32, 32]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ghn", {}),
        ("shared", {}),
        ("smash", {"encoding": "counts"}),
        ("smash", {"generated": "all"}),
    ],
)
def test_what_has_no_gradient_is_refused(
    many: Candidates, name: str, options: dict[str, str]
) -> None:
    candidate = many.draw(random.Random(0))
    hypernet: Hypernet = hypernets.make(name, options, example=candidate)
    with pytest.raises(ConfigError, match="--space memory-bank --hypernet smash"):
        make("arch-gradient").require(candidate, hypernet)
