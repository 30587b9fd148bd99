"""Message passing over operators, segment after segment.

Source: Graph HyperNetworks (arXiv 1810.05749), sections 3.2 and 3.3. One forward–backward round
visits the operators in topological order, then in the reverse; only the visited operator is
updated, from the current states of its neighbours. Virtual edges are those of GHN-2 (arXiv
2110.13100, eq. 4): besides, an operator hears all its ancestors by a second message network, each
divided by the length of the way. The tables that say who hears whom are those of
:mod:`hypernas.hypernets.layout`.

Legend: N operators, B candidates, L places of a level, D size of a state.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from hypernas.errors import ConfigError
from hypernas.hypernets.layout import Passing, Segment, Sweep

Cell = Literal["gru", "lstm", "plain"]
News = Literal["passed", "position", "none"]
POSITIONS = 64
"""most segments of a candidate that can have a position or networks of their own"""


class Propagation(nn.Module):
    """Message networks and updates of a graph hypernetwork.

    Args:
        state: size D of an operator's state (the paper has 32).
        rounds: rounds T in each segment (the paper has 5).
        passing: how messages pass.
        cell: takes a message in.
        news: what operators that are fed from outside their segment hear besides: the mean state of
            the segment before, a learned vector for the segment's position, or nothing.
        networks: 1 for networks that all segments share, else how many segments have their own.
    """

    def __init__(
        self,
        state: int,
        rounds: int,
        passing: Passing,
        *,
        cell: Cell = "gru",
        news: News = "passed",
        networks: int = 1,
    ) -> None:
        super().__init__()
        self.rounds = rounds
        self.passing = passing
        self.news = news
        self.networks = nn.ModuleList(
            Network(state, cell, virtual=passing.reach > 0) for _ in range(networks)
        )
        self.positions = None
        if news == "position":
            self.positions = nn.Parameter(torch.randn(POSITIONS, state))

    def forward(self, states: Tensor, segments: list[Segment]) -> Tensor:
        """Return the states (N, D) after all rounds in all segments.

        Raises:
            ConfigError: there are more segments than networks or positions of their own.
        """
        self._require_few(segments)
        heard = states.new_zeros(segments[0].candidates, states.shape[1])
        done = []
        for number, segment in enumerate(segments):
            if self.positions is not None:
                heard = self.positions[number].expand_as(heard)
            network = self.networks[number % len(self.networks)]
            assert isinstance(network, Network)
            inside = self._rounds(network, states[segment.operators], segment, heard)
            if self.news == "passed":
                heard = torch.zeros_like(heard).index_add(0, segment.owner, inside * segment.share)
            done.append(inside)
        places = torch.cat([segment.operators for segment in segments])
        return torch.cat(done)[torch.argsort(places)]

    def _require_few(self, segments: list[Segment]) -> None:
        """Refuse more segments than there are positions or networks of their own."""
        own = self.positions is not None or len(self.networks) > 1
        if own and len(segments) > POSITIONS:
            raise ConfigError(
                f"a candidate has {len(segments)} cells and stretches between, and {POSITIONS} "
                "can have a position or networks of their own; give --hypernet-set stacking=passed"
            )

    def _rounds(self, network: Network, states: Tensor, segment: Segment, heard: Tensor) -> Tensor:
        """Return the states (N, D) of a segment; ``heard`` is the news for each candidate."""
        most = self.passing.aggregation == "max"
        news = heard[segment.owner]
        news = news.masked_fill(segment.fed == 0, -torch.inf) if most else news * segment.fed
        carried = network.update.begin(states)
        for _ in range(self.rounds):
            if self.passing.scheme == "synchronous":
                carried = self._together(network, carried, segment.forward, news)
                carried = self._together(network, carried, segment.backward, None)
            else:
                carried = self._sweep(network, carried, segment.forward, news)
                carried = self._sweep(network, carried, segment.backward, None)
        return carried[:, : states.shape[1]]

    def _together(
        self, network: Network, carried: Tensor, sweep: Sweep, news: Tensor | None
    ) -> Tensor:
        """Update all operators at once; ``carried`` is what the update carries, (N, D or 2 D)."""
        levels, later = self._laid_out(network, carried, sweep, news)
        later = self._told(network, levels, later, sweep, 0)
        return self._updated(network, later, levels).flatten(0, 1)[sweep.place]

    def _sweep(
        self, network: Network, carried: Tensor, sweep: Sweep, news: Tensor | None
    ) -> Tensor:
        """Visit level after level; without news the first level speaks and stays as it is."""
        levels, later = self._laid_out(network, carried, sweep, news)
        visited = []
        for position, level in enumerate(levels.split(sweep.sizes, dim=1)):
            if news is not None or position:
                level = self._updated(network, later[:, : level.shape[1]], level)
            visited.append(level)
            later = later[:, level.shape[1] :]
            if later.shape[1]:
                later = self._told(network, level, later, sweep, position)
        return torch.cat(visited, dim=1).flatten(0, 1)[sweep.place]

    def _updated(self, network: Network, heard: Tensor, carried: Tensor) -> Tensor:
        if self.passing.aggregation == "max":  # where there was nothing to be heard
            heard = heard.masked_fill(heard == -torch.inf, 0.0)
        return network.update(heard, carried)

    def _laid_out(
        self, network: Network, carried: Tensor, sweep: Sweep, news: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return what is carried and what is heard so far, by place: (B, places, …)."""
        places = sum(sweep.sizes)
        levels = carried[sweep.order].unflatten(0, (-1, places))
        if news is not None:
            return levels, news[sweep.order].unflatten(0, (-1, places))
        silence = -torch.inf if self.passing.aggregation == "max" else 0.0
        return levels, levels.new_full((*levels.shape[:2], network.update.state), silence)

    def _told(
        self, network: Network, level: Tensor, later: Tensor, sweep: Sweep, position: int
    ) -> Tensor:
        """Add what a level (B, L, …) says to what later places have heard, (B, later, D)."""
        said = network.messages(level)
        if self.passing.aggregation != "max":
            return torch.baddbmm(later, sweep.messages[position], said)
        target, source = sweep.pairs[position]
        spoken = said.flatten(0, 1)[source]
        index = target[:, None].expand_as(spoken)
        flat = later.flatten(0, 1).scatter_reduce(0, index, spoken, "amax")
        return flat.view_as(later)


