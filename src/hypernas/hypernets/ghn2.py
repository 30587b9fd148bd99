"""GHN-2: message passing over virtual edges too, and a deep decoder.

Source: Knyazev, Drozdzal, Taylor and Romero-Soriano, Parameter Prediction for Unseen Deep
Architectures (arXiv 2110.13100). Notable choices: a node is a weighted operation with what follows
it; operators of one level are updated together in all candidates; tensors wider than the decoder
are no copies; sizes of weights are told by waves, so that none is unknown.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn

from hypernas.errors import ConfigError
from hypernas.hypernets import layout
from hypernas.hypernets.deep import DecoderName, decoder_of
from hypernas.hypernets.embedding import Embedding, require
from hypernas.hypernets.graph_hypernet import GraphHypernet, Tables
from hypernas.hypernets.layout import Passing, Segment
from hypernas.hypernets.operators import OperatorGraph
from hypernas.hypernets.propagation import Propagation


class GHN2(GraphHypernet):
    """GHN-2: one graph with virtual edges, shape embedding, deep decoder.

    Args:
        state: size of an operator's state, a multiple of 4 (the paper has 32).
        rounds: rounds of message passing forth and back (the paper has 1).
        reach: longest path that is a virtual edge (the paper has 50); 0 without virtual edges.
        decoder: ``low-rank``, a tile whose copies in wider tensors differ by low-rank factors;
            ``tiled``, plain copies as in the paper; ``pieces``, that of the first GHN.
        width: channels of the decoder's tile (the paper has 64).
        norms: whether scales and shifts of norms are written; else they stay 1 and 0.
    """

    def __init__(
        self,
        state: int = 32,
        rounds: int = 1,
        reach: int = 50,
        decoder: DecoderName = "low-rank",
        width: int = 64,
        norms: bool = True,
    ) -> None:
        super().__init__(most=1, flat=True, norms=norms)
        require("ghn2", state=state, width=width)
        if min(rounds, reach) < 0:
            raise ConfigError(f"ghn2 got rounds={rounds}, reach={reach}; expected 0 or more")
        self.passing = Passing(reach=reach)
        self.embed = Embedding(state)
        self.propagation = Propagation(state, rounds, self.passing, news="none")
        self.norm = nn.LayerNorm(state)
        self.decoder = decoder_of(decoder, state, width)

    def reads(self) -> Hashable:
        return self.passing

    def structure(self, graph: OperatorGraph, device: torch.device) -> list[Segment]:
        return layout.plan(graph, self.passing, device)

    def states(self, tables: Tables) -> Tensor:
        first = self.embed(tables.features, tables.sizes)
        return self.norm(self.propagation(first, tables.structure))
