"""IDX files: round trips and damage."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from hypernas import data
from hypernas.data.idx import FILES, read_idx
from hypernas.errors import DataError

IMAGES, LABELS = FILES["train"]


@pytest.mark.parametrize("zipped", [True, False])
def test_folder(tmp_path, make_idx, zipped):
    dataset = data.load(str(make_idx(tmp_path / "mine", zipped=zipped)))
    assert dataset.name == "mine"
    assert dataset.signature.input_shape == (1, 4, 3)
    assert dataset.classes == tuple("0123456789")
    assert dataset.train.inputs.flags.writeable


def test_dotted_names_and_no_test_set(tmp_path, make_idx):
    make_idx(tmp_path, zipped=False)
    for stem in FILES["test"]:
        (tmp_path / stem).unlink()
    (tmp_path / IMAGES).rename(tmp_path / IMAGES.replace("-idx", ".idx"))
    assert data.load(str(tmp_path)).test is None


def test_missing_labels(tmp_path, make_idx):
    make_idx(tmp_path)
    (tmp_path / f"{LABELS}.gz").unlink()
    with pytest.raises(DataError, match=f"has no {LABELS}"):
        data.load(str(tmp_path))


def _change(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-3], "truncated or damaged"),
        (lambda content: content + b"x", "truncated or damaged"),
        (lambda content: b"\x00\x00\x0d\x03" + content[4:], "begins with 00000d03, not 00000803"),
        (lambda content: content[:9], "truncated within its header"),
        (lambda content: b"", "begins with nothing"),
        (lambda content: content[:4] + bytes(12), "holds no images"),
    ],
)
def test_damage_names_the_file(tmp_path, make_idx, change, message):
    make_idx(tmp_path, zipped=False)
    _change(tmp_path / IMAGES, change)
    with pytest.raises(DataError, match=rf"{IMAGES} .*{message}"):
        data.load(str(tmp_path))


@pytest.mark.parametrize(
    "change", [lambda c: c[:-20], lambda c: b"plain", lambda c: c[:30] + c[40:]]
)
def test_damaged_gz_names_the_file(tmp_path, make_idx, change):
    make_idx(tmp_path)
    _change(tmp_path / f"{IMAGES}.gz", change)
    with pytest.raises(DataError, match=rf"{IMAGES}\.gz cannot be read"):
        data.load(str(tmp_path))


def test_lengths_and_gaps(tmp_path, make_idx):
    make_idx(tmp_path, zipped=False)
    header = bytes([0, 0, 8, 1, 0, 0, 0, 20])
    (tmp_path / LABELS).write_bytes(header[:-1] + b"\x02" + bytes([0, 1]))
    with pytest.raises(DataError, match=rf"{LABELS}: labels: 2 labels for 20 images"):
        data.load(str(tmp_path))
    (tmp_path / LABELS).write_bytes(header + bytes([0, 2] * 10))
    with pytest.raises(DataError, match=rf"{LABELS}: labels go up to 2, but 1 has no example"):
        data.load(str(tmp_path))


def test_read_idx_values(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7])))
    assert np.array_equal(read_idx(tmp_path / "a.gz", 1), [5, 6, 7])
