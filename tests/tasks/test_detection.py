"""Detections are decoded, matched and measured as worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hypernas.tasks import Detection
from hypernas.tasks.detection import decoded

CLASSES = 3


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def grid_of(
    found: list[tuple[float, float, float, float, int, float]], rows: int = 4, columns: int = 4
) -> Tensor:
    """Return the grid (1, 5 + K, rows, columns) that tells boxes: x, y, width, height, class, p."""
    grid = torch.zeros(1, 5 + CLASSES, rows, columns)
    grid[:, 0] = -20.0
    for x, y, width, height, label, chance in found:
        column, row = int(x * columns), int(y * rows)
        cell = grid[0, :, row, column]
        cell[0] = logit(chance)
        cell[1], cell[2] = logit(x * columns - column), logit(y * rows - row)
        cell[3], cell[4] = logit(width), logit(height)
        cell[5:] = -20.0
        cell[5 + label] = 20.0
    return grid


def boxes_of(*boxes: tuple[float, float, float, float, int], most: int = 4) -> Tensor:
    """Return targets (1, most, 5) of boxes given as x, y, width, height, class."""
    rows = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2, label] for x, y, w, h, label in boxes]
    return torch.tensor([rows + [[0, 0, 0, 0, -1]] * (most - len(rows))], dtype=torch.float32)


TRUTH = boxes_of((0.3, 0.3, 0.2, 0.4, 0), (0.7, 0.6, 0.3, 0.2, 2))


def measured(*pairs: tuple[Tensor, Tensor]) -> float:
    task = Detection()
    return task.reached([task.judge(grid, targets).evidence for grid, targets in pairs])


def test_a_grid_is_decoded_to_the_boxes_that_it_tells() -> None:
    boxes, scores, labels = decoded(
        grid_of([(0.3, 0.3, 0.2, 0.4, 0, 0.9), (0.7, 0.6, 0.3, 0.2, 2, 0.8)])
    )
    assert boxes[0, :2].flatten().tolist() == pytest.approx(
        TRUTH[0, :2, :4].flatten().tolist(), abs=1e-5
    )
    assert scores[0, :2].tolist() == pytest.approx([0.9, 0.8], abs=1e-4)
    assert labels[0, :2].tolist() == [0, 2]


def test_rows_and_columns_need_not_be_equal() -> None:
    grid = grid_of([(0.9, 0.4, 0.1, 0.2, 1, 0.9)], rows=2, columns=5)
    boxes, _, labels = decoded(grid)
    assert boxes[0, 0].tolist() == pytest.approx([0.85, 0.3, 0.95, 0.5], abs=1e-5)
    assert labels[0, 0] == 1


def test_right_detections_measure_one() -> None:
    right = grid_of([(0.3, 0.3, 0.2, 0.4, 0, 0.9), (0.7, 0.6, 0.3, 0.2, 2, 0.6)])
    assert measured((right, TRUTH)) == pytest.approx(1.0)


def test_a_wrong_class_finds_nothing() -> None:
    wrong = grid_of([(0.3, 0.3, 0.2, 0.4, 1, 0.9), (0.7, 0.6, 0.3, 0.2, 2, 0.6)])
    assert measured((wrong, TRUTH)) == pytest.approx(0.5)  # class 0 missed, class 2 found


def test_a_box_too_far_off_finds_nothing() -> None:
    # shifted by x of its width, two boxes overlap by (1 - x) / (1 + x): a half at a third
    for shift, expected in ((0.06, 1.0), (0.07, 0.5)):
        grid = grid_of([(0.3 + shift, 0.3, 0.2, 0.4, 0, 0.9), (0.7, 0.6, 0.3, 0.2, 2, 0.6)])
        assert measured((grid, TRUTH)) == pytest.approx(expected), shift


def test_mean_average_precision_of_two_images() -> None:
    """Class 0: surest is wrong, then right of two wanted: 1/2 · 1/2; class 2: found, 1."""
    first = grid_of([(0.3, 0.3, 0.2, 0.4, 0, 0.6), (0.7, 0.6, 0.3, 0.2, 2, 0.6)])
    second = grid_of([(0.8, 0.8, 0.2, 0.2, 0, 0.9)])
    targets = boxes_of((0.2, 0.2, 0.2, 0.2, 0))
    # the cells that tell nothing have probability e⁻²⁰ and come after all
    assert measured((first, TRUTH), (second, targets)) == pytest.approx((1 / 4 + 1) / 2, abs=1e-6)


def test_a_box_is_found_once() -> None:
    # two detections of one box, which overlap each other by 0.45: neither removes the other
    near = [(0.24, 0.3, 0.2, 0.4, 0, 0.9), (0.28 + 0.04, 0.3, 0.2, 0.4, 0, 0.8)]
    judged = Detection().judge(grid_of(near), boxes_of((0.27, 0.3, 0.2, 0.4, 0)))
    detections = judged.evidence[0][judged.evidence[0, :, 1] > 0.5]
    assert detections[:, 2].tolist() == [1, 0]


def test_the_loss_is_least_where_the_grid_is_right() -> None:
    right = grid_of([(0.3, 0.3, 0.2, 0.4, 0, 1 - 1e-6), (0.7, 0.6, 0.3, 0.2, 2, 1 - 1e-6)])
    task = Detection()
    assert task.loss(right, TRUTH).item() == pytest.approx(0, abs=1e-3)
    assert task.judge(right, TRUTH).losses.item() == pytest.approx(0, abs=1e-3)
    for place in ((0, 0, 1, 1), (0, 1, 1, 1), (0, 3, 1, 1), (0, 5, 1, 1), (0, 0, 3, 3)):
        worse = right.clone()
        worse[place] += 60.0 if worse[place] < 0 else -60.0
        assert task.loss(worse, TRUTH) > 0.01, place


def test_padding_changes_nothing_and_everything_has_a_gradient() -> None:
    task = Detection()
    grid = torch.randn(1, 5 + CLASSES, 4, 4, generator=torch.Generator().manual_seed(0))
    few, many = TRUTH[:, :2], torch.cat([TRUTH, TRUTH[:, 2:]], dim=1)
    assert task.loss(grid, few).item() == pytest.approx(task.loss(grid, many).item(), rel=1e-6)
    grid.requires_grad_()
    task.loss(grid, TRUTH).backward()
    assert grid.grad is not None
    assert (grid.grad[0, 0] != 0).all()  # whether there is a box, everywhere
    assert (grid.grad[0, 1:, 1, 1] != 0).all()  # which box, where one is
    assert (grid.grad[0, 1:, 3, 3] == 0).all()


def test_no_box_at_all() -> None:
    task, none = Detection(), boxes_of()
    grid = torch.zeros(1, 5 + CLASSES, 2, 2)
    assert task.loss(grid, none).item() == pytest.approx(4 * math.log(2))
    assert measured((grid, none)) == 0.0
