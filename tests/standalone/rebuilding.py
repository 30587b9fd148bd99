"""Modules to write as source, and what rebuilds and compares them."""

from __future__ import annotations

import math
import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.standalone import source_of

SHAPE = (3, 8, 8)


def source(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> str:
    return source_of(
        module, docstring="A network.", input_shape=shape, classes=["cat"], normalisation=None
    )


def run(text: str) -> Any:
    module = types.ModuleType("model")
    module.__file__ = "model.py"
    exec(compile(text, "model.py", "exec"), vars(module))
    return module


def rebuilt(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> tuple[str, nn.Module]:
    """Write, rebuild, load what is alive, and compare on three batch sizes; return both."""
    module = warmed(module, shape)
    text = source(module, shape)
    network = run(text).build()
    state = module.state_dict()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    network.eval()
    for n in (1, 2, 5):
        batch = torch.randn(n, *shape)
        for given, right in zip(tuples(network(batch)), tuples(module(batch)), strict=True):
            torch.testing.assert_close(given, right)
    assert max(map(len, text.splitlines())) <= 100
    return text, network


def warmed(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the module in eval mode, its running statistics no longer those of the beginning."""
    with torch.no_grad():
        module.train()(torch.randn(4, *shape))
    return module.eval()


def tuples(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


class Given(nn.Module):
    """A module made of a function of itself and its input, and of members."""

    def __init__(self, forward: Any, **members: Any) -> None:
        super().__init__()
        self.function = forward
        for name, member in members.items():
            if isinstance(member, Tensor) and not isinstance(member, nn.Parameter):
                self.register_buffer(name, member)
            else:
                setattr(self, name, member)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class ConvBN(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, padding="same" if not options else 2, bias=False, **options
        )
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(F.relu(x)))


class Cell(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                "edge0-1": ConvBN(inputs, outputs),
                "edge0-2": ConvBN(inputs, outputs, dilation=2),
                "edge1-2": ConvBN(outputs, outputs, 1),
                "dead": ConvBN(inputs, outputs),
            }
        )

    def forward(self, states: list[Tensor]) -> Tensor:
        first, second = states
        self.edges["dead"](second)
        one = self.edges["edge0-1"](first)
        return torch.cat([self.edges["edge0-2"](second) + self.edges["edge1-2"](one), one], 1)


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.cells = nn.ModuleList([Cell(8, 4), Cell(8, 4), Cell(8, 6)])
        self.head = nn.Linear(12, 5)
        self.unused = nn.Linear(2, 2)
        self.unused_scale = nn.Parameter(torch.ones(2))

    def forward(self, images: Tensor) -> Tensor:
        first = self.stem(images)
        second = F.max_pool2d(first, 3, stride=1, padding=1)
        for cell in self.cells:
            first, second = second, cell([first, second])
        return self.head(torch.flatten(F.adaptive_avg_pool2d(second, 1), 1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t = x.shape[0], x.shape[1]
        parts = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts[0], parts[1], parts[2]
        weights = (queries @ keys.transpose(-2, -1)) / math.sqrt(8) - 0.5
        return self.out((weights.softmax(-1) @ values).transpose(1, 2).reshape(n, t, -1))


class Transformer(nn.Module):
    place: Tensor
    gains: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.register_buffer("place", torch.randn(1, 5, 16))
        self.register_buffer("gains", torch.tensor([0.5, math.inf]), persistent=False)
        self.blocks = nn.ModuleList([Attention(16, 2), Attention(16, 4)])
        self.last = nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.exits = nn.ModuleList([nn.Linear(16, 3), nn.Linear(16, 3)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1) + self.place
        for block in self.blocks:
            x = x + block(self.norm(x))
        early = self.exits[0](x[:, 0])
        return early, self.exits[1]((x + self.last(x, x, x)[0])[:, 0] * self.gains[0])
