"""Sizes and options as a person writes them on the command line."""

from __future__ import annotations

import pytest
import tyro

from hypernas.errors import ConfigError
from hypernas.flags import HypernetOptions, Size, SpaceOptions, parse_options, parse_size


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


def test_options_are_json_where_they_can_be() -> None:
    texts = ["a=1", "b=1.5", "c=true", "d=null", "e=x=y", "f=", 'g="1"', "h=[1,2]"]
    assert parse_options(texts) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "x=y", "f": "", "g": "1", "h": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["width", "=3", ""])
def test_what_is_no_option_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_options([text])


def test_tyro_reads_them_under_their_own_names() -> None:
    def command(
        *, size: Size, space_options: SpaceOptions, hypernet_options: HypernetOptions
    ) -> tuple[object, ...]:
        return size, space_options, hypernet_options

    arguments = "--size 20k --set width=8 mode=plain --hypernet-set state=16".split()
    found = tyro.cli(command, args=arguments)
    assert found == (20_000, {"width": 8, "mode": "plain"}, {"state": 16})
