"""A run killed at any instant goes on by the same command to the same result. About 2 minutes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

COMMAND = (
    "run digits --set width=4 cells=1 nodes=2 --steps 60 --finalists 2 --sample 0 --seeds 1 "
    "--epochs 3 --best-epochs 2 --batch 32 --survey 50 --workers 2 --quiet --sampler smash "
    "--sampler-set random=36 perturb=18 markov=12 temperature=0.1"
).split()


def start(out: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hypernas", *COMMAND, "--out", str(out)], env=environment
    )


def outcome(out: Path) -> dict[str, Any]:
    """Return the result without the times, which no two runs share."""
    found = json.loads((out / "result.json").read_text())
    del found["seconds"]
    networks = [found["best"], found["biggest"], *found["finalists"], *found["random"]]
    for network in networks:
        for training in network["seeds"]:
            del training["seconds"]
    return found


def kill_when(out: Path, reached: Callable[[], bool]) -> None:
    """Start the run and kill it -9 as soon as ``reached`` says so."""
    process = start(out)
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run never came so far"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert start(out).wait() == 0
    return outcome(out)


def test_killed_in_fit_search_and_train(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    out = tmp_path / "run"
    # five lines of the log are 1/12 of the fit; two studies need four records before a trial
    kill_when(out, lambda: lines(out / "fit" / "log.jsonl") >= 5)
    kill_when(out, lambda: lines(out / "study.journal") >= 8)
    kill_when(out, lambda: lines(out / "study.journal") >= 4 + 36 + 18 + 3)  # in the chain
    kill_when(out, lambda: any((out / "networks").glob("*/*/result.json")))
    assert start(out).wait() == 0
    assert outcome(out) == uninterrupted


def test_one_process_gives_the_same_result(
    tmp_path: Path, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(sys.modules[__name__], "COMMAND", [*COMMAND, "--workers", "1"])
    assert start(out).wait() == 0
    assert outcome(out) == uninterrupted
