"""A score depends on the candidate, the hypernetwork and the fixed batches, on nothing else."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from small_space import SIGNATURE, batches, space
from torch.func import functional_call
from torch.nn import functional as F

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.curves import Budgets
from hypernas.draws import Draws
from hypernas.hypernets import Hypernet
from hypernas.randomness import rng
from hypernas.scoring import BLOCK, WORST, Score, Scorer
from hypernas.spaces import find
from hypernas.survey import Survey
from hypernas.tasks import Classification


def scorer(
    hypernet: Hypernet, *, count: int = 64, images: int = 64, size: int = 16, **options: Any
) -> Scorer:
    data = batches(count, size, seed=1)
    return Scorer(hypernet, data, Classification(), images=images, **{"seed": 0} | options)


@pytest.fixture(scope="module", params=["ghn", "shared"])
def hypernet(request: pytest.FixtureRequest) -> Hypernet:
    return hypernets.make(request.param)


@pytest.fixture(scope="module")
def twenty(candidates: Candidates) -> list[Candidate]:
    """More candidates than a block holds."""
    return [candidates.draw(rng(0, "scored", i)) for i in range(BLOCK + 4)]


def close(first: Score, second: Score) -> bool:
    return first.score == pytest.approx(second.score, abs=1e-6)


def test_order_and_neighbours_do_not_matter(hypernet: Hypernet, twenty: list[Candidate]) -> None:
    score = scorer(hypernet)
    scores = score(twenty)
    order = random.Random(1).sample(range(len(twenty)), len(twenty))
    for position, other in zip(order, score([twenty[i] for i in order]), strict=True):
        assert close(scores[position], other)
    for position in (0, 5, BLOCK - 1, BLOCK, len(twenty) - 1):
        assert close(scores[position], score([twenty[position]])[0])


def test_calls_before_do_not_matter(hypernet: Hypernet, twenty: list[Candidate]) -> None:
    score = scorer(hypernet)
    first = score(twenty[:5])
    torch.manual_seed(99)
    score(twenty[5:])
    assert score(twenty[:5]) == first
    assert scorer(hypernet)(twenty[:5]) == first
    anew = Candidates(space(), SIGNATURE)
    assert score([anew.of(candidate.choices) for candidate in twenty[:5]]) == first


def test_losses_are_those_that_scores_are_the_mean_of(
    hypernet: Hypernet, twenty: list[Candidate]
) -> None:
    score = scorer(hypernet)
    for candidate, one in zip(twenty[:5], score(twenty[:5]), strict=True):
        own = score.losses(candidate)
        assert own.shape == (64,)
        assert one.score == pytest.approx(-own.mean().item(), abs=1e-6)
        spread = 1.96 * own.std().item() / math.sqrt(64)
        assert one.interval[1] - one.score == pytest.approx(spread, rel=1e-4)


def test_seed_decides_the_images(hypernet: Hypernet, twenty: list[Candidate]) -> None:
    assert scorer(hypernet, images=32)(twenty[:1]) != scorer(hypernet, images=32, seed=1)(
        twenty[:1]
    )


@pytest.mark.parametrize(
    ("count", "images", "size", "expected"),
    [
        (64, 64, 16, [16, 16, 16, 16]),
        (64, 40, 16, [13, 13, 13]),  # no smaller batch at the end: it would be normalised otherwise
        (64, 10, 16, [10]),
        (12, 1000, 16, [12]),
        (70, 1000, 16, [14, 14, 14, 14, 14]),
    ],
)
def test_images_are_fixed_and_distinct(
    twenty: list[Candidate], count: int, images: int, size: int, expected: list[int]
) -> None:
    score = scorer(hypernets.make("ghn"), count=count, images=images, size=size)
    before = [(x.clone(), y.clone()) for x, y in score.batches]
    assert [len(y) for _, y in before] == expected
    score(twenty[:2])
    for (x, y), (old_x, old_y) in zip(score.batches, before, strict=True):
        assert torch.equal(x, old_x)
        assert torch.equal(y, old_y)
    every = torch.cat([x.flatten(1) for x, _ in before])
    assert len(every.unique(dim=0)) == sum(expected)


def test_score_is_the_cross_entropy_computed_by_hand(
    hypernet: Hypernet, twenty: list[Candidate]
) -> None:
    score = scorer(hypernet)
    for candidate in twenty[:6]:
        weights = hypernet([candidate])[0]
        losses, right = [], []
        for images, targets in score.batches:
            logits = functional_call(candidate.module.eval(), weights, (images,))
            losses.append(F.cross_entropy(logits, targets, reduction="none").detach())
            right.append(logits.argmax(1) == targets)
        flat = torch.cat(losses)
        found = score([candidate])[0]
        assert found.score == pytest.approx(-flat.mean().item(), abs=1e-5)
        assert found.score_accuracy == pytest.approx(torch.cat(right).float().mean().item())
        half = 1.96 * flat.std().item() / len(flat) ** 0.5
        assert found.interval[0] == pytest.approx(found.score - half, abs=1e-5)
        assert found.interval[1] == pytest.approx(found.score + half, abs=1e-5)


def test_interval_covers_the_mean_of_a_bigger_sample(twenty: list[Candidate]) -> None:
    hypernet = hypernets.make("shared")
    whole = scorer(hypernet, count=1024, images=1024)(twenty[:4])
    covered = []
    for seed in range(25):
        part = scorer(hypernet, count=1024, images=64, seed=seed)(twenty[:4])
        covered += [
            small.interval[0] <= big.score <= small.interval[1]
            for small, big in zip(part, whole, strict=True)
        ]
    assert 0.85 <= sum(covered) / len(covered) < 1.0


class Spoiled(Hypernet):
    """Writes NaN for one of its candidates."""

    def __init__(self, inner: Hypernet, bad: Candidate) -> None:
        super().__init__()
        self.inner, self.bad = inner, bad

    def forward(self, candidates: Any) -> Any:
        weights = self.inner(candidates)
        for candidate, written in zip(candidates, weights, strict=True):
            if candidate is self.bad:
                written.update({k: torch.full_like(v, float("nan")) for k, v in written.items()})
        return weights


def test_weights_that_are_not_finite_are_the_worst(
    hypernet: Hypernet, twenty: list[Candidate]
) -> None:
    good = scorer(hypernet)(twenty[:3])
    scores = scorer(Spoiled(hypernet, twenty[1]))(twenty[:3])
    assert scores[1] == Score(score=WORST, interval=(WORST, WORST), score_accuracy=0.0)
    assert (scores[0], scores[2]) == (good[0], good[2])
    assert scores[1].score < min(s.score for s in good)


@pytest.mark.parametrize("name", ["ghn", "shared"])
def test_hypernetwork_is_not_changed(name: str, known: Survey, candidates: Candidates) -> None:
    hypernet = hypernets.make(name)
    draws = Draws(candidates, known, by="uniform", seed=0)
    hypernet.prepare([draws(0)])
    before = {key: tensor.clone() for key, tensor in hypernet.state_dict().items()}
    state = torch.get_rng_state()
    scorer(hypernet)([draws(step) for step in range(20)])
    after = hypernet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in hypernet.parameters())


def test_bf16_is_near_fp32(twenty: list[Candidate]) -> None:
    hypernet = hypernets.make("ghn")
    exact, rough = scorer(hypernet)(twenty), scorer(hypernet, precision="bf16")(twenty)
    assert [s.score for s in rough] != [s.score for s in exact]
    for one, other in zip(exact, rough, strict=True):
        assert other.score == pytest.approx(one.score, rel=0.05)


def test_one_image_has_a_score_without_an_interval(twenty: list[Candidate]) -> None:
    score = scorer(hypernets.make("ghn"), count=8, images=1)(twenty[:1])[0]
    assert score.score > WORST
    assert score.interval[1] - score.interval[0] > 1e6


EXITS = {"width": 2, "nodes": [3, 2], "exits": 0.6}


@pytest.fixture(scope="module")
def with_exits() -> list[Candidate]:
    """Candidates of several exits."""
    made = Candidates(find("anytime", EXITS), SIGNATURE)
    drawn = [made.draw(rng(0, "exits", i)) for i in range(12)]
    return [candidate for candidate in drawn if len(candidate.exit_macs) > 1]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_score_with_budgets_is_the_mean_over_them(
    hypernet: Hypernet, with_exits: list[Candidate], scale: Any
) -> None:
    every = [macs for candidate in with_exits for macs in candidate.exit_macs]
    budgets = Budgets(low=min(every), high=max(every), scale=scale)
    score = scorer(hypernet, budgets=budgets)
    for candidate in with_exits:
        found = score([candidate])[0]
        assert [exit.macs for exit in found.curve] == [0, *candidate.exit_macs]
        assert found.curve[0].score == pytest.approx(-math.log(SIGNATURE.outputs))
        weights = hypernet([candidate])[0]
        losses = []
        for images, targets in score.batches:
            outputs = functional_call(candidate.module.eval(), weights, (images,))
            silent = [torch.zeros_like(outputs[0]), *outputs]
            by_exit = [F.cross_entropy(o, targets, reduction="none") for o in silent]
            losses.append(torch.stack(by_exit))
        flat = torch.cat(losses, 1).detach()
        scores = (-flat.mean(1)).tolist()
        assert [exit.score for exit in found.curve] == pytest.approx(scores, abs=1e-5)
        macs = [exit.macs for exit in found.curve]
        assert found.score == pytest.approx(budgets.mean(macs, scores), abs=1e-5)
        by_image = torch.tensor(budgets.shares(macs, scores)) @ flat
        half = 1.96 * by_image.std().item() / by_image.numel() ** 0.5
        assert found.interval == pytest.approx((found.score - half, found.score + half), abs=1e-4)


def test_budgets_below_every_exit_leave_silence(
    hypernet: Hypernet, with_exits: list[Candidate]
) -> None:
    budgets = Budgets(low=1, high=2)
    found = scorer(hypernet, budgets=budgets)(with_exits[:3])
    assert [s.score for s in found] == pytest.approx([-math.log(SIGNATURE.outputs)] * 3)


def test_scores_with_budgets_do_not_depend_on_neighbours(
    hypernet: Hypernet, with_exits: list[Candidate]
) -> None:
    score = scorer(hypernet, budgets=Budgets(low=1000, high=50_000))
    together = score(with_exits)
    assert close(score(with_exits[2:3])[0], together[2])
    assert score(with_exits) == together


def test_budgets_do_not_spare_weights_that_overflow(
    hypernet: Hypernet, with_exits: list[Candidate]
) -> None:
    spoiled = Spoiled(hypernet, with_exits[1])
    score = scorer(spoiled, budgets=Budgets(low=1000, high=50_000))(with_exits[:2])
    assert score[1] == Score(score=WORST, interval=(WORST, WORST), score_accuracy=0.0)
