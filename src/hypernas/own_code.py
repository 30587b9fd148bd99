"""Functions of the user's, given as FILE.py:FUNCTION."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypernas.errors import HypernasError


def function_in(given: str, *, what: str, error: type[HypernasError]) -> Callable[..., Any]:
    """Return the function that ``FILE.py:FUNCTION`` names.

    Args:
        given: file and function.
        what: it is, for messages.
        error: the class of what is raised.

    Raises:
        HypernasError: there is no such file or function, or the file does not import.
    """
    file, _, attribute = given.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise error(f"{what} {given!r}: no file {file or given}; give FILE.py:FUNCTION")
    # A module name of its own, so that a user's `cell.py` hides nobody else's.
    module_name = f"_own_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as wrong:
        raise error(f"{what} {given!r}: {file} does not import: {wrong!r}") from wrong
    function = getattr(module, attribute, None)
    if not callable(function):
        raise error(f"{what} {given!r}: {file} has no function {attribute!r}")
    return function
