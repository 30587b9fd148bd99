"""Overlaps, suppression and precision, against figures worked out by hand."""

from __future__ import annotations

import pytest
import torch

from hypernas.tasks.boxes import average_precision, kept, overlaps


def test_overlap_is_shared_area_over_covered_area() -> None:
    one = torch.tensor([[0.0, 0.0, 0.4, 0.2], [0.0, 0.0, 1.0, 1.0]])
    other = torch.tensor([[0.2, 0.0, 0.6, 0.2], [0.5, 0.5, 0.7, 0.7], [2.0, 2.0, 3.0, 3.0]])
    expected = [0.04 / 0.12, 0, 0, 0.08, 0.04, 0]
    assert overlaps(one, other).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_surest_of_overlapping_boxes_remains() -> None:
    row = [[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10], [3, 0, 13, 10], [50, 50, 60, 60]]
    # overlap with the first: 9/11, 8/12, 7/13; what the first removes removes nothing itself
    assert kept(torch.tensor([row]).float(), 0.7).tolist() == [[True, False, True, False, True]]
    assert kept(torch.tensor([row]).float(), 0.5).tolist() == [[True, False, False, False, True]]


def test_images_do_not_see_each_other() -> None:
    box = [0.0, 0.0, 1.0, 1.0]
    assert kept(torch.tensor([[box, box], [box, [5.0, 5.0, 6.0, 6.0]]]), 0.5).tolist() == [
        [True, False],
        [True, True],
    ]


@pytest.mark.parametrize(
    ("hits", "wanted", "expected"),
    [
        # precision at each hit, raised to the highest at any later one
        ([1, 1], 2, 1.0),
        ([1, 0, 1], 2, 1 / 2 + (2 / 3) / 2),
        ([0, 1, 0, 0, 1, 1], 4, (1 / 2 + 1 / 2 + 1 / 2) / 4),
        ([0, 0], 3, 0.0),
        ([], 3, 0.0),
    ],
)
def test_average_precision(hits: list[int], wanted: int, expected: float) -> None:
    scores = torch.linspace(0.9, 0.1, len(hits))
    shuffled = torch.randperm(len(hits), generator=torch.Generator().manual_seed(1))
    found = average_precision(
        scores[shuffled], torch.tensor(hits, dtype=torch.bool)[shuffled], wanted
    )
    assert found == pytest.approx(expected)
