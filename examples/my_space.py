"""A search space of one's own in plain PyTorch: residual stages of searched depth and width.

    hypernas run digits --space examples/my_space.py:residual --minutes 5
    hypernas run path/to/images --space examples/my_space.py:residual --set stages=2 --minutes 30

The function decides by name, in any order Python likes, and returns an ordinary module. What was
decided is the architecture; the module that is scored is the one that is trained and exported.
"""

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


def residual(choose, data, *, stages: int = 3, deepest: int = 3) -> nn.Module:
    """Residual stages with searched depth, width, kernels and activation."""
    activation = ACTIVATIONS[choose("activation", list(ACTIVATIONS))]
    channels, height, width = data.input_shape
    layers: list[nn.Module] = []
    for stage in range(stages):
        size = choose(f"stage{stage}.width", [8, 16, 32])
        layers += [nn.Conv2d(channels, size, 3, padding=1, bias=False), nn.BatchNorm2d(size)]
        # How many blocks there are decides which further questions are asked.
        for block in range(choose.int(f"stage{stage}.depth", 0, deepest)):
            kernel = choose(f"stage{stage}.block{block}.kernel", [3, 5])
            layers.append(Block(size, kernel, activation))
        if stage < stages - 1 and min(height, width) >= 4:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        channels = size
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, data.outputs)]
    return nn.Sequential(*layers, activation(), *head)


class Block(nn.Module):
    """Depthwise and pointwise convolution around a skip connection."""

    def __init__(self, width: int, kernel: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.path = nn.Sequential(
            activation(),
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)
