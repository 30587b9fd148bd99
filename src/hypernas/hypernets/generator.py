"""SMASH's generator: a densely connected convolutional network from an encoding to weights.

Source: arXiv 1708.05344, section 3.2 and its public code. Shapes: C channels of the encoding, R
rows (units of output channels), S slices (groups of input channels) of all candidates, side by
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.02
"""of the leaky ReLU below 0"""
FIRST = 7
"""channels of the first convolution"""

Kind = Literal["dense", "attention", "gated"]
Normalise = Literal["weight", "layer", "none"]


class Convolution(nn.Module):
    """A convolution without bias, normalised in one of three ways.

    Args:
        inputs, outputs: channels.
        kernel: its side.
        normalise: ``weight`` divides the weights by their norm, all of them by one number (SMASH);
            ``layer`` normalises the output over its channels at each place; ``none`` neither.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.normalise == "weight":
            weight = weight / weight.norm()
        made = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.normalise == "layer":
            return F.layer_norm(made.movedim(1, -1), made.shape[1:2]).movedim(-1, 1)
        return made


class Attention(nn.Module):
    """Lets each slice see all others of its candidate, however far: one head, added to the map."""

    def __init__(self, channels: int, size: int = 16) -> None:
        super().__init__()
        self.ask = nn.Linear(channels, 2 * size, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.value.weight)

    def forward(self, x: Tensor, spans: Sequence[slice]) -> Tensor:
        slices = x.mean(dim=2).transpose(1, 2)  # (1, S, channels)
        added = torch.zeros_like(slices)
        for span in spans:
            part = slices[:, span]
            query, key = self.ask(part).chunk(2, dim=-1)
            seen = F.scaled_dot_product_attention(query, key, self.value(part))
            added = added.index_copy(1, torch.arange(span.start, span.stop, device=x.device), seen)
        return x + added.transpose(1, 2)[:, :, None]


class Generator(nn.Module):
    """Dense blocks of 3×3 convolutions; after each block but the last the channels are halved.

    Args:
        inputs: channels of the map.
        layers: convolutions in each dense block.
        growth: channels that each of them adds.
        kind: ``dense``; with ``attention`` over a candidate's slices after each block; or with
            ``gated`` convolutions, tanh · sigmoid.
        normalise: how convolutions are normalised.
    """

    def __init__(
        self,
        inputs: int,
        *,
        layers: Sequence[int] = (8, 10, 4),
        growth: int = 10,
        kind: Kind = "dense",
        normalise: Normalise = "weight",
    ) -> None:
        super().__init__()
        self.kind = kind
        channels = inputs + FIRST
        self.first = Convolution(inputs, FIRST, 3, normalise)
        self.blocks = nn.ModuleList()
        self.squeezes = nn.ModuleList()
        self.attention = nn.ModuleList()
        for number, count in enumerate(layers):
            block = nn.ModuleList()
            for _ in range(count):
                made = 2 * growth if kind == "gated" else growth
                block.append(Convolution(channels, made, 3, normalise))
                channels += growth
            self.blocks.append(block)
            if kind == "attention":
                self.attention.append(Attention(channels))
            if number < len(layers) - 1:
                self.squeezes.append(Convolution(channels, channels // 2, 3, normalise))
                channels //= 2
        self.channels = channels

    def forward(self, x: Tensor, spans: Sequence[slice]) -> Tensor:
        """Return the features of every place, (1, channels, R, S).

        Args:
            x: the maps of all candidates side by side, (1, inputs, R, S), with an empty slice
                between two.
            spans: the slices of each candidate.
        """
        mask = _mask(x, spans)
        # A leaky ReLU stands before each convolution; it is applied once to what is made.
        x = torch.cat([_leaky(x), _leaky(self._kept(self.first(x), mask))], dim=1)
        for number, block in enumerate(self.blocks):
            for layer in block:  # ty: ignore[not-iterable]
                x = torch.cat([x, self._made(layer(x), mask)], dim=1)
            if self.attention:
                x = self._kept(self.attention[number](x, spans), mask)
            if number < len(self.squeezes):
                x = _leaky(self._kept(self.squeezes[number](x), mask))
        return x

    def _made(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.kind == "gated":
            values, gates = x.chunk(2, dim=1)
            x = torch.tanh(values) * torch.sigmoid(gates)
        return _leaky(self._kept(x, mask))

    def _kept(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Empty the slices between candidates, so that none sees another."""
        return x if mask is None else x * mask


def _mask(x: Tensor, spans: Sequence[slice]) -> Tensor | None:
    if len(spans) == 1:
        return None
    mask = torch.zeros(x.shape[-1], device=x.device)
    for span in spans:
        mask[span] = 1
    return mask


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
