"""``.npz`` files of your own: images with labels, masks or boxes; texts; tokens; tables.

What a file holds is told by the names of its arrays; with ``test_`` before the name, they are the
test set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hypernas.data.arrays import load_images, read_pixels
from hypernas.data.columns import Column
from hypernas.data.examples import Dataset, Examples
from hypernas.data.npz import names_in, read_arrays, require_arrays
from hypernas.data.pixels import named_classes, stored_boxes, stored_masks
from hypernas.data.rows import labelled, stored_texts
from hypernas.errors import DataError

Arrays = dict[str, np.ndarray]


def load_npz(path: Path) -> Dataset:
    """Load ``images`` with ``labels``, ``masks`` or ``boxes``; or ``texts``, ``tokens``, ``table``.

    Nothing in the file is ever unpickled.

    Raises:
        DataError: the file is damaged, an array is missing, or one cannot be used.
    """
    names = names_in(path)
    if "images" in names and "masks" in names:
        return _load_pixels(path, ("images", "masks"), _masks)
    if "images" in names and "boxes" in names:
        return _load_pixels(path, ("images", "boxes", "labels"), _boxes)
    for name, stored in INPUTS.items():
        if name in names:
            return _load_rows(path, name, stored)
    return load_images(path)


def _load_pixels(
    path: Path, names: tuple[str, ...], make: Callable[[Path, Arrays, str], Examples]
) -> Dataset:
    arrays = _read(path, (*names, "classes"), names)
    parts = [make(path, arrays, start) for start in ("", "test_") if f"{start}{names[0]}" in arrays]
    given = arrays.get("classes", np.empty(0))
    classes = named_classes(parts, f"{path}: {names[1]}", [str(name) for name in given])
    if len({part.shape for part in parts}) > 1:
        raise DataError(f"{path}: test_images are of another size than images; store both in one")
    return Dataset(path.stem, parts[0], parts[1] if parts[1:] else None, classes)


def _read(path: Path, wanted: tuple[str, ...], needed: tuple[str, ...]) -> Arrays:
    """Read the wanted arrays and their ``test_`` ones, of which there must be all or none."""
    arrays = read_arrays(path, (*wanted, *(f"test_{name}" for name in wanted)))
    require_arrays(path, arrays, *needed)
    tested = tuple(f"test_{name}" for name in needed)
    if any(name in arrays for name in tested):
        require_arrays(path, arrays, *tested)
    return arrays


def _masks(path: Path, arrays: Arrays, start: str) -> Examples:
    images = read_pixels(path, arrays, f"{start}images")
    masks = stored_masks(arrays[f"{start}masks"], f"{path}: {start}masks")
    if masks.shape != (len(images), *images.shape[2:]):
        raise DataError(
            f"{path}: {start}masks are {masks.shape}, the images {images.shape}; store a mask of "
            "its size for each image"
        )
    return Examples(images, masks)


def _boxes(path: Path, arrays: Arrays, start: str) -> Examples:
    images = read_pixels(path, arrays, f"{start}images")
    boxes, labels = arrays[f"{start}boxes"], arrays[f"{start}labels"]
    if len(boxes) != len(images):
        raise DataError(
            f"{path}: {len(boxes)} {start}boxes for {len(images)} images; store a row of boxes for "
            "each image, (n, most, 4)"
        )
    found = stored_boxes(boxes, labels, images.shape[2:], f"{path}: {start}boxes")
    return Examples(images, found)


def _load_rows(path: Path, name: str, stored: Callable[[str, np.ndarray], np.ndarray]) -> Dataset:
    arrays = _read(path, (name, "labels", "columns"), (name, "labels"))
    inputs, given, tested = [], [], []
    for start in ("", "test_"):
        if f"{start}{name}" not in arrays:
            continue
        made, labels = arrays[f"{start}{name}"], arrays[f"{start}labels"]
        if labels.shape != made.shape[:1]:
            raise DataError(
                f"{path}: {start}labels are {labels.shape} for {len(made)} {start}{name}; store "
                "one label each"
            )
        inputs.append(made)
        given += [str(label) for label in labels]
        tested += [bool(start)] * len(made)
    try:
        both = stored(f"{path}: {name}", np.concatenate(inputs))
    except ValueError as error:
        raise DataError(f"{path}: test_{name} are of another shape than {name}") from error
    columns = _columns(path, both, arrays) if name == "table" else ()
    return labelled(path, both, given, np.array(tested), columns)


def _columns(path: Path, table: np.ndarray, arrays: Arrays) -> tuple[Column, ...]:
    given = [str(name) for name in arrays.get("columns", np.arange(table.shape[1]))]
    if len(given) != table.shape[1]:
        raise DataError(f"{path}: {len(given)} names in columns for {table.shape[1]} columns")
    return tuple(Column(name=name) for name in given)


def _texts(where: str, given: np.ndarray) -> np.ndarray:
    if given.ndim != 1 or given.dtype.kind != "U":
        raise DataError(f"{where} are {given.dtype} {given.shape}; store text, (n,)")
    return stored_texts(given.tolist())


def _tokens(where: str, given: np.ndarray) -> np.ndarray:
    whole = np.issubdtype(given.dtype, np.integer) and given.ndim == 2 and given.size
    if not whole or given.min() < 0 or given.max() >= 2**24:
        raise DataError(
            f"{where} are {given.dtype} {given.shape}; store integers (n, length) from 0, which "
            "fills up short texts"
        )
    return given.astype(np.int32)


def _table(where: str, given: np.ndarray) -> np.ndarray:
    if given.dtype.kind not in "fiub" or given.ndim != 2 or not given.size:
        raise DataError(f"{where} is {given.dtype} {given.shape}; store numbers (n, columns)")
    if np.isinf(given).any():
        raise DataError(f"{where} holds infinite numbers; store NaN where a cell is empty")
    return given.astype(np.float32)


INPUTS: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "texts": _texts,
    "tokens": _tokens,
    "table": _table,
}
"""names of arrays that are no images, and how each is stored"""
