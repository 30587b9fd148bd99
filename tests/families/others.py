"""Transformers, recurrent and other networks, and layers that are used in odd ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, spectral_norm


class Encoder(nn.Module):
    """A transformer's layer, norms first."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, 2, batch_first=True)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.after(x))))


class ViT(nn.Module):
    """Vision transformer with a class token and a table of positions (arXiv 2010.11929)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.places = nn.Parameter(torch.zeros(1, 17, 16))
        self.layers = nn.Sequential(Encoder(16), Encoder(16))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])


class WindowAttention(nn.Module):
    """Attention within shifted windows, with a table of relative positions."""

    def __init__(self, size: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, 2))
        self.mix, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        at = torch.stack(torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None] + window - 1).permute(1, 2, 0)
        self.register_buffer("index", apart[..., 0] * (2 * window - 1) + apart[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        n = self.window
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        x = x.view(b, h // n, n, w // n, n, c).transpose(2, 3).reshape(-1, n * n, c)
        q, k, v = self.mix(x).view(len(x), n * n, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        near = q @ k.transpose(2, 3) * (c // 2) ** -0.5
        near = near + self.table[self.index].permute(2, 0, 1)
        x = self.out((near.softmax(-1) @ v).transpose(1, 2).reshape(len(x), n * n, c))
        x = x.view(b, h // n, w // n, n, n, c).transpose(2, 3).reshape(b, h, w, c)
        return torch.roll(x, (self.shift, self.shift), (1, 2))


class Swin(nn.Module):
    """Windows, shifted in every other layer; patches are merged between (arXiv 2103.14030)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
        self.attention = nn.ModuleList(WindowAttention(16, 4, shift) for shift in (0, 2))
        self.merge, self.head = nn.Linear(64, 32, bias=False), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        for norm, attention in zip(self.norms, self.attention, strict=True):
            x = x + attention(norm(x))
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        return self.head(self.merge(x).mean((1, 2)))


class Mixer(nn.Module):
    """MLPs over patches and over channels in turn (arXiv 2105.01601)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.places, self.channels = self.mlp(16), self.mlp(16)
        self.head = nn.Linear(16, 10)

    @staticmethod
    def mlp(size: int) -> nn.Module:
        return nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 32), nn.GELU(), nn.Linear(32, size)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2)
        x = x + self.places(x)
        x = x.transpose(1, 2)
        return self.head((x + self.channels(x)).mean(1))


class Reader(nn.Module):
    """Words into a bidirectional LSTM, then a GRU cell and a bilinear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.cell, self.both = nn.GRUCell(16, 8), nn.Bilinear(8, 8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x, _ = self.lstm(self.words(ids))
        state = self.cell(x[:, -1])
        return self.both(state, state)


class Seq2Seq(nn.Module):
    """torch.nn's own transformer, as one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.core(source, target)


class TwoInputs(nn.Module):
    """An image and a row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.row = nn.Conv2d(3, 8, 3), nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.head = nn.Linear(16, 2)

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image).mean((2, 3)), self.row(row)], 1))


class Outputs(nn.Module):
    """Several outputs in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.label, self.box = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x).relu()
        return {"label": self.label(x), "box": self.box(x)}


class Shared(nn.Module):
    """One layer in two places, and a last one tied to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.same = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.last = nn.Linear(8, 20, bias=False)
        self.last.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.same(self.same(self.words(ids)).tanh()))


class Decides(nn.Module):
    """A forward that branches on values, which only a run can follow; one branch is not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.often, self.seldom = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.often(x) if x.abs().sum() >= 0 else self.seldom(x)


class Handwritten(nn.Module):
    """Weights without layers, and a root-mean-square norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.ones(8, 6)), nn.Parameter(torch.ones(8, 3))
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.first)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight
        return x @ self.second


def sequence() -> nn.Module:
    """1-D convolutions, dilated (WaveNet-like)."""
    layers = [nn.Conv1d(2, 8, 7, padding=3), nn.BatchNorm1d(8), nn.ReLU()]
    layers += [nn.Conv1d(8, 8, 3, dilation=4, padding=4), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))


def volume() -> nn.Module:
    """3-D convolutions."""
    layers = [nn.Conv3d(1, 4, 3, 2, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 8, 3)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 3))


def mlp() -> nn.Module:
    """Linear layers."""
    return nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 32), nn.Tanh(),
        nn.Linear(32, 2),
    )  # fmt: skip


def generator() -> nn.Module:
    """Transposed convolutions, from noise to an image (DCGAN, arXiv 1511.06434)."""
    return nn.Sequential(
        nn.ConvTranspose2d(16, 12, 4, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.ConvTranspose2d(12, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def grouped() -> nn.Module:
    """GroupNorm and InstanceNorm."""
    layers = [nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 8, 3)]
    return nn.Sequential(*layers, nn.InstanceNorm2d(8, affine=True), nn.Conv2d(8, 2, 1))


def slopes() -> nn.Module:
    """PReLU, one slope or one a channel."""
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 2, 3), nn.PReLU())


def frozen() -> nn.Module:
    """A frozen body under a new head."""
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).requires_grad_(False)
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


class Symmetric(nn.Module):
    """A parametrisation of the user's own."""

    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).T


def parametrised() -> nn.Module:
    """Weight norm, spectral norm (both forms) and a parametrisation of the user's own."""
    layers: list[Any] = [
        parametrizations.weight_norm(nn.Conv2d(3, 8, 3)),
        parametrizations.spectral_norm(nn.Conv2d(8, 8, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 8),
        spectral_norm(nn.Linear(8, 4)),
    ]
    parametrize.register_parametrization(layers[4], "weight", Symmetric())
    return nn.Sequential(*layers)
