"""A space whose size is left open takes the largest preset that the minutes allow."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from hypernas import presets
from hypernas.budget import MARGIN, SHARES
from hypernas.config import Config
from hypernas.console import Voice
from hypernas.files import read_json
from hypernas.presets import choose_preset, is_open
from hypernas.remembered import SpaceRecord
from hypernas.runs import Run
from hypernas.spaces import find
from hypernas.warmup import OVERHEAD
from hypernas.workplace import Workplace

SOURCE = """
from torch import nn

WIDTHS = {"tiny": 2, "small": 4, "large": 8}

def sized(choose, data, *, preset: str | None = None):
    width = WIDTHS[preset or "small"] * choose("factor", [1, 2])
    layers = [nn.Conv2d(data.input_shape[0], width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, data.outputs))

sized.presets = ("tiny", "small", "large")
"""
COUNTS = {"trials": 16, "finalists": 1, "sample": 0, "seeds": 1, "epochs": 1, "best_epochs": 1}


@pytest.fixture
def space(tmp_path: Path) -> str:
    """A space of three sizes, as a user would write it."""
    (tmp_path / "own.py").write_text(SOURCE)
    return f"{tmp_path / 'own.py'}:sized"


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The presets that were timed; a step takes 0.01, 0.1 or 1 second."""
    asked: list[str] = []
    seconds = {"tiny": 0.01, "small": 0.1, "large": 1.0}

    def cost(place: Workplace, hypernet: Any, *, repeats: int) -> tuple[float, int]:
        asked.append(place.space.options["preset"])
        return seconds[asked[-1]], 1

    monkeypatch.setattr(presets, "step_cost", cost)
    return asked


def minutes_for(steps: float, seconds: float) -> float:
    """Return the minutes of a run whose fit has time for so many steps."""
    return (steps * seconds * MARGIN / SHARES["fit"] + OVERHEAD) / 60


def place(tmp_path: Path, space: str, minutes: float) -> Workplace:
    config = Config(data="digits", space=space, minutes=minutes, examples=200)
    made = Workplace(tmp_path / "run", config)
    made.data = made.record_data()
    return made


@pytest.mark.parametrize(
    ("steps", "seconds", "preset", "tried", "why"),
    [
        (2010.5, 1.0, "large", 3, ("the largest that gets 2,000 fit steps in ", "(about 2,010)")),
        (1990, 1.0, "small", 3, ("the largest that gets 2,000 fit steps in ", "(about 19,")),
        (3400.5, 0.1, "small", 3, ("the largest", "(about 3,400)")),
        (1990, 0.1, "tiny", 2, ("the largest", "(about 19,")),
        (
            800.5,
            0.01,
            "tiny",
            1,
            ("the smallest; even it gets no 2,000 fit steps in ", "about 800"),
        ),
    ],
)
def test_the_largest_that_gets_enough_steps(
    tmp_path: Path,
    space: str,
    timed: list[str],
    steps: float,
    seconds: float,
    preset: str,
    tried: int,
    why: tuple[str, ...],
) -> None:
    made = place(tmp_path, space, minutes_for(steps, seconds))
    chosen, line = choose_preset(made, {})
    assert chosen.options == {"preset": preset}
    assert timed == ["tiny", "small", "large"][:tried]
    assert line.startswith(f"space {space}: preset {preset}, ")
    assert all(words in line for words in why)
    assert "\n" not in line
    assert not is_open(chosen)


def test_given_steps_are_what_is_needed(tmp_path: Path, space: str, timed: list[str]) -> None:
    made = place(tmp_path, space, minutes_for(500, 1.0) + 0.01)
    assert choose_preset(made, {})[0].options["preset"] == "small"
    chosen, line = choose_preset(made, {"steps": 500})
    assert chosen.options["preset"] == "large"
    assert "gets 500 fit steps" in line
    assert choose_preset(made, {"steps": 501})[0].options["preset"] == "small"
    assert choose_preset(made, {"steps": 500}, spent=5.0)[0].options["preset"] == "small"


def test_what_has_no_presets_or_a_chosen_one_is_not_open(space: str) -> None:
    assert is_open(find(space))
    assert not is_open(find(space, {"preset": "tiny"}))
    assert not is_open(find("cell"))


def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(Voice, "say", lambda self, text: lines.append(text))
    return lines


def start(folder: Path, space: str, **settings: Any) -> Run:
    known = {"data": "digits", "space": space, "examples": 200, "survey": 20, "workers": 1}
    return Run.start(folder, Config(**known | COUNTS | settings), quiet=True)


def test_a_run_keeps_the_preset_that_it_chose(
    tmp_path: Path, space: str, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(monkeypatch)
    made = start(tmp_path / "run", space, minutes=minutes_for(3000, 0.1))
    assert made.place.space.options == {"preset": "small"}
    assert read_json(tmp_path / "run/space.json", SpaceRecord).options == {"preset": "small"}
    assert sum("preset small, the largest that gets" in line for line in lines) == 1
    assert len(timed) == 3
    again = start(tmp_path / "run", space, minutes=minutes_for(3000, 0.1))
    assert again.place.space.options == {"preset": "small"}
    assert Run.open(tmp_path / "run").place.space.digest == made.place.space.digest
    assert len(timed) == 3  # it never chooses again


def test_given_presets_and_counts_are_not_timed(
    tmp_path: Path, space: str, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = start(tmp_path / "one", space, options={"preset": "tiny"}, minutes=5.0)
    assert given.place.space.options == {"preset": "tiny"}
    lines = said(monkeypatch)
    counted = start(tmp_path / "two", space, steps=5)
    assert counted.place.space.options == {"preset": "tiny"}
    assert any("preset tiny, the smallest; all counts are given" in line for line in lines)
    assert timed == []


def test_presets_are_really_timed(tmp_path: Path, space: str) -> None:
    made = start(tmp_path / "run", space, minutes=3.0)
    assert made.place.space.options["preset"] in ("tiny", "small", "large")
    assert made.place.plan.steps >= 100
    assert "preset" in inspect.signature(made.place.space.function).parameters
