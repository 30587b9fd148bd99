"""SMASH's generator: a densely connected convolutional network from an encoding to weights.

Source: arXiv 1708.05344, section 3.2 and its public code. Shapes: C channels of the encoding, R
rows (units of output channels), S slices (groups of input channels) of all candidates, side by
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.02
"""of the leaky ReLU below 0"""
FIRST = 7
"""channels of the first convolution"""
SIDE = 3
"""of the kernels"""

Kind = Literal["dense", "attention", "gated"]
Normalise = Literal["weight", "layer", "none"]


class Convolution(nn.Module):
    """A 3×3 convolution without bias, normalised in one of three ways.

    Args:
        inputs, outputs: channels.
        normalise: ``weight`` divides the weights by their norm, all of them by one number (SMASH);
            ``layer`` normalises the output over its channels at each place; ``none`` neither.
    """

    def __init__(self, inputs: int, outputs: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.weight = nn.Parameter(torch.empty(outputs, inputs, SIDE, SIDE))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (outputs, R, S) of a map (inputs, R, S) whose last slice is empty."""
        outputs, inputs = self.weight.shape[:2]
        taps = self.weight.permute(2, 3, 0, 1).reshape(-1, inputs)
        made = _Convolved.apply(x.flatten(1), taps, x.shape[2]).view(outputs, *x.shape[1:])
        if self.normalise == "weight":
            return made / self.weight.norm()
        if self.normalise == "layer":
            return F.layer_norm(made.movedim(0, -1), made.shape[:1]).movedim(-1, 0)
        return made


class _Convolved(torch.autograd.Function):
    """A 3×3 convolution as one matrix product and nine shifted sums.

    Every candidate has another number of slices, and oneDNN compiles its convolutions anew for each
    one (on a small map three times as long as the work itself); a product needs no compiling. A map
    is a row of places: the empty slice at the end of a line is the border of the next one too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, width: int) -> Tensor:
        """Return (outputs, places) of x (inputs, places) and taps (9 · outputs, inputs)."""
        ctx.save_for_backward(x, taps)
        ctx.width = width
        seen = (taps @ x).view(SIDE**2, -1, x.shape[1])
        made = seen[SIDE**2 // 2].clone()
        for tap, shift in zip(seen, _shifts(width), strict=True):
            if shift < 0:
                made[:, -shift:] += tap[:, :shift]
            elif shift > 0:
                made[:, :-shift] += tap[:, shift:]
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # ty: ignore
        """Return the gradients of x and taps."""
        x, taps = ctx.saved_tensors
        places, most = x.shape[1], ctx.width + 1
        padded = F.pad(gradient, (most, most))
        spread = [padded.narrow(1, most - shift, places) for shift in _shifts(ctx.width)]
        seen = torch.cat(spread)
        return taps.t() @ seen, seen @ x.t(), None


def _shifts(width: int) -> list[int]:
    """Return how far on each tap looks, in a row of places with ``width`` to a line."""
    return [row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1)]


class Attention(nn.Module):
    """Lets each slice see all others of its candidate, however far: one head, added to the map."""

    def __init__(self, channels: int, size: int = 16) -> None:
        super().__init__()
        self.ask = nn.Linear(channels, 2 * size, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.value.weight)

    def forward(self, x: Tensor, spans: Sequence[slice]) -> Tensor:
        slices = x.mean(dim=1).t()[None]  # (1, S, channels)
        added = torch.zeros_like(slices)
        for span in spans:
            part = slices[:, span]
            query, key = self.ask(part).chunk(2, dim=-1)
            seen = F.scaled_dot_product_attention(query, key, self.value(part))
            added = added.index_copy(1, torch.arange(span.start, span.stop, device=x.device), seen)
        return x + added[0].t()[:, None]


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
        self.first = Convolution(inputs, FIRST, normalise)
        self.blocks = nn.ModuleList()
        self.squeezes = nn.ModuleList()
        self.attention = nn.ModuleList()
        for number, count in enumerate(layers):
            block = nn.ModuleList()
            for _ in range(count):
                made = 2 * growth if kind == "gated" else growth
                block.append(Convolution(channels, made, normalise))
                channels += growth
            self.blocks.append(block)
            if kind == "attention":
                self.attention.append(Attention(channels))
            if number < len(layers) - 1:
                self.squeezes.append(Convolution(channels, channels // 2, normalise))
                channels //= 2
        self.channels = channels

    def forward(self, x: Tensor, spans: Sequence[slice]) -> Tensor:
        """Return the features of every place, (1, channels, R, S).

        Args:
            x: the maps of all candidates side by side, (1, inputs, R, S), with an empty slice
                between two.
            spans: the slices of each candidate.
        """
        x = F.pad(x[0], (0, 1))
        mask = _mask(x, spans)
        # A leaky ReLU stands before each convolution; it is applied once to what is made. The map
        # itself has none: it would change nothing but the noise, and at 0 hide what 1 would do.
        x = torch.cat([x, _leaky(self.first(x) * mask)])
        for number, block in enumerate(self.blocks):
            for layer in block:  # ty: ignore[not-iterable]
                x = torch.cat([x, self._made(layer(x), mask)])
            if self.attention:
                x = self.attention[number](x, spans) * mask
            if number < len(self.squeezes):
                x = _leaky(self.squeezes[number](x) * mask)
        return x[None, :, :, :-1]

    def _made(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.kind == "gated":
            values, gates = x.chunk(2)
            x = torch.tanh(values) * torch.sigmoid(gates)
        return _leaky(x * mask)


def _mask(x: Tensor, spans: Sequence[slice]) -> Tensor:
    """Return 0 for the slices after and between candidates, so that none sees another, else 1."""
    mask = torch.zeros(x.shape[-1], device=x.device)
    for span in spans:
        mask[span] = 1
    return mask


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
