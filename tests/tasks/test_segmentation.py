"""Pixels are judged as a loop over them would, and void ones by nobody."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hypernas.tasks import Segmentation

CLASSES = 3


def drawn(images: int = 4, side: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and masks with some void pixels."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, CLASSES, side, side, generator=generator)
    masks = torch.randint(0, CLASSES + 1, (images, side, side), generator=generator)
    return logits, masks.to(torch.uint8)


def test_loss_is_the_mean_over_pixels_that_are_not_void() -> None:
    logits, masks = drawn()
    each = []
    for image, mask in zip(logits, masks, strict=True):
        known = mask > 0
        each.append(F.cross_entropy(image[:, known].T, mask[known].long() - 1).item())
    judged = Segmentation().judge(logits, masks)
    assert judged.losses.tolist() == pytest.approx(each, rel=1e-5)
    assert Segmentation().loss(logits, masks).item() == pytest.approx(np.mean(each), rel=1e-5)


def test_mean_iou_is_that_of_a_loop_over_classes() -> None:
    logits, masks = drawn()
    told, known, classes = logits.argmax(1).numpy(), masks.numpy() > 0, masks.numpy() - 1.0
    expected = []
    for label in range(CLASSES):
        both = ((told == label) & (classes == label) & known).sum()
        either = (((told == label) | (classes == label)) & known).sum()
        expected.append(both / either)
    task = Segmentation()
    halves = [
        task.judge(logits[:1], masks[:1]).evidence,
        task.judge(logits[1:], masks[1:]).evidence,
    ]
    assert task.reached(halves) == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_class_that_nowhere_occurs_does_not_count() -> None:
    logits = torch.zeros(1, CLASSES, 2, 2)
    logits[:, 0] = 1
    judged = Segmentation().judge(logits, torch.ones(1, 2, 2, dtype=torch.uint8))
    assert Segmentation().reached([judged.evidence]) == 1.0


def test_an_image_of_void_pixels_costs_nothing() -> None:
    logits, _ = drawn(images=1)
    judged = Segmentation().judge(logits, torch.zeros(1, 6, 6, dtype=torch.uint8))
    assert judged.losses.tolist() == [0.0]
    assert judged.evidence.sum() == 0
    assert Segmentation().reached([judged.evidence]) == 0.0


def test_small_outputs_are_scaled_up() -> None:
    small = torch.full((1, 2, 3, 3), -5.0)
    small[0, 0, :, 0], small[0, 1, :, 1:] = 5.0, 5.0
    mask = torch.full((1, 9, 9), 2, dtype=torch.uint8)
    mask[..., :3] = 1
    judged = Segmentation().judge(small, mask)
    assert Segmentation().reached([judged.evidence]) > 0.85


def test_the_deviation_is_that_of_other_images() -> None:
    task = Segmentation()
    right, wrong = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    right[..., 0] = right[..., 1] = wrong[..., 1] = 8
    some = torch.cat([right, wrong] * 50)
    deviation = task.deviation([some])
    assert deviation == pytest.approx(0.05, rel=0.35)  # of a share of 1/2 among 100
    assert task.deviation([torch.cat([right] * 100)]) == 0
