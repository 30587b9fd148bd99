"""ImageNet32x32: 1.28 million images of 1,000 classes, as two ``.npz`` files or in its own batches.

Source: P. Chrabaszcz, I. Loshchilov, F. Hutter, "A Downsampled Variant of ImageNet", arXiv
1707.08819. The release numbers its classes from 1; copies of it often from 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypernas.data.arrays import classified, paired
from hypernas.data.cifar import PIXELS, SHAPE, read_batch
from hypernas.data.examples import Dataset
from hypernas.data.npz import read_arrays, require_arrays
from hypernas.data.storage import allocate
from hypernas.errors import DataError

CLASSES = 1_000
BATCHES = tuple(f"train_data_batch_{number}" for number in range(1, 11))

Part = tuple[np.ndarray, np.ndarray]
"""pixels, uint8, (n, 3, 32, 32), and labels as they stand in the file, (n,)"""


def load_arrays(folder: Path) -> Dataset:
    """Load ``imagenet32_train.npz`` and ``imagenet32_val.npz``, each with ``data`` and ``labels``.

    Raises:
        DataError: a file is damaged, or its arrays are of another form.
    """
    train, val = (_arrays(folder / f"imagenet32_{part}.npz") for part in ("train", "val"))
    return _dataset(folder, train, val)


def load_batches(folder: Path) -> Dataset:
    """Load the release's pickled batches, by the guarded reader of pickles.

    Raises:
        DataError: a file is truncated or holds something else.
    """
    return _dataset(folder, _batches(folder, BATCHES), _batches(folder, ("val_data",)))


def _arrays(path: Path) -> Part:
    arrays = read_arrays(path, ("data", "labels"))
    require_arrays(path, arrays, "data", "labels")
    data = arrays["data"]
    if data.dtype != np.uint8 or data.shape[1:] not in (SHAPE, (PIXELS,)) or not len(data):
        raise DataError(
            f"{path}: data is {data.dtype} {data.shape}, not uint8 (n, 3, 32, 32) or (n, {PIXELS})"
            "; store the images so"
        )
    return data.reshape(-1, *SHAPE), arrays["labels"]


def _batches(folder: Path, names: tuple[str, ...]) -> Part:
    """Read the batches into one array, one after the other, so that no two are in memory."""
    most = sum((folder / name).stat().st_size // PIXELS for name in names)
    images, labels, count = allocate((most, *SHAPE)), [], 0
    for name in names:
        pixels, numbers = read_batch(folder / name, "labels")
        images[count : count + len(pixels)] = pixels.reshape(-1, *SHAPE)
        labels.append(numbers)
        count += len(pixels)
    return images[:count], np.concatenate(labels)


def _dataset(folder: Path, train: Part, val: Part) -> Dataset:
    where = f"{folder}: labels"
    first = _first_label(train[1], where)
    examples = paired(train[0], _from_zero(train[1], first, where), where)
    where = f"{folder}: labels to test with"
    test = paired(val[0], _from_zero(val[1], first, where), where)
    count = len(np.unique(examples.labels))
    names = tuple(str(number) for number in range(first, first + count))
    return classified(Dataset("imagenet32", examples, test, names), folder)


def _from_zero(labels: np.ndarray, first: int, where: str) -> np.ndarray:
    """Return labels that are numbered from ``first``, 0 or 1, as numbered from 0."""
    if not first or not np.issubdtype(labels.dtype, np.integer):
        return labels
    if labels.size and labels.min() < first:
        raise DataError(
            f"{where} begin at {labels.min()}, but those to learn from at {first}; number both "
            "alike"
        )
    return labels - first


def _first_label(labels: np.ndarray, where: str) -> int:
    """Return 0 or 1, whichever the classes are numbered from.

    Labels without a 0 are numbered from 1 only if they are 1 to 1,000 with none left out; 1 to 999
    could as well be numbered from 0 and lack the first class.
    """
    if not np.issubdtype(labels.dtype, np.integer) or not labels.size or labels.min() != 1:
        return 0  # what is no such label is refused with all others
    if len(np.unique(labels)) == CLASSES == labels.max():
        return 1
    raise DataError(
        f"{where} are {labels.min()} to {labels.max()}: whether they are numbered from 0 or from 1 "
        "cannot be told; number the classes from 0 to K-1"
    )
