"""Tables of networks trained for real: what they hold, and that nothing is lost or mixed."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from hypernas import ground_truth
from hypernas.asked import GroundTruth
from hypernas.cli import main
from hypernas.config import Config
from hypernas.console import Voice
from hypernas.errors import ConfigError, HypernasError, RunError
from hypernas.ground_truth import Table, make, place_of, read, sees_inputs, write
from hypernas.isomorphism import network_digest
from hypernas.spaces import find

ASKED = GroundTruth(
    space="nas-bench-201",
    data="digits",
    architectures=4,
    seeds=2,
    repeated=2,
    epochs=2,
    options={"width": 2, "cells": 1, "stages": 1},
    examples=400,
    workers=1,
)
QUIET = Voice(quiet=True)
# Of no time: the header bears one, and a parameter must have one name in every test worker.
BROKEN = gzip.compress(b"no table", mtime=0)[:10] + b"\xff" * 20
"""a head of gzip's with a body that is none"""


def asked(**changes: object) -> GroundTruth:
    return msgspec.structs.replace(ASKED, **changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished table."""
    path = tmp_path_factory.mktemp("tables") / "t.jsonl.gz"
    make(path, ASKED, QUIET)
    return path


@pytest.fixture
def table(path: Path) -> Table:
    return read(path)


def test_a_table_of_a_space_with_ease_is_a_place(table: Table, tmp_path: Path) -> None:
    """A table holds all options of its space, also the one that nobody may set."""
    options = find("memory-bank", {"preset": "tiny"}).options
    assert "ease" in options
    setting = msgspec.structs.replace(table.setting, space="memory-bank", options=options)
    assert place_of(setting, tmp_path).space.options == options


def test_what_a_table_holds(table: Table, path: Path) -> None:
    assert [[trial.seed for trial in one.trials] for one in table.networks] == [
        [0, 1],
        [0, 1],
        [0],
        [0],
    ]
    for truth in table.networks:
        for trial in truth.trials:
            assert len(trial.by_epoch) == 2
            assert trial.by_epoch[-1] == trial.val_accuracy
            assert trial.versions["torch"]
            assert trial.seconds > 0
    assert table.setting.recipe.epochs == 2
    assert table.setting.options["stem_stride"] == 1, "defaults are written too"
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing else is left"


def test_networks_are_different_and_read_their_input(table: Table, tmp_path: Path) -> None:
    place = place_of(table.setting, tmp_path)
    candidates = [place.candidates.of(truth.choices) for truth in table.networks]
    assert len({network_digest(candidate.graph) for candidate in candidates}) == 4
    assert all(sees_inputs(place, candidate) for candidate in candidates)
    assert [(c.params, c.macs) for c in candidates] == [(t.params, t.macs) for t in table.networks]
    nothing = dict.fromkeys(table.networks[0].choices, "none")
    assert not sees_inputs(place, place.candidates.of(nothing))


def test_more_of_everything_adds_to_a_table(table: Table, path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    more = make(copy, asked(architectures=5, repeated=None), QUIET)
    assert [len(truth.trials) for truth in more.networks] == [2] * 5
    for old, new in zip(table.networks, more.networks, strict=False):
        assert new.trials[: len(old.trials)] == old.trials
    assert make(copy, ASKED, QUIET) == more == read(copy), "fewer take nothing away"


def without_seconds(table: Table) -> Table:
    networks = [
        msgspec.structs.replace(
            truth, trials=[msgspec.structs.replace(trial, seconds=0.0) for trial in truth.trials]
        )
        for truth in table.networks
    ]
    return Table(setting=table.setting, networks=networks)


def test_two_processes_make_the_same_table(table: Table, tmp_path: Path) -> None:
    made = make(tmp_path / "t.jsonl", asked(workers=2), QUIET)
    assert without_seconds(made) == without_seconds(table)


def test_a_killed_table_goes_on(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    options = "--architectures 4 --seeds 2 --repeated 2 --epochs 2 --examples 400 --workers 1"
    space = "--set width=2 cells=1 stages=1"
    command = ["train", "nas-bench-201", "digits", *options.split(), *space.split()]
    command += ["--table", str(path), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "hypernas", *command])
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = sum(len(truth.trials) for truth in read(path).networks)
    assert 1 <= done < 6, "it was stopped too late to try anything"
    main(command)
    assert without_seconds(read(path)) == without_seconds(table)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"epochs": 3}, RunError, "epochs 2 instead of 3"),
        ({"train_rate": 0.2}, RunError, "rate 0.1 instead of 0.2"),
        ({"options": {"width": 3}}, RunError, "options"),
        ({"examples": 300}, RunError, "examples 400 instead of 300"),
        ({"seed": 1}, RunError, "seed 0 instead of 1"),
        ({"space": "cel"}, HypernasError, "known are"),
        ({"architectures": 0}, ConfigError, "--architectures is 0"),
        ({"repeated": -1}, ConfigError, "--repeated is -1"),
        ({"train_batch": 1}, ConfigError, "--train-batch"),
        ({"data": "nowhere"}, HypernasError, "nowhere"),
    ],
)
def test_refusals(
    changes: dict[str, object], error: type[Exception], words: str, path: Path
) -> None:
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        make(path, asked(**changes), QUIET)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_was_begun_with_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the table itself was not written yet."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "t.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(ground_truth, "train_each", stop)
        with pytest.raises(KeyboardInterrupt):
            make(path, ASKED, QUIET)
    assert not path.exists()
    for changes, words in (
        ({"train_rate": 0.2}, "train-rate 0.1 instead of 0.2"),
        ({"options": {"width": 3, "cells": 1, "stages": 1}}, "options"),
        ({"examples": 300}, "examples 400 instead of 300"),
    ):
        with pytest.raises(RunError, match=words):
            make(path, asked(**changes), QUIET)


def test_fewer_networks_than_were_begun_leave_none_untrained(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.jsonl"
    untrained = [msgspec.structs.replace(one, trials=[]) for one in table.networks[2:]]
    write(path, Table(setting=table.setting, networks=[*table.networks[:2], *untrained]))
    made = make(path, asked(architectures=2), Voice())
    assert made.networks == table.networks[:2]
    assert "nan" not in capsys.readouterr().out


def test_a_space_without_as_many_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground_truth, "DRAWS_PER_NETWORK", 1)
    small = asked(space="nas-bench-201", architectures=30)
    with pytest.raises(ConfigError, match=r"drew \d+ different networks in 30 draws; give at most"):
        make(tmp_path / "t.jsonl", small, QUIET)


def test_a_name_that_is_no_tables(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in .jsonl"):
        make(tmp_path / "t.csv", ASKED, QUIET)
    with pytest.raises(ConfigError, match="there is no folder"):
        make(tmp_path / "missing" / "t.jsonl", ASKED, QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("raw", [b"", b"{}\n", b"no table", b"\x1f\x8b\x08", BROKEN])
def test_what_is_no_table_is_refused(raw: bytes, tmp_path: Path) -> None:
    for name in ("t.jsonl", "t.jsonl.gz"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(RunError, match="as a table of ground truth"):
            read(tmp_path / name)


def test_other_data_under_the_same_name(table: Table, tmp_path: Path) -> None:
    other = msgspec.structs.replace(table.setting, fingerprint="0" * 64)
    with pytest.raises(RunError, match="other data"):
        place_of(other, tmp_path)


def test_options_are_those_of_a_run() -> None:
    """What both know has one default and one meaning."""
    kinds = {field.name: field for field in msgspec.structs.fields(Config)}
    for field in msgspec.structs.fields(GroundTruth):
        if field.name in kinds and field.name not in ("space", "data", "seeds", "epochs"):
            assert field.default == kinds[field.name].default
            assert field.type == kinds[field.name].type
