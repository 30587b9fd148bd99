"""How values are written on the command line: sizes such as 200k, options such as width=16."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import tyro
from tyro.constructors import PrimitiveConstructorSpec

from hypernas.errors import ConfigError
from hypernas.options import parse_size


def parse_options(texts: list[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is JSON where it can be, else text.

    >>> parse_options(["width=16", "identity=false", "mode=plain"])
    {'width': 16, 'identity': False, 'mode': 'plain'}
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"{text!r} is no NAME=VALUE; give one such as width=16")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found


def parse_shape(text: str) -> tuple[int, ...]:
    """Read the shape of an example.

    >>> parse_shape("3,32,32")
    (3, 32, 32)
    """
    sizes = text.split(",")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ConfigError(f"{text!r} is no shape; give one such as 3,32,32")
    return tuple(map(int, sizes))


def parse_file(text: str) -> Path:
    """Read the name of a file that is to be written (--out); no folder is made for it.

    Raises:
        ConfigError: its folder is not there, or it is a folder itself.

    >>> parse_file("why.json").name
    'why.json'
    """
    path = Path(text)
    if not path.parent.is_dir():
        raise ConfigError(
            f"--out {text}: there is no folder {path.parent}; make it, or give another"
        )
    if path.is_dir():
        raise ConfigError(f"--out {text} is a folder; give the name of a file to write")
    return path


def _size(texts: list[str]) -> int:
    return parse_size(texts[0])


_SIZE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="COUNT, e.g. 200k or 20M",
    instance_from_str=_size,
    is_instance=lambda value: isinstance(value, int),
    str_from_instance=lambda value: [str(value)],
)
_SIZES = PrimitiveConstructorSpec(
    nargs=2,
    metavar="LEAST MOST, e.g. 200k 20M",
    instance_from_str=lambda texts: (parse_size(texts[0]), parse_size(texts[1])),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [str(size) for size in value],
)
_SHAPE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="CHANNELS,HEIGHT,WIDTH",
    instance_from_str=lambda texts: parse_shape(texts[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [",".join(map(str, value))],
)
_FILE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="FILE",
    instance_from_str=lambda texts: parse_file(texts[0]),
    is_instance=lambda value: isinstance(value, Path),
    str_from_instance=lambda value: [str(value)],
)
_OPTIONS = PrimitiveConstructorSpec(
    nargs="*",
    metavar="NAME=VALUE ...",
    instance_from_str=parse_options,
    is_instance=lambda value: isinstance(value, dict),
    str_from_instance=lambda value: [
        f"{k}={msgspec.json.encode(v).decode()}" for k, v in value.items()
    ],
)

Size: TypeAlias = Annotated[int, _SIZE]
SizeRange: TypeAlias = Annotated[tuple[int, int], _SIZES]
SpaceOptions: TypeAlias = Annotated[dict[str, Any], _OPTIONS, tyro.conf.arg(name="set")]
FitSpaceOptions: TypeAlias = Annotated[dict[str, Any], _OPTIONS, tyro.conf.arg(name="fit-set")]
OtherOptions: TypeAlias = Annotated[dict[str, Any], _OPTIONS]
HypernetOptions: TypeAlias = Annotated[dict[str, Any], _OPTIONS, tyro.conf.arg(name="hypernet-set")]
SamplerOptions: TypeAlias = Annotated[dict[str, Any], _OPTIONS, tyro.conf.arg(name="sampler-set")]
OutFile: TypeAlias = Annotated[Path, _FILE]
Shape: TypeAlias = Annotated[tuple[int, ...], _SHAPE]
