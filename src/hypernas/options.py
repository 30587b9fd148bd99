"""Options of spaces and hypernetworks: values given as text become what is asked for."""

from __future__ import annotations

from typing import Any, get_origin

import msgspec


def converted(value: Any, kind: Any) -> Any:
    """Return an option's value as its type; where that is a list, text is cut at its commas.

    Raises:
        msgspec.ValidationError: it cannot be read as that.

    >>> converted("8,10", tuple[int, ...]), converted(1, tuple[str, ...]), converted("16", int)
    ((8, 10), ('1',), 16)
    """
    listed = get_origin(kind) in (list, tuple)
    if listed and isinstance(value, (str, int, float)):  # one number is read before it comes here
        value = str(value).split(",")
    return msgspec.convert(value, kind, strict=False)
