"""Images or volumes with their labels, and the data sets made of them.

Shapes: n examples, V views of each, C channels, H rows, W columns, D planes. *Spatial* stands for
(H, W) of images and (D, H, W) of volumes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hypernas.data.storage import allocate, chunks
from hypernas.errors import DataError
from hypernas.tasks import Signature


@dataclass(frozen=True, eq=False)
class Examples:
    """Images or volumes and their labels.

    Raises:
        DataError: the arrays are not of these types and shapes.
    """

    images: np.ndarray
    """uint8, (n, V * C, *spatial), the views of an example one after the other; may be a map"""
    labels: np.ndarray
    """int64, (n,), each from 0 to the number of classes minus one"""
    views: int = 1
    """pictures of each example, such as rotations of an object: V"""

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim not in (4, 5):
            raise DataError(
                f"images are {images.dtype} {images.shape}, not uint8 (n, C, H, W) or "
                "(n, C, D, H, W)"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(f"labels are {labels.dtype} {labels.shape}, not int64 ({len(images)},)")
        if self.views < 1 or images.shape[1] % self.views:
            raise DataError(f"{images.shape[1]} channels do not divide into {self.views} views")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one view of one example, (C, *spatial)."""
        return (self.images.shape[1] // self.views, *self.images.shape[2:])

    def take(self, indices: np.ndarray) -> Examples:
        """Return the examples at ``indices`` (integers, (m,)), in that order, as a copy."""
        if not isinstance(self.images, np.memmap):
            return Examples(self.images[indices], self.labels[indices], self.views)
        name = self.images.filename
        folder = Path(name).parent if isinstance(name, str | Path) else None
        images = allocate((len(indices), *self.images.shape[1:]), folder)
        for part in chunks(images):
            images[part] = self.images[indices[part]]
        return Examples(images, self.labels[indices], self.views)


@dataclass(frozen=True, eq=False)
class Dataset:
    """What was loaded: examples to learn from, perhaps a test set of its own, and class names."""

    name: str
    train: Examples
    test: Examples | None
    classes: tuple[str, ...]
    """name of each label"""
    skipped: tuple[str, ...] = ()
    """the damaged files that were left out"""

    @property
    def signature(self) -> Signature:
        """The shape of one view, (C, *spatial), and the number of classes."""
        return Signature(input_shape=self.train.shape, outputs=len(self.classes))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of all pixels, labels and class names, wherever they lay."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for part in (self.train, self.test):
            _absorb(digest, part)
        return digest.hexdigest()


def _absorb(digest: hashlib._Hash, examples: Examples | None) -> None:
    if examples is None:
        return
    views = [examples.views] if examples.views > 1 else []
    digest.update(json.dumps([*examples.images.shape, *views]).encode())
    digest.update(examples.labels.astype("<i8").tobytes())
    for part in chunks(examples.images):
        digest.update(np.ascontiguousarray(examples.images[part]).data)
