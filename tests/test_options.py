"""Options given as text are read as their type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from hypernas.errors import ConfigError, HypernasError
from hypernas.flags import parse_options
from hypernas.hypernets import check, make
from hypernas.options import converted, expected, parse_size
from hypernas.samplers import make as sampler
from hypernas.spaces import find


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("123", 123), ("200k", 200_000), ("1.5M", 1_500_000), ("2G", 2 * 10**9)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1.5", "200K", "many", "nan", "inf", "infM", "nank"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no count"):
        parse_size(text)


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
        ("1M", int, 10**6),
        ("1.5k", int | None, 1500),
        ("2k,3", tuple[int, ...], (2000, 3)),
        ("1M", int | Literal["auto"], 10**6),
        ("2k", str, "2k"),
        ("2k", int | str, "2k"),
    ],
)
def test_text_is_read_as_its_type(value: Any, kind: Any, expected: Any) -> None:
    assert converted(value, kind) == expected


def test_what_cannot_be_read_is_refused() -> None:
    wrong = (
        ("8,x", tuple[int, ...]),
        ({}, tuple[str, ...]),
        ("z", int),
        ("1K", int),
        ("xk", int),
        ("1k", float),
        (True, str),
        ([], str),
    )
    for value, kind in wrong:
        with pytest.raises(msgspec.ValidationError):
            converted(value, kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Literal["a", "b", "c"], "a, b or c"),
        (int | Literal["auto"], "a whole number or auto"),
        (Annotated[float, Meta(gt=0, le=1)], "a number, more than 0 and at most 1"),
        (Annotated[int, Meta()] | None, "a whole number"),
        (tuple[Literal["a", "b"], ...], "a or b, or several with commas between"),
        (bool, "true or false"),
        (dict[str, int], "a value of type dict"),
    ],
)
def test_what_a_type_has_is_said(kind: Any, words: str) -> None:
    assert expected(kind) == words


OWN = "hypernetwork 'ghn'"
REFUSED: list[tuple[Callable[..., object], str, str, str]] = [
    (check, "ghn", "stacking=foo", f"{OWN} expects passed, shared, own-passed, own, position or"),
    (check, "ghn", "rounds=x", f"--hypernet-set rounds=x: {OWN} expects a whole number; give"),
    (check, "ghn", "norms=maybe", "expects true or false"),
    (check, "ghn3:xl", "", "'ghn3:xl' expects t or s"),
    (check, "ghn3", "decoder=tile", "low-rank, tiled or pieces (did you mean 'tiled'?)"),
    (find, "cell", "skeleton=third", "'cell' expects thirds or imagenet-mobile (did you mean 'th"),
    (find, "cell", "skelton=thirds", "no option 'skelton' (did you mean 'skeleton'?); it has"),
    (find, "cell", "width=wide", "--set width=wide: space 'cell' expects a whole number or auto"),
    (find, "anytime", "nodes=", "--set nodes=: space 'anytime' expects a whole number, or several"),
    (sampler, "smash", "random=0", "--sampler-set random=0: sampler 'smash' expects a whole numb"),
    (sampler, "smash", "probability=2", "a number, more than 0 and at most 1"),
]


@pytest.mark.parametrize(("reads", "name", "option", "words"), REFUSED)
def test_a_refusal_says_what_may_be_given(
    reads: Callable[..., object], name: str, option: str, words: str
) -> None:
    with pytest.raises(HypernasError) as refused:
        reads(name, parse_options(option.split()))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_counts_may_be_short() -> None:
    assert find("cell", parse_options(["macs=1.5M", "width=auto"])).options["macs"] == 1_500_000


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
