"""Tiny files in every format, written by the tests themselves."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hypernas.data import Dataset, Examples
from hypernas.data.idx import FILES


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what lies on this machine out of the tests."""
    monkeypatch.setenv("HYPERNAS_DATA", str(tmp_path / "home"))
    monkeypatch.setattr("hypernas.data.places.cache_home", lambda: tmp_path / "cache")
    monkeypatch.setattr("hypernas.data.places.DEBIAN", tmp_path / "debian")
    return tmp_path / "home"


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def make_folder(draw: np.random.Generator) -> Callable[..., Path]:
    """Write ``count`` noisy images for each class and return the root."""

    def write(
        root: Path, classes: tuple[str, ...] = ("cat", "dog"), *, count: int = 3, mode: str = "RGB"
    ) -> Path:
        for name in classes:
            (root / name).mkdir(parents=True)
            for number in range(count):
                shape = (6, 5) if mode == "L" else (6, 5, 3)
                pixels = draw.integers(0, 256, shape).astype(np.uint8)
                Image.fromarray(pixels).save(root / name / f"{number}.png")
        return root

    return write


def idx_bytes(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


@pytest.fixture
def make_idx(draw: np.random.Generator) -> Callable[..., Path]:
    """Write the four IDX files of MNIST's names and return their folder."""

    def write(folder: Path, *, zipped: bool = True, classes: int = 10) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for stems in FILES.values():
            images = draw.integers(0, 256, (20, 4, 3)).astype(np.uint8)
            arrays = (images, np.arange(20, dtype=np.uint8) % classes)
            for stem, array in zip(stems, arrays, strict=True):
                content = idx_bytes(array)
                path = folder / (f"{stem}.gz" if zipped else stem)
                path.write_bytes(gzip.compress(content) if zipped else content)
        return folder

    return write


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    """Make a data set with ``counts[k]`` examples of class k, its own test set if asked for."""

    def make(counts: list[int], tested: list[int] | None = None) -> Dataset:
        names = tuple(f"class{label}" for label in range(len(counts)))
        return Dataset("toy", _numbered(counts), _numbered(tested) if tested else None, names)

    return make


def _numbered(counts: list[int]) -> Examples:
    """Return examples whose first two pixels are their own number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    numbers = np.arange(len(labels))
    images = np.stack([numbers // 256, numbers % 256], 1).astype(np.uint8).reshape(-1, 1, 1, 2)
    return Examples(images, labels.astype(np.int64))
