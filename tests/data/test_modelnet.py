"""Voxels of objects in rotations: views that stay with their object."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published import small, write_modelnet

from hypernas import data
from hypernas.data import Normalisation
from hypernas.errors import DataError


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small(monkeypatch)


def test_rotations_are_views_of_one_example(tmp_path, draw):
    voxels = write_modelnet(tmp_path, draw)
    found = data.load(str(tmp_path))
    assert found.name == "modelnet10"
    assert found.signature.input_shape == (1, 8, 8, 8)
    assert (found.train.views, len(found.train), len(found.classes)) == (12, 20, 10)
    assert np.array_equal(found.train.inputs, voxels["train"] * 255)
    normal = Normalisation.of(found.train)
    assert normal.mean == pytest.approx((voxels["train"].mean(),))
    assert normal.std == pytest.approx((voxels["train"].std(),))


def test_splits_keep_an_object_together(tmp_path, draw):
    write_modelnet(tmp_path, draw)
    splits = data.split(data.load(str(tmp_path)), seed=0, validation_share=0.3)
    assert (splits.fit.views, splits.validation.views) == (12, 12)
    seen = [
        {view.tobytes() for view in p.inputs.reshape(-1, 8, 8, 8)}
        for p in (splits.fit, splits.validation)
    ]
    assert not seen[0] & seen[1]


def test_batches_show_one_view_drawn_and_measure_all(tmp_path, draw):
    voxels = write_modelnet(tmp_path, draw)
    train = data.load(str(tmp_path)).train
    plain = Normalisation(mean=(0.0,), std=(1 / 255,))
    batches = data.Batches(examples=train, batch_size=20, encoding=plain)
    views = torch.from_numpy(voxels["train"]).flatten(2)
    which = []
    for step in range(3):
        images, labels = batches.random(0, "fit", step)
        assert images.shape == (20, 1, 8, 8, 8)
        same = (images.flatten(1)[:, None, None] == 255 * views).all(-1)  # batch, object, rotation
        found = same.nonzero()
        assert len(found) == 20
        assert torch.equal(found[:, 1] // 2, labels)
        which.append(found[:, 2].tolist())
        assert torch.equal(images, batches.random(0, "fit", step)[0])
    assert len({tuple(w) for w in which}) == 3
    first, _ = batches.fixed(torch.tensor([4, 1]))
    assert torch.equal(first[:, 0], 255 * torch.from_numpy(voxels["train"][[4, 1], 0]).float())
    parts = list(batches.in_order())
    assert [(len(x), len(y)) for x, y in parts] == [(12, 1)] * 20
    assert torch.equal(
        torch.cat([x for x, _ in parts]).flatten(1),
        255 * views.flatten(0, 1).float(),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.reshape(-1, 1, 8, 8, 8), r"data.reshape\(-1, 12, 8, 8, 8\) and labels"),
        (lambda d: d[:, :11], r"shape \(20, 11, 8, 8, 8\), not \(n, 12, 8, 8, 8\)"),
        (lambda d: d[:, 0], r"shape \(20, 8, 8, 8\), not"),
        (lambda d: d[:0], r"shape \(0, 12"),
        (lambda d: d * 2, "data holds 2; voxels are 0 or 1"),
        (lambda d: d.astype(np.float32), "data is float32; store uint8 or bool"),
        (lambda d: d[:-1], "20 labels for 19"),
    ],
)
def test_other_arrays_are_refused(tmp_path, draw, change, message):
    voxels = write_modelnet(tmp_path, draw)["train"]
    path = tmp_path / "modelnet10_rot12_train.npz"
    np.savez(path, data=change(voxels), labels=np.repeat(np.arange(10), 2))
    with pytest.raises(DataError, match=message) as caught:
        data.load(str(tmp_path))
    assert str(path) in str(caught.value)


def test_truth_values_and_large_arrays(tmp_path, draw, monkeypatch):
    voxels = write_modelnet(tmp_path, draw)["train"]
    path, labels = tmp_path / "modelnet10_rot12_train.npz", np.repeat(np.arange(10), 2)
    whole = data.load(str(tmp_path)).fingerprint
    for save in (np.savez, np.savez_compressed):
        save(path, data=voxels.astype(bool), labels=labels)
        for large in (1 << 40, 1000):
            monkeypatch.setattr("hypernas.data.npz.LARGE", large)
            assert data.load(str(tmp_path)).fingerprint == whole
    content = path.read_bytes()
    with np.load(path) as file:
        assert file["data"].max() == 1
    assert path.read_bytes() == content


def test_a_file_names_its_own_rotations_and_the_name_the_most(own_places, draw):
    for rotations in (12, 24):
        write_modelnet(own_places, draw, rotations=rotations)
    assert data.load("modelnet10").train.views == 24
    assert data.load(str(own_places / "modelnet10_rot12_train.npz")).train.views == 12
