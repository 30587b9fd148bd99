"""One process at a time works in a run folder."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path

from hypernas.errors import RunError


@contextlib.contextmanager
def owned(folder: Path) -> Generator[None, None, None]:
    """Hold ``folder`` while the block runs; the system lets go when the process ends, however.

    Raises:
        RunError: another process works in it.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(
                f"another process works in {folder}; wait for it, or give another --out"
            ) from error
        yield
