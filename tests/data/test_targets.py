"""Masks and boxes stay where their image shows what they are of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hypernas.data import Augmentation, Batches, Examples, Normalisation
from hypernas.data.augmentation import Draws
from hypernas.data.images import resized
from hypernas.data.targets import moved

SIDE = 8
MOVED = Augmentation(flip=True, crop=2)


def squares(count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images of one bright rectangle, their masks, and their boxes."""
    draw = np.random.default_rng(0)
    images = np.zeros((count, 1, SIDE, SIDE), np.uint8)
    masks, boxes = np.ones((count, SIDE, SIDE), np.uint8), np.zeros((count, 2, 5), np.float32)
    boxes[:, 1, 4] = -1
    for image, mask, box in zip(images, masks, boxes, strict=True):
        top, left = draw.integers(2, 4, 2)
        tall, wide = draw.integers(1, 4, 2)
        image[:, top : top + tall, left : left + wide] = 255
        mask[top : top + tall, left : left + wide] = 2
        box[0] = left / SIDE, top / SIDE, (left + wide) / SIDE, (top + tall) / SIDE, 3
    return images, masks, boxes


def augmented(labels: np.ndarray, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    examples = Examples(images, labels)
    plain = Normalisation(mean=(0.0,), std=(1.0,))
    batches = Batches(examples=examples, batch_size=40, encoding=plain, augmentation=MOVED)
    return batches.random(0, "fit", 0)


def test_a_mask_goes_with_its_image_and_is_void_outside() -> None:
    images, masks, _ = squares()
    shown, found = augmented(masks, images)
    assert torch.equal(found == 2, shown[:, 0] > 0.5)
    assert (found == 0).any()
    assert found.dtype == torch.uint8


def test_a_box_goes_with_its_image() -> None:
    images, _, boxes = squares()
    shown, found = augmented(boxes, images)
    moved_at_all = 0
    for image, (box, none) in zip(shown[:, 0] > 0.5, found, strict=True):
        rows, columns = torch.where(image)
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (box[:4] * SIDE).tolist() == pytest.approx([float(c) for c in corners], abs=1e-4)
        assert (box[4], none[4]) == (3, -1)
        moved_at_all += corners[0] != 2
    assert moved_at_all


def test_a_box_that_leaves_the_image_is_no_longer_to_be_found() -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    draws = Draws(zero + 4, zero + 8, zero, zero, zero)  # the window starts 4 pixels further right
    boxes = torch.tensor([[[0.0, 0, 0.625, 1, 1], [0.0, 0, 0.75, 1, 2]]])
    found = moved(boxes, Augmentation(crop=4), draws, (SIDE, SIDE))
    assert found[0, :, 4].tolist() == [-1, 2]  # one fifth and one third of them are left
    assert found[0, 1, :4].tolist() == pytest.approx([0, 0, 0.25, 1])


@pytest.mark.parametrize("size", [4, 16])
def test_masks_and_boxes_are_resized_with_their_images(size: int) -> None:
    images, masks, boxes = squares()
    wide = np.pad(images, [(0, 0), (0, 0), (0, 0), (4, 4)])
    padded = np.pad(masks, [(0, 0), (0, 0), (4, 4)], constant_values=1)
    np.testing.assert_array_equal(
        resized(Examples(wide, padded), size).labels, resized(Examples(images, masks), size).labels
    )
    beside = boxes.copy()
    beside[:, 0, [0, 2]] = (boxes[:, 0, [0, 2]] * SIDE + 4) / (SIDE + 8)
    np.testing.assert_allclose(resized(Examples(wide, beside), size).labels, boxes, atol=1e-6)
