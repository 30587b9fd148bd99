"""GHN-2's deep decoder, and low-rank factors for tensors that are wider than it.

Source: GHN-2 (arXiv 2110.13100, 3.3 and its code): a layer spreads an operator's state over a map
of positions, two more layers turn each position into a tile of channels; tensors with more channels
repeat the tile. Copies cannot be told apart, so here each copy is multiplied, value by value, by
its part of a matrix: the tanh of the product of two factors that the hypernetwork writes as well.
The factors are those of LoGAH (arXiv 2405.16287), which takes their product alone as the tensor:
the rank is then that of the factors, and the product of a tile with it would have long tails. The
tanh bounds what a value is multiplied by, and has more rank than what it is of.

Legend: P tensors of one shape, H hidden units, O and I output and input channels, W channels of a
tile, R the rank of the factors, K positions of a kernel.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.hypernets.decoder import VECTOR, Decoder, Pieces, coordinates, pieces
from hypernas.hypernets.parts import cut
from hypernas.hypernets.tensors import SIDE, Map, as_map, window

DecoderName = Literal["low-rank", "tiled", "pieces"]
HIDDEN = 64
"""hidden units of each tensor"""
EASE = 0.25
"""factor of the last layer: steps of Adam are of one size, and many inputs would add them up"""
RANK = 8
"""of the factors by which copies of a tile differ"""
GAIN = 1.59
"""one over the deviation of the tanh of a normal value"""


class Deep(Decoder):
    """A tile of channels from three layers; wider tensors repeat it.

    Args:
        state: size of an operator's state.
        hidden: hidden units H of each tensor.
        width: channels W of a tile.
        rank: R of the factors by which the copies of a tile differ; 0 for plain copies.
    """

    def __init__(self, state: int, hidden: int, width: int, rank: int) -> None:
        super().__init__(state, hidden)
        self.width, self.rank = width, rank
        self.columns = coordinates(hidden) if rank else None
        self.spread = nn.Parameter(torch.randn(hidden, 2 * width, SIDE, SIDE) * (2 / hidden) ** 0.5)
        self.middle = nn.Linear(2 * width, 4 * width)
        nn.init.kaiming_normal_(self.middle.weight)
        self.tile = nn.Parameter(
            torch.randn(4 * width, width, width) * (0.25 / width) ** 0.5 / EASE
        )
        self.vector = nn.Parameter(torch.randn(hidden, VECTOR) / hidden**0.5)
        self.factors = None
        if rank:  # the product of the two has variance 1 where each has 1 / sqrt(rank)
            spread = hidden**-0.5 * rank**-0.25
            self.factors = nn.Parameter(torch.randn(2, hidden, VECTOR, rank) * spread)

    def heard(self, about: Tensor, places: Tensor) -> Tensor:
        return self.deeper(about[:, None] + places)

    def parts(self, maps: list[Map]) -> list[tuple[Tensor, ...]]:
        every, w = slice(None), self.width
        spreads = [(every, every, *window(height, width)) for *_, height, width in maps]
        tiles = [(every, slice(min(o, w)), slice(min(i, w))) for o, i, *_ in maps]
        return list(zip(cut(self.spread, spreads), cut(self.tile, tiles), strict=True))

    def matrices(
        self, about: Tensor, shape: tuple[int, ...], scale: float, parts: tuple[Tensor, ...]
    ) -> Tensor:
        outputs, inputs, height, width = as_map(shape)
        o, i = min(outputs, self.width), min(inputs, self.width)
        tiles = self._tiles(about, *parts) * scale  # (P, K, o, i)
        # the order of channels-last, in which convolutions are fast
        tiles = tiles.transpose(1, 2).contiguous()
        down, across = -(-outputs // o), -(-inputs // i)
        whole = tiles[:, None, :, :, None]  # (P, 1, o, K, 1, i)
        if down * across > 1:
            if self.rank:
                factors = self._factors(about, down * o, across * i)
                whole = whole * GAIN * factors.view(len(about), down, o, 1, across, i)
            else:
                whole = whole.expand(-1, down, -1, -1, across, -1)
        whole = whole.reshape(len(about), down * o, height * width, across * i)
        whole = whole[:, :outputs, :, :inputs].transpose(2, 3)
        return whole.reshape(len(about), *shape)

    def _tiles(self, about: Tensor, spread: Tensor, tile: Tensor) -> Tensor:
        """Return a tile for each tensor (P, K, o, i) from rows (P, H)."""
        flat = spread.permute(0, 2, 3, 1).flatten(1)  # (H, K * channels)
        maps = torch.relu(about @ flat).view(len(about), -1, spread.shape[1])
        # centred: rectified features share a mean, by which positions would begin alike
        maps = F.layer_norm(torch.relu(self.middle(maps)), self.middle.bias.shape)
        return (maps @ tile.flatten(1) * EASE).unflatten(2, tile.shape[1:])

    def _factors(self, about: Tensor, outputs: int, inputs: int) -> Tensor:
        """Return what values of copies are multiplied by, from -1 to 1, (P, O, I)."""
        assert self.factors is not None
        assert self.columns is not None
        sides = []
        for digits, factor, length in zip(
            (self.rows, self.columns), self.factors, (outputs, inputs), strict=True
        ):
            hidden = self.heard(about, pieces(digits, -(-length // VECTOR)))
            side = hidden @ factor.flatten(1)  # (P, pieces, VECTOR * R)
            sides.append(side.view(len(about), -1, self.rank)[:, :length])
        return (sides[0] @ sides[1].transpose(1, 2)).tanh_()


def decoder_of(name: DecoderName, state: int, width: int) -> Decoder:
    """Return a new decoder.

    Args:
        name: ``low-rank``, a tile whose copies in wider tensors differ by low-rank factors;
            ``tiled``, plain copies as in GHN-2; ``pieces``, that of the first GHN.
        state: size of an operator's state.
        width: channels of a tile.
    """
    if name == "pieces":
        return Pieces(state, HIDDEN)
    return Deep(state, max(state, HIDDEN), width, RANK if name == "low-rank" else 0)
