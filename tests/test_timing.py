"""What steps took is kept while they run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hypernas import timing
from hypernas.timing import seconds_of, timed


def test_seconds_add_up(tmp_path: Path) -> None:
    for step in ("fit", "search", "fit"):
        with timed(tmp_path, step):
            time.sleep(0.01)
    found = seconds_of(tmp_path)
    assert list(found) == ["fit", "search"]
    assert found["fit"] >= 0.02
    with pytest.raises(KeyboardInterrupt), timed(tmp_path, "search"):
        raise KeyboardInterrupt
    assert seconds_of(tmp_path)["search"] > found["search"]


def test_a_killed_step_has_left_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "EVERY", 0.01)
    with timed(tmp_path, "fit"):
        ends = time.monotonic() + 10
        while not seconds_of(tmp_path) and time.monotonic() < ends:
            time.sleep(0.01)
        assert seconds_of(tmp_path)["fit"] > 0, "nobody would know of it after kill -9"
