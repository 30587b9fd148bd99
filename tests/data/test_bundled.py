"""The data sets inside scikit-learn, and the scenes made of them."""

from __future__ import annotations

import numpy as np
import pytest

from hypernas import data
from hypernas.data import bundled


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "SCENES", 60)
    monkeypatch.setattr(bundled, "TEST_SCENES", 20)


@pytest.mark.parametrize(("name", "shape", "classes"), [("wine", 13, 3), ("breast-cancer", 30, 2)])
def test_tables(name: str, shape: int, classes: int) -> None:
    found = data.load(name)
    assert (found.signature.input_shape, found.signature.outputs) == ((shape,), classes)
    assert found.signature.inputs == "tables"
    assert len(found.columns) == shape
    assert not np.isnan(found.train.inputs).any()


def test_masks_and_boxes_are_of_the_same_scenes() -> None:
    masks, boxes = data.load("digit-scenes"), data.load("digit-boxes")
    assert masks.test is not None
    assert (len(masks.train), len(masks.test)) == (60, 20)
    np.testing.assert_array_equal(masks.train.inputs, boxes.train.inputs)
    assert len(masks.classes) == len(boxes.classes) + 1
    counts = (boxes.train.labels[..., 4] >= 0).sum(1)
    assert set(counts.tolist()) == {1, 2, 3}
    for mask, rows in zip(masks.train.labels, boxes.train.labels, strict=True):
        inked = np.zeros_like(mask)
        for *sides, label in rows[rows[:, 4] >= 0]:
            left, top, right, bottom = (round(side * bundled.SIDE) for side in sides)
            inside = mask[top:bottom, left:right] == label + 2
            # the box is tight: there is ink at each of its sides
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            inked[top:bottom, left:right] = 1
        assert ((mask == 1) | (inked == 1)).all()  # nothing but background outside of the boxes


def test_test_scenes_show_other_digits() -> None:
    first = data.load("digit-scenes")
    assert first.test is not None
    assert first.fingerprint == data.load("digit-scenes").fingerprint
    assert not np.array_equal(first.train.inputs[:20], first.test.inputs)
