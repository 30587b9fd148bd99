"""Statistics re-estimated for a candidate are those of a plain network, and leave no trace."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from small_run import RUN
from small_space import SIGNATURE, batches, space
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates, build_network
from hypernas.hypernets import Hypernet
from hypernas.normalising import fixed_batches, reestimated
from hypernas.randomness import rng
from hypernas.runs import Run
from hypernas.scoring import Score, Scorer
from hypernas.tasks import Classification

DROPOUT = 0.3


def images(count: int = 48, size: int = 16) -> list[Tensor]:
    fixed = fixed_batches(batches(64), count, size, seed=0, purpose="statistics")
    return [x for x, _ in fixed]


def scorer(hypernet: Hypernet, **options: Any) -> Scorer:
    data = batches(64, 16, seed=1)
    given = {"images": 64, "seed": 0, "statistics": images()} | options
    return Scorer(hypernet, data, Classification(), **given)


@pytest.fixture(scope="module", params=["ghn", "shared"])
def hypernet(request: pytest.FixtureRequest) -> Hypernet:
    return hypernets.make(request.param)


@pytest.fixture(scope="module")
def some() -> list[Candidate]:
    candidates = Candidates(space(dropout=DROPOUT), SIGNATURE)
    return [candidates.draw(rng(0, "normalised", i)) for i in range(12)]


def oracle(candidate: Candidate, hypernet: Hypernet) -> nn.Module:
    """Return a plain network with the generated weights and statistics that torch estimates."""
    network = build_network(space(dropout=0.0), candidate.choices, SIGNATURE, seed=0)
    state = network.state_dict() | {k: v.detach() for k, v in hypernet([candidate])[0].items()}
    network.load_state_dict(state)
    update_bn(images(), network)
    return network.eval()


def test_scores_are_those_of_a_plain_network(hypernet: Hypernet, some: list[Candidate]) -> None:
    score = scorer(hypernet)
    for candidate, found in zip(some, score(some), strict=True):
        network = oracle(candidate, hypernet)
        losses, right = [], []
        with torch.no_grad():
            for x, targets in score.batches:
                logits = network(x)
                losses.append(F.cross_entropy(logits, targets, reduction="none"))
                right.append(logits.argmax(1) == targets)
        assert found.score == pytest.approx(-torch.cat(losses).mean().item(), abs=1e-4)
        assert found.score_accuracy == pytest.approx(torch.cat(right).float().mean().item())


def test_they_differ_from_those_by_the_batch(hypernet: Hypernet, some: list[Candidate]) -> None:
    by_batch = scorer(hypernet, statistics=())(some)
    assert all(a.score != b.score for a, b in zip(by_batch, scorer(hypernet)(some), strict=True))


def test_an_image_does_not_depend_on_its_batch(hypernet: Hypernet, some: list[Candidate]) -> None:
    candidate = some[0]
    weights = hypernet([candidate])[0]
    x = images(16)[0]
    with torch.no_grad(), reestimated(candidate, weights, images()):
        together, alone = candidate(weights, x), candidate(weights, x[:1])
    assert isinstance(together, Tensor)
    torch.testing.assert_close(together[:1], alone)


def test_order_and_calls_before_do_not_matter(hypernet: Hypernet, some: list[Candidate]) -> None:
    score = scorer(hypernet)
    scores = score(some)
    order = random.Random(1).sample(range(len(some)), len(some))
    for position, other in zip(order, score([some[i] for i in order]), strict=True):
        assert scores[position].score == pytest.approx(other.score, abs=1e-5)
    torch.manual_seed(99)
    assert score(some) == scores
    anew = Candidates(space(dropout=DROPOUT), SIGNATURE)
    assert scorer(hypernet)([anew.of(c.choices) for c in some]) == scores


def test_a_candidate_keeps_nothing(hypernet: Hypernet, some: list[Candidate]) -> None:
    by_batch = scorer(hypernet, statistics=())
    before = by_batch(some)
    modes = [(n.momentum, n.eps, n.training) for c in some for n in c.norms]
    scorer(hypernet)(some)
    assert modes == [(n.momentum, n.eps, n.training) for c in some for n in c.norms]
    assert len(modes) >= len(some)
    for candidate in some:
        assert all(layer.running_mean is None for layer in candidate.norms)
        assert not any(layer.track_running_stats for layer in candidate.norms)
        assert not any(layer.training for layer in candidate.module.modules())
    assert by_batch(some) == before


def test_an_error_leaves_nothing_either(some: list[Candidate]) -> None:
    candidate = next(c for c in some if c.norms)
    with pytest.raises(KeyError), reestimated(candidate, {"no.such": torch.ones(1)}, images()):
        pass
    assert all(layer.running_var is None for layer in candidate.norms)


class Norms(nn.Module):
    """A norm that is used twice, one that keeps no statistics, and one of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.BatchNorm2d(1)
        self.own = nn.BatchNorm2d(1, track_running_stats=False)
        self.each = nn.InstanceNorm2d(1, affine=True)
        self.head = nn.Linear(36, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(2 * self.twice(x) + 1)
        return self.head((self.each(x) + self.own(x)).flatten(1))


def test_a_norm_used_twice_averages_both_uses() -> None:
    from hypernas.spaces import Space

    candidates = Candidates(Space("norms", lambda choose, data: Norms(), {}), SIGNATURE)
    candidate = candidates.of({})
    assert len(candidate.norms) == 1
    network = Norms()
    weights = {name: p.detach() for name, p in network.named_parameters()}
    update_bn(images(), network)
    x = images(16)[0]
    with torch.no_grad(), reestimated(candidate, weights, images()):
        torch.testing.assert_close(candidate(weights, x), network.eval()(x))


def test_bf16_is_near_fp32(some: list[Candidate]) -> None:
    hypernet = hypernets.make("ghn")
    exact, rough = scorer(hypernet)(some), scorer(hypernet, precision="bf16")(some)
    for one, other in zip(exact, rough, strict=True):
        assert other.score == pytest.approx(one.score, rel=0.05, abs=0.05)


def test_a_run_scores_by_them_in_every_process(finished: Path) -> None:
    def scores(**changes: Any) -> list[Score]:
        run = Run.open(finished, quiet=True)
        run.place.config = msgspec.structs.replace(RUN, **changes)
        return run.place.score([run.place.candidates.of(s.choices) for s in run.scored[:4]])

    anew = scores(statistics="reestimated", statistics_images=300)
    assert anew == scores(statistics="reestimated", statistics_images=300)
    assert anew != scores(statistics="reestimated", statistics_images=200)
    assert anew != scores()
