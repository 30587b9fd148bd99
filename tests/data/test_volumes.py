"""Volumes and views: augmentation against plain loops, arrays, splits and measuring."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hypernas import data
from hypernas.data import Augmentation, Batches, Examples, Normalisation
from hypernas.data.augmentation import VolumeDraws, augmented, cut_out
from hypernas.errors import DataError
from hypernas.randomness import torch_generator
from hypernas.tasks import Classification
from hypernas.training import measure

RAW = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 4, 3)).astype(np.uint8)
LABELS = np.arange(9) % 3
VIEWED = Examples(RAW, LABELS, views=3)
"""9 examples of 3 views of shape (2, 5, 4, 3)"""


@settings(max_examples=40, deadline=None)
@given(
    st.builds(Augmentation, flip=st.booleans(), crop=st.integers(0, 4), cutout=st.integers(0, 5)),
    st.integers(1, 2),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 99),
)
def test_augmentation_equals_the_plain_loop(augmentation, channels, sides, seed):
    generator = torch_generator(seed)
    shape = torch.Size((6, channels, *sides))
    volumes = torch.randint(1, 256, shape, generator=generator).byte()
    draws = VolumeDraws.of(augmentation, shape, generator)
    found = cut_out(
        augmented(volumes, augmentation, draws).float(), augmentation.cutout, draws.to("cpu")
    )
    expected = [plain(volume, augmentation, draws, i) for i, volume in enumerate(volumes)]
    assert torch.equal(found, torch.stack(expected))


def plain(volume: torch.Tensor, augmentation: Augmentation, draws: VolumeDraws, i: int):
    """Augment one volume (C, D, H, W) axis by axis: crop, then mirror all but the upright axis."""
    pad, kept = augmentation.crop, torch.zeros(volume.shape[1:], dtype=torch.bool)
    result = volume.float()
    for axis, side in enumerate(volume.shape[1:]):
        start = int(draws.starts[axis, i])
        result = nn.functional.pad(result, [0, 0] * (2 - axis) + [pad, pad])
        result = result.narrow(axis + 1, start, side)
        if axis < 2 and draws.flips[axis, i]:
            result = result.flip(axis + 1)
        first = int(draws.centres[axis, i]) - augmentation.cutout // 2
        outside = torch.ones(side, dtype=torch.bool)
        outside[max(0, first) : max(0, first + augmentation.cutout)] = False
        kept |= outside.view([-1 if a == axis else 1 for a in range(3)])
    return result * kept


def test_draws_cover_their_ranges():
    draws = VolumeDraws.of(
        Augmentation(True, 2, 3), torch.Size((500, 1, 7, 5, 3)), torch_generator(0)
    )
    assert draws.starts.amax(1).tolist() == [4, 4, 4]
    assert draws.centres.amax(1).tolist() == [6, 4, 2]
    assert draws.flips.amax(1).tolist() == [1, 1, 1]
    assert min(int(part.min()) for part in draws) == 0


def test_normalisation_is_of_channels_over_all_views():
    normal = Normalisation.of(VIEWED)
    views = RAW.reshape(27, 2, -1) / 255
    assert normal.mean == pytest.approx(views.mean(axis=(0, 2)))
    assert normal.std == pytest.approx(views.std(axis=(0, 2)))
    images, _ = Batches(examples=VIEWED, batch_size=6, encoding=normal).fixed(torch.arange(9))
    expected = (views.reshape(9, 3, 2, -1)[:, 0] - np.array(normal.mean)[:, None]) / np.array(
        normal.std
    )[:, None]
    assert images.flatten(2).numpy() == pytest.approx(expected, abs=1e-5)


def test_any_step_is_had_without_the_ones_before_and_augmented_too():
    stream = Batches(
        examples=VIEWED,
        batch_size=4,
        encoding=Normalisation.of(VIEWED),
        augmentation=Augmentation(flip=True, crop=1, cutout=2),
    )
    walked = [stream.random(5, "fit", step) for step in range(6)]
    assert walked[0][0].shape == (4, 2, 5, 4, 3)
    for step in (5, 0, 3):
        assert torch.equal(stream.random(5, "fit", step)[0], walked[step][0])


def test_examples_know_their_views():
    assert VIEWED.shape == (2, 5, 4, 3)
    few = VIEWED.take(np.array([4, 2]))
    assert (few.views, few.shape) == (3, VIEWED.shape)
    assert np.array_equal(few.inputs, RAW[[4, 2]])
    with pytest.raises(DataError, match="6 channels do not divide into 4 views"):
        Examples(RAW, LABELS, views=4)
    dataset = data.Dataset("a", VIEWED, None, ("a", "b", "c"))
    flat = dataclasses.replace(dataset, train=Examples(RAW, LABELS))
    assert dataset.signature.input_shape == (2, 5, 4, 3)
    assert dataset.fingerprint != flat.fingerprint


class Score(nn.Module):
    """Logits that are sums of parts of the volume."""

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        return volumes.flatten(1)[:, :9].view(-1, 3, 3).sum(2) * 3


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_measuring_averages_probabilities_over_views(batch):
    normal = Normalisation.of(VIEWED)
    batches = Batches(examples=VIEWED, batch_size=batch, encoding=normal)
    found = measure(Score(), batches, Classification())
    probabilities = Score()(torch.cat([x for x, _ in batches.in_order()])).softmax(1)
    mean = probabilities.view(9, 3, 3).mean(1)
    right = mean.argmax(1) == torch.from_numpy(LABELS)
    assert found.accuracy == pytest.approx(right.float().mean().item())
    loss = -mean.log()[torch.arange(9), LABELS].mean()
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)


def test_one_view_is_measured_as_ever():
    outputs = torch.randn(4, 3)
    assert Classification().over_views(outputs, 1) is outputs


def test_volumes_in_an_npz_file(tmp_path):
    path = tmp_path / "solids.npz"
    np.savez(
        path, images=RAW[:, :1], labels=LABELS, test_images=RAW[:3, :1], test_labels=LABELS[:3]
    )
    solids = data.load(str(path))
    assert solids.signature.input_shape == (1, 5, 4, 3)
    assert len(data.split(solids, seed=0, validation_share=0.4).validation) == 3
    with pytest.raises(DataError, match="--image-size 8 is for images, not for volumes of 5x4x3"):
        data.load(str(path), image_size=8)
    for images, message in (
        (
            RAW[:, 0].repeat(2, axis=3),
            r"\(9, 5, 4, 6\), which shows no channel axis; .*volumes \(n, C",
        ),
        (RAW, r"has shape \(9, 6, 5, 4, 3\); expected"),
        (RAW[..., None], "expected"),
    ):
        np.savez(path, images=images, labels=LABELS)
        with pytest.raises(DataError, match=message):
            data.load(str(path))
    np.savez(path, images=RAW[:, :1], labels=LABELS, test_images=RAW[:3, 0], test_labels=LABELS[:3])
    with pytest.raises(DataError, match=r"are \(3, 5, 4\) \(C, H, W\), those .*\(1, 5, 4, 3\)"):
        data.load(str(path))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_arrays_are_the_same(tmp_path, save, monkeypatch):
    save(tmp_path / "solids.npz", images=RAW[:, :1], labels=LABELS)
    read = data.load(str(tmp_path / "solids.npz"))
    monkeypatch.setattr("hypernas.data.npz.LARGE", 100)
    for memory in (1 << 40, 0):
        monkeypatch.setattr("hypernas.data.storage.free_memory", lambda memory=memory: memory)
        large = data.load(str(tmp_path / "solids.npz"))
        assert large.fingerprint == read.fingerprint
        mapped = save is np.savez or not memory
        assert isinstance(large.train.inputs, np.memmap) == mapped
        assert np.array_equal(large.train.take(np.array([3, 1])).inputs, RAW[[3, 1], :1])
