"""Writers of the public data sets' files, small ones in the documented formats."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from hypernas.data import cifar, imagenet32, modelnet, stl10

CIFAR10_NAMES = tuple(f"thing{i}" for i in range(10))
COUNT = 20
"""images a file"""


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the formats have so few images that a test can write them."""
    for name in ("CIFAR10", "CIFAR100"):
        whole = getattr(cifar, name)
        few = whole._replace(train_count=COUNT, test_count=COUNT)
        if name == "CIFAR100":
            few = few._replace(train_count=200, test_count=100)
        monkeypatch.setattr(cifar, name, few)
        for form in formats_of(whole.name):
            monkeypatch.setitem(form.load.keywords, "cifar", few)
    monkeypatch.setattr(stl10, "TRAIN", 40)
    monkeypatch.setattr(stl10, "TEST", 20)
    monkeypatch.setattr(stl10, "FOLD", 20)
    monkeypatch.setattr(imagenet32, "CLASSES", 20)
    monkeypatch.setattr(modelnet, "SIDES", (8, 8, 8))


def formats_of(name: str) -> list:
    from hypernas.data.formats import FORMATS

    return [form for form in FORMATS if form.name == name]


def pixels(draw: np.random.Generator, count: int, *shape: int) -> np.ndarray:
    return draw.integers(0, 256, (count, *shape)).astype(np.uint8)


def write_cifar10(folder: Path, draw: np.random.Generator, *, form: str) -> dict[str, np.ndarray]:
    """Write the ``bin`` or ``py`` version; return the rows of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    rows = {stem: pixels(draw, COUNT, 3072) for stem in stems}
    labels = np.arange(COUNT, dtype=np.uint8) % 10
    for stem in stems:
        if form == "bin":
            (folder / f"{stem}.bin").write_bytes(np.c_[labels[:, None], rows[stem]].tobytes())
        else:
            write_batch(folder / stem, data=rows[stem], labels=labels.tolist())
    if form == "bin":
        (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n")
    else:
        write_batch(folder / "batches.meta", label_names=list(CIFAR10_NAMES), num_vis=3072)
    return rows


def write_cifar100(folder: Path, draw: np.random.Generator, *, form: str) -> dict[str, np.ndarray]:
    """Write the ``bin`` or ``py`` version; return the rows of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"train": pixels(draw, 200, 3072), "test": pixels(draw, 100, 3072)}
    for stem, data in rows.items():
        fine = np.arange(len(data), dtype=np.uint8) % 100
        coarse = fine // 5
        if form == "bin":
            content = np.c_[coarse[:, None], fine[:, None], data].tobytes()
            (folder / f"{stem}.bin").write_bytes(content)
        else:
            write_batch(
                folder / stem,
                data=data,
                fine_labels=fine.tolist(),
                coarse_labels=coarse.tolist(),
                filenames=[f"{i}.png" for i in range(len(data))],
                batch_label="batch 1 of 1",
            )
    names = [f"kind{i}" for i in range(100)]
    if form == "bin":
        (folder / "fine_label_names.txt").write_text("\n".join(names))
    else:
        write_batch(folder / "meta", fine_label_names=names, coarse_label_names=["all"])
    return rows


def write_batch(path: Path, *, protocol: int = 2, **content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def write_stl10(folder: Path, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Write the binary version; return the images (n, 3, 96, 96) as they are looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {"train": pixels(draw, 40, 3, 96, 96), "test": pixels(draw, 20, 3, 96, 96)}
    for part, shown in images.items():
        (folder / f"{part}_X.bin").write_bytes(shown.transpose(0, 1, 3, 2).tobytes())
        labels = np.arange(len(shown), dtype=np.uint8) % 10 + 1
        (folder / f"{part}_y.bin").write_bytes(labels.tobytes())
    (folder / "class_names.txt").write_text("\n".join(f"animal{i}" for i in range(10)))
    lines = [" ".join(map(str, (np.arange(20) + 2 * fold) % 40)) for fold in range(10)]
    (folder / "fold_indices.txt").write_text("\n".join(lines))
    return images


def write_modelnet(
    folder: Path,
    draw: np.random.Generator,
    *,
    classes: int = 10,
    rotations: int = 12,
    each: int = 2,
) -> dict[str, np.ndarray]:
    """Write both parts with ``each`` objects a class; return the voxels of each part."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = {}
    for part in ("train", "test"):
        data = draw.integers(0, 2, (classes * each, rotations, 8, 8, 8)).astype(np.uint8)
        labels = np.repeat(np.arange(classes), each)
        path = folder / f"modelnet{classes}_rot{rotations}_{part}.npz"
        np.savez_compressed(path, data=data, labels=labels)
        voxels[part] = data
    return voxels
