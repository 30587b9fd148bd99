"""The picture of what the best choose: everything in it, the same each time, legible."""

from __future__ import annotations

import random
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from hypernas.explaining.explanation import explanation
from hypernas.explaining.record import Explanation
from hypernas.explaining.sample import Sample
from hypernas.report.mean_cell import WIDTH, draw_mean
from hypernas.spaces import find
from hypernas.spaces.nas_bench_201 import EDGES, OPERATIONS

from .conftest import point

SVG = "{http://www.w3.org/2000/svg}"


def explained(n: int = 200) -> Explanation:
    """Return an explanation of cells in which one edge matters."""
    rng, numbers = random.Random(0), np.random.default_rng(0)
    scored = []
    for _ in range(n):
        choices: dict[str, Any] = {f"edge{a}-{b}": rng.choice(OPERATIONS) for a, b in EDGES}
        score = 3.0 * (choices["edge0-3"] == "nor_conv_3x3") + float(numbers.standard_normal())
        scored.append(point(choices, 100, score))
    wirings = [find("nas-bench-201").wiring(one.choices) for one in scored]
    return explanation(Sample(scored, "drawn"), [{}] * n, [w for w in wirings if w])


def lines(svg: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_cells_of_the_best_and_of_all_stand_side_by_side() -> None:
    found = explained()
    told = lines(draw_mean(found))
    assert {"top 5 %: 10 candidates", "all 200 candidates"} <= set(told)
    assert [told.count(name) for name in ("in", "node 1", "node 2", "out")] == [2, 2, 2, 2]
    assert any(re.fullmatch(r"nor_conv_3x3 \d+ % ▲", line) for line in told)
    for a, b in (("in", "out"), ("node 1", "node 2")):
        assert f"{a} → {b}" in told  # a row of bars


def test_bars_fill_their_width_and_none_sticks_out() -> None:
    drawn = ElementTree.fromstring(draw_mean(explained()))
    rows: dict[str, float] = {}
    for group in drawn.iter(f"{SVG}g"):
        for box in group.findall(f"{SVG}rect"):
            if box.find(f"{SVG}title") is not None:
                rows[box.get("y", "")] = rows.get(box.get("y", ""), 0) + float(box.get("width", 0))
                assert float(box.get("x", 0)) + float(box.get("width", 0)) <= WIDTH + 0.2
    assert len(rows) == 2 * 7
    wide = next(iter(rows.values()))
    assert list(rows.values()) == pytest.approx([wide] * len(rows), abs=1)


def test_same_explanation_same_picture() -> None:
    assert draw_mean(explained()) == draw_mean(explained())


def test_space_without_cells_has_bars_only() -> None:
    found = msgspec.structs.replace(explained(), cell=None)
    told = lines(draw_mean(found))
    assert "all 200 candidates" not in told
    assert "edge*-* (all 6 places)" in told


def test_places_that_none_of_the_best_have_are_said() -> None:
    found = explained()
    spread = found.spreads[0]
    shares = [msgspec.structs.replace(share, top=None) for share in spread.shares]
    none = msgspec.structs.replace(spread, shares=shares)
    told = lines(draw_mean(msgspec.structs.replace(found, cell=None, spreads=[none])))
    assert "none of them has it" in told


def test_many_places_are_cut_and_counted() -> None:
    found = explained()
    many = [msgspec.structs.replace(found.spreads[0], name=f"place {i}") for i in range(30)]
    told = lines(draw_mean(msgspec.structs.replace(found, cell=None, spreads=many)))
    assert "6 more in explain.json" in told


def test_names_cannot_become_code() -> None:
    found = explained()
    evil = msgspec.structs.replace(found.spreads[0], name="<script>alert(1)</script>")
    svg = draw_mean(msgspec.structs.replace(found, cell=None, spreads=[evil]))
    assert "<script" not in svg
    assert "<script>alert(1)</script>" in lines(svg)
