"""The segmentation space: fully convolutional networks that go down and up again.

Stages of layers on images of ever smaller sides, then up again to the first, each stage on the way
up with what the one of its size saw on the way down, added, beside it, or not at all: from plain
encoder and decoder (arXiv 1411.4038) to U-Net (arXiv 1505.04597).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.cell import conv_norm
from hypernas.spaces.space import require_positive
from hypernas.spaces.stages import down, sides, stage, stem
from hypernas.tasks import Signature

JOINS = ("none", "add", "concat")


def segmentation(
    choose: Chooser, data: Signature, *, width: int = 8, halvings: int = 3, layers: int = 2
) -> nn.Module:
    """Fully convolutional networks that go down and up again, for a class of each pixel.

    Args:
        choose: decides ``halvings``, and for each size ``down0.layers``, ``down0.0.op``,
            ``down0.0.add``, …, ``join0``, ``up0.layers``, …
        data: shape of an image and number of classes.
        width: channels at the first size; each halving has twice as many, up to four times.
        halvings: most halvings of the image.
        layers: most layers of a stage.
    """
    require_positive(width=width, halvings=halvings, layers=layers)
    depth = choose.int("halvings", 1, halvings)
    widths = [width * min(2**level, 4) for level in range(depth + 1)]
    downs = [stage(choose, f"down{level}", w, layers) for level, w in enumerate(widths)]
    joins = [choose(f"join{level}", list(JOINS)) for level in range(depth)]
    ups = [stage(choose, f"up{level}", widths[level], layers) for level in range(depth)]
    return SegmentationNetwork(downs, ups, joins, widths, data)


class SegmentationNetwork(nn.Module):
    """Stem, stages down, stages up, and a 1×1 convolution to the classes of each pixel."""

    def __init__(
        self,
        downs: list[nn.Sequential],
        ups: list[nn.Sequential],
        joins: list[str],
        widths: list[int],
        data: Signature,
    ) -> None:
        super().__init__()
        self.joins = joins
        self.stem = stem(data, widths[0])
        self.downs = nn.ModuleList(downs)
        self.shrinks = nn.ModuleList(
            down(first, second) for first, second in zip(widths, widths[1:], strict=False)
        )
        self.grows = nn.ModuleList(
            grow(second, first, sides(data, level))
            for level, (first, second) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.merges = nn.ModuleList(
            nn.Sequential(nn.ReLU(), *conv_norm(2 * w, w, 1)) if join == "concat" else nn.Identity()
            for join, w in zip(joins, widths, strict=False)
        )
        self.ups = nn.ModuleList(ups)
        self.cells = [f"downs.{i}" for i in range(len(downs))] + [
            f"ups.{i}" for i in range(len(ups))
        ]
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(widths[0], data.outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, C, H, W)."""
        x = self.downs[0](self.stem(x))
        seen = []
        for shrink, layers in zip(self.shrinks, self.downs[1:], strict=True):
            seen.append(x)
            x = layers(shrink(x))
        for level in reversed(range(len(seen))):
            x = self.grows[level](x)
            if self.joins[level] == "add":
                x = x + seen[level]
            elif self.joins[level] == "concat":
                x = self.merges[level](torch.cat([x, seen[level]], dim=1))
            x = self.ups[level](x)
        return self.head(x)


def grow(inputs: int, outputs: int, size: tuple[int, int]) -> nn.Sequential:
    """Return what brings the image to ``size`` and to other channels."""
    return nn.Sequential(nn.ReLU(), *conv_norm(inputs, outputs, 1), nn.Upsample(size))


segmentation.reads = (("images", "segmentation"),)  # ty: ignore[missing-attribute]
