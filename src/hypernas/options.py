"""Options of spaces, hypernetworks and samplers: text becomes what is asked for, and text again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from math import isfinite, nan
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from hypernas.errors import ConfigError, HypernasError

UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
BOUNDS = {
    "ge": "{:g} or more",
    "gt": "more than {:g}",
    "le": "at most {:g}",
    "lt": "less than {:g}",
}
ALIKE = 0.65
"""least likeness of what was perhaps meant; at difflib's 0.6, width is like depth"""


def resolved(
    given: Mapping[str, Any],
    kinds: Mapping[str, Any],
    *,
    of: str,
    flag: str,
    error: type[HypernasError],
) -> dict[str, Any]:
    """Return options as their types.

    Args:
        given: values by the names of the options; text is read as their type.
        kinds: the type of each option that there is.
        of: what has these options, in words.
        flag: of the command line, by which they are given.
        error: what is raised.

    Raises:
        HypernasError: no such option, or a value of another type; says what it may be.
    """
    found = {}
    for name, value in given.items():
        written = f"{flag} {in_words({name: value})}"
        if name not in kinds:
            raise error(
                f"{written}: {of} has no option {name!r}{hint(name, kinds)}; "
                f"it has {', '.join(kinds) or 'none'}"
            )
        try:
            found[name] = converted(value, kinds[name])
        except msgspec.ValidationError as cause:
            raise error(
                f"{written}: {of} expects {expected(kinds[name])}"
                f"{hint(value, _values(kinds[name]))}; give that, or leave it out"
            ) from cause
    return found


def converted(value: Any, kind: Any) -> Any:
    """Return an option's value as its type; where that is a list, text is cut at its commas.

    A number may stand for text: on the command line ``0.5`` is read before it comes here. A whole
    number may be short: ``2M``.

    Raises:
        msgspec.ValidationError: it cannot be read as that.

    >>> converted("8,10", tuple[int, ...]), converted(1, tuple[str, ...]), converted(0.5, str)
    ((8, 10), ('1',), '0.5')
    """
    if get_origin(kind) in (list, tuple) and isinstance(value, (str, int, float, list, tuple)):
        parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
        value = [_spelled_out(part, get_args(kind)[0]) for part in parts]
    return msgspec.convert(_spelled_out(value, kind), kind, strict=False)


def expected(kind: Any) -> str:
    """Say what values a type has.

    >>> expected(Literal["a", "b"]), expected(int | None), expected(tuple[int, ...])
    ('a or b', 'a whole number', 'a whole number, or several with commas between')
    """
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return _either([_text(value) for value in parts])
    if get_origin(kind) is Annotated:
        bounds = [
            words.format(limit)
            for meta in parts[1:]
            for bound, words in BOUNDS.items()
            if (limit := getattr(meta, bound, None)) is not None
        ]
        return f"{expected(parts[0])}, {' and '.join(bounds)}" if bounds else expected(parts[0])
    if get_origin(kind) in (Union, UnionType):
        return _either([expected(part) for part in parts if part is not NoneType])
    if get_origin(kind) in (list, tuple):
        return f"{expected(parts[0])}, or several with commas between"
    return KINDS.get(kind, f"a value of type {getattr(kind, '__name__', kind)}")


def hint(given: Any, known: Iterable[str]) -> str:
    """Return what was perhaps meant, to follow what is wrong, or nothing.

    >>> hint("colour", ["color", "width"])
    " (did you mean 'color'?)"
    """
    close = get_close_matches(str(given), list(known), n=1, cutoff=ALIKE)
    return f" (did you mean {close[0]!r}?)" if close and close[0] != given else ""


def parse_size(text: str) -> int:
    """Read a count.

    >>> parse_size("200k"), parse_size("1.5M"), parse_size("123")
    (200000, 1500000, 123)
    """
    unit = UNITS.get(text[-1:], 1)
    try:
        number = float(text[:-1] if unit > 1 else text)
    except ValueError:
        number = nan
    if not isfinite(number) or (number % 1 and unit == 1):
        raise ConfigError(f"{text!r} is no count; give one such as 5000, 200k or 20M")
    return round(number * unit)


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


def _spelled_out(value: Any, kind: Any) -> Any:
    """Return a number as text where text is wanted, and a short count as the number it is."""
    if kind is str and type(value) in (int, float):
        return str(value)
    kinds = _plain(kind)
    if isinstance(value, str) and value[-1:] in UNITS and int in kinds and str not in kinds:
        with suppress(ConfigError):
            return parse_size(value)
    return value


def _plain(kind: Any) -> list[Any]:
    """Return the types of which values may be."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [plain for part in get_args(kind) for plain in _plain(part)]
    return [kind]


def _values(kind: Any) -> list[str]:
    """Return the words among which a value must be."""
    literal = [part for part in _plain(kind) if get_origin(part) is Literal]
    return [value for part in literal for value in get_args(part) if isinstance(value, str)]


def _either(texts: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
