"""Batches against plain loops over images, and resumption at any step."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernas.data import Augmentation, Batches, Examples, Normalisation
from hypernas.data.augmentation import Draws, augmented, cut_out
from hypernas.errors import DataError
from hypernas.randomness import torch_generator

RAW = np.random.default_rng(0).integers(0, 256, (23, 3, 7, 5)).astype(np.uint8)
EXAMPLES = Examples(RAW, np.arange(23))
NORMAL = Normalisation.of(EXAMPLES)
PLAIN = Normalisation(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
ALL = Augmentation(flip=True, crop=2, cutout=3)


def batches(*, batch_size=4, encoding=NORMAL, **options) -> Batches:
    return Batches(examples=EXAMPLES, batch_size=batch_size, encoding=encoding, **options)


def test_normalisation_is_the_mean_and_deviation_in_0_to_1():
    unit = RAW.astype(np.float64) / 255
    assert NORMAL.mean == pytest.approx(unit.mean(axis=(0, 2, 3)))
    assert NORMAL.std == pytest.approx(unit.std(axis=(0, 2, 3)))
    flat = Normalisation.of(Examples(np.full((2, 1, 3, 3), 7, np.uint8), np.arange(2)))
    assert flat.std == pytest.approx((1 / 255,))
    assert msgspec.json.decode(msgspec.json.encode(NORMAL), type=Normalisation) == NORMAL


def test_fit_images_have_mean_0_and_deviation_1():
    images, _ = batches().fixed(torch.arange(23))
    assert images.mean((0, 2, 3)).numpy() == pytest.approx(np.zeros(3), abs=1e-5)
    assert images.std((0, 2, 3), correction=0).numpy() == pytest.approx(np.ones(3), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(Augmentation, flip=st.booleans(), crop=st.integers(0, 9), cutout=st.integers(0, 9)),
    st.integers(1, 3),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.integers(0, 99),
)
def test_augmentation_equals_the_plain_loop(augmentation, channels, sides, seed):
    generator = torch_generator(seed)
    shape = torch.Size((6, channels, *sides))
    images = torch.randint(1, 256, shape, generator=generator).byte()
    draws = Draws.of(augmentation, shape, generator)
    found = cut_out(
        augmented(images, augmentation, draws).float(), augmentation.cutout, draws.to("cpu")
    )
    expected = torch.stack([plain(image, augmentation, draws, i) for i, image in enumerate(images)])
    assert torch.equal(found, expected)


def plain(image: torch.Tensor, augmentation: Augmentation, draws: Draws, i: int) -> torch.Tensor:
    """Augment one image (C, H, W) by slices."""
    (_, height, width), pad = image.shape, augmentation.crop
    top, left = int(draws.top[i]), int(draws.left[i])
    padded = torch.zeros(len(image), height + 2 * pad, width + 2 * pad)
    padded[:, pad : pad + height, pad : pad + width] = image
    result = padded[:, top : top + height, left : left + width].clone()
    if draws.flipped[i]:
        result = result.flip(2)
    first, start = (int(d[i]) - augmentation.cutout // 2 for d in (draws.row, draws.column))
    side = augmentation.cutout
    result[:, max(0, first) : max(0, first + side), max(0, start) : max(0, start + side)] = 0
    return result


def test_draws_cover_their_ranges_and_differ_by_image():
    draws = Draws.of(ALL, torch.Size((500, 3, 7, 5)), torch_generator(0))
    assert [(int(d.min()), int(d.max())) for d in draws] == [(0, 4), (0, 4), (0, 1), (0, 6), (0, 4)]


def test_nothing_to_augment_is_nothing_changed():
    images, labels = batches(augmentation=Augmentation(), encoding=PLAIN).random(0, "fit", 0)
    assert torch.equal(images, torch.from_numpy(RAW)[labels].float())


@pytest.mark.parametrize("augmentation", [None, ALL])
def test_any_step_is_had_without_the_ones_before(augmentation):
    stream = batches(augmentation=augmentation)
    walked = [stream.random(5, "fit", step) for step in range(12)]
    stream.random(5, "other", 3)
    for step in (11, 0, 7, 6):
        images, labels = batches(augmentation=augmentation).random(5, "fit", step)
        assert torch.equal(images, walked[step][0])
        assert torch.equal(labels, walked[step][1])
        assert torch.equal(stream.random(5, "fit", step)[0], walked[step][0])


def test_an_epoch_shows_each_example_at_most_once_and_epochs_differ():
    stream = batches()
    assert stream.batches_per_epoch == 5
    epochs = [
        torch.cat([stream.random(0, "fit", 5 * epoch + i)[1] for i in range(5)])
        for epoch in range(2)
    ]
    assert all(len(set(epoch.tolist())) == 20 for epoch in epochs)
    assert not torch.equal(*epochs)
    assert not torch.equal(stream.random(0, "fit", 0)[1], stream.random(1, "fit", 0)[1])
    assert not torch.equal(stream.random(0, "fit", 0)[1], stream.random(0, "trust", 0)[1])


def test_augmentation_differs_by_step_and_leaves_the_order():
    changed = batches(augmentation=ALL, batch_size=23)
    assert torch.equal(
        changed.random(0, "fit", 0)[1], batches(batch_size=23).random(0, "fit", 0)[1]
    )
    images = []
    for step in range(2):
        x, labels = changed.random(0, "fit", step)
        images.append(x[labels.argsort()])
    assert not torch.equal(*images)


def test_fewer_examples_than_a_batch():
    stream = batches(batch_size=100)
    assert stream.batches_per_epoch == 1
    assert sorted(stream.random(0, "fit", 3)[1].tolist()) == list(range(23))


def test_in_order_and_fixed_show_all_without_augmentation():
    stream = batches(augmentation=ALL, encoding=PLAIN)
    parts = list(stream.in_order())
    assert [len(labels) for _, labels in parts] == [4] * 5 + [3]
    assert torch.equal(torch.cat([x for x, _ in parts]), torch.from_numpy(RAW).float())
    images, labels = stream.fixed(torch.tensor([22, 3]))
    assert labels.tolist() == [22, 3]
    assert torch.equal(images, torch.from_numpy(RAW[[22, 3]]).float())


def test_layout_and_type():
    wanted = batches(augmentation=ALL, channels_last=True, dtype=torch.bfloat16)
    whole = batches(augmentation=ALL)
    for images, reference in (
        (wanted.random(0, "fit", 1)[0], whole.random(0, "fit", 1)[0]),
        (wanted.fixed(torch.arange(4))[0], whole.fixed(torch.arange(4))[0]),
        (next(wanted.in_order())[0], next(whole.in_order())[0]),
    ):
        assert images.shape == (4, 3, 7, 5)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images, reference.bfloat16())


def test_read_only_arrays_are_taken():
    frozen = RAW.copy()
    frozen.flags.writeable = False
    stream = Batches(examples=Examples(frozen, np.arange(23)), batch_size=2, encoding=NORMAL)
    assert len(stream) == 23


def test_what_cannot_be_batched():
    with pytest.raises(DataError, match="batches of 0 from 23 examples"):
        batches(batch_size=0)
    with pytest.raises(DataError, match="normalisation is of 1 channels, the images have 3"):
        batches(encoding=Normalisation(mean=(0.5,), std=(0.5,)))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"crop": -1}, Augmentation)
