"""Sizes and options as a person writes them on the command line."""

from __future__ import annotations

import pytest
import tyro

from hypernas.errors import ConfigError
from hypernas.flags import (
    HypernetOptions,
    SamplerOptions,
    Shape,
    Size,
    SpaceOptions,
    parse_options,
    parse_shape,
)


def test_options_are_json_where_they_can_be() -> None:
    texts = ["a=1", "b=1.5", "c=true", "d=null", "e=x=y", "f=", 'g="1"', "h=[1,2]"]
    assert parse_options(texts) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "x=y", "f": "", "g": "1", "h": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["width", "=3", ""])
def test_what_is_no_option_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_options([text])


def test_shapes() -> None:
    assert parse_shape("3,32,32") == (3, 32, 32)
    assert parse_shape("16") == (16,)


@pytest.mark.parametrize("text", ["", "3,0,3", "3x32x32", "3,32,", "-1,2,2", "3, 32", "1.5"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no shape"):
        parse_shape(text)


def test_tyro_reads_them_under_their_own_names() -> None:
    def command(
        *,
        size: Size,
        shape: Shape,
        space_options: SpaceOptions,
        hypernet_options: HypernetOptions,
        sampler_options: SamplerOptions,
    ) -> tuple[object, ...]:
        return size, shape, space_options, hypernet_options, sampler_options

    arguments = "--size 20k --set width=8 mode=plain --hypernet-set state=16".split()
    arguments += "--sampler-set random=5 --shape 1,8,8".split()
    found = tyro.cli(command, args=arguments)
    assert found == (20_000, (1, 8, 8), {"width": 8, "mode": "plain"}, {"state": 16}, {"random": 5})
