"""Folders of images: one subfolder a class, or ``train/`` and ``test/`` with such subfolders."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hypernas.data import storage
from hypernas.data.examples import Dataset, Examples
from hypernas.data.images import EXTENSIONS, Damage, Header, read_each, read_header, read_image
from hypernas.errors import DataError

HINT = "a folder of images has one subfolder a class, or train/ and test/ with such subfolders"


@dataclass(frozen=True)
class Options:
    """How a folder is read."""

    image_size: int | None = None
    """side in pixels that every image is resized to; None keeps the images' own common size"""
    skip_bad: bool = False
    """leave damaged files out instead of stopping at the first"""
    cache: Path | None = None
    """folder for decoded images that memory has no room for; None is a temporary file"""


@dataclass(frozen=True)
class Listing:
    """The image files of one split, in order, with their labels."""

    paths: list[Path]
    labels: np.ndarray

    def take(self, indices: Sequence[int]) -> Listing:
        """Return the files at ``indices``."""
        return Listing([self.paths[i] for i in indices], self.labels[list(indices)])


def load_folder(root: Path, options: Options | None = None) -> Dataset:
    """Decode every image under ``root``: greys to one channel if all are grey, else RGB.

    Hidden files and files without an image's extension are ignored.

    Raises:
        DataError: no classes, an empty one, a damaged file, or sizes that differ.
    """
    options = options or Options()
    parts = find_parts(root)
    classes = find_classes(parts)
    skipped: list[str] = []
    listings, headers = {}, {}
    for part, folder in parts.items():
        listings[part], headers[part] = _survey(_list(folder, classes), options, skipped)
        _require_all_classes(folder, listings[part].labels, classes)
    everything = [header for part in headers.values() for header in part]
    if options.image_size is None:
        _require_one_size(root, everything)
    grey = all(header.grey for header in everything)
    size = options.image_size
    sides = (size, size) if size is not None else (everything[0].height, everything[0].width)
    shape = (1 if grey else 3, *sides)
    loaded = {part: _decode(listing, shape, options, skipped) for part, listing in listings.items()}
    for part, examples in loaded.items():
        _require_all_classes(parts[part], examples.labels, classes)
    name = root.resolve().name
    return Dataset(name, loaded["train"], loaded.get("test"), classes, tuple(skipped))


def holds_images(folder: Path) -> bool:
    """Say whether the first class folder of ``folder`` or of its ``train/`` has an image file."""
    roots = (root for root in (folder / "train", folder) if root.is_dir())
    classes = next((found for root in roots if (found := _subfolders(root))), [])
    return bool(classes and _image_files(classes[0]))


def find_parts(root: Path) -> dict[str, Path]:
    """Return the folders of the splits: of ``train`` and perhaps ``test``, or ``root`` for train.

    ``train/`` is a split only if it has subfolders; else it is a class of that name.

    Raises:
        DataError: ``train/`` stands beside folders other than ``test/``.
    """
    train = root / "train"
    if not train.is_dir() or not _subfolders(train):
        return {"train": root}
    others = [folder.name for folder in _subfolders(root) if folder.name not in ("train", "test")]
    if others:
        raise DataError(
            f"{root} holds train/ and also {others[0]}/; rename {others[0]}/ to test/ or move it "
            f"away ({HINT})"
        )
    test = root / "test"
    return {"train": train, "test": test} if test.is_dir() else {"train": train}


def find_classes(parts: dict[str, Path]) -> tuple[str, ...]:
    """Return the names of the class folders, sorted; those of all parts must agree.

    Raises:
        DataError: there are fewer than two, or a class is missing in a part.
    """
    train = parts["train"]
    classes = tuple(folder.name for folder in _subfolders(train))
    if not classes:
        raise DataError(f"{train} has no class folders; {HINT}")
    if len(classes) == 1:
        raise DataError(f"{train} has only one class folder, {classes[0]}/; {HINT}")
    test = {folder.name for folder in _subfolders(parts["test"])} if "test" in parts else None
    for name in sorted(test.symmetric_difference(classes)) if test is not None else ():
        has, lacks = ("train", "test") if name in classes else ("test", "train")
        raise DataError(
            f"{parts[lacks]} has no folder {name}/, but {parts[has]} does; "
            "give train/ and test/ the same classes"
        )
    return classes


