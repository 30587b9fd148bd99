"""Stages of layers on ever smaller images: what the spaces for pixels and boxes have in common."""

from __future__ import annotations

from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.cell import conv_norm, operation
from hypernas.tasks import Signature

OPERATIONS = (
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "max_pool_3x3",
)


def stage(choose: Chooser, name: str, width: int, layers: int) -> nn.Sequential:
    """Return layers that keep width and size, each added to what came in or not.

    Args:
        choose: decides ``NAME.layers``, ``NAME.0.op``, ``NAME.0.add``, …
        name: of the stage.
        width: channels.
        layers: most layers.
    """
    made = []
    for index in range(choose.int(f"{name}.layers", 1, layers)):
        layer = layer_of(choose(f"{name}.{index}.op", list(OPERATIONS)), width)
        made.append(Added(layer) if choose(f"{name}.{index}.add", [False, True]) else layer)
    return nn.Sequential(*made)


def layer_of(name: str, width: int) -> nn.Module:
    """Return the named operation on ``width`` channels; the image keeps its size."""
    if name == "conv_3x3":
        return nn.Sequential(nn.ReLU(), *conv_norm(width, width, 3))
    return operation(name, width)


def stem(data: Signature, width: int) -> nn.Sequential:
    """Return the first convolution, which keeps the image's size."""
    return nn.Sequential(*conv_norm(data.input_shape[0], width, 3))


def down(inputs: int, outputs: int) -> nn.Sequential:
    """Return what halves the image, odd sides rounded up, and brings it to other channels."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outputs))


def sides(data: Signature, halvings: int) -> tuple[int, int]:
    """Return rows and columns of the image after some halvings.

    >>> sides(Signature(input_shape=(3, 28, 15), outputs=2), 2)
    (7, 4)
    """
    _, rows, columns = data.input_shape
    for _ in range(halvings):
        rows, columns = -(-rows // 2), -(-columns // 2)
    return rows, columns


class Added(nn.Module):
    """What came in is added to what comes out."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)
