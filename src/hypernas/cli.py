"""The command line: reads arguments, calls a command, says in one line what is wrong."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import tyro

from hypernas.commands import COMMANDS
from hypernas.errors import ConfigError, HypernasError

TWO_WORDS = ("spaces check", "data fetch")
"""commands that may be written as two words; the first alone is a command too, and lists"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of the input are one line and exit status 2."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        _parsed(given)()
    except HypernasError as error:
        _refuse(str(error))
    except BrokenPipeError:  # who reads, such as head, has seen enough; not a worker's pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _refuse(f"{error}; free some room, or choose another folder")
    except KeyboardInterrupt:
        _refuse("stopped; what is done is kept: the same command goes on from there")


def _parsed(given: list[str]) -> Callable[[], None]:
    """Return what the arguments ask for, ready to be done.

    Raises:
        ConfigError: they cannot be read; the parser's box of words is brought to one line.
    """
    if " ".join(given[:2]) in TWO_WORDS:
        given = ["-".join(given[:2]), *given[2:]]
    if given[:1] == ["train"] and any(text.split("=")[0] == "--table" for text in given):
        given = ["train-table", *given[1:]]  # of a space and data, where train is of a run
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _later(command) for name, command in COMMANDS.items()},
                prog="hypernas",
                description="Architecture search with hypernetworks.",
                args=given,
            )
    except SystemExit as end:
        if not end.code:
            raise  # help was asked for
        _, *inside = complaint.getvalue().splitlines()  # below the box's title
        text = " ".join(re.sub("[╰╯│─•]|-{4,}", " ", "\n".join(inside)).split())
        for start in ("Perhaps you meant", "For full helptext"):
            before, found, after = text.partition(f" {start}")
            text = f"{before.rstrip('.')}; {start.lower()}{after}" if found else text
        text = text.split(" Arguments are applied")[0]
        if given[:1] == ["train"] and f"Unrecognized options: {''.join(given[2:3])};" in text:
            text += "; train takes one run folder, and for a table of SPACE and DATA --table FILE"
        raise ConfigError(text) from None


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Return a command that, called with its arguments, returns the work instead of doing it."""

    @functools.wraps(command)
    def later(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return later


def _refuse(text: str) -> NoReturn:
    print(f"hypernas: {' '.join(text.split())}", file=sys.stderr)
    raise SystemExit(2)
