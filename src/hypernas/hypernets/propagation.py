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

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    Attributes:
        met: with positions or networks of their own, the most segments of a candidate that was
            fitted, int64 (); those beyond were never trained. Else None: all segments share all.
    """

    met: Tensor | None

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
        own = self.positions is not None or networks > 1
        self.register_buffer("met", torch.zeros((), dtype=torch.int64) if own else None)

    def keep(self) -> None:
        """Let new gates keep more of a state, so that it is not lost over the rounds."""
        for network in self.networks:
            assert isinstance(network, Network)
            network.update.keep()

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
        if self.met is not None and len(segments) > POSITIONS:
            raise ConfigError(
                f"a candidate has {len(segments)} cells and stretches between, and {POSITIONS} "
                "can have a position or networks of their own; give --hypernet-set stacking=passed"
            )

    def _rounds(self, network: Network, states: Tensor, segment: Segment, heard: Tensor) -> Tensor:
        """Return the states (N, D) of a segment; ``heard`` is the news for each candidate."""
        most = self.passing.aggregation == "max"
        news = heard[segment.owner]
        news = news.masked_fill(segment.fed == 0, -torch.inf) if most else news * segment.fed
        visit = self._together if self.passing.scheme == "synchronous" else self._sweep
        carried = network.update.begin(states)
        for _ in range(self.rounds):
            carried = visit(network, carried, segment.forward, news)
            carried = visit(network, carried, segment.backward, None)
        return carried[:, : states.shape[1]]

    def _together(
        self, network: Network, carried: Tensor, sweep: Sweep, news: Tensor | None
    ) -> Tensor:
        """Update all operators at once; ``carried`` is what the update carries, (N, D or 2 D)."""
        levels = carried[sweep.order].unflatten(0, (-1, sum(sweep.sizes)))
        ear = self._ear(network, sweep)
        later = ear.told(ear.silence(news, levels), levels, 0)
        after = network.update(ear.taken(later), network.update.own(levels), levels)
        return after.flatten(0, 1)[sweep.place]

    def _sweep(
        self, network: Network, carried: Tensor, sweep: Sweep, news: Tensor | None
    ) -> Tensor:
        """Visit level after level; without news the first level speaks and stays as it is."""
        levels = carried[sweep.order].unflatten(0, (-1, sum(sweep.sizes)))
        ear = self._ear(network, sweep)
        later = ear.silence(news, levels)
        owns = network.update.own(levels).split(sweep.sizes, dim=1)
        visited = []
        for position, level in enumerate(levels.split(sweep.sizes, dim=1)):
            size = level.shape[1]
            mine, later = later.split([size, later.shape[1] - size], dim=1)
            if news is not None or position:
                level = network.update(ear.taken(mine), owns[position], level)
            visited.append(level)
            if later.shape[1]:
                later = ear.told(later, level, position)
        return torch.cat(visited, dim=1).flatten(0, 1)[sweep.place]

    def _ear(self, network: Network, sweep: Sweep) -> Ear:
        return (Most if self.passing.aggregation == "max" else Sum)(network, sweep)


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
        self.message = Perceptron(state, hidden)
        self.update = Update(state, cell)
        self.virtual = Perceptron(state, hidden) if virtual else None


class Perceptron(nn.Module):
    """Message network: two layers.

    Args:
        state: size D of a state.
        hidden: units between them.
    """

    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(state, hidden), nn.Linear(hidden, state)

    def forward(self, states: Tensor) -> Tensor:
        """Return what states say, each (…, D)."""
        return self.last(torch.relu(self.first(states)))


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
        cells = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "plain": nn.RNNCell}
        self.cell = cells[cell](state, state)

    def keep(self) -> None:
        """Let the gate that keeps a state begin with a bias of 1; a plain cell has none."""
        if not isinstance(self.cell, nn.RNNCell):
            nn.init.ones_(self.cell.bias_hh[self.state : 2 * self.state].detach())

    def begin(self, states: Tensor) -> Tensor:
        """Return what is carried at first: the states (N, D), for an LSTM with an empty memory."""
        if isinstance(self.cell, nn.LSTMCell):
            return torch.cat([states, torch.zeros_like(states)], dim=-1)
        return states

    def own(self, carried: Tensor) -> Tensor:
        """Return what the state says to the gates, (…, gates), from what is carried."""
        return F.linear(carried[..., : self.state], self.cell.weight_hh, self.cell.bias_hh)

    def heard(self, messages: Tensor) -> Tensor:
        """Return what messages (…, D) say to the gates, (…, gates)."""
        return F.linear(messages, self.cell.weight_ih, self.cell.bias_ih)

    def forward(self, heard: Tensor, own: Tensor, carried: Tensor) -> Tensor:
        """Return what is carried after both spoke to the gates."""
        size = self.state
        if isinstance(self.cell, nn.GRUCell):
            (gates, new), (own_gates, own_new) = (
                x.split([2 * size, size], -1) for x in (heard, own)
            )
            reset, keep = torch.sigmoid(gates + own_gates).split(size, -1)
            return torch.lerp(torch.tanh(torch.addcmul(new, reset, own_new)), carried, keep)
        if isinstance(self.cell, nn.RNNCell):
            return torch.tanh(heard + own)
        take, keep, new, show = (heard + own).split(size, -1)
        memory = torch.sigmoid(keep) * carried[..., size:] + torch.sigmoid(take) * torch.tanh(new)
        return torch.cat([torch.sigmoid(show) * torch.tanh(memory), memory], dim=-1)


class Ear(ABC):
    """What the operators of a sweep have heard so far, and how it grows.

    Args:
        network: speaks and listens.
        sweep: who hears whom.
    """

    def __init__(self, network: Network, sweep: Sweep) -> None:
        self.network, self.sweep = network, sweep

    @abstractmethod
    def silence(self, news: Tensor | None, levels: Tensor) -> Tensor:
        """Return what is heard before anyone speaks, (B, places, …), from news (N, D)."""

    @abstractmethod
    def told(self, later: Tensor, level: Tensor, position: int) -> Tensor:
        """Return what later places have heard after a level (B, L, …) spoke."""

    @abstractmethod
    def taken(self, mine: Tensor) -> Tensor:
        """Return what a level heard, as the update takes it, (B, L, gates)."""

    def _laid_out(self, news: Tensor) -> Tensor:
        return news[self.sweep.order].unflatten(0, (-1, sum(self.sweep.sizes)))


class Sum(Ear):
    """Sums of messages, or means.

    A sum of linear maps is the map of the sum: the last layer of the message networks and the first
    of the update are one matrix, applied once by the speaker.
    """

    def __init__(self, network: Network, sweep: Sweep) -> None:
        super().__init__(network, sweep)
        speakers = (
            [network.message] if network.virtual is None else [network.message, network.virtual]
        )
        self.first = torch.cat([speaker.first.weight for speaker in speakers])
        self.bias = torch.cat([speaker.first.bias for speaker in speakers])
        self.constant = torch.stack([speaker.last.bias for speaker in speakers])
        to_gates = network.update.cell.weight_ih
        self.last = torch.block_diag(*[to_gates @ speaker.last.weight for speaker in speakers])

    def silence(self, news: Tensor | None, levels: Tensor) -> Tensor:
        heard = self.sweep.weight @ self.constant
        return self.network.update.heard(heard if news is None else heard + self._laid_out(news))

    def told(self, later: Tensor, level: Tensor, position: int) -> Tensor:
        states = level[..., : self.network.update.state]
        said = F.linear(torch.relu(F.linear(states, self.first, self.bias)), self.last)
        said = said.view(len(said), -1, later.shape[2])  # (B, L or 2 L, gates)
        return torch.baddbmm(later, self.sweep.messages[position], said)

    def taken(self, mine: Tensor) -> Tensor:
        return mine


class Most(Ear):
    """The largest of each of the values of the messages, 0 where there are none."""

    def silence(self, news: Tensor | None, levels: Tensor) -> Tensor:
        if news is not None:
            return self._laid_out(news)
        return levels.new_full((*levels.shape[:2], self.network.update.state), -torch.inf)

    def told(self, later: Tensor, level: Tensor, position: int) -> Tensor:
        target, source = self.sweep.pairs[position]
        said = self.network.message(level[..., : self.network.update.state])
        spoken = said.flatten(0, 1)[source]
        index = target[:, None].expand_as(spoken)
        return later.flatten(0, 1).scatter_reduce(0, index, spoken, "amax").view_as(later)

    def taken(self, mine: Tensor) -> Tensor:
        return self.network.update.heard(mine.masked_fill(mine == -torch.inf, 0.0))
