"""Download public data sets, the content of each file checked against its SHA-256."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hypernas.data.places import home
from hypernas.errors import DataError
from hypernas.files import replacing

TIMEOUT = 30
"""seconds without an answer after which a server counts as not reachable"""
BLOCK = 1 << 20


@dataclass(frozen=True)
class Download:
    """The files of a public data set."""

    base_url: str
    """address that the file names are appended to"""
    digests: dict[str, str]
    """SHA-256 (hexadecimal) of what each file unpacks to, by the file's name.

    Not of the file: Debian's package, for one, has the same content under another gzip header.
    """


DOWNLOADS = {
    "fashion-mnist": Download(
        # the address that github.com/zalandoresearch/fashion-mnist gives; its server has no https
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
            ),
            "train-labels-idx1-ubyte.gz": (
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
            ),
        },
    ),
}


def fetch(name: str, *, folder: Path | None = None, base_url: str | None = None) -> Path:
    """Download the data set ``name`` and return the folder that then holds it.

    A file that is already there and whole is not downloaded again; a file appears only when it is
    whole.

    Args:
        name: a key of ``DOWNLOADS``.
        folder: where to; $HYPERNAS_DATA/NAME or else ~/.cache/hypernas/NAME if None.
        base_url: a mirror to take the files from, ``file://`` included.

    Raises:
        DataError: the name is not known, a file cannot be downloaded, or is not the right one.
        RunError: the folder cannot be written.
    """
    if name not in DOWNLOADS:
        raise DataError(f"{name!r} cannot be fetched; known are: {', '.join(sorted(DOWNLOADS))}")
    download = DOWNLOADS[name]
    target = folder or home() / name
    base = (base_url or download.base_url).rstrip("/")
    for file, digest in download.digests.items():
        if not _is_whole(target / file, digest):
            _fetch_file(f"{base}/{file}", target / file, digest)
    return target


def _is_whole(path: Path, digest: str) -> bool:
    """Say whether the gzipped file is there and unpacks to the content of that digest."""
    found = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            while block := file.read(BLOCK):
                found.update(block)
    except (OSError, EOFError, zlib.error):
        return False
    return found.hexdigest() == digest


def _fetch_file(url: str, path: Path, digest: str) -> None:
    with replacing(path) as temporary:
        _download(url, temporary)
        if not _is_whole(temporary, digest):
            raise DataError(
                f"{url} is not the file it should be: unpacked, its SHA-256 is not {digest}; "
                "try again later or from another network"
            )


def _download(url: str, path: Path) -> None:
    try:
        source = urllib.request.urlopen(url, timeout=TIMEOUT)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(url, path, error) from error
    with source, path.open("wb") as target:
        while block := _read(source, url, path):
            target.write(block)


def _read(source: BinaryIO, url: str, path: Path) -> bytes:
    try:
        return source.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, path, error) from error


def _unreachable(url: str, path: Path, error: Exception) -> DataError:
    reason = getattr(error, "reason", None) or error
    return DataError(
        f"cannot download {url}: {reason}; check the network (HTTPS_PROXY and HTTP_PROXY are "
        f"heeded), or put the file into {path.parent} yourself"
    )
