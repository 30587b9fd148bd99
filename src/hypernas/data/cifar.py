"""CIFAR-10 and CIFAR-100, the binary and the Python version.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the formats
are described at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hypernas.data.arrays import classified, paired
from hypernas.data.examples import Dataset, Examples
from hypernas.data.guarded_pickle import read_pickle
from hypernas.data.records import read_lines, read_records
from hypernas.data.storage import allocate
from hypernas.errors import DataError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


class Cifar(NamedTuple):
    """What one of the two data sets is made of."""

    name: str
    classes: int
    train: tuple[str, ...]
    """files, without their ending"""
    test: str
    train_count: int
    """images in each file to learn from"""
    test_count: int
    label_bytes: int
    """before the pixels of each image; the last is the class"""
    label_key: str
    """of the Python version"""
    binary_names: str
    """file with the class names"""
    python_names: tuple[str, str]
    """file with the class names, and their key"""


CIFAR10 = Cifar(
    name="cifar10",
    classes=10,
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    train_count=10_000,
    test_count=10_000,
    label_bytes=1,
    label_key="labels",
    binary_names="batches.meta.txt",
    python_names=("batches.meta", "label_names"),
)
CIFAR100 = Cifar(
    name="cifar100",
    classes=100,
    train=("train",),
    test="test",
    train_count=50_000,
    test_count=10_000,
    label_bytes=2,
    label_key="fine_labels",
    binary_names="fine_label_names.txt",
    python_names=("meta", "fine_label_names"),
)


def load_binary(folder: Path, cifar: Cifar) -> Dataset:
    """Load the binary version.

    Raises:
        DataError: a file is truncated or does not fit the others.
    """

    def part(stems: Sequence[str], count: int) -> Examples:
        shape = (cifar.label_bytes + PIXELS,)
        records = [read_records(folder / f"{stem}.bin", count, shape) for stem in stems]
        labels = np.concatenate([record[:, cifar.label_bytes - 1] for record in records])
        images = joined([record[:, cifar.label_bytes :] for record in records])
        return paired(images, labels, f"{folder / stems[0]}.bin: labels")

    train, test = part(cifar.train, cifar.train_count), part([cifar.test], cifar.test_count)
    names = read_lines(folder / cifar.binary_names, cifar.classes)
    return classified(Dataset(cifar.name, train, test, names), folder)


def load_python(folder: Path, cifar: Cifar) -> Dataset:
    """Load the Python version, by the guarded reader of pickles.

    Raises:
        DataError: a file is truncated, holds something else, or does not fit the others.
    """

    def part(stems: Sequence[str], count: int) -> Examples:
        batches = [read_batch(folder / stem, cifar.label_key) for stem in stems]
        for stem, (images, _) in zip(stems, batches, strict=True):
            if len(images) != count:
                raise DataError(
                    f"{folder / stem} holds {len(images):,} images, not {count:,}; "
                    "get the file again"
                )
        labels = np.concatenate([labels for _, labels in batches])
        images = joined([images for images, _ in batches])
        return paired(images, labels, f"{folder / stems[0]}: labels")

    train, test = part(cifar.train, cifar.train_count), part([cifar.test], cifar.test_count)
    return classified(Dataset(cifar.name, train, test, _names(folder, cifar)), folder)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows of pixels (uint8, each (n, 3072)) together as images (N, 3, 32, 32)."""
    images = allocate((sum(map(len, parts)), *SHAPE))
    start = 0
    for part in parts:
        images[start : start + len(part)] = part.reshape(-1, *SHAPE)
        start += len(part)
    return images


def read_batch(path: Path, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (uint8, (n, 3072)) and labels (n,) of a pickled batch.

    Raises:
        DataError: the file holds something else.
    """
    content = read_pickle(path)
    data, labels = (_entry(path, content, key) for key in ("data", label_key))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        given = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data)
        raise DataError(f"{path}: data is {given}, not uint8 (n, {PIXELS}); get the file again")
    listed = isinstance(labels, list) and all(map(np.isscalar, labels))
    if not listed and not (isinstance(labels, np.ndarray) and labels.ndim == 1):
        raise DataError(f"{path}: {label_key} are no list of numbers; get the file again")
    labels = np.asarray(labels)
    if len(labels) != len(data):
        raise DataError(f"{path}: {len(labels)} labels for {len(data)} images; get the file again")
    return data, labels


def _names(folder: Path, cifar: Cifar) -> tuple[str, ...]:
    file, key = cifar.python_names
    names = _entry(folder / file, read_pickle(folder / file), key)
    listed = names if isinstance(names, list) else []
    decoded = [name.decode("latin-1") if isinstance(name, bytes) else name for name in listed]
    if len(decoded) != cifar.classes or not all(isinstance(name, str) for name in decoded):
        raise DataError(f"{folder / file}: {key} are not {cifar.classes} names; get the file again")
    return tuple(decoded)


def _entry(path: Path, content: dict[str, Any], key: str) -> Any:
    if key not in content:
        held = ", ".join(content) or "nothing"
        raise DataError(f"{path} has no entry {key!r} (it holds: {held}); get the file again")
    return content[key]