def _subfolders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}; mend its rights") from error
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _list(folder: Path, classes: tuple[str, ...]) -> Listing:
    by_class = [_image_files(folder / name) for name in classes]
    for name, files in zip(classes, by_class, strict=True):
        if not files:
            kinds = " ".join(sorted(EXTENSIONS))
            raise DataError(
                f"{folder / name} holds no images ({kinds}); add some or remove the folder"
            )
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in by_class])
    return Listing([path for files in by_class for path in files], labels.astype(np.int64))


def _image_files(folder: Path) -> list[Path]:
    """Return the visible image files under ``folder``, at any depth, sorted."""
    found = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        visible = (name for name in names if not name.startswith("."))
        found += [Path(place, n) for n in visible if os.path.splitext(n)[1].lower() in EXTENSIONS]  # noqa: PTH122
    return sorted(found)


def _survey(listing: Listing, options: Options, skipped: list[str]) -> tuple[Listing, list[Header]]:
    """Read all headers; return the readable files with theirs."""
    found = list(read_each(read_header, listing.paths, _on_damage(options, skipped)))
    return listing.take([index for index, _ in found]), [header for _, header in found]


def _on_damage(options: Options, skipped: list[str]) -> Callable[[Damage], None]:
    def stop(damage: Damage) -> None:
        raise DataError(
            f"{damage.path} cannot be read as an image: {damage.reason}; "
            "mend or remove it, or leave such files out with --skip-bad"
        )

    def skip(damage: Damage) -> None:
        skipped.append(str(damage.path))

    return skip if options.skip_bad else stop


def _require_one_size(root: Path, headers: list[Header]) -> None:
    sizes = Counter((header.width, header.height) for header in headers)
    if len(sizes) > 1:
        shown = ", ".join(f"{w}x{h} ({count:,})" for (w, h), count in sizes.most_common(5))
        more = f" and {len(sizes) - 5} more" if len(sizes) > 5 else ""
        raise DataError(
            f"the images in {root} have {len(sizes)} sizes: {shown}{more}; "
            "give all one size with --image-size N"
        )


def _require_all_classes(folder: Path, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count == 0:
            raise DataError(
                f"{folder / name} holds no image that can be read; add some or remove the folder"
            )


def _decode(
    listing: Listing, shape: tuple[int, ...], options: Options, skipped: list[str]
) -> Examples:
    """Decode the files of ``listing`` into one array (n, *shape)."""
    full = (len(listing.paths), *shape)
    if options.cache is None:
        images = storage.allocate(full)
        kept = _fill(images, listing, options, skipped)
        return Examples(images[: len(kept)], listing.labels[kept])
    key = _digest(listing, options, shape)
    return _decode_to_file(options.cache / f"images-{key}.npy", listing, full, options, skipped)


def _decode_to_file(
    stored: Path,
    listing: Listing,
    shape: tuple[int, ...],
    options: Options,
    skipped: list[str],
) -> Examples:
    """Decode into ``stored``, unless an earlier load of the same files has."""
    if stored.is_file():
        return Examples(np.load(stored, mmap_mode="c"), listing.labels)
    stored.parent.mkdir(parents=True, exist_ok=True)
    storage.require_disk(shape, stored.parent)
    temporary = stored.with_name(f".{stored.stem}.{os.getpid()}.tmp")
    try:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        kept = _fill(images, listing, options, skipped)
        images.flush()
        if len(kept) == len(listing.paths):  # with files left out, it would not say which
            temporary.replace(stored)
    finally:
        temporary.unlink(missing_ok=True)
    return Examples(images[: len(kept)], listing.labels[kept])


def _fill(images: np.ndarray, listing: Listing, options: Options, skipped: list[str]) -> list[int]:
    """Decode into ``images`` without gaps; return the indices of the files that could be read."""
    read = partial(read_image, grey=images.shape[1] == 1, size=options.image_size)
    kept = []
    for index, pixels in read_each(read, listing.paths, _on_damage(options, skipped)):
        images[len(kept)] = pixels
        kept.append(index)
    return kept


def _digest(listing: Listing, options: Options, shape: tuple[int, ...]) -> str:
    """Return a name for these files as they are now, decoded this way."""
    digest = hashlib.sha256(f"{shape} {options.image_size}".encode())
    for path in listing.paths:
        state = path.stat()
        digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
