"""What the steps of a run took on the wall clock, kept in its ``seconds.json``."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from pathlib import Path

from hypernas.files import read_json, write_json

EVERY = 10.0
"""seconds after which what a step took so far is kept"""


def seconds_of(folder: Path) -> dict[str, float]:
    """Return the seconds of each step of the run in ``folder``, by name; of those done so far."""
    path = folder / "seconds.json"
    return read_json(path, dict[str, float]) if path.exists() else {}


@contextlib.contextmanager
def timed(folder: Path, step: str) -> Generator[None, None, None]:
    """Add the seconds of the block to those of a step, now and then while it runs.

    So a process that is killed loses a few seconds of what it took, and not all.
    """
    before, began = seconds_of(folder).get(step, 0.0), time.perf_counter()

    def keep() -> None:
        passed = time.perf_counter() - began
        write_json(folder / "seconds.json", seconds_of(folder) | {step: before + passed})

    def keep_now_and_then() -> None:
        while not ended.wait(EVERY):
            keep()

    ended = threading.Event()
    thread = threading.Thread(target=keep_now_and_then, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        keep()