class Network(nn.Module):
    """Message network M, that of virtual edges, and update U.

    Args:
        state: size D of a state.
        cell: of the update.
        virtual: whether there are virtual edges; then both message networks are half as wide.
    """

    def __init__(self, state: int, cell: Cell, *, virtual: bool) -> None:
        super().__init__()
        hidden = max(state // 2, 1) if virtual else state
        self.message = _perceptron(state, hidden)
        self.update = Update(state, cell)
        self.virtual = _perceptron(state, hidden) if virtual else None

    def messages(self, carried: Tensor) -> Tensor:
        """Return what a level says: along edges, then along virtual edges, (B, L or 2 L, D)."""
        states = carried[..., : self.update.state]
        said = self.message(states)
        return said if self.virtual is None else torch.cat([said, self.virtual(states)], dim=1)


class Update(nn.Module):
    """Cell that takes a message in.

    Args:
        state: size D of a state.
        cell: gated recurrent unit, LSTM, whose memory is carried beside the state, or plain: the
            tanh of a sum of linear maps.
    """

    def __init__(self, state: int, cell: Cell) -> None:
        super().__init__()
        self.state = state
        self.cell = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "plain": nn.RNNCell}[cell](
            state, state
        )

    def begin(self, states: Tensor) -> Tensor:
        """Return what is carried at first: the states (N, D), for an LSTM with an empty memory."""
        if isinstance(self.cell, nn.LSTMCell):
            return torch.cat([states, torch.zeros_like(states)], dim=-1)
        return states

    def forward(self, heard: Tensor, carried: Tensor) -> Tensor:
        """Return what is carried (B, L, …) after a message (B, L, D) was heard."""
        message, before = heard.flatten(0, 1), carried.flatten(0, 1)
        if isinstance(self.cell, nn.LSTMCell):
            after = torch.cat(self.cell(message, before.split(self.state, dim=-1)), dim=-1)
        else:
            after = self.cell(message, before)
        return after.view_as(carried)


def _perceptron(state: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(state, hidden), nn.ReLU(), nn.Linear(hidden, state))
