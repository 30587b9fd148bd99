"""A space is found by its name or in a user's file; what is wrong is said on one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from hypernas.candidate import Candidates, build_network
from hypernas.choices import Draw, Replay
from hypernas.errors import SpaceError
from hypernas.spaces import Space, find, known
from hypernas.spaces.space import BUILT_IN
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING, Literal
from torch import nn
if TYPE_CHECKING:
    from hypernas import Chooser

def mine(choose: Chooser, data, *, width: int = 4, act: Literal["relu", "tanh"] = "relu", deep=1):
    channels = choose("channels", [width, 2 * width])
    head = nn.Linear(channels, data.outputs)
    acts = {"relu": nn.ReLU, "tanh": nn.Tanh}
    body = [nn.Conv2d(data.input_shape[0], channels, 3), acts[act](), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*body, nn.Flatten(), head)

def typed(choose, data, *, width: int = 4, names: list[str] | None = None, share: float = 0.5):
    return nn.Linear(width, width)

def wanting(choose, data, *, width: int):
    return nn.Linear(width, width)

def nothing(choose, data):
    choose("a", [1])

class Net(nn.Module):
    def __init__(self, choose, data, *, width=3):
        super().__init__()
        self.fc = nn.Linear(8, choose("width", [width]))

    def forward(self, x):
        return self.fc(x)

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(SOURCE)
    return path


def test_a_space_of_ones_own(file: Path) -> None:
    space = find(f"{file}:mine", {"width": 2})
    assert space.options == {"width": 2, "act": "relu", "deep": 1}
    assert space.file == file
    candidate = Candidates(space, DATA).draw(random.Random(0))
    assert candidate.choices["channels"] in (2, 4)
    assert build_network(space, candidate.choices, DATA, seed=0)


def test_a_class_may_be_a_space(file: Path) -> None:
    assert Candidates(find(f"{file}:Net"), DATA).of({"width": 3}).params == 27


def test_two_files_of_one_name_hide_nobody(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "own.py"
    other.parent.mkdir()
    other.write_text(SOURCE.replace("width: int = 4", "width: int = 9"))
    spaces = [find(f"{path}:typed") for path in (file, other, file)]
    assert [s.options["width"] for s in spaces] == [4, 9, 4]
    assert [s.file for s in spaces] == [file, other, file]


def test_a_relative_path_works_and_an_edit_is_seen(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    before = find("own.py:typed")
    file.write_text(SOURCE.replace("width: int = 4", "width: int = 11"))
    assert find("own.py:typed").options["width"] == 11
    assert before.options["width"] == 4


def test_text_is_read_as_the_type_of_the_option(file: Path) -> None:
    options = find(f"{file}:typed", {"width": "16", "share": "0.25", "names": ["a"]}).options
    assert options == {"width": 16, "share": 0.25, "names": ["a"]}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gone.py:mine", {}, r"no file .*gone\.py; give FILE\.py:FUNCTION"),
        ("own.py:yours", {}, r"own\.py has no function 'yours'"),
        ("own.py:number", {}, "has no function 'number'"),
        ("own.py:typed", {"depth": 3}, "no option 'depth'; it has width, names, share"),
        ("own.py:nothing", {"depth": 3}, "no option 'depth'; it has none"),
        ("own.py:typed", {"width": "wide"}, "--set width=wide: .*typed' expects a whole number;"),
        ("own.py:typed", {"width": 1.5}, "--set width=1.5: .* expects a whole number;"),
        ("own.py:typed", {"names": 3}, "--set names=3: .* expects text, or several"),
        ("own.py:wanting", {}, "needs option 'width'; give --set width=…"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    file: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpaceError, match=words) as caught:
        find(str(file.parent / name), options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["import nowhere_to_be_found", "def broken(:", "1 / 0", "raise ValueError('two\\nlines')"],
)
def test_a_file_that_does_not_import_is_named(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SpaceError, match=r"own\.py does not import: ") as caught:
        find(f"{file}:mine")
    assert "\n" not in str(caught.value)


def test_a_space_that_returns_no_module_is_refused(file: Path) -> None:
    with pytest.raises(SpaceError, match=r"returned NoneType; expected a torch\.nn\.Module"):
        find(f"{file}:nothing").build(Draw(random.Random(0)), DATA)


def test_unknown_names_list_the_known_and_the_close() -> None:
    with pytest.raises(SpaceError, match=r"did you mean 'nas-bench-201'\?\); known are anytime"):
        find("nasbench201")
    for name in ("", "own.py", "cell:cell"):
        with pytest.raises(SpaceError, match=r"or FILE\.py:FUNCTION for your own"):
            find(name)
    with pytest.raises(
        SpaceError, match="'cell' has no option 'depth'; it has width, cells, nodes"
    ):
        find("cell", {"depth": 3})


def test_known_spaces_say_what_they_are() -> None:
    assert known().keys() == BUILT_IN.keys() >= {"anytime", "cell", "mlp", "text"}
    assert all(len(text) > 20 for text in known().values())
    usual = {"width": 16, "cells": 3, "nodes": 5, "identity": True, "stem_stride": None}
    assert find("cell").options.items() >= usual.items()


def test_a_digest_names_source_and_options(file: Path) -> None:
    name = f"{file}:typed"
    same = [find(name, {"width": 4}).digest, find(name).digest]
    assert same[0] == same[1]
    assert find(name, {"width": 5}).digest != same[0]
    file.write_text(SOURCE + "# other\n")
    assert find(name).digest != same[0]


def test_the_example_in_the_repository_works() -> None:
    example = Path(__file__).parents[2] / "examples" / "my_space.py"
    space = find(f"{example}:residual", {"stages": 2})
    for side in (7, 14):
        data = Signature(input_shape=(1, side, side), outputs=4)
        candidate = Candidates(space, data).draw(random.Random(side))
        network = build_network(space, candidate.choices, data, seed=0)
        assert candidate.params == sum(p.numel() for p in network.parameters())


def test_a_space_may_be_made_in_python() -> None:
    space = Space("mine", lambda choose, data: nn.Sequential(nn.Flatten(), nn.Linear(192, 2)))
    assert Candidates(space, DATA).of({}).macs == 384


def test_options_can_be_changed_for_a_copy(file: Path) -> None:
    space = find(f"{file}:mine", {"width": 2})
    other = space.with_options(act="tanh")
    assert other.options == {"width": 2, "act": "tanh", "deep": 1}
    assert space.options["act"] == "relu"
    assert other.digest != space.digest
    with pytest.raises(
        SpaceError, match=r"no option 'depth' \(did you mean 'deep'\?\); it has width, act, deep"
    ):
        space.with_options(depth=3)


@pytest.mark.parametrize("ease", [0.0, 0.4, 1.0])
def test_a_space_asks_without_building_what_it_asks_when_it_builds(ease: float) -> None:
    space = find("memory-bank", {"ease": ease})
    asked, built = Draw(random.Random(3)), Draw(random.Random(3))
    space.ask(asked, DATA)
    space.build(built, DATA)
    assert asked.choices == built.choices
    assert asked.decisions == built.decisions


def test_a_space_that_can_only_build_asks_by_building() -> None:
    space = Space("small", lambda choose, data: nn.Linear(choose("width", [3]), 2))
    chooser = Draw(random.Random(0))
    space.ask(chooser, DATA)
    assert chooser.choices == {"width": 3}
    with pytest.raises(SpaceError, match="extra"):
        space.ask(Replay({"width": 3, "extra": 1}), DATA)
