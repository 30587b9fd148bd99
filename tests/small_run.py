"""The configuration of a run that is finished in seconds; what it finds is worth nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hypernas import exporting
from hypernas.config import Config
from hypernas.files import read_tensors, write_tensors
from hypernas.largest import Largest

RUN = Config(
    data="digits",
    options={"width": 4, "cells": 1, "nodes": 2},
    steps=40,
    trials=40,
    finalists=2,
    sample=0,
    seeds=2,
    epochs=1,
    best_epochs=1,
    batch=32,
    examples=600,
    score_images=100,
    workers=1,
    survey=300,
)

WRITE_PROGRAMS = exporting._write_programs


@contextmanager
def programs(write: bool = True) -> Iterator[None]:
    """While the block runs, exports hold ``model.pt2`` and ``model.onnx``, or else do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_write_programs", WRITE_PROGRAMS if write else lambda *_: {})
        yield


def shrink_fitted(folder: Path, params: int) -> None:
    """Let a run believe that its hypernetwork was fitted on networks up to so many parameters."""
    path = folder / "hypernet.safetensors"
    largest = Largest(params=params, macs=10**12)
    write_tensors(path, read_tensors(path)[0], {"largest": largest})


class Untouchable:
    """Stands for the test split before the end."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was looked at: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was looked at: its length")
