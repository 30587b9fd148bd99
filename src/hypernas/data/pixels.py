"""Masks and boxes as users store them: classes from 0, boxes in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hypernas.data.examples import BOX, Dataset, Examples
from hypernas.data.folder import Options
from hypernas.data.images import EXTENSIONS, FORMATS, read_header, read_image, resize
from hypernas.errors import DataError

IGNORED = 255
"""class of a pixel in a user's mask of which nothing is to be told"""
NAMES = "classes.txt"
LAYOUT = (
    "images/ and masks/ with a mask of the same name for each image, or train/ and test/ with such"
)


def stored_masks(masks: np.ndarray, where: str) -> np.ndarray:
    """Return masks (n, H, W) as uint8 of class + 1, 0 where void.

    Args:
        masks: classes from 0, 255 where void.
        where: what they are, for errors.

    Raises:
        DataError: they are of another type or shape, or hold other numbers.
    """
    if not np.issubdtype(masks.dtype, np.integer) or masks.ndim != 3:
        raise DataError(f"{where} are {masks.dtype} {masks.shape}; expected integers (n, H, W)")
    if masks.size and (masks.min() < 0 or masks.max() > IGNORED):
        raise DataError(
            f"{where} hold {masks.min()} to {masks.max()}; number the classes from 0 to 254, and "
            f"pixels to leave out {IGNORED}"
        )
    return masks.astype(np.uint8) + np.uint8(1)  # 255 becomes 0


def stored_boxes(
    boxes: np.ndarray, labels: np.ndarray, sides: tuple[int, ...], where: str
) -> np.ndarray:
    """Return boxes (n, most, 4) in pixels and classes (n, most) as :class:`Examples` has them.

    Args:
        boxes: left, top, right and bottom of each.
        labels: class of each from 0, -1 where there is none.
        sides: rows and columns of the images.
        where: what they are, for errors.

    Raises:
        DataError: the shapes do not fit, or a box has no inside or lies outside.
    """
    if boxes.ndim != 3 or boxes.shape[2] != BOX - 1 or labels.shape != boxes.shape[:2]:
        raise DataError(
            f"{where} are {boxes.shape} with labels {labels.shape}; expected (n, most, 4) with "
            "(n, most), and label -1 where an image has fewer boxes"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{where}: labels are {labels.dtype}; number the classes from 0 to K-1")
    rows, columns = sides
    found = np.zeros((*labels.shape, BOX), np.float32)
    found[..., :4] = boxes / np.array([columns, rows, columns, rows])
    found[..., 4] = labels
    real = labels >= 0
    wide, tall = found[..., 2] - found[..., 0], found[..., 3] - found[..., 1]
    within = (found[..., :4] >= 0).all(-1) & (found[..., :4] <= 1).all(-1)
    wrong = np.argwhere(real & ~((wide > 0) & (tall > 0) & within))
    if len(wrong):
        image, box = wrong[0].tolist()
        raise DataError(
            f"{where}: box {box} of image {image} is {boxes[image, box].tolist()}; expected left, "
            f"top, right and bottom in pixels, within {columns} x {rows}"
        )
    found[~real] = 0
    found[~real, 4] = -1
    return found


def named_classes(parts: Sequence[Examples], where: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes of masks or boxes; without ``names`` their numbers.

    Raises:
        DataError: fewer than one class (of masks two), or one that has no name.
    """
    masks = parts[0].task == "segmentation"
    highest = [
        int(part.labels.max()) - 1 if masks else int(part.labels[..., 4].max(initial=-1))
        for part in parts
    ]
    count = len(names) or highest[0] + 1
    if count < (2 if masks else 1):
        raise DataError(f"{where} hold no classes to tell apart; number them from 0")
    if max(highest) >= count:
        raise DataError(
            f"{where} hold class {max(highest)}, but there are {count} classes to learn from; add "
            "such examples to learn from, or leave it out"
        )
    return tuple(names) or tuple(map(str, range(count)))


def holds_masks(root: Path) -> bool:
    """Say whether a folder, or its ``train/``, has images/ and masks/."""
    return any((part / "images").is_dir() and (part / "masks").is_dir() for part in _parts(root))


def load_masks(root: Path, options: Options) -> Dataset:
    """Load images and the masks of the same names; ``classes.txt`` may name a class a line.

    Raises:
        DataError: a mask is missing or of another size, or a file cannot be read.
    """
    paired = {part.name: _pairs(part) for part in _parts(root) if (part / "images").is_dir()}
    grey = all(read_header(image).grey for pairs in paired.values() for image, _ in pairs)
    loaded = [_load(pairs, grey, options) for pairs in paired.values()]
    names = root / NAMES
    given = names.read_text("utf-8").split("\n") if names.is_file() else []
    classes = named_classes(loaded, f"{root}: masks", [name for name in given if name.strip()])
    return Dataset(root.resolve().name, loaded[0], loaded[1] if loaded[1:] else None, classes)


def _parts(root: Path) -> list[Path]:
    return [root / "train", root / "test"] if (root / "train").is_dir() else [root]


def _pairs(part: Path) -> list[tuple[Path, Path]]:
    masks = {path.stem: path for path in _files(part / "masks")}
    images = _files(part / "images")
    for image in images:
        if image.stem not in masks:
            raise DataError(f"{image} has no mask in {part / 'masks'}; expected {LAYOUT}")
    if not images:
        raise DataError(f"{part / 'images'} holds no images; expected {LAYOUT}")
    return [(image, masks[image.stem]) for image in images]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)


def _load(pairs: list[tuple[Path, Path]], grey: bool, options: Options) -> Examples:
    size = options.image_size
    images = [_read(i, lambda path: read_image(path, grey=grey, size=size)) for i, _ in pairs]
    masks = [_read(m, lambda path: _read_mask(path, size)) for _, m in pairs]
    first = images[0].shape[1:]
    for (path, _), image, mask in zip(pairs, images, masks, strict=True):
        if not image.shape[1:] == mask.shape == first:
            raise DataError(
                f"{path} is {image.shape[1:]} and its mask {mask.shape}, the first image {first}; "
                "give all one size with --image-size N"
            )
    where = str(pairs[0][1].parent)
    return Examples(np.stack(images), stored_masks(np.stack(masks), where))


def _read(path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    try:
        return read(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}; mend or remove it") from error


def _read_mask(path: Path, size: int | None) -> np.ndarray:
    """Return the numbers of a palette or grey image (H, W), as they are."""
    with Image.open(path, formats=FORMATS) as image:
        if image.mode not in ("P", "L", "1"):
            raise ValueError(f"a mask of mode {image.mode}, not a palette or grey image of classes")
        found = image if size is None else resize(image, size, Image.Resampling.NEAREST)
        return np.asarray(found).astype(np.uint8)
