"""Cutting parts out of a parameter, so that their gradients meet in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Place: TypeAlias = tuple[slice, ...]


def cut(entry: Tensor, places: Sequence[Place]) -> tuple[Tensor, ...]:
    """Return a part of ``entry`` for each place.

    Plain slices would each make a gradient of the size of ``entry``.
    """
    return _Parts.apply(entry, list(places)) if places else ()


class _Parts(torch.autograd.Function):
    """Cuts parts out of an entry; their gradients are summed in one tensor of its size."""

    @staticmethod
    def forward(ctx: Any, entry: Tensor, places: list[Place]) -> tuple[Tensor, ...]:
        """Return a part for each place."""
        ctx.places, ctx.shape = places, entry.shape
        return tuple(entry[place] for place in places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the entry."""
        total = gradients[0].new_zeros(ctx.shape)
        for place, gradient in zip(ctx.places, gradients, strict=True):
            total[place] += gradient
        return total, None
