"""CIFAR-10 and CIFAR-100 in both versions."""

from __future__ import annotations

import numpy as np
import pytest
from published import CIFAR10_NAMES, COUNT, small, write_batch, write_cifar10, write_cifar100

from hypernas import data
from hypernas.errors import DataError

STEMS = tuple(f"data_batch_{i}" for i in range(1, 6))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small(monkeypatch)


@pytest.mark.parametrize("form", ["bin", "py"])
def test_cifar10(tmp_path, draw, form):
    rows = write_cifar10(tmp_path, draw, form=form)
    found = data.load(str(tmp_path))
    assert (found.name, found.classes) == ("cifar10", CIFAR10_NAMES)
    expected = np.concatenate([rows[stem] for stem in STEMS]).reshape(-1, 3, 32, 32)
    assert np.array_equal(found.train.inputs, expected)
    assert np.array_equal(found.train.labels, np.tile(np.arange(COUNT) % 10, 5))
    assert found.test is not None
    assert np.array_equal(found.test.inputs, rows["test_batch"].reshape(-1, 3, 32, 32))
    assert found.signature.input_shape == (3, 32, 32)


@pytest.mark.parametrize("form", ["bin", "py"])
def test_cifar100_takes_the_fine_labels(tmp_path, draw, form):
    rows = write_cifar100(tmp_path, draw, form=form)
    found = data.load(str(tmp_path))
    assert found.name == "cifar100"
    assert found.classes[7] == "kind7"
    assert np.array_equal(found.train.inputs, rows["train"].reshape(-1, 3, 32, 32))
    assert found.train.labels.tolist() == [i % 100 for i in range(200)]
    assert found.test is not None
    assert np.array_equal(found.test.inputs, rows["test"].reshape(-1, 3, 32, 32))


def test_both_versions_are_the_same_data(tmp_path):
    for form in ("bin", "py"):
        write_cifar10(tmp_path / form, np.random.default_rng(3), form=form)
    binary, python = (data.load(str(tmp_path / form)) for form in ("bin", "py"))
    assert binary.fingerprint == python.fingerprint


@pytest.mark.parametrize("form", ["bin", "py"])
def test_truncated_and_missing_files_are_named(tmp_path, draw, form):
    write_cifar10(tmp_path, draw, form=form)
    path = tmp_path / ("data_batch_3.bin" if form == "bin" else "data_batch_3")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", whole[:-3073] if form == "bin" else whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path} .*truncated"):
            data.load(str(tmp_path))
    path.unlink()
    with pytest.raises(
        DataError, match=rf"has no {path.name}; the files of cifar10 are data_batch"
    ):
        data.load(str(tmp_path))


def test_wrong_content_is_refused(tmp_path, draw):
    write_cifar10(tmp_path, draw, form="py")
    images, labels = np.zeros((COUNT, 3072), np.uint8), [i % 10 for i in range(COUNT)]
    for content, message in (
        ({"labels": labels}, "no entry 'data' .it holds: labels"),
        ({"data": images}, "no entry 'labels'"),
        ({"data": images[:, 1:], "labels": labels}, r"data is uint8 \(20, 3071\)"),
        ({"data": images.astype(float), "labels": labels}, "data is float64"),
        ({"data": [1], "labels": labels}, "data is <class 'list'>"),
        ({"data": images, "labels": labels[1:]}, "19 labels for 20 images"),
        ({"data": images[1:], "labels": labels[1:]}, "holds 19 images, not 20"),
        ({"data": images, "labels": "text"}, "labels are no list of numbers"),
        ({"data": images, "labels": ["a"] * COUNT}, "must be integers"),
        ({"data": images, "labels": [[1]] * COUNT}, "labels are no list of numbers"),
        ({"data": images, "labels": [1, [1, [2]]] * 10}, "labels are no list of numbers"),
        ({"data": images, "labels": np.array(3)}, "labels are no list of numbers"),
        ({"data": images, "labels": [10] * COUNT}, "labels are of 11 classes"),
    ):
        write_batch(tmp_path / "data_batch_1", **content)
        with pytest.raises(DataError, match=message) as caught:
            data.load(str(tmp_path))
        assert "\n" not in str(caught.value)


def test_class_names_must_be_there(tmp_path, draw):
    write_cifar10(tmp_path / "bin", draw, form="bin")
    (tmp_path / "bin" / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt has 2 lines, not 10"):
        data.load(str(tmp_path / "bin"))
    write_cifar10(tmp_path / "py", draw, form="py")
    for wrong in ([1] * 10, ["one", "two"], 10, "abcdefghij"):
        write_batch(tmp_path / "py" / "batches.meta", label_names=wrong)
        with pytest.raises(DataError, match=r"batches\.meta: label_names are not 10 names"):
            data.load(str(tmp_path / "py"))


def test_a_pickle_with_code_is_refused_before_anything_of_it_is_used(tmp_path, draw):
    write_cifar10(tmp_path, draw, form="py")
    (tmp_path / "test_batch").write_bytes(b"cposix\nsystem\n(S'touch here'\ntR.")
    with pytest.raises(DataError, match=r"test_batch holds 'posix\.system'"):
        data.load(str(tmp_path))
