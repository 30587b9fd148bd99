"""STL-10: columns first, labels from 1, ten folds."""

from __future__ import annotations

import numpy as np
import pytest
from published import small, write_stl10

from hypernas import data
from hypernas.data import Normalisation
from hypernas.errors import DataError


@pytest.fixture
def images(tmp_path, draw, monkeypatch):
    small(monkeypatch)
    return write_stl10(tmp_path, draw)


def test_images_stand_upright_and_stay_in_their_file(tmp_path, images):
    found = data.load(str(tmp_path))
    assert found.name == "stl10"
    assert np.array_equal(found.train.inputs, images["train"])
    assert isinstance(found.train.inputs, np.memmap)
    assert found.train.labels.tolist() == [i % 10 for i in range(40)]
    assert found.test is not None
    assert np.array_equal(found.test.inputs, images["test"])
    assert found.classes[3] == "animal3"
    plain = data.Examples(images["train"], found.train.labels)
    assert Normalisation.of(found.train) == Normalisation.of(plain)
    batches = data.Batches(
        examples=found.test, batch_size=7, encoding=Normalisation.of(plain), channels_last=True
    )
    shown = np.concatenate([x.numpy() for x, _ in batches.in_order()])
    unit = (images["test"] / 255 - np.reshape(batches.encoding.mean, (3, 1, 1))) / np.reshape(
        batches.encoding.std, (3, 1, 1)
    )
    assert np.allclose(shown, unit, atol=1e-4)


def identities(examples):
    return {image.tobytes() for image in np.ascontiguousarray(examples.inputs)}


@pytest.mark.parametrize("fold", [0, 3, 9])
def test_a_fold_does_not_leak(tmp_path, images, fold):
    found = data.load(f"{tmp_path}:{fold}")
    assert found.name == f"stl10:{fold}"
    chosen = sorted((np.arange(20) + 2 * fold) % 40)
    assert np.array_equal(found.train.inputs, images["train"][chosen])
    splits = data.split(found, seed=0, validation_share=0.3)
    parts = [identities(p) for p in (splits.fit, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [len(splits.fit), len(splits.validation), 20]
    assert parts[0] | parts[1] == {images["train"][i].tobytes() for i in chosen}
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


def test_an_image_that_a_fold_names_twice_counts_once(tmp_path, images):
    lines = ["0 0 " + " ".join(map(str, range(1, 19)))] * 10
    (tmp_path / "fold_indices.txt").write_text("\n".join(lines))
    assert len(data.load(f"{tmp_path}:1").train) == 19


def test_folds_that_are_none(tmp_path, images):
    with pytest.raises(
        DataError, match="stl10:10 is no fold: stl10 has 10; give stl10:0 to stl10:9"
    ):
        data.load(f"{tmp_path}:10")
    with pytest.raises(DataError, match="digits:3 is no fold: digits has none; give digits"):
        data.load("digits:3")


def test_damage_is_named(tmp_path, images):
    folds = tmp_path / "fold_indices.txt"
    for text, message in (
        ("1 2 3", "has 1 lines, not 10"),
        ("\n".join(["1 2 3"] * 10), "line 3 is not 20 numbers below 40"),
        ("\n".join([" ".join(["40"] * 20)] * 10), "line 3 is not 20 numbers below 40"),
        ("\n".join([" ".join(["-1"] * 20)] * 10), "line 3 is not 20 numbers below 40"),
    ):
        folds.write_text(text)
        with pytest.raises(DataError, match=rf"fold_indices\.txt:? {message}"):
            data.load(f"{tmp_path}:2")
    folds.unlink()
    with pytest.raises(DataError, match=r"fold_indices\.txt cannot be read"):
        data.load(f"{tmp_path}:2")
    assert len(data.load(str(tmp_path)).train) == 40
    (tmp_path / "train_y.bin").write_bytes(bytes(40))
    with pytest.raises(DataError, match=r"train_y\.bin: labels are 0 to 0, not 1 to 10"):
        data.load(str(tmp_path))
    (tmp_path / "train_y.bin").write_bytes(bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 4))
    (tmp_path / "test_X.bin").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"test_X\.bin has 100 bytes, but 20 records of 27,648"):
        data.load(str(tmp_path))
