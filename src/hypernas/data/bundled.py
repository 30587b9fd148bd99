"""Small data sets that need no download: inside scikit-learn, or made of what is inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from hypernas.data.columns import Column
from hypernas.data.examples import BOX, Dataset, Examples

SIDE = 32
"""of a scene, pixels"""
SIZES = (10, 18)
"""least and most side of a digit in a scene, pixels"""
MOST_DIGITS = 3
SCENES = 1600
TEST_SCENES = 400
INK = 96
"""grey level from which a pixel belongs to its digit"""
FIRST_TEST = 1200
"""the digits from this one on stand in test scenes, those before it in the others"""


def load_digits() -> Dataset:
    """Return 1,797 grey 8×8 images of handwritten digits."""
    images, labels = _digits()
    return Dataset("digits", Examples(images[:, None], labels), None, tuple("0123456789"))


def load_table(name: str) -> Dataset:
    """Return a table of scikit-learn: ``wine`` or ``breast-cancer``."""
    from sklearn import datasets  # slow to import, and for these data sets only

    loaders: dict[str, Callable[[], Any]] = {
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
    }
    found = loaders[name]()
    columns = tuple(Column(name=str(column)) for column in found.feature_names)
    examples = Examples(found.data.astype(np.float32), found.target.astype(np.int64))
    return Dataset(name, examples, None, tuple(map(str, found.target_names)), columns=columns)


def load_scenes(kind: str) -> Dataset:
    """Return scenes of one to three digits of several sizes on noise, apart from each other.

    Args:
        kind: ``masks`` for the class of each pixel, background or one of ten digits; ``boxes`` for
            the box and the class of each digit.
    """
    images, labels = _digits()
    train = _scenes(images[:FIRST_TEST], labels[:FIRST_TEST], SCENES, seed=0, kind=kind)
    test = _scenes(images[FIRST_TEST:], labels[FIRST_TEST:], TEST_SCENES, seed=1, kind=kind)
    if kind == "masks":
        return Dataset("digit-scenes", train, test, ("background", *"0123456789"))
    return Dataset("digit-boxes", train, test, tuple("0123456789"))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # slow to import

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)


def _scenes(
    digits: np.ndarray, labels: np.ndarray, count: int, *, seed: int, kind: str
) -> Examples:
    draw = np.random.default_rng(seed)
    scenes = draw.integers(0, 60, (count, SIDE, SIDE)).astype(np.uint8)
    masks = np.ones((count, SIDE, SIDE), np.uint8)  # the background is class 0, kept as 1
    boxes = np.zeros((count, MOST_DIGITS, BOX), np.float32)
    boxes[..., 4] = -1
    for scene, mask, found in zip(scenes, masks, boxes, strict=True):
        free = np.ones((SIDE, SIDE), bool)
        for row in found[: draw.integers(1, MOST_DIGITS + 1)]:
            which = int(draw.integers(len(digits)))
            _paste(scene, mask, row, free, digits[which], int(labels[which]), draw)
    return Examples(scenes[:, None], masks if kind == "masks" else boxes)


def _paste(
    scene: np.ndarray,
    mask: np.ndarray,
    row: np.ndarray,
    free: np.ndarray,
    digit: np.ndarray,
    label: int,
    draw: np.random.Generator,
) -> None:
    """Put a digit where nothing is yet, if a place is found, and note its pixels and its box."""
    side = int(draw.integers(SIZES[0], SIZES[1] + 1))
    picture = np.asarray(
        Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR), np.uint8
    )
    for _ in range(10):
        top, left = draw.integers(0, SIDE - side + 1, 2)
        place = slice(top, top + side), slice(left, left + side)
        if not free[place].all():
            continue
        free[place] = False
        scene[place] = np.maximum(scene[place], picture)
        ink = picture >= INK
        mask[place][ink] = label + 2
        down, across = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        sides = left + across[0], top + down[0], left + across[-1] + 1, top + down[-1] + 1
        row[:] = *(side / SIDE for side in sides), label
        return
