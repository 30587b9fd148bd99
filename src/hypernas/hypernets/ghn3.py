"""GHN-3: attention over all pairs of operators, told how far apart they are.

Source: Knyazev, Hwang and Lacoste-Julien, Can We Scale Transformers to Predict Parameters of
Diverse ImageNet Models? (arXiv 2303.04143), with the layers of Graphormer (arXiv 2106.05234).
Notable choices: what distance adds to the attention is a small table, looked up, where the authors'
code holds two vectors for every pair of nodes; distances and numbers of neighbours are told by
waves, so that none is unknown; ways longer than the cutoff are told from none; each candidate
attends to itself only, so nothing is padded; a node is a weighted operation with what follows it;
tensors wider than the decoder are no copies.

Legend: N operators of all candidates, n of one, C size of a state, A attention heads.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.graph import KINDS
from hypernas.hypernets.deep import DecoderName, decoder_of
from hypernas.hypernets.embedding import OCTAVES, Embedding, Waves, require
from hypernas.hypernets.graph_hypernet import GraphHypernet, Tables
from hypernas.hypernets.operators import FAR, OperatorGraph, distances

SIZES = {"t": (3, 64, 8), "s": (5, 128, 16)}
"""layers, state and heads of each size"""
DEPTHS = tuple(2**k for k in range(2, 12))
"""periods of the waves of a distance from the input"""


@dataclass(frozen=True)
class Pairs:
    """How operators lie to each other.

    Attributes:
        codes: for each candidate what the row's operator is to the column's, int32 (n, n): see
            :func:`pair_codes`.
        degrees: numbers of sources and of targets, float32 (N, 2).
        depths: 1 + distance from an input; 0 where there is no way, float32 (N,).
    """

    codes: tuple[Tensor, ...]
    degrees: Tensor
    depths: Tensor


class GHN3(GraphHypernet):
    """GHN-3: Graphormer layers over one graph, shape embedding, deep decoder; sizes t and s.

    Args:
        size: ``t``, 3 layers of 64 with 8 heads, or ``s``, 5 layers of 128 with 16 heads.
        cutoff: longest distance between operators that is told apart (the authors have 50).
        decoder: as of ghn2; its tile has as many channels as a state.
        norms: whether scales and shifts of norms are written; else they stay 1 and 0.
    """

    def __init__(
        self,
        size: Literal["t", "s"] = "t",
        cutoff: int = 50,
        decoder: DecoderName = "low-rank",
        norms: bool = True,
    ) -> None:
        super().__init__(most=1, flat=True, norms=norms)
        require("ghn3", cutoff=cutoff)
        layers, state, heads = SIZES[size]
        self.cutoff = cutoff
        self.embed = Embedding(state)
        spread = state**-0.5
        self.degrees = nn.ModuleList(Waves(state, OCTAVES, spread) for _ in range(2))
        self.depths = Waves(state, DEPTHS, spread)
        self.unrelated = nn.Parameter(torch.randn(2, heads) * spread)
        self.related = nn.ModuleList(Waves(heads, OCTAVES, spread) for _ in range(2))
        self.layers = nn.ModuleList(Layer(state, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(state)
        self.decoder = decoder_of(decoder, state, width=state)

    def reads(self) -> Hashable:
        return self.cutoff

    def structure(self, graph: OperatorGraph, device: torch.device) -> Pairs:
        codes, depths = [], []
        for candidate in range(int(graph.owner.max()) + 1):
            own = np.flatnonzero(graph.owner == candidate)  # they lie side by side
            edges = graph.edges[graph.owner[graph.edges[:, 0]] == candidate] - own[0]
            found = distances(len(own), edges)
            codes.append(torch.from_numpy(pair_codes(found, self.cutoff)).to(device))
            inputs = graph.features[own, KINDS.index("input")] > 0
            nearest = found[:, inputs].min(axis=1, initial=FAR)
            depths.append(np.where(nearest < FAR, nearest + 1, 0))
        degrees = [np.bincount(graph.edges[:, end], minlength=len(graph)) for end in (1, 0)]
        return Pairs(
            codes=tuple(codes),
            degrees=torch.from_numpy(np.stack(degrees, 1)).to(device, torch.float32),
            depths=torch.from_numpy(np.concatenate(depths)).to(device, torch.float32),
        )

    def states(self, tables: Tables) -> Tensor:
        pairs = tables.structure
        states = self.embed(tables.features, tables.sizes)
        states = states + self.depths(pairs.depths) * (pairs.depths > 0)[:, None]
        for waves, counts in zip(self.degrees, pairs.degrees.unbind(1), strict=True):
            states = states + waves((1 + counts).log2())
        table = self.bias()
        # (1, A, n, n) for each candidate; all layers have the same
        biases = [F.embedding(c, table).permute(2, 0, 1)[None].contiguous() for c in pairs.codes]
        for layer in self.layers:
            states = layer(states, biases)
        return self.norm(states)

    def bias(self) -> Tensor:
        """Return what each code of :func:`pair_codes` adds to the attention, (codes, A)."""
        ways = torch.arange(1, self.cutoff + 2, device=self.unrelated.device).log2()
        return torch.cat([self.unrelated, *(waves(ways) for waves in self.related)])


class Layer(nn.Module):
    """Attention among the operators of each candidate, then an MLP, norms before each.

    Args:
        state: size C of a state.
        heads: attention heads A.
    """

    def __init__(self, state: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(state), nn.LayerNorm(state)
        self.attention = nn.Linear(state, 3 * state, bias=False)
        self.joined = nn.Linear(state, state)
        self.mlp = nn.Sequential(
            nn.Linear(state, 4 * state), nn.GELU(), nn.Linear(4 * state, state)
        )

    def forward(self, states: Tensor, biases: list[Tensor]) -> Tensor:
        """Return the next states (N, C); ``biases`` (1, A, n, n) are added to the attention."""
        asked = self.attention(self.before(states)).split([bias.shape[-1] for bias in biases])
        heard = [self._attended(own, bias) for own, bias in zip(asked, biases, strict=True)]
        states = states + self.joined(torch.cat(heard))
        return states + self.mlp(self.between(states))

    def _attended(self, asked: Tensor, bias: Tensor) -> Tensor:
        """Return what the operators of one candidate hear, (n, C), from (n, 3 C)."""
        query, key, value = asked.unflatten(1, (3, self.heads, -1)).permute(1, 2, 0, 3)[:, None]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return found[0].transpose(0, 1).flatten(1)


def pair_codes(distances: np.ndarray, cutoff: int) -> np.ndarray:
    """Return a number for how each operator (row) lies to each (column).

    0 stands for the operator itself and 1 for none: neither is the other's ancestor. Then come the
    distances to an ancestor: 1, …, ``cutoff``, and longer; then those to a descendant.

    Args:
        distances: shortest path from column to row, int32 (n, n), FAR without one.
        cutoff: longest distance that has a number of its own.

    >>> pair_codes(np.array([[0, FAR, FAR], [1, 0, FAR], [2, 1, 0]], dtype=np.int32), 1).tolist()
    [[0, 4, 5], [2, 0, 4], [3, 2, 0]]
    """
    above = np.minimum(distances, cutoff + 1) + 1
    below = above.T + cutoff + 1
    codes = np.where(distances < FAR, above, np.where(distances.T < FAR, below, 1))
    np.fill_diagonal(codes, 0)
    return codes.astype(np.int32)
