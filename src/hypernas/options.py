"""Options of spaces and hypernetworks: text becomes what is asked for, and text again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

import msgspec


def converted(value: Any, kind: Any) -> Any:
    """Return an option's value as its type; where that is a list, text is cut at its commas.

    A number may stand for text: on the command line ``0.5`` is read before it comes here.

    Raises:
        msgspec.ValidationError: it cannot be read as that.

    >>> converted("8,10", tuple[int, ...]), converted(1, tuple[str, ...]), converted(0.5, str)
    ((8, 10), ('1',), '0.5')
    """
    listed = get_origin(kind) in (list, tuple)
    if listed and isinstance(value, (str, int, float)):
        value = str(value).split(",")
    elif kind is str and type(value) in (int, float):
        value = str(value)
    return msgspec.convert(value, kind, strict=False)


def in_words(options: Mapping[str, Any], between: str = " ") -> str:
    """Return options as they are written on the command line.

    >>> in_words({"width": 8, "gates": ("none", "split"), "identity": False})
    'width=8 gates=none,split identity=false'
    """
    return between.join(f"{name}={_text(value)}" for name, value in options.items())


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
