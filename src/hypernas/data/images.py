"""Image files: what their headers say, their pixels, and many of them in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from hypernas.data.examples import Examples
from hypernas.data.storage import allocate
from hypernas.errors import DataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
EXTENSIONS |= {".ppm", ".pgm", ".pbm", ".pnm"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""the decoders in use; others that Pillow has start outside programs"""
ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held: 5 to 8 lie on a side"""
FILES_A_TASK = 64

T = TypeVar("T")


class Header(NamedTuple):
    """What is known of an image before its pixels are decoded."""

    width: int
    height: int
    grey: bool


class Damage(NamedTuple):
    """A file that cannot be read, and why."""

    index: int
    path: Path
    reason: str


def read_header(path: Path) -> Header:
    """Return the size of the image as shown (turned as its EXIF data say) and its colours."""
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if _has_exif(image) and image.getexif().get(ORIENTATION, 1) >= 5:
            width, height = height, width
        return Header(width, height, image.mode in ("1", "L", "LA") or image.mode[:4] == "I;16")


def read_image(path: Path, *, grey: bool, size: int | None) -> np.ndarray:
    """Decode an image to uint8 (C, H, W), C 1 or 3, resized if ``size`` is given.

    Transparency is dropped, a palette resolved, 16 bits cut to 8, a film's first picture taken.
    """
    with Image.open(path, formats=FORMATS) as image:
        upright = ImageOps.exif_transpose(image) if _has_exif(image) else image
        plain, mode = _eight_bit(upright), "L" if grey else "RGB"
        plain = plain if plain.mode == mode else plain.convert(mode)
        pixels = np.asarray(plain if size is None else resize(plain, size))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def resize(
    image: Image.Image, size: int, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """Scale the shorter side to ``size`` and crop the centre, antialiased bilinear, in one step.

    Masks take NEAREST, which mixes no classes.
    """
    width, height = image.size
    if width == height == size:
        return image
    left, top = (width - min(width, height)) / 2, (height - min(width, height)) / 2
    box = (left, top, width - left, height - top)
    return image.resize((size, size), resample, box=box)


def resized(examples: Examples, size: int, folder: Path | None = None) -> Examples:
    """Return ``examples`` with each image, and its mask or boxes, resized to ``size`` × ``size``.

    Raises:
        DataError: the examples are no images.
    """
    if len(examples.shape) != 3:
        volumes = f"volumes of {'x'.join(map(str, examples.shape[1:]))}"
        given = volumes if examples.kind == "images" else examples.kind
        raise DataError(
            f"--image-size {size} is for images, not for {given}; leave it out, or store them in "
            "another size"
        )
    count, channels, *sides = examples.inputs.shape
    if sides == [size, size]:
        return examples
    images = allocate((count, channels, size, size), folder)
    for index in np.ndindex(count, channels):
        images[index] = resize(Image.fromarray(examples.inputs[index]), size)
    return Examples(images, _resized_labels(examples, size), examples.views)


def _resized_labels(examples: Examples, size: int) -> np.ndarray:
    """Return masks of the new size, boxes in shares of the part that is kept, or classes."""
    if examples.task == "segmentation":
        masks = (Image.fromarray(mask) for mask in examples.labels)
        return np.stack([np.asarray(resize(m, size, Image.Resampling.NEAREST)) for m in masks])
    labels = examples.labels.copy()
    if examples.task == "detection":
        height, width = examples.shape[1:]
        side, sides = min(height, width), np.array([width, height] * 2)
        labels[..., :4] = ((labels[..., :4] * sides - (sides - side) / 2) / side).clip(0, 1)
        gone = (labels[..., 2] <= labels[..., 0]) | (labels[..., 3] <= labels[..., 1])
        labels[gone, 4] = -1
    return labels


def read_each(
    read: Callable[[Path], T], paths: Sequence[Path], on_damage: Callable[[Damage], None]
) -> Iterator[tuple[int, T]]:
    """Yield (index, what ``read`` returns) of each readable path in order, read by threads.

    ``on_damage`` is called for each other one; what it raises ends the reading.
    """

    def attempt(start: int) -> list[T | Damage]:
        part = paths[start : start + FILES_A_TASK]
        return [_attempt(read, start + offset, path) for offset, path in enumerate(part)]

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        starts = range(0, len(paths), FILES_A_TASK)
        for start, results in zip(starts, pool.map(attempt, starts), strict=True):
            for offset, result in enumerate(results):
                if isinstance(result, Damage):
                    on_damage(result)
                else:
                    yield start + offset, result
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(read: Callable[[Path], T], index: int, path: Path) -> T | Damage:
    try:
        return read(path)
    except Exception as error:  # decoders raise nearly anything on damaged input
        reason = "it is no image of a known format" if "cannot identify" in str(error) else error
        return Damage(index, path, str(reason) or type(error).__name__)


def _has_exif(image: Image.Image) -> bool:
    """Say whether a JPEG tells its orientation; other formats are turned by their decoder."""
    return image.format in ("JPEG", "MPO") and "exif" in image.info


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode[:4] == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits a pixel; save it with 8 bits a channel")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image
