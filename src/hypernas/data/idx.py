"""The IDX format of MNIST and its relatives, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from hypernas.data.arrays import class_count, paired, require_same
from hypernas.data.examples import Dataset, Examples
from hypernas.errors import DataError

UNSIGNED_BYTE = 0x08
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def holds_idx(folder: Path) -> bool:
    """Say whether ``folder`` holds MNIST's training images by name."""
    return _find(folder, FILES["train"][0]) is not None


def load_idx(
    folder: Path, *, name: str | None = None, classes: tuple[str, ...] | None = None
) -> Dataset:
    """Load a folder with the four (or, without a test set, two) files of MNIST's names.

    Raises:
        DataError: a file is missing, damaged, or does not fit the others.
    """
    train = _part(folder, "train")
    where = f"{folder}/{FILES['train'][1]}: labels"
    outputs = class_count(train.labels, where)
    test = None
    if any(_find(folder, stem) for stem in FILES["test"]):
        test = _part(folder, "test")
        require_same(train, test, outputs, f"{folder}/t10k: ")
    if classes is not None and outputs != len(classes):
        raise DataError(
            f"{where} are of {outputs} classes, but {name} has {len(classes)}; "
            "these are the files of another data set: name their folder instead"
        )
    names = classes or tuple(str(label) for label in range(outputs))
    return Dataset(name or folder.resolve().name, train, test, names)


def read_idx(path: Path, dims: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes as a uint8 array of ``dims`` axes.

    Raises:
        DataError: the file is no such file, or is truncated or too long.
    """
    content = _content(path)
    expected = bytes([0, 0, UNSIGNED_BYTE, dims])
    if content[:4] != expected:
        raise DataError(
            f"{path} begins with {bytes(content[:4]).hex() or 'nothing'}, not {expected.hex()} as "
            f"an IDX file of unsigned bytes with {dims} axes does; get the file again"
        )
    header = 4 + 4 * dims
    if len(content) < header:
        raise DataError(f"{path} is truncated within its header; get the file again")
    shape = struct.unpack(f">{dims}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path} holds {len(content) - header:,} bytes of data, but its header {shape} says "
            f"{math.prod(shape):,}; it is truncated or damaged: get the file again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytearray:
    """Return the bytes of the file, unpacked; a bytearray keeps the array writable."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return bytearray(file.read())
        return bytearray(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; get the file again") from error


def _part(folder: Path, part: str) -> Examples:
    paths = [_find(folder, stem) for stem in FILES[part]]
    for stem, path in zip(FILES[part], paths, strict=True):
        if path is None:
            raise DataError(f"{folder} has no {stem} (or {stem}.gz); put it beside the others")
    images_path, labels_path = (path for path in paths if path is not None)
    images = read_idx(images_path, 3)
    if not images.size:
        raise DataError(f"{images_path} holds no images: shape {images.shape}; get the file again")
    return paired(images[:, None], read_idx(labels_path, 1), f"{labels_path}: labels")


def _find(folder: Path, stem: str) -> Path | None:
    """Return the file of that name, with '-' or '.' before 'idx', plain or gzipped."""
    stems = (stem, stem.replace("-idx", ".idx"))
    paths = [folder / f"{name}{suffix}" for name in stems for suffix in ("", ".gz")]
    return next((path for path in paths if path.is_file()), None)
