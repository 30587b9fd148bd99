"""ImageNet32x32 as arrays and as pickled batches, numbered from 0 or from 1."""

from __future__ import annotations

import numpy as np
import pytest
from published import small, write_batch

from hypernas import data
from hypernas.data import imagenet32
from hypernas.errors import DataError

LABELS = np.repeat(np.arange(20), 2)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small(monkeypatch)


@pytest.fixture
def images(draw):
    return draw.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)


def write(folder, images, train, val=None, *, flat=False):
    shaped = images.reshape(len(images), -1) if flat else images
    np.savez(folder / "imagenet32_train.npz", data=shaped, labels=train)
    np.savez(
        folder / "imagenet32_val.npz", data=shaped[:20], labels=train[:20] if val is None else val
    )
    return folder


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_arrays(tmp_path, images, flat, first):
    found = data.load(str(write(tmp_path, images, LABELS + first, flat=flat)))
    assert found.name == "imagenet32"
    assert np.array_equal(found.train.inputs, images)
    assert found.train.labels.tolist() == LABELS.tolist()
    assert found.test is not None
    assert found.test.labels.tolist() == LABELS[:20].tolist()
    assert found.classes[0] == str(first)


@pytest.mark.parametrize("few_classes", [2, 20])
def test_numbers_from_0_need_not_be_all_classes(tmp_path, images, few_classes):
    found = data.load(str(write(tmp_path, images, LABELS % few_classes)))
    assert len(found.classes) == few_classes


def test_what_cannot_be_told_is_refused(tmp_path, images):
    for train, val, message in (
        (LABELS % 19 + 1, None, "are 1 to 19: whether they are numbered from 0 or from 1"),
        (LABELS + 1, LABELS[:20], "labels to test with begin at 0, but those to learn from at 1"),
        (LABELS, LABELS[:20] + 18, "labels hold 27"),
        (LABELS + 2, None, "labels go up to 21, but 0 has no example"),
        (LABELS.astype(float), None, "labels are float64"),
        (LABELS.astype(str), None, "labels are <U"),
        (LABELS[:3], None, "3 labels for 40 images"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            data.load(str(write(tmp_path, images, train, val)))
        assert "\n" not in str(caught.value)


def test_other_arrays_are_refused(tmp_path, images):
    for shaped, message in (
        (images[:, :, 1:], r"data is uint8 \(40, 3, 31, 32\), not uint8"),
        (images.astype(np.float32), "data is float32"),
        (images[:0], r"data is uint8 \(0, 3"),
    ):
        write(tmp_path, images, LABELS)
        np.savez(tmp_path / "imagenet32_train.npz", data=shaped, labels=LABELS)
        with pytest.raises(DataError, match=message):
            data.load(str(tmp_path))
    np.savez(tmp_path / "imagenet32_train.npz", images=images)
    with pytest.raises(DataError, match=r"no array 'data' .it holds: images"):
        data.load(str(tmp_path))


def test_pickled_batches(tmp_path, images):
    rows = images.reshape(40, -1)
    for number, name in enumerate(imagenet32.BATCHES):
        part = slice(4 * number, 4 * number + 4)
        labels = (LABELS[part] + 1).tolist()
        write_batch(
            tmp_path / name, protocol=4, data=rows[part], labels=labels, mean=rows.mean(axis=0)
        )
    write_batch(tmp_path / "val_data", data=rows[:20], labels=(LABELS[:20] + 1).tolist())
    found = data.load(str(tmp_path))
    assert np.array_equal(found.train.inputs, images)
    assert found.train.labels.tolist() == LABELS.tolist()
    same = tmp_path / "arrays"
    same.mkdir()
    assert found.fingerprint == data.load(str(write(same, images, LABELS + 1))).fingerprint
    (tmp_path / "train_data_batch_7").unlink()
    with pytest.raises(DataError, match="has no train_data_batch_7; the files of imagenet32"):
        data.load(str(tmp_path))
