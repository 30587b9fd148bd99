"""What cannot work is found before anything is written, and as early as it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_run import RUN

from hypernas.errors import ConfigError, HypernasError
from hypernas.runs import Run
from hypernas.workplace import Workplace

SMALL = msgspec.structs.replace(RUN, survey=30, examples=200)
EARLY: list[tuple[dict[str, Any], str]] = [
    (
        {"fit_options": {"nodez": 7}},
        "--fit-set nodez=7: space 'cell' has no option 'nodez' (did you mean 'nodes'?)",
    ),
    ({"fit_options": {"nodes": 0}}, "--fit-set nodes=0: option nodes=0: expected 1 or more"),
    (
        {"options": {**RUN.options, "cells": 70}, "hypernet_options": {"stacking": "position"}},
        "72 cells and stretches between, and 64 can have a position",
    ),
    (
        {"fit_options": {"cells": 70}, "hypernet_options": {"stacking": "own"}},
        "72 cells and stretches between, and 64 can have a position",
    ),
]


def refused(folder: Path, **settings: Any) -> str:
    with pytest.raises(HypernasError) as caught:
        Run.start(folder / "run", msgspec.structs.replace(SMALL, **settings), quiet=True)
    assert not list(folder.iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("settings", "words"), EARLY)
def test_refused_before_the_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], words: str
) -> None:
    def look(*_: Any, **__: Any) -> None:
        raise AssertionError("the space was surveyed")

    monkeypatch.setattr(Workplace, "look", look)
    assert words in refused(tmp_path, **settings)


def test_a_network_that_only_some_architectures_have_is_tried_too(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(
        "from torch import nn\n"
        "def chain(choose, data):\n"
        "    count = choose('cells', [1, 70], weights=[0.9, 0.1])\n"
        "    cells = [nn.Conv2d(1, 1, 1) for _ in range(count)]\n"
        "    made = nn.Sequential(*cells, nn.Flatten(), nn.Linear(64, data.outputs))\n"
        "    made.cells = tuple(str(i) for i in range(count))\n"
        "    return made\n"
    )
    settings = {"space": f"{file}:chain", "options": {}}
    config = msgspec.structs.replace(SMALL, **settings, hypernet_options={"stacking": "own"})
    with pytest.raises(ConfigError, match="and 64 can have a position or networks of their own"):
        Run.start(tmp_path / "run", config, quiet=True)
    assert not (tmp_path / "run").exists()


class TestBudgets:
    """Within budgets that no network can meet, all score as silence does."""

    def test_too_small_for_all(self, tmp_path: Path) -> None:
        said = refused(tmp_path, budgets=(100, 200))
        assert "--budgets 100 200: no network would ever answer, as the cheapest exit of 30" in said

    def test_no_pruner_beside_them(self, tmp_path: Path) -> None:
        """It would compare last exits of stopped networks with means of others."""
        trained = {"score_by": "training", "pruner": "halving", "steps": None, "epochs": 3}
        said = refused(tmp_path, budgets=(1, 10**9), **trained)
        assert "--pruner halving stops networks by their last exit" in said
        assert "judges them over budgets; leave it out" in said

    @pytest.mark.parametrize(("rank", "warned"), [(2, True), (29, False)])
    def test_too_small_for_most(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], rank: int, warned: bool
    ) -> None:
        place = Workplace(tmp_path, SMALL)
        place.data = place.record_data()
        place.look(SMALL.survey)
        most = sorted(drawn.macs for drawn in place.survey.drawn)[rank]
        config = msgspec.structs.replace(SMALL, budgets=(1, most))
        made = Run.start(tmp_path / "run", config)
        assert made.place.budgets is not None
        said = " ".join(capsys.readouterr().err.split())
        assert ("of the candidates have an exit that costs at most" in said) == warned
