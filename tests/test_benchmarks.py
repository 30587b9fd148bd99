"""The commands of ``benchmarks/`` that others build on, at the smallest size."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hypernas.cli import main
from hypernas.hypernets import hypernet

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CELL = ["--space", "cell", "--set", "width=4", "cells=2", "nodes=6"]
BANKS = ["--space", "memory-bank", "--set", "preset=tiny"]


@pytest.fixture
def correlation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The module ``correlation``, which reads tables from a folder of the test."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import correlation

    monkeypatch.setattr(correlation, "TRUTH", tmp_path)
    monkeypatch.setattr(correlation, "scatter", lambda *_: None)
    return correlation


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_can_be_imported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(hypernet, "BUILT_IN", dict(hypernet.BUILT_IN))
    importlib.import_module(path.stem)


@pytest.mark.slow  # 2 minutes
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@pytest.mark.parametrize("space", [CELL, BANKS], ids=["cell", "memory-bank"])
def test_every_signal_is_measured(
    space: list[str],
    correlation: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [
        name
        for name, (settings, _) in correlation.SIGNALS.items()
        if (settings["hypernet"] == "smash") is (space is BANKS) and name != "distilled"
    ]
    table = ["--table", str(tmp_path / "t.jsonl.gz"), "--workers", "1", "--quiet"]
    size = ["--architectures", "5", "--epochs", "1", "--examples", "400"]
    main(["train", space[1], "digits", *space[2:], *size, *table])
    written: list[Any] = []
    monkeypatch.setattr(correlation, "write", lambda _, rows, suffix: written.append(rows))
    work = ["--work", str(tmp_path / "work"), "--steps", "2", "--batch", "8", "--images", "40"]
    more = ["--sgd-steps", "1", "9", "--seeds", "2"]
    monkeypatch.setattr(
        sys, "argv", ["correlation.py", "t", *work, *more, "--signals", "sgd", *names]
    )
    correlation.main()
    assert "sgd 9 is left out" in capsys.readouterr().out
    measured = {row.what for row in written[-1]}
    assert {f"{name}: tau" for name in ["sgd 1", "params alone", *names]} <= measured


@pytest.fixture
def likeness(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module ``likeness``."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import likeness

    return likeness


def test_distances_are_measured(likeness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(likeness, "write", lambda _, rows: written.extend(rows))
    monkeypatch.setattr(likeness, "OTHER_DRAWS", 2)
    monkeypatch.setattr(
        sys, "argv", ["likeness.py", "--training", "6", "--further", "2", "--seeds", "2"]
    )
    likeness.main()
    found = {row.what: row.value for row in written}
    assert len(found) == len(written) == 3 * (1 + 4 + 1 + 8) + 2 * 4
    assert 0 < found["cell: limit"] < found["cell: VGG"] < found["cell: ViT"]
    least, median, most = (
        found[f"cell: further draws, {w}"] for w in ("least", "median", "largest")
    )
    assert 0 < least <= median <= most
    assert found["nas-bench-201: further draws beyond the limit"] in (0, 0.25, 0.5, 0.75, 1)


def test_the_docs_have_the_distances_that_were_measured(likeness: Any) -> None:
    result = json.loads((BENCHMARKS / "results" / "likeness.json").read_text())
    found = {row["what"]: row["value"] for row in result["rows"]}
    page = (BENCHMARKS.parent / "docs" / "any-module.md").read_text()
    assert f"`{result['command']}`, commit {result['commit']}" in page
    for space in likeness.SPACES:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{space}`")]
        cells = [cell.strip() for cell in line.split("|")[2:-1]]
        own = [
            f"{found[f'{space}: further draws, {w}']:.1f}" for w in ("median", "95 %", "largest")
        ]
        beyond = f"{100 * found[f'{space}: further draws beyond the limit']:.0f} %"
        families = [f"{found[f'{space}: {family}']:.1f}" for family in likeness.FAMILIES]
        assert cells[0].split()[0] == f"{found[f'{space}: limit']:.1f}"
        assert cells[1:] == [", ".join(own), beyond, *families]
