"""The main job on real images, where they are found. About 4 minutes each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hypernas
from hypernas.data import known

pytestmark = pytest.mark.slow


def available(name: str) -> bool:
    return next(found for known_name, _, found, _ in known() if known_name == name)


def test_digits_in_three_minutes(tmp_path: Path) -> None:
    """The first command of the README; on 269 test images the honest verdict is "not shown"."""
    run = hypernas.run("digits", minutes=3, out=tmp_path / "run", quiet=True)
    result = run.result
    assert result.verdict.beats_random == "not shown"
    assert result.final.test_accuracy is not None
    assert result.final.test_accuracy > 0.95
    assert len(result.finalists) >= 2
    assert (tmp_path / "run" / "best" / "model.py").is_file()
    assert sum(result.seconds.values()) < 240


@pytest.mark.skipif(
    not available("fashion-mnist"),
    reason="Fashion-MNIST is not here: install Debian's dataset-fashion-mnist or set HYPERNAS_DATA",
)
def test_fashion_mnist(tmp_path: Path) -> None:
    """A small search learns: scores are above chance, trained networks far above."""
    run = hypernas.run(
        "fashion-mnist",
        out=tmp_path / "run",
        quiet=True,
        max_params=100_000,
        options={"width": 8},
        examples=8000,
        steps=300,
        trials=64,
        finalists=2,
        sample=0,
        seeds=1,
        epochs=3,
        best_epochs=2,
        survey=300,
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["finalists"][0]["score_accuracy"] > 0.3
    assert result["best"]["test_accuracy"] > 0.75
    assert result["best"]["params"] <= 100_000
    assert run.best.module is not None
