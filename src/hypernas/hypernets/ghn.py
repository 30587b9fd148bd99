"""Graph HyperNetwork: reads a candidate's computation graph and writes all its weights.

Source: Zhang, Ren and Urtasun, Graph HyperNetworks for Neural Architecture Search (arXiv
1810.05749), section 3. Notable choices: operators are found as chains of operations, their features
tell kernels, sizes and places besides the kind; operators of one level are updated together;
several candidates pass at once; every piece of a weight has coordinates of its own, so filters
differ; and it begins with operators far apart, where states and weights that begin nearly equal for
all of them take most of a fit to part (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.hypernets import layout, operators
from hypernas.hypernets.decoder import PerKind, Pieces
from hypernas.hypernets.graph_hypernet import GraphHypernet, Tables
from hypernas.hypernets.layout import Aggregation, Passing, Scheme, Segment
from hypernas.hypernets.operators import OperatorGraph
from hypernas.hypernets.propagation import POSITIONS, Cell, News, Propagation

Stacking = Literal["passed", "shared", "own-passed", "own", "position", "flat"]
NEWS: dict[Stacking, News] = {"passed": "passed", "own-passed": "passed", "position": "position"}


class GHN(GraphHypernet):
    """Graph hypernetwork: message passing over the operators, then an MLP writes their weights.

    Args:
        state: size of an operator's state (16, 32 or 64; the paper has 32).
        hidden: hidden units of the MLP that writes the weights (the paper has 64).
        rounds: rounds of message passing in each cell (the paper has 5).
        scheme: order of the updates, forward-backward or synchronous.
        aggregation: of messages, sum, mean or max.
        update: cell that takes messages in, gru, lstm or plain.
        depth: layers of the MLP that writes the weights (the paper has 2).
        mlp: whether one MLP is shared by all operations, or each kind has its own.
        stacking: how the cells of a network follow each other. ``passed``: all cells share the
            message passing, and hear the mean state of the one before; ``shared``: they hear
            nothing; ``own-passed``, ``own``: likewise, each with message passing of its own;
            ``position``: they share it and hear a learned vector for their position; ``flat``:
            there are no cells, the network is one graph.
        norms: whether scales and shifts of norms are written; else they stay 1 and 0.
    """

    reads_more = "--hypernet-set stacking=passed"

    def __init__(
        self,
        state: int = 32,
        hidden: int = 64,
        rounds: int = 2,
        scheme: Scheme = "forward-backward",
        aggregation: Aggregation = "sum",
        update: Cell = "gru",
        depth: int = 2,
        mlp: Literal["shared", "kind"] = "shared",
        stacking: Stacking = "passed",
        norms: bool = True,
    ) -> None:
        super().__init__(most=operators.MOST, flat=stacking == "flat", norms=norms)
        if min(state, hidden) < 1 or rounds < 0 or depth < 2:
            raise ConfigError(
                f"GHN got state={state}, hidden={hidden}, rounds={rounds}, depth={depth}; expected "
                "sizes of 1 or more, rounds of 0 or more and a depth of 2 or more"
            )
        self.passing = Passing(scheme, aggregation)
        self.apart = stacking == "shared"
        """whether cells neither hear each other nor differ in how messages pass"""
        self.embed = nn.Linear(operators.FEATURES, state)
        nn.init.normal_(self.embed.weight)
        self.propagation = Propagation(
            state,
            rounds,
            self.passing,
            cell=update,
            news=NEWS.get(stacking, "none"),
            networks=POSITIONS if stacking.startswith("own") else 1,
        )
        self.propagation.keep()
        self.norm = nn.LayerNorm(state)
        make = lambda: Pieces(state, hidden, depth)  # noqa: E731
        self.decoder = make() if mlp == "shared" else PerKind(make)

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        """Remember how many segments were met; nothing grows."""
        if self.propagation.met is not None:
            self.propagation.met.clamp_(min=max(c.graph.segments for c in candidates))
        return []

    def untrained(self, candidate: Candidate) -> list[str]:
        met = self.propagation.met
        if met is None or candidate.graph.segments <= met:
            return []
        beyond = [node for node in candidate.graph.nodes if node.segment >= met]
        return list(dict.fromkeys(p.name for node in beyond for p in node.parameters))

    def reads(self) -> Hashable:
        return self.passing, self.apart

    def structure(self, graph: OperatorGraph, device: torch.device) -> list[Segment]:
        if self.apart:  # all cells at once, which is faster
            graph = replace(graph, segment=np.zeros_like(graph.segment))
        return layout.plan(graph, self.passing, device)

    def states(self, tables: Tables) -> Tensor:
        return self.norm(self.propagation(self.embed(tables.features), tables.structure))
