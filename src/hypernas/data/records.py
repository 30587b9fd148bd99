"""Files of bytes in records of one size, and lists of names, as public data sets have them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hypernas.errors import DataError


def read_records(path: Path, count: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Return ``count`` records of bytes as a map of the file, uint8, (count, *shape).

    What is written into the array does not reach the file.

    Raises:
        DataError: the file cannot be read or is of another size.
    """
    expected = count * math.prod(shape)
    try:
        size = path.stat().st_size
        if size == expected:
            return np.memmap(path, np.uint8, mode="c", shape=(count, *shape))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; mend its rights") from error
    raise DataError(
        f"{path} has {size:,} bytes, but {count:,} records of {math.prod(shape):,} are "
        f"{expected:,}; it is truncated or another file: get it again"
    )


def read_lines(path: Path, count: int) -> tuple[str, ...]:
    """Return the lines of the file that are not empty, of which there must be ``count``.

    Raises:
        DataError: the file cannot be read, is no text, or has another number of lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}; get the file again") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(lines) != count:
        raise DataError(f"{path} has {len(lines)} lines, not {count}; get the file again")
    return lines
