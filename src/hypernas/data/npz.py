"""Arrays of ``.npz`` files, large ones without a needless copy. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import math
import struct
import zipfile
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from hypernas.data.storage import allocate, chunks
from hypernas.errors import DataError

LARGE = 1 << 26
"""bytes from which an array that lies in its file as it is gets mapped, not read"""
LOCAL_HEADER = 30
"""bytes of a zip member's own header, before its name and extra field"""


def read_arrays(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the ``wanted`` arrays that are there; the others are empty ones of their names.

    Large bytes (or truth values) lie in the file itself if it is not compressed, else where
    :func:`hypernas.data.storage.allocate` puts them.

    Raises:
        DataError: the file is damaged, or an array holds Python objects.
    """
    with _opened(path, wanted) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {
            name: _read(path, archive, info) if name in wanted else np.empty(0)
            for name, info in members.items()
        }


def names_in(path: Path) -> set[str]:
    """Return the names of the arrays in a file.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path, ("images", "labels")) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


@contextlib.contextmanager
def _opened(path: Path, wanted: Sequence[str]) -> Generator[zipfile.ZipFile, None, None]:
    """Open a file; what goes wrong while it is read is the file's fault."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        NotImplementedError,  # a compression that this Python lacks
        RuntimeError,  # an encrypted member
    ) as error:
        why = "holds Python objects" if "Object arrays" in str(error) else "cannot be read"
        raise DataError(
            f"{path} {why} as .npz ({type(error).__name__}); "
            f"write it again with numpy.savez(FILE, {wanted[0]}=..., {wanted[1]}=...) from plain "
            "arrays"
        ) from error


def require_arrays(path: Path, arrays: dict[str, np.ndarray], *names: str) -> None:
    """Refuse a file whose ``arrays`` lack one of ``names``.

    Raises:
        DataError: one is missing.
    """
    for name in names:
        if name not in arrays:
            held = ", ".join(arrays) or "nothing"
            raise DataError(
                f"{path} has no array {name!r} (it holds: {held}); "
                f"store {' and '.join(names)} with numpy.savez"
            )


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        size = math.prod(shape)
        if size < LARGE or fortran or dtype not in (np.uint8, np.bool_):
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
        if info.file_size - stream.tell() != size:
            raise ValueError(f"{info.filename} is not of its own header's size")
        if info.compress_type == zipfile.ZIP_STORED:
            start = _start(path, info) + stream.tell()
            return np.memmap(path, dtype, mode="c", offset=start, shape=shape)
        return _unpacked(stream, shape).view(dtype)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _start(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where in the file a member's content begins."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:])
    return info.header_offset + LOCAL_HEADER + name + extra


def _unpacked(stream: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
    images = allocate(shape)
    for part in chunks(images):
        content = stream.read(images[part].nbytes)
        images[part] = np.frombuffer(content, np.uint8).reshape(images[part].shape)
    return images
