"""The detector space: one-stage detectors, which tell all boxes of an image in one pass.

Stages of layers on images of ever smaller sides end at a grid; what the larger images showed may be
brought to it. Each cell of the grid tells whether the centre of a box lies in it, which box, and
its class (see :mod:`hypernas.tasks.detection`).
"""

from __future__ import annotations

from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.cell import conv_norm
from hypernas.spaces.space import require_positive
from hypernas.spaces.stages import down, stage, stem
from hypernas.tasks import Signature
from hypernas.tasks.detection import NUMBERS


def detector(
    choose: Chooser, data: Signature, *, width: int = 8, halvings: int = 3, layers: int = 2
) -> nn.Module:
    """One-stage detectors, for boxes and their classes.

    Args:
        choose: decides for each size ``stage0.layers``, ``stage0.0.op``, ``stage0.0.add``, …; how
            wide and deep the ``head`` is; and whether it also sees the size before (``bridge``).
        data: shape of an image and number of classes.
        width: channels at the first size; each halving has twice as many.
        halvings: how often the image is halved: a cell of the grid is 2 to this power pixels wide.
        layers: most layers of a stage.
    """
    require_positive(width=width, halvings=halvings, layers=layers)
    widths = [width * 2**level for level in range(halvings + 1)]
    stages = [stage(choose, f"stage{level}", w, layers) for level, w in enumerate(widths)]
    bridge = choose("bridge", [False, True])
    wide = widths[-1] * choose("head.width", [1, 2])
    head = nn.Sequential(
        nn.ReLU(),
        *conv_norm(widths[-1], wide, 1),
        stage(choose, "head", wide, layers),
        nn.ReLU(),
        nn.Conv2d(wide, NUMBERS + data.outputs, 1),
    )
    return DetectorNetwork(stages, head, widths, data, bridge=bridge)


class DetectorNetwork(nn.Module):
    """Stem, stages that end at the grid, and a head on each of its cells."""

    def __init__(
        self,
        stages: list[nn.Sequential],
        head: nn.Sequential,
        widths: list[int],
        data: Signature,
        *,
        bridge: bool,
    ) -> None:
        super().__init__()
        self.stem = stem(data, widths[0])
        self.stages = nn.ModuleList(stages)
        self.shrinks = nn.ModuleList(
            down(first, second) for first, second in zip(widths, widths[1:], strict=False)
        )
        self.bridge = down(widths[-2], widths[-1]) if bridge else None
        self.cells = [f"stages.{i}" for i in range(len(stages))]
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return grids (B, 5 + K, h, w) of images (B, C, H, W)."""
        x = before = self.stages[0](self.stem(x))
        for shrink, layers in zip(self.shrinks, self.stages[1:], strict=True):
            before = x
            x = layers(shrink(x))
        return self.head(x if self.bridge is None else x + self.bridge(before))


detector.reads = (("images", "detection"),)  # ty: ignore[missing-attribute]
