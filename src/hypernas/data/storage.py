"""Arrays of images in memory, or in a file when memory would be short."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from hypernas.errors import DataError

CHUNK = 1 << 24
"""bytes that loops over large arrays handle at a time"""


def free_memory() -> int:
    """Return the bytes of memory that are free, or a very large number where unknown."""
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            continue
    return 1 << 62


def fits_in_memory(shape: tuple[int, ...]) -> bool:
    """Say whether a uint8 array of ``shape`` takes at most half of the free memory."""
    return math.prod(shape) <= free_memory() // 2


def require_disk(shape: tuple[int, ...], folder: Path) -> None:
    """Refuse a uint8 file of ``shape`` that ``folder`` has no room for.

    A memory map of a file on a full disk would kill the process without a message.

    Raises:
        DataError: the disk of ``folder`` has less room than that.
    """
    needed, free = math.prod(shape), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"the decoded images take {needed / 1e9:.1f} GB, more than half of the free memory, "
            f"and {folder} has only {free / 1e9:.1f} GB free; free some room there or ask for "
            "smaller images with --image-size"
        )


def allocate(shape: tuple[int, ...], folder: Path | None = None) -> np.ndarray:
    """Return a uint8 array of ``shape`` whose values are to be written.

    An array of more than half of the free memory lies in a nameless file of ``folder`` (or, without
    one that may be written, of the system's temporary folder) that disappears with the array.

    Raises:
        DataError: it fits neither in memory nor in that folder.
    """
    if fits_in_memory(shape):
        return np.empty(shape, np.uint8)
    writable = folder is not None and os.access(folder, os.W_OK)
    place = folder if folder and writable else Path(tempfile.gettempdir())
    require_disk(shape, place)
    with tempfile.TemporaryFile(dir=place) as file:
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)


def chunks(images: np.ndarray) -> list[slice]:
    """Return slices of the first axis of about ``CHUNK`` bytes each."""
    step = max(1, CHUNK // max(1, math.prod(images.shape[1:])))
    return [slice(start, start + step) for start in range(0, len(images), step)]
