"""``.npz`` files: layouts, scales and each refusal."""

from __future__ import annotations

import numpy as np
import pytest

from hypernas import data
from hypernas.errors import DataError

BYTES = np.arange(6 * 5 * 7, dtype=np.uint8).reshape(6, 5, 7)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def load(tmp_path):
    def write_and_load(**arrays):
        np.savez(tmp_path / "toy.npz", **arrays)
        return data.load(str(tmp_path / "toy.npz"))

    return write_and_load


def test_layouts(load):
    colour = np.stack([BYTES, BYTES + 1, BYTES + 2], axis=1)
    assert load(images=BYTES, labels=LABELS).signature.input_shape == (1, 5, 7)
    first = load(images=colour, labels=LABELS)
    last = load(images=colour.transpose(0, 2, 3, 1), labels=LABELS)
    assert first.signature.input_shape == (3, 5, 7)
    assert first.fingerprint == last.fingerprint
    assert first.classes == ("0", "1", "2")


def test_floats_of_either_scale(load):
    whole = load(images=BYTES, labels=LABELS).fingerprint
    assert load(images=BYTES.astype(np.float32), labels=LABELS).fingerprint == whole
    assert load(images=BYTES / 255, labels=LABELS).fingerprint == whole


def test_scale_is_that_of_train_and_test_together(load):
    dark = {"test_images": np.ones((1, 5, 7)), "test_labels": np.array([1])}
    dataset = load(images=BYTES.astype(float), labels=LABELS, **dark)
    assert dataset.test is not None
    assert dataset.test.inputs.max() == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS}, "no array 'images' .it holds: labels"),
        ({"images": BYTES}, "no array 'labels'"),
        ({"test_images": BYTES}, "no array 'test_labels'"),
        ({"images": BYTES.astype(np.int64)}, "images is int64"),
        ({"images": BYTES.astype(float) - 3}, "floats from -3 to 206"),
        ({"images": np.full((6, 5, 7), np.nan)}, "floats from nan"),
        ({"images": BYTES[0]}, r"images has shape \(5, 7\)"),
        ({"images": BYTES[:0], "labels": LABELS[:0]}, r"images has shape \(0, 5, 7\)"),
        ({"images": BYTES.reshape(6, 5, 7, 1)[:, :3]}, "can be read in two ways"),
        ({"images": np.zeros((6, 8, 5, 5), np.uint8)}, "shows no channel axis"),
        ({"labels": LABELS.astype(float)}, "labels are float64"),
        ({"labels": np.eye(6, dtype=int)}, r"labels have shape \(6, 6\)"),
        ({"labels": LABELS[:4]}, "4 labels for 6 images"),
        ({"labels": LABELS - 1}, "labels hold -1"),
        ({"labels": LABELS * 2}, "labels go up to 4, but 1 has no example"),
        ({"labels": LABELS * 0}, "only the class 0"),
        ({"test_images": BYTES[:, 1:], "test_labels": LABELS}, "test_images are"),
        ({"test_images": BYTES, "test_labels": LABELS + 1}, "test_labels hold 3"),
        ({"images": np.array([None, 1])}, "holds Python objects"),
    ],
)
def test_refusals_name_the_file_and_array(load, arrays, message):
    given = {"images": BYTES, "labels": LABELS} | arrays
    if arrays.keys() in ({"labels"}, {"images"}) and "no array" in message:
        given = arrays
    with pytest.raises(DataError, match=rf"toy\.npz.*{message}") as caught:
        load(**given)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, images=BYTES, labels=LABELS)
    whole = path.read_bytes()
    for content in (whole[:200], b"", b"text", b"PK\x03\x04" + bytes(50)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"toy\.npz cannot be read"):
            data.load(str(path))
    with path.open("wb") as file:
        np.save(file, BYTES)
    with pytest.raises(DataError, match=r"toy\.npz cannot be read"):
        data.load(str(path))
