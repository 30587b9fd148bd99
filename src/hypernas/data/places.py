"""Folders where data sets are looked for and put."""

from __future__ import annotations

import os
from pathlib import Path

DEBIAN = Path("/usr/share/datasets")
"""where Debian's packages put data sets, e.g. dataset-fashion-mnist"""


def cache_home() -> Path:
    """Return the folder that serves when HYPERNAS_DATA is not set."""
    return Path.home() / ".cache" / "hypernas"


def home() -> Path:
    """Return the folder that data sets are fetched into: $HYPERNAS_DATA or ~/.cache/hypernas."""
    configured = os.environ.get("HYPERNAS_DATA")
    return Path(configured).expanduser() if configured else cache_home()


def places(name: str) -> list[Path]:
    """Return the folders where the public data set ``name`` may be, in the order of looking."""
    return list(dict.fromkeys([home() / name, home(), cache_home() / name, DEBIAN / name]))
