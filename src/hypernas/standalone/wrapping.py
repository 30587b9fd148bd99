"""Lines of source that are too long, broken as ruff breaks them."""

from __future__ import annotations

import itertools
import re

WIDTH = 100
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def wrapped(line: str) -> list[str]:
    """Break a line that is too long at its last pair of brackets; its comment goes.

    >>> wrapped("y = f(" + "a" * 60 + ", " + "b" * 60 + ")")[0]
    'y = f('
    """
    code = line.split("  # ")[0] if len(line) > WIDTH else line
    commas, opening, closing = _last_brackets(code)
    if len(code) <= WIDTH or closing - opening <= 1:
        return [code]
    margin = " " * (len(code) - len(code.lstrip()) + 4)
    body = code[opening + 1 : closing]
    if len(margin) + len(body) <= WIDTH and not (commas and code[opening] != "("):
        inner = [margin + body]
    else:
        cuts = [opening, *commas, closing]
        items = [code[a + 1 : b].strip() for a, b in itertools.pairwise(cuts)]
        comma = "," * _ends_with_comma(code[:opening], code[opening], items)
        inner = [text for item in items for text in wrapped(margin + item + comma)]
    return [code[: opening + 1], *inner, margin[4:] + code[closing:]]


def _ends_with_comma(before: str, bracket: str, items: list[str]) -> bool:
    """Say whether a comma follows each item: not behind a call's only list or dictionary."""
    if len(items) > 1:
        return True
    called = bracket == "(" and bool(re.search(r"[\w)\]]$", before))
    return called and items[0][0] not in "[{"


def _last_brackets(code: str) -> tuple[list[int], int, int]:
    """Return the commas between the last outermost brackets, and where these open and close."""
    opened: list[int] = []
    commas: list[int] = []
    found = ([], 0, 0)
    unquoted = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), code)
    for at, sign in enumerate(unquoted):
        if sign in "([{":
            opened.append(at)
            commas = [] if len(opened) == 1 else commas
        elif sign in ")]}" and opened:
            start = opened.pop()
            found = found if opened else (commas, start, at)
        elif sign == "," and len(opened) == 1:
            commas.append(at)
    return found
