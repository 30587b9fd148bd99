"""STL-10: 5,000 labelled images of 96x96 in ten folds, 8,000 to test; the unlabelled are not used.

Source: A. Coates, H. Lee, A. Ng, AISTATS 2011; https://cs.stanford.edu/~acoates/stl10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypernas.data.arrays import classified, paired
from hypernas.data.examples import Dataset, Examples
from hypernas.data.records import read_lines, read_records
from hypernas.errors import DataError

SIDE = 96
CLASSES = 10
TRAIN, TEST = 5_000, 8_000
FOLDS, FOLD = 10, 1_000
"""number of folds, and of images in each"""


def load_stl10(folder: Path, *, fold: int | None = None) -> Dataset:
    """Load the binary version, all images to learn from or those of ``fold`` (0 to 9).

    The pixels stay in their files; each image lies there column by column.

    Raises:
        DataError: a file is truncated or damaged.
    """
    train, test = _part(folder, "train", TRAIN), _part(folder, "test", TEST)
    name = "stl10"
    if fold is not None:
        train, name = train.take(_fold(folder / "fold_indices.txt", fold)), f"stl10:{fold}"
    names = read_lines(folder / "class_names.txt", CLASSES)
    return classified(Dataset(name, train, test, names), folder)


def _part(folder: Path, part: str, count: int) -> Examples:
    pixels = read_records(folder / f"{part}_X.bin", count, (3, SIDE, SIDE))
    path = folder / f"{part}_y.bin"
    labels = read_records(path, count).astype(np.int64)
    if labels.min() < 1 or labels.max() > CLASSES:
        raise DataError(
            f"{path}: labels are {labels.min()} to {labels.max()}, not 1 to {CLASSES}; "
            "get the file again"
        )
    return paired(pixels.swapaxes(2, 3), labels - 1, f"{path}: labels")


def _fold(path: Path, fold: int) -> np.ndarray:
    """Return the images of a fold, sorted, each once: a second copy could leak between splits."""
    line = read_lines(path, FOLDS)[fold].split()
    if len(line) != FOLD or not all(word.isdecimal() and int(word) < TRAIN for word in line):
        raise DataError(
            f"{path}: line {fold + 1} is not {FOLD:,} numbers below {TRAIN:,}; get the file again"
        )
    return np.unique(np.array(line, np.int64))
