"""Options given as text are read as their type."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from hypernas.errors import ConfigError
from hypernas.flags import parse_options
from hypernas.hypernets import make
from hypernas.options import converted
from hypernas.spaces import find


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("8,10,4", tuple[int, ...], (8, 10, 4)),
        (8, tuple[int, ...], (8,)),
        ("none", tuple[str, ...], ("none",)),
        ("1,2+1", tuple[str, ...], ("1", "2+1")),
        (1, tuple[str, ...], ("1",)),
        (["none", "split"], tuple[str, ...], ("none", "split")),
        (("a",), list[str], ["a"]),
        ("1.5", float | None, 1.5),
        ("a,b", str, "a,b"),
        (0.5, str, "0.5"),
        (1, str, "1"),
        ("x", Literal["x", "y"], "x"),
    ],
)
def test_text_is_read_as_its_type(value: Any, kind: Any, expected: Any) -> None:
    assert converted(value, kind) == expected


def test_what_cannot_be_read_is_refused() -> None:
    wrong = (("8,x", tuple[int, ...]), ({}, tuple[str, ...]), ("z", int), (True, str), ([], str))
    for value, kind in wrong:
        with pytest.raises(msgspec.ValidationError):
            converted(value, kind)


def test_lists_on_the_command_line() -> None:
    given = parse_options(["structures=1", "gates=none,split", 'writes=["add"]', "width=3"])
    options = find("memory-bank", given).options
    assert [options[name] for name in ("structures", "gates", "writes", "width")] == [
        ("1",), ("none", "split"), ("add",), 3,
    ]  # fmt: skip


@pytest.mark.parametrize("generated", ["0.5", "1", "mix,conv0"])
def test_hypernetworks_read_them_too(generated: str) -> None:
    given = parse_options(["layers=8,10,4", "growth=10", f"generated={generated}"])
    with pytest.raises(ConfigError, match="needs a candidate"):  # past the reading of options
        make("smash", given)
