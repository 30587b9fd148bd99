"""Files are written whole or not at all, and what cannot be read says so on one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hypernas.errors import RunError
from hypernas.files import (
    read_json,
    read_tensors,
    replacing,
    write_json,
    write_tensors,
    write_text,
)
from hypernas.results import Limits


def test_json_comes_back_as_its_type(tmp_path: Path) -> None:
    path = tmp_path / "new" / "limits.json"
    write_json(path, Limits(max_params=7))
    assert read_json(path, Limits) == Limits(max_params=7)
    assert read_json(path) == {"max_params": 7, "max_macs": None}
    assert path.read_text().endswith("}\n")


def test_a_failed_write_leaves_the_older_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "older")

    def half(error: type[Exception]) -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(ZeroDivisionError):
        half(ZeroDivisionError)
    with pytest.raises(RunError, match="cannot write"):
        half(OSError)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "older")
    code = (
        "import os, pathlib, sys\nfrom hypernas.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as t:\n    t.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 9
    assert path.read_text() == "older"


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path):
        with pytest.raises(RunError, match="cannot write") as caught:
            write_json(path, {})
        assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="cannot write"):
        write_tensors(tmp_path / "file" / "a.safetensors", {"a": torch.ones(1)})


@pytest.mark.parametrize("text", ["", "{", '{"max_params": "many"}', '{"max_parms": 1}', "[1]"])
def test_damaged_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"limits\.json is damaged"):
        read_json(path, Limits)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    for read in (read_json, read_tensors):
        with pytest.raises(RunError, match=r"gone is missing; is .* a run folder"):
            read(tmp_path / "gone")
        with pytest.raises(RunError, match=r"cannot read|damaged"):
            read(tmp_path)


def test_tensors_come_back_with_their_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.randn(2, 3).T, "y": torch.arange(4), "z": torch.tensor(1.5)}
    write_tensors(path, tensors, {"step": 3, "who": ["a", None]})
    back, metadata = read_tensors(path)
    assert metadata == {"step": 3, "who": ["a", None]}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    write_tensors(path, {})
    assert read_tensors(path) == ({}, {})


def test_a_weight_that_two_layers_share_is_written(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    write_tensors(tmp_path / "a.safetensors", network.state_dict())
    back, _ = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(back["0.weight"], back["1.weight"])
    network.load_state_dict(back)


def test_damaged_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match=r"a\.safetensors is damaged"):
        read_tensors(path)
    save_file({"x": torch.ones(1)}, path, metadata={"format": "pt"})  # metadata that is no JSON
    with pytest.raises(RunError, match=r"a\.safetensors is damaged"):
        read_tensors(path)
