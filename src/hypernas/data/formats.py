"""The public data sets that are found by their files: which files, and what reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hypernas.data import imagenet32
from hypernas.data.cifar import CIFAR10, CIFAR100, Cifar, load_binary, load_python
from hypernas.data.examples import Dataset
from hypernas.data.modelnet import load_modelnet
from hypernas.data.stl10 import FOLDS, load_stl10
from hypernas.errors import DataError


@dataclass(frozen=True)
class Format:
    """One form in which a data set is published."""

    name: str
    """of the data set"""
    version: str
    files: tuple[str, ...]
    """all of them, in one folder"""
    signs: tuple[str, ...]
    """those that tell the format from others"""
    load: Callable[..., Dataset]
    """takes the folder, and ``fold`` where there are any"""
    subfolder: str | None = None
    """what the published archive unpacks to"""
    folds: int = 0

    def lies_in(self, folder: Path) -> bool:
        """Say whether ``folder`` holds this format, perhaps not all of it."""
        return all((folder / sign).is_file() for sign in self.signs)

    @property
    def listed(self) -> str:
        """The files in words."""
        first, *_, last = self.files
        few = len(self.files) < 6
        middle = ", ".join(self.files[1:-1]) if few else f"…, {self.files[-2]}"
        return ", ".join(part for part in (first, middle, last) if part) + f" ({self.version})"


@dataclass(frozen=True)
class Found:
    """A format and the folder that holds it."""

    format: Format
    folder: Path

    def load(self, fold: int | None = None) -> Dataset:
        """Load the data set, or one fold of it.

        Raises:
            DataError: a file is missing or damaged, or there is no such fold.
        """
        for file in self.format.files:
            if not (self.folder / file).is_file():
                raise DataError(
                    f"{self.folder} has no {file}; the files of {self.format.name} are "
                    f"{self.format.listed}: put it beside the others"
                )
        if fold is None:
            return self.format.load(self.folder)
        require_folds(self.format.folds, self.format.name, fold)
        return self.format.load(self.folder, fold=fold)


def require_folds(folds: int, name: str, fold: int | None) -> None:
    """Refuse a fold of a data set that has none, or not so many.

    Raises:
        DataError: there is no such fold.
    """
    if fold is None or fold < folds:
        return
    way = f"give {name}:0 to {name}:{folds - 1}" if folds else f"give {name}"
    raise DataError(f"{name}:{fold} is no fold: {name} has {folds or 'none'}; {way}")


def recognised(path: Path, name: str | None = None) -> Found | None:
    """Return the format that a folder, its archive's subfolder or a file belongs to, if any.

    Where a folder holds several formats of one data set, the first of ``FORMATS`` counts.

    Args:
        path: a folder, or one of the files.
        name: the data set that is looked for; None is any.

    Raises:
        DataError: the folder holds several data sets.
    """
    formats = [form for form in FORMATS if name in (None, form.name)]
    if path.is_file():
        return next((Found(f, path.parent) for f in formats if path.name in f.files), None)
    found = [
        Found(form, folder)
        for form in formats
        for folder in (path, *([path / form.subfolder] if form.subfolder else []))
        if form.lies_in(folder)
    ]
    names = dict.fromkeys(each.format.name for each in found)
    if len(names) > 1:
        one = found[0].folder / found[0].format.files[0]
        raise DataError(
            f"{path} holds {' and '.join(names)}; give the name of one, or one of its files: {one}"
        )
    return found[0] if found else None


def _cifar(cifar: Cifar, binary: str, python: str) -> tuple[Format, Format]:
    """Return the two versions, which unpack to the folders ``binary`` and ``python``."""
    stems = (*cifar.train, cifar.test)
    bins = (*(f"{stem}.bin" for stem in stems), cifar.binary_names)
    pickles = (*stems, cifar.python_names[0])
    return (
        Format(
            name=cifar.name,
            version="binary version",
            files=bins,
            signs=(bins[0], bins[-1]),
            load=partial(load_binary, cifar=cifar),
            subfolder=binary,
        ),
        Format(
            name=cifar.name,
            version="Python version",
            files=pickles,
            signs=(pickles[0], pickles[-1]),
            load=partial(load_python, cifar=cifar),
            subfolder=python,
        ),
    )


def _modelnet(classes: int, rotations: int) -> Format:
    files = tuple(f"modelnet{classes}_rot{rotations}_{part}.npz" for part in ("train", "test"))
    return Format(
        name=f"modelnet{classes}",
        version=f"{rotations} rotations",
        files=files,
        signs=files[:1],
        load=partial(load_modelnet, classes=classes, rotations=rotations),
    )


FORMATS = (
    *_cifar(CIFAR10, "cifar-10-batches-bin", "cifar-10-batches-py"),
    *_cifar(CIFAR100, "cifar-100-binary", "cifar-100-python"),
    Format(
        name="stl10",
        version="binary version",
        files=("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt"),
        signs=("train_X.bin",),
        load=load_stl10,
        subfolder="stl10_binary",
        folds=FOLDS,
    ),
    Format(
        name="imagenet32",
        version="arrays",
        files=("imagenet32_train.npz", "imagenet32_val.npz"),
        signs=("imagenet32_train.npz",),
        load=imagenet32.load_arrays,
    ),
    Format(
        name="imagenet32",
        version="Python version",
        files=(*imagenet32.BATCHES, "val_data"),
        signs=imagenet32.BATCHES[:1],
        load=imagenet32.load_batches,
    ),
    *(_modelnet(classes, rotations) for classes in (10, 40) for rotations in (24, 12)),
)
"""in the order of preference: bytes as they are before pickles, many rotations before few"""
