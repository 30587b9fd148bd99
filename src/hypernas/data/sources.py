"""Where examples come from: known data sets by name, everything else by path."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hypernas.data.archives import load_npz
from hypernas.data.bundled import load_digits, load_scenes, load_table
from hypernas.data.examples import Dataset
from hypernas.data.folder import HINT, Options, holds_images, load_folder
from hypernas.data.formats import FORMATS, Found, recognised, require_folds
from hypernas.data.idx import holds_idx, load_idx
from hypernas.data.images import resized
from hypernas.data.pixels import holds_masks, load_masks
from hypernas.data.places import home, places
from hypernas.data.rows import SUFFIXES, load_rows
from hypernas.errors import DataError

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class Known(NamedTuple):
    """A data set that has a name, for ``hypernas data``."""

    name: str
    description: str
    available: bool
    where: str
    """the folder or package that holds it, or how to get it"""


@dataclass(frozen=True)
class _Public:
    description: str
    load: Callable[[], Dataset]
    find: Callable[[], str | None]
    """where it is, or None"""
    way: str
    """how to get it"""


def load(
    name_or_path: str,
    *,
    image_size: int | None = None,
    skip_bad: bool = False,
    cache: Path | None = None,
) -> Dataset:
    """Load a data set by its name or path.

    A path is a folder of images (see :mod:`hypernas.data.folder`), of images and masks
    (:mod:`hypernas.data.pixels`), of IDX files or of a public data set's files
    (:mod:`hypernas.data.formats`), one of those files, an ``.npz`` file of your own
    (:mod:`hypernas.data.archives`), or rows of texts or of a table (:mod:`hypernas.data.rows`).

    Args:
        name_or_path: a name that :func:`known` lists, a path, or a folder or ``.npz`` file of
            $HYPERNAS_DATA by its name. ``:3`` at the end is fold 3 of a data set that has folds.
        image_size: side in pixels: the shorter side is scaled to it, then the centre is cropped.
        skip_bad: leave damaged image files out and list them in ``Dataset.skipped``.
        cache: folder that keeps the decoded images of a folder for the next load.

    Raises:
        DataError: there is no such data set, or it is damaged or inconsistent.

    >>> load("digits").signature
    Signature(input_shape=(1, 8, 8), outputs=10)
    """
    if image_size is not None and image_size < 1:
        raise DataError(f"--image-size {image_size} is no size; give the side in pixels, 1 or more")
    name, fold = _fold(name_or_path)
    if name in _PUBLIC:
        require_folds(0, name, fold)
        dataset = _PUBLIC[name].load()
    else:
        found = _look(name) or _missing(name) if name in PUBLISHED else _find(name)
        dataset = _load_found(found, fold, Options(image_size, skip_bad, cache))
    return dataset if image_size is None else _resized(dataset, image_size, cache)


def known() -> list[Known]:
    """Return the data sets that have a name, and whether each is on this machine."""
    described = [_known(name, public) for name, public in _PUBLIC.items()]
    return sorted([*described, *map(_published, PUBLISHED)])


def in_full(name_or_path: str) -> str:
    """Return what means the same data from every folder: a path here in full, a name as it is."""
    name, _ = _fold(name_or_path)
    path = Path(name)
    published = name in PUBLISHED
    here = _held(path, name) is not None if published else name not in _PUBLIC and path.exists()
    return f"{path.resolve()}{name_or_path.removeprefix(name)}" if here else name_or_path


def _fold(name: str) -> tuple[str, int | None]:
    """Split ``stl10:3`` into a name and a fold; what exists as a path has none."""
    match = re.fullmatch(r"(.+):(\d+)", name)
    if match is None or Path(name).exists():
        return name, None
    return match[1], int(match[2])


def _known(name: str, public: _Public) -> Known:
    found = public.find()
    return Known(name, public.description, found is not None, found or public.way)


def _published(name: str) -> Known:
    found = _look(name)
    if found is None:
        return Known(name, PUBLISHED[name], False, f"put into {home() / name} {_files(name)}")
    where = f"{found.folder} ({found.format.version})" if isinstance(found, Found) else str(found)
    return Known(name, PUBLISHED[name], True, where)


def _files(name: str) -> str:
    """Return the files of a published data set, one format after the other, in words."""
    return ", or ".join(form.listed for form in FORMATS if form.name == name)


def _held(place: Path, name: str) -> Found | Path | None:
    """Return what ``place`` holds of a published data set: its files, or images if of its name."""
    found = recognised(place, name)
    return place if found is None and place.name == name and holds_images(place) else found


def _look(name: str) -> Found | Path | None:
    """Return where a published data set is: its own files, a folder of images or an .npz file.

    A folder of its name here comes first, then the usual places.
    """
    for place in (Path(name), *places(name)):
        if (found := _held(place, name)) is not None:
            return found
    arrays = home() / f"{name}.npz"
    return arrays if arrays.is_file() else None


def _missing(name: str) -> Path:
    looked = ", ".join(str(place) for place in places(name))
    raise DataError(
        f"{name} is not on this machine (looked in {looked}); put its files into {home() / name}: "
        f"{_files(name)}"
    )


def _find(name: str) -> Path:
    """Return the existing path that ``name`` means."""
    path = Path(name).expanduser()
    for candidate in (path, home() / path, home() / f"{name}.npz"):
        if name and candidate.exists():
            return candidate
    names = sorted([*_PUBLIC, *PUBLISHED])
    close = difflib.get_close_matches(name, [*names, *_beside(path)], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise DataError(
        f"{name!r} is neither a known data set ({', '.join(names)}) nor a path here or "
        f"in {home()}.{hint}"
    )


def _beside(path: Path) -> list[str]:
    """Return some of the paths in the folder that ``path`` would lie in."""
    try:
        return [str(entry) for entry in itertools.islice(path.parent.iterdir(), 1000)]
    except OSError:
        return []


def _load_found(found: Found | Path, fold: int | None, options: Options) -> Dataset:
    if isinstance(found, Path):
        found = recognised(found) or found
    if isinstance(found, Found):
        return found.load(fold)
    require_folds(0, found.name, fold)
    return _load_path(found, options)


def _load_path(path: Path, options: Options) -> Dataset:
    if path.is_dir() and holds_masks(path):
        return load_masks(path, options)
    if path.is_dir():
        return load_idx(path) if holds_idx(path) else load_folder(path, options)
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    if path.suffix.lower() in SUFFIXES:
        return load_rows(path)
    raise DataError(
        f"{path} is neither a folder nor a file of .npz, {' or '.join(SUFFIXES)}; {HINT}"
    )


def _resized(dataset: Dataset, size: int, cache: Path | None) -> Dataset:
    test = dataset.test and resized(dataset.test, size, cache)
    return replace(dataset, train=resized(dataset.train, size, cache), test=test)


def _find_fashion() -> str | None:
    folders = (folder for folder in places("fashion-mnist") if folder.is_dir())
    return next((str(folder) for folder in folders if holds_idx(folder)), None)


def _load_fashion() -> Dataset:
    folder = _find_fashion()
    if folder is None:
        looked = ", ".join(str(place) for place in places("fashion-mnist"))
        raise DataError(
            f"fashion-mnist is not on this machine (looked in {looked}); fetch it with "
            "`hypernas data fetch fashion-mnist`, install Debian's package dataset-fashion-mnist, "
            "or set HYPERNAS_DATA to the folder that holds it"
        )
    return load_idx(Path(folder), name="fashion-mnist", classes=FASHION_CLASSES)


PUBLISHED = {
    "cifar10": "50,000 + 10,000 colour 32x32 images, 10 classes",
    "cifar100": "50,000 + 10,000 colour 32x32 images, 100 classes",
    "imagenet32": "1,281,167 + 50,000 colour 32x32 images, 1,000 classes",
    "modelnet10": "3,991 + 908 objects as 32x32x32 voxels in 24 or 12 rotations, 10 classes",
    "modelnet40": "9,843 + 2,468 objects as 32x32x32 voxels in 24 or 12 rotations, 40 classes",
    "stl10": "5,000 + 8,000 colour 96x96 images, 10 classes; stl10:0 to stl10:9 are its folds",
}
"""data sets that are found by the files they are published as, and what each is"""


def _bundled(description: str, load: Callable[[], Dataset]) -> _Public:
    """Return a data set that scikit-learn holds, or that is made of one."""
    return _Public(description, load, lambda: "inside scikit-learn", "install scikit-learn")


_PUBLIC = {
    "breast-cancer": _bundled(
        "569 rows of 30 numbers, 2 classes, no test set of its own",
        partial(load_table, "breast-cancer"),
    ),
    "digit-boxes": _bundled(
        "1,600 + 400 grey 32x32 scenes of handwritten digits, a box and one of 10 classes each",
        partial(load_scenes, "boxes"),
    ),
    "digit-scenes": _bundled(
        "1,600 + 400 such scenes, one of 11 classes for each pixel",
        partial(load_scenes, "masks"),
    ),
    "digits": _bundled(
        "1,797 grey 8x8 images of handwritten digits, 10 classes, no test set of its own",
        load_digits,
    ),
    "wine": _bundled(
        "178 rows of 13 numbers, 3 classes, no test set of its own", partial(load_table, "wine")
    ),
    "fashion-mnist": _Public(
        "60,000 + 10,000 grey 28x28 images of clothes, 10 classes",
        _load_fashion,
        _find_fashion,
        "hypernas data fetch fashion-mnist",
    ),
}
