"""The text space: transformers, 1-D convolutional networks, and mixtures of both.

Tokens are embedded; each layer lets tokens see each other, by attention (arXiv 1706.03762, with the
norms first) or by a convolution along the text, and passes each through two linear layers; a pool
over the text leaves one vector for the classifier. Shapes: B texts of L tokens, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.choices import Chooser
from hypernas.errors import SpaceError
from hypernas.spaces.space import require_positive
from hypernas.tasks import Signature

MIXERS = ("attention", "conv")
HEADS = (2, 4)
KERNELS = (3, 5, 7)
ABSENT = -1e4
"""added to what attention thinks of padding"""


def text(
    choose: Chooser,
    data: Signature,
    *,
    widths: tuple[int, ...] = (16, 32),
    layers: int = 3,
    mixers: tuple[str, ...] = MIXERS,
    dropout: float = 0.1,
) -> nn.Module:
    """Transformers, 1-D convolutional networks and mixtures of both, for texts.

    Args:
        choose: decides ``width``, ``layers``, ``layer0.mixer``, ``layer0.heads`` or
            ``layer0.kernel`` and ``layer0.dilation``, ``layer0.hidden``, …, ``places`` (whether a
            vector is added for the place of a token) and ``pool``.
        data: length of a text, vocabulary and number of classes.
        widths: channels of a token, multiples of 4.
        layers: most layers.
        mixers: how tokens of a layer see each other: attention alone makes transformers, conv alone
            convolutional networks.
        dropout: share of the channels that are left out while training, after each mixer and each
            pair of linear layers.
    """
    require_positive(layers=layers, widths=widths)
    if not set(mixers) <= set(MIXERS) or not mixers or any(width % 4 for width in widths):
        raise SpaceError(
            f"space 'text' got mixers {', '.join(mixers) or 'none'} and widths {list(widths)}; "
            f"expected some of {', '.join(MIXERS)}, and multiples of 4"
        )
    width = choose("width", list(widths))
    body: list[nn.Module] = [
        Layer(_mixer(choose, f"layer{i}", width, mixers), width, _hidden(choose, i), dropout)
        for i in range(choose.int("layers", 1, layers))
    ]
    places = choose("places", [False, True])
    return TextNetwork(body, choose("pool", ["mean", "max"]), data, width=width, places=places)


def _mixer(choose: Chooser, name: str, width: int, mixers: tuple[str, ...]) -> nn.Module:
    if choose(f"{name}.mixer", list(mixers)) == "attention":
        return Attention(width, choose(f"{name}.heads", list(HEADS)))
    kernel = choose(f"{name}.kernel", list(KERNELS))
    return Convolution(width, kernel, choose(f"{name}.dilation", [1, 2]))


def _hidden(choose: Chooser, layer: int) -> int:
    return choose(f"layer{layer}.hidden", [1, 2, 4])


class TextNetwork(nn.Module):
    """Embeddings of tokens and perhaps of places, layers, a pool over the text, a classifier."""

    def __init__(
        self, body: list[nn.Module], pool: str, data: Signature, *, width: int, places: bool
    ) -> None:
        super().__init__()
        assert data.vocabulary is not None
        self.pool = pool
        self.tokens = nn.Embedding(data.vocabulary, width)
        length = data.input_shape[0]
        self.places = nn.Parameter(0.02 * torch.randn(length, width)) if places else None
        self.first = nn.LayerNorm(width)  # a hypernetwork writes embeddings of another size
        self.body = nn.ModuleList(body)
        self.cells = [f"body.{index}" for index in range(len(body))]
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, data.outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, K) of tokens (B, L), 0 where a text has ended."""
        there = tokens.ne(0).unsqueeze(2).to(torch.float32)  # (B, L, 1)
        x = self.tokens(tokens)
        if self.places is not None:
            x = x + self.places
        x = self.first(x) * there
        for layer in self.body:
            x = layer(x, there)
        x = self.norm(x)
        if self.pool == "max":
            return self.head((x + ABSENT * (1 - there)).amax(1))
        return self.head((x * there).sum(1) / there.sum(1).clamp(min=1.0))


class Layer(nn.Module):
    """A mixer and two linear layers, each after a norm and added to what came in."""

    def __init__(self, mixer: nn.Module, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.mixer = mixer
        self.drop = nn.Dropout(dropout)
        self.linear = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden * width),
            nn.GELU(),
            nn.Linear(hidden * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        x = x + self.drop(self.mixer(self.before(x), there))
        return x + self.linear(x)


class Attention(nn.Module):
    """Tokens look at all tokens of their text."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        split = self.ask(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        absent = ABSENT * (1 - there).permute(0, 2, 1).unsqueeze(1)  # (B, 1, 1, L)
        seen = F.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=absent)
        return self.answer(seen.transpose(1, 2).flatten(2))


class Convolution(nn.Module):
    """Tokens look at their neighbours: a convolution on each channel, then across channels."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.along = nn.Conv1d(
            width, width, kernel, padding=padding, dilation=dilation, groups=width
        )
        self.across = nn.Linear(width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        seen = self.along((x * there).permute(0, 2, 1)).permute(0, 2, 1)
        return self.across(F.gelu(seen))


text.reads = (("texts", "classification"),)  # ty: ignore[missing-attribute]
