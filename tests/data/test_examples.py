"""Examples and data sets as values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hypernas.data import Dataset, Examples, storage
from hypernas.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)
LABELS = np.array([0, 1, 0, 1])


def test_take_is_a_copy_in_order():
    few = Examples(IMAGES, LABELS).take(np.array([3, 0]))
    assert few.labels.tolist() == [1, 0]
    assert np.array_equal(few.inputs, IMAGES[[3, 0]])
    assert not np.shares_memory(few.inputs, IMAGES)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(float), LABELS, "inputs are float64"),
        (IMAGES[0], LABELS, r"inputs are uint8 \(1, 2, 3\)"),
        (IMAGES, LABELS[:3], r"labels are int64 \(3,\)"),
        (IMAGES, LABELS.astype(np.int32), "labels are int32"),
    ],
)
def test_wrong_arrays(images, labels, message):
    with pytest.raises(DataError, match=message):
        Examples(images, labels)


def test_fingerprint_sees_everything_but_the_name(monkeypatch):
    base = Dataset("a", Examples(IMAGES, LABELS), None, ("x", "y"))
    same = dataclasses.replace(base, name="b", train=Examples(IMAGES.copy(), LABELS.copy()))
    others = [
        dataclasses.replace(base, train=Examples(IMAGES + 1, LABELS)),
        dataclasses.replace(base, train=Examples(IMAGES, 1 - LABELS)),
        dataclasses.replace(base, train=Examples(IMAGES.reshape(4, 1, 3, 2), LABELS)),
        dataclasses.replace(base, classes=("x", "z")),
        dataclasses.replace(base, test=base.train),
    ]
    assert same.fingerprint == base.fingerprint
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 6
    monkeypatch.setattr(storage, "CHUNK", 1)
    assert dataclasses.replace(base).fingerprint == base.fingerprint


def test_free_memory_is_a_number():
    assert storage.free_memory() > 1 << 20
