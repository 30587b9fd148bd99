"""Data sets that come as arrays: ``.npz`` files, and the checks that all arrays share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypernas.data.examples import Dataset, Examples
from hypernas.data.npz import read_arrays, require_arrays
from hypernas.errors import DataError

MOST_CHANNELS = 4
LAYOUTS = (
    f"(n, H, W), (n, H, W, C) or (n, C, H, W) with C of 1 to {MOST_CHANNELS}, or volumes "
    "(n, C, D, H, W)"
)


def load_images(path: Path) -> Dataset:
    """Load ``images`` and ``labels``, and ``test_images`` and ``test_labels`` where present.

    Raises:
        DataError: the file is damaged, an array is missing, or one cannot be used.
    """
    arrays = read_arrays(path, ("images", "labels", "test_images", "test_labels"))
    require_arrays(path, arrays, "images", "labels")
    has_test = bool({"test_images", "test_labels"} & arrays.keys())
    if has_test:
        require_arrays(path, arrays, "test_images", "test_labels")
    train = paired(read_pixels(path, arrays, "images"), arrays["labels"], f"{path}: labels")
    outputs = class_count(train.labels, f"{path}: labels")
    test = None
    if has_test:
        images = read_pixels(path, arrays, "test_images")
        test = paired(images, arrays["test_labels"], f"{path}: test_labels")
        require_same(train, test, outputs, f"{path}: test_")
    return Dataset(path.stem, train, test, tuple(str(label) for label in range(outputs)))


def read_pixels(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the images ``name`` of a file's arrays as uint8, (n, C, *spatial).

    They are uint8, or floats that are all within 0..1 (multiplied by 255) or else all within 0..255
    (taken as they are), rounded; those of both splits alike.

    Raises:
        DataError: they are of another type, range or shape.
    """
    both = [arrays[n] for n in ("images", "test_images") if n in arrays]
    for other in ("images", "test_images"):
        if other in arrays:
            _require_range(arrays[other], f"{path}: {other}")
    scale = 1 if any(map(_above_one, both)) else 255
    return channels_first(_as_bytes(arrays[name], scale), f"{path}: {name}")


def channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """Return ``images`` of any of the four layouts as (n, C, H, W) or (n, C, D, H, W).

    Raises:
        DataError: the shape is none of them, or could be two of them.
    """
    if images.ndim == 3 and images.size:
        return images[:, None]
    if images.ndim == 5 and images.size and images.shape[1] <= MOST_CHANNELS:
        return images
    if images.ndim != 4 or not images.size:
        raise DataError(f"{where} has shape {images.shape}; expected {LAYOUTS}, none of them zero")
    first, last = images.shape[1] <= MOST_CHANNELS, images.shape[3] <= MOST_CHANNELS
    if first == last:
        word = "can be read in two ways" if first else "shows no channel axis"
        raise DataError(f"{where} has shape {images.shape}, which {word}; expected {LAYOUTS}")
    return images if first else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def paired(images: np.ndarray, labels: np.ndarray, where: str, *, views: int = 1) -> Examples:
    """Join ``images`` (n, V * C, *spatial) and ``labels``, which must be n integers from 0 on.

    Raises:
        DataError: the labels are of another type, shape or number, or negative.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where} are {labels.dtype}, but must be integers 0 to K-1; "
            'number the classes, or convert with .astype("int64")'
        )
    if labels.ndim != 1:
        raise DataError(f"{where} have shape {labels.shape}, but must be one label an image: (n,)")
    if len(labels) != len(images):
        raise DataError(
            f"{where}: {len(labels)} labels for {len(images)} images; store one label an image"
        )
    if labels.min() < 0:
        raise DataError(f"{where} hold {labels.min()}; number the classes from 0 to K-1")
    return Examples(images, labels.astype(np.int64), views)


def class_count(labels: np.ndarray, where: str) -> int:
    """Return K of labels (int64, (n,)) that are 0 to K-1, each present.

    Raises:
        DataError: a label has no example, or there is only one class.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(
            f"{where} hold only the class {present[0]}; at least two classes are needed"
        )
    if present[-1] != len(present) - 1:
        missing = int(np.flatnonzero(present != np.arange(len(present)))[0])
        raise DataError(
            f"{where} go up to {present[-1]}, but {missing} has no example; "
            "number the classes 0 to K-1 without a gap"
        )
    return len(present)


def classified(dataset: Dataset, where: Path) -> Dataset:
    """Return ``dataset`` if its examples and class names fit each other.

    Raises:
        DataError: a class has no example to learn from, or the test set is of another kind.
    """
    outputs = class_count(dataset.train.labels, f"{where}: labels")
    if outputs != len(dataset.classes):
        raise DataError(
            f"{where}: labels are of {outputs} classes, but {dataset.name} has "
            f"{len(dataset.classes)}; get the files again"
        )
    if dataset.test is not None:
        require_same(dataset.train, dataset.test, outputs, f"{where}: test ")
    return dataset


def require_same(train: Examples, test: Examples, outputs: int, where: str) -> None:
    """Refuse a test set whose images or labels are not of the training set's kind.

    Raises:
        DataError: the image shapes differ or a test label is none of the ``outputs`` classes.
    """
    if (train.shape, train.views) != (test.shape, test.views):
        raise DataError(
            f"{where}images are {_form(test)}, those to learn from {_form(train)}; "
            "store both in one size"
        )
    if test.labels.max() >= outputs:
        raise DataError(
            f"{where}labels hold {test.labels.max()}, but the training labels go only to "
            f"{outputs - 1}; leave those test images out or add such training images"
        )


def _form(examples: Examples) -> str:
    views = f" in {examples.views} views" if examples.views > 1 else ""
    return f"{examples.shape} ({'C, H, W' if len(examples.shape) == 3 else 'C, D, H, W'}){views}"


def _require_range(images: np.ndarray, where: str) -> None:
    """Refuse pixels that are neither bytes nor finite floats of 0 to 255."""
    if images.dtype == np.uint8 or not images.size:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(
            f"{where} is {images.dtype}; store uint8 (0 to 255) or floats (0 to 1, or 0 to 255)"
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255):  # also refuses NaN
        raise DataError(
            f"{where} has floats from {low:g} to {high:g}; store pixels of 0 to 1 or of 0 to 255, "
            "not normalised ones"
        )


def _above_one(images: np.ndarray) -> bool:
    return bool(images.dtype != np.uint8 and images.size and images.max() > 1)


def _as_bytes(images: np.ndarray, scale: int) -> np.ndarray:
    return images if images.dtype == np.uint8 else np.rint(images * scale).astype(np.uint8)
