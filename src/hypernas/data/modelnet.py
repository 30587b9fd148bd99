"""ModelNet10 and ModelNet40: objects as 32x32x32 voxels, each seen in 12 or 24 rotations.

Source: Z. Wu et al., "3D ShapeNets", CVPR 2015; the voxels of all rotations in one ``.npz`` file as
in A. Brock et al., "SMASH", arXiv 1708.05344.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypernas.data.arrays import classified, paired
from hypernas.data.examples import Dataset, Examples
from hypernas.data.npz import read_arrays, require_arrays
from hypernas.data.storage import allocate, chunks
from hypernas.errors import DataError

SIDES = (32, 32, 32)


def load_modelnet(folder: Path, *, classes: int, rotations: int) -> Dataset:
    """Load ``modelnet10_rot24_train.npz`` and ``..._test.npz`` or their like.

    Each holds ``data``, (n, rotations, 32, 32, 32), of 0 and 1, and ``labels``, (n,), from 0. The
    rotations become views of one example, so that none of an object's is in another split.

    Raises:
        DataError: a file is damaged, or its arrays are of another form.
    """
    stem = folder / f"modelnet{classes}_rot{rotations}"
    train, test = (_part(Path(f"{stem}_{part}.npz"), rotations) for part in ("train", "test"))
    names = tuple(str(label) for label in range(classes))
    return classified(Dataset(f"modelnet{classes}", train, test, names), folder)


def _part(path: Path, rotations: int) -> Examples:
    arrays = read_arrays(path, ("data", "labels"))
    require_arrays(path, arrays, "data", "labels")
    data = arrays.pop("data")
    if data.shape[1:] != (rotations, *SIDES) or not len(data):
        sides = ", ".join(map(str, SIDES))
        hint = "store them so"
        if data.shape[1:] == (1, *SIDES) and len(data) % rotations == 0:
            hint = (
                "if the rotations of an object follow each other, store "
                f"data.reshape(-1, {rotations}, {sides}) and labels[::{rotations}]"
            )
        raise DataError(
            f"{path}: data has shape {data.shape}, not (n, {rotations}, {sides}), all rotations "
            f"of an object in one item; {hint}"
        )
    return paired(_bright(data, path), arrays["labels"], f"{path}: labels", views=rotations)


def _bright(voxels: np.ndarray, path: Path) -> np.ndarray:
    """Return voxels of 0 and 1 as 0 and 255, as images are, in place where that costs no memory."""
    if voxels.dtype not in (np.uint8, np.bool_):
        raise DataError(f"{path}: data is {voxels.dtype}; store uint8 or bool, 0 and 1")
    mapped = getattr(voxels, "mode", None) == "c"  # what is written there takes memory
    voxels = voxels.view(np.uint8)
    bright = allocate(voxels.shape) if mapped else voxels
    for part in chunks(voxels):
        if voxels[part].max() > 1:
            raise DataError(f"{path}: data holds {voxels[part].max()}; voxels are 0 or 1")
        np.multiply(voxels[part], 255, out=bright[part])
    return bright
