"""What a network is shown and what it is to tell, and the data sets made of these.

Shapes: n examples, V views of each, C channels, H rows, W columns, D planes. *Spatial* stands for
(H, W) of images and (D, H, W) of volumes. L is the length of a text, K the number of classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from hypernas.data.columns import Column, Columns
from hypernas.data.encodings import Encoding, Normalisation
from hypernas.data.storage import allocate, chunks
from hypernas.data.vocabulary import Unit, Vocabulary
from hypernas.errors import DataError
from hypernas.tasks import Signature

Inputs = Literal["images", "text", "tokens", "table"]

VOID = 0
"""what a mask holds where nothing is to be told; class k is k + 1"""
BOX = 5
"""numbers of a box: left, top, right and bottom in shares of the image, and its class"""


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs, and what a network is to tell of them.

    Raises:
        DataError: the arrays are not of these types and shapes.
    """

    inputs: np.ndarray
    """images: uint8 (n, V * C, *spatial), the views of an example one after the other; texts: uint8
    (n, most bytes), UTF-8 filled up with zeros; tokens: int32 (n, L); a table: float32 (n,
    columns), NaN where a cell is empty. May be a map of a file"""
    labels: np.ndarray
    """classes: int64 (n,), 0 to K-1; masks: uint8 (n, H, W), :data:`VOID` or class + 1; boxes:
    float32 (n, most, :data:`BOX`), of class -1 where there is none"""
    views: int = 1
    """pictures of each example, such as rotations of an object: V"""

    def __post_init__(self) -> None:
        inputs, labels = self.inputs, self.labels
        kinds = {np.dtype(np.uint8): (2, 4, 5), np.dtype(np.int32): (2,), np.dtype("f4"): (2,)}
        if inputs.ndim not in kinds.get(inputs.dtype, ()):
            raise DataError(
                f"inputs are {inputs.dtype} {inputs.shape}, not images, uint8 (n, C, H, W) or "
                "(n, C, D, H, W), texts, uint8 (n, bytes), tokens, int32 (n, L), nor a table, "
                "float32 (n, columns)"
            )
        classes = labels.dtype == np.int64 and labels.ndim == 1
        masks = labels.dtype == np.uint8 and labels.shape[1:] == inputs.shape[2:]
        boxes = labels.dtype == np.float32 and labels.ndim == 3 and labels.shape[2] == BOX
        pixels = inputs.ndim == 4 and (masks or boxes)
        if len(labels) != len(inputs) or not (classes or pixels):
            raise DataError(
                f"labels are {labels.dtype} {labels.shape}, not int64 ({len(inputs)},), nor masks "
                "or boxes of images"
            )
        if self.views < 1 or inputs.shape[1] % self.views:
            raise DataError(f"{inputs.shape[1]} channels do not divide into {self.views} views")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kind(self) -> Inputs:
        """What the inputs are."""
        if self.inputs.ndim > 2:
            return "images"
        names: dict[np.dtype, Inputs] = {np.dtype("u1"): "text", np.dtype("i4"): "tokens"}
        return names.get(self.inputs.dtype, "table")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one view of one example: of images (C, *spatial)."""
        return (self.inputs.shape[1] // self.views, *self.inputs.shape[2:])

    @property
    def task(self) -> str:
        """The name of the task that the labels set."""
        if self.labels.ndim == 1:
            return "classification"
        return "segmentation" if self.labels.dtype == np.uint8 else "detection"

    @property
    def strata(self) -> np.ndarray:
        """The classes of the examples, by which splits are even, (n,); without classes all 0."""
        return self.labels if self.labels.ndim == 1 else np.zeros(len(self), np.int64)

    def take(self, indices: np.ndarray) -> Examples:
        """Return the examples at ``indices`` (integers, (m,)), in that order, as a copy."""
        if not isinstance(self.inputs, np.memmap):
            return Examples(self.inputs[indices], self.labels[indices], self.views)
        name = self.inputs.filename
        folder = Path(name).parent if isinstance(name, str | Path) else None
        inputs = allocate((len(indices), *self.inputs.shape[1:]), folder)
        for part in chunks(inputs):
            inputs[part] = self.inputs[indices[part]]
        return Examples(inputs, self.labels[indices], self.views)


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
    columns: tuple[Column, ...] = ()
    """of a table"""

    def encoding(
        self, fit: Examples, *, unit: Unit = "words", length: int | None = None
    ) -> Encoding:
        """Return what turns the inputs into a network's, measured on ``fit`` alone.

        Args:
            fit: the examples to learn from.
            unit: what texts are cut into.
            length: of texts, in units; longer ones are cut. None is what nine of ten of them have.
        """
        match fit.kind:
            case "images":
                return Normalisation.of(fit)
            case "table":
                return Columns.of(fit, self.columns)
            case "text":
                return Vocabulary.of(fit, unit=unit, length=length)
            case "tokens":  # how many numbers there are is no secret of the other splits
                return Vocabulary.given(self.train)

    @cached_property
    def signature(self) -> Signature:
        """What a space is told; in a run its encoding is measured on the fit split alone."""
        if self.train.kind == "images":
            shape, vocabulary = self.train.shape, None
        else:
            encoding = self.encoding(self.train)
            shape, vocabulary = encoding.shape(self.train), encoding.vocabulary
        return Signature(
            input_shape=shape,
            outputs=len(self.classes),
            vocabulary=vocabulary,
            task=self.train.task,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of all inputs, labels and names, wherever they lay."""
        names = [self.classes, *([c.name, c.categories] for c in self.columns)]
        digest = hashlib.sha256(json.dumps(names if self.columns else self.classes).encode())
        for part in (self.train, self.test):
            _absorb(digest, part)
        return digest.hexdigest()


def _absorb(digest: hashlib._Hash, examples: Examples | None) -> None:
    if examples is None:
        return
    views = [examples.views] if examples.views > 1 else []
    digest.update(json.dumps([*examples.inputs.shape, *views]).encode())
    digest.update(np.ascontiguousarray(examples.labels).tobytes())
    for part in chunks(examples.inputs):
        digest.update(np.ascontiguousarray(examples.inputs[part]).data)
