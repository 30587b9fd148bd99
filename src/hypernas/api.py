"""The Python API: the same as the command line, in a line or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hypernas.config import Config
from hypernas.errors import ConfigError
from hypernas.runs import Run


def run(
    data: str | Path, *, out: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Run:
    """Find the best network for ``data`` and return the finished run.

    A run that was stopped goes on where it was; one that is finished is opened.

    Args:
        data: a known data set, a folder of images with one subfolder a class, or a .npz file.
        out: the run folder; by default ``runs/NAME``.
        quiet: print nothing.
        settings: any field of :class:`hypernas.config.Config`: ``space``, ``options``,
            ``max_params``, ``minutes``, ``trials``, ``seed``, …

    Raises:
        HypernasError: something in the input cannot work; says what and one way out.
    """
    config = configured(data=str(data), **settings)
    return Run.start(out or folder_for(str(data)), config, quiet=quiet).everything()


def open_run(folder: str | Path, *, quiet: bool = False) -> Run:
    """Open a run folder: its ``best``, its ``result``, :meth:`Run.ask`, :meth:`Run.score`."""
    return Run.open(folder, quiet=quiet)


def configured(**settings: Any) -> Config:
    """Return a configuration.

    Raises:
        ConfigError: an unknown setting, or a value of the wrong type.
    """
    unknown = settings.keys() - set(Config.__struct_fields__)
    if unknown:
        raise ConfigError(
            f"no setting {min(unknown)!r}; there are {', '.join(Config.__struct_fields__)}"
        )
    try:
        return msgspec.convert(settings, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"settings do not fit: {error}") from error


def folder_for(data: str) -> Path:
    """Return the run folder for data without one of its own.

    >>> folder_for("path/to/flowers/").as_posix()
    'runs/flowers'
    >>> folder_for("stl10:3").as_posix()
    'runs/stl10-3'
    """
    return Path("runs") / Path(data).stem.replace(":", "-")
