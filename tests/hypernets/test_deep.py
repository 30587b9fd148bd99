"""The deep decoder against one that writes a tensor value by value."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from hypernas.hypernets.decoder import VECTOR
from hypernas.hypernets.deep import EASE, GAIN, Deep
from hypernas.hypernets.tensors import SIDE, as_map

STATE, HIDDEN, WIDTH = 4, 6, 5
SHAPES = [(3, 2, 3, 3), (5, 5, 1, 1), (12, 3, 1, 5), (3, 11, 2, 2), (12, 11, 3, 3), (7, 9)]


def looped(decoder: Deep, about: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Write one tensor value by value from what is known of it, (H,)."""
    outputs, inputs, height, width = *shape, *(1, 1)[: 4 - len(shape)]
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    values = torch.zeros(outputs, inputs, height, width)
    for y, x in itertools.product(range(height), range(width)):
        maps = torch.relu(torch.einsum("h,hc->c", about, decoder.spread[:, :, top + y, left + x]))
        maps = torch.relu(decoder.middle(maps))
        maps = (maps - maps.mean()) / (maps.var(correction=0) + 1e-5).sqrt()
        for o, i in itertools.product(range(outputs), range(inputs)):
            values[o, i, y, x] = EASE * (maps @ decoder.tile[:, o % WIDTH, i % WIDTH])
    if decoder.factors is not None and decoder.columns is not None and max(shape[:2]) > WIDTH:
        sides = []
        for digits, factor, length in (
            (decoder.rows, decoder.factors[0], outputs),
            (decoder.columns, decoder.factors[1], inputs),
        ):
            rows = []
            for number in range(length):
                coordinate = digits[0, number // VECTOR] + digits[1, 0]
                hidden = torch.relu(about + coordinate)
                rows.append(torch.einsum("h,hr->r", hidden, factor[:, number % VECTOR]))
            sides.append(torch.stack(rows))
        values = values * GAIN * torch.tanh(sides[0] @ sides[1].T)[:, :, None, None]
    return values.reshape(shape)


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_value_and_gradient_is_as_written_out(shape: tuple[int, ...], rank: int) -> None:
    torch.manual_seed(0)
    decoder = Deep(STATE, HIDDEN, WIDTH, rank)
    about, weight = torch.randn(2, HIDDEN, requires_grad=True), torch.randn(2, *shape)
    (parts,) = decoder.parts([as_map(shape)])
    found = decoder.matrices(about, shape, 0.7, parts)
    expected = 0.7 * torch.stack([looped(decoder, row, shape) for row in about])
    assert found.shape == (2, *shape)
    assert torch.allclose(found, expected, atol=1e-5)
    wanted = [about, *decoder.parameters()]
    grads = [
        torch.autograd.grad((values * weight).sum(), wanted, allow_unused=True)
        for values in (found, expected)
    ]
    for one, other in zip(*grads, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-4)


def test_vectors_longer_than_a_piece_do_not_repeat() -> None:
    torch.manual_seed(0)
    decoder = Deep(STATE, HIDDEN, WIDTH, 3)
    about = torch.randn(1, HIDDEN)
    (found,) = decoder.vectors(about, (40,))
    assert len(found.unique()) == 40
    assert found.shape == (40,)
    for number in range(40):
        hidden = torch.relu(about[0] + decoder.rows[0, number // VECTOR] + decoder.rows[1, 0])
        assert torch.isclose(found[number], hidden @ decoder.vector[:, number % VECTOR])


def test_plain_copies_need_no_coordinates_of_columns() -> None:
    assert "columns" not in Deep(STATE, HIDDEN, WIDTH, 0).state_dict()
    assert "columns" in Deep(STATE, HIDDEN, WIDTH, 1).state_dict()


def test_the_gain_brings_the_factors_to_variance_one() -> None:
    torch.manual_seed(0)
    assert abs(GAIN * torch.tanh(torch.randn(100_000)).std() - 1) < 0.01
