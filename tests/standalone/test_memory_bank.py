"""Memory-bank networks become source: attention, gates, fixed filters, averages of volumes."""

from __future__ import annotations

import pytest
from banked_space import EVERYTHING, SMALL, drawn, images

from .rebuilding import rebuilt


@pytest.mark.parametrize("shape", [(2, 9), (3, 8, 8), (1, 6, 5, 5)])
def test_networks_with_everything(shape: tuple[int, ...]) -> None:
    options = EVERYTHING | SMALL | {"repeats": 1}
    text = ""
    for seed in range(2):
        text += rebuilt(drawn(seed, images(*shape), **options)[0], shape)[0]
    assert "class Attention(nn.Module):" in text
    assert "register_buffer" in text  # filters
    assert "torch.tanh" in text
    assert ("class VolumeAverage" in text) == (len(shape) == 4)
