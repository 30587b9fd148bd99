"""A finished run with made-up figures, and the real graphs of both spaces."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hypernas.candidate import Candidate, Candidates
from hypernas.results import Final, Limits, Network, Result, Scored, Search, Source, Training
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.uncertainty import told_apart
from hypernas.verdict import verdict


@dataclass(frozen=True)
class Demo:
    """What ``write_report`` takes."""

    result: Result
    scored: list[Scored]
    best: Candidate


def demo(space: str, *, points: int = 40, k: int = 5, classes: list[str] | None = None) -> Demo:
    """Return a run on ``space`` whose figures are drawn, not measured."""
    candidates = Candidates(find(space), Signature(input_shape=(3, 32, 32), outputs=10))
    rng, numbers = random.Random(2), np.random.default_rng(2)
    drawn = [candidates.draw(rng) for _ in range(points)]
    scored = [_scored(candidate, numbers) for candidate in drawn]
    order = sorted(range(points), key=lambda i: -scored[i].score)
    finalists = [_trained(scored[i], "search", numbers) for i in order[:k]]
    picks = [_trained(s, "random", numbers) for s in scored[:k]]
    biggest = _trained(max(scored, key=lambda s: s.params), "biggest", numbers)
    best = max([*finalists, *picks, biggest], key=lambda n: n.val_accuracy)
    result = Result(
        data={
            "name": "fashion-mnist",
            "fingerprint": "9f2c" * 16,
            "input_shape": [3, 32, 32],
            "classes": classes or [f"class {i}" for i in range(10)],
            "train": 50000,
            "validation": 10000,
            "test": 10000,
        },
        space={"name": space, "options": find(space).options},
        hypernet={"name": "ghn", "options": {"hidden": 32, "rounds": 2}, "steps": 5000},
        seed=0,
        limits=Limits(max_params=900_000),
        recipe={"optimizer": "sgd", "learning_rate": 0.05, "epochs": 5, "batch": 128},
        best=best,
        final=Final(
            seed=0,
            epochs=20,
            val_accuracy=best.val_accuracy + 0.004,
            test_accuracy=0.9163,
            folder="final",
            text="the winner's best training and 15 further epochs",
        ),
        finalists=finalists,
        random=picks,
        biggest=biggest,
        search=Search(scored=points, feasible_share=0.62, sampler="perturb"),
        verdict=verdict(finalists, picks, biggest, test_examples=10_000),
        compared=told_apart(finalists, [numbers.normal(1, 0.5, (5, 100)) for _ in finalists]),
        export={"model.safetensors": "0", "model.onnx": "not written: pip install hypernas[onnx]"},
        seconds={"fit": 420.0, "search": 130.5, "train": 610.0, "export": 4.2},
        versions={"hypernas": "0.1.0", "torch": "2.13.0", "python": "3.12.1"},
    )
    return Demo(result, scored, candidates.of(best.choices))


def _scored(candidate: Candidate, numbers: np.random.Generator) -> Scored:
    size = np.log10(candidate.params + 1)
    score = -2.6 + 0.35 * size + 0.12 * numbers.standard_normal()
    return point(candidate.choices, candidate.params, score, candidate.macs)


def point(choices: dict[str, Any], params: int, score: float, macs: int = 1) -> Scored:
    """Return a scored candidate."""
    return Scored(
        choices=choices,
        params=params,
        macs=macs,
        score=score,
        interval=(score - 0.03, score + 0.03),
        score_accuracy=0.3 + 0.05 * float(np.log10(params)),
    )


def _trained(scored: Scored, source: Source, numbers: np.random.Generator) -> Network:
    level = 0.9 + 0.04 * (scored.score + 1) + 0.004 * numbers.standard_normal()
    seeds = [
        Training(
            seed=seed,
            epochs=5,
            val_accuracy=level + 0.002 * numbers.standard_normal(),
            val_loss=0.3,
            test_accuracy=level - 0.004 + 0.002 * numbers.standard_normal(),
            seconds=41.0,
        )
        for seed in range(3)
    ]
    return Network(
        choices=scored.choices,
        params=scored.params,
        macs=scored.macs,
        score=scored.score,
        interval=scored.interval,
        score_accuracy=scored.score_accuracy,
        val_accuracy=float(np.mean([s.val_accuracy for s in seeds])),
        test_accuracy=float(np.mean([s.test_accuracy for s in seeds if s.test_accuracy])),
        seeds=seeds,
        source=source,
    )


@pytest.fixture(params=["cell", "nas-bench-201"], scope="session")
def finished(request: pytest.FixtureRequest) -> Demo:
    """A finished run of each space."""
    return demo(request.param)
