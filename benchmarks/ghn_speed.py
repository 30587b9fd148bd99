"""What the graph hypernetworks cost, in the settings in which their public codes were measured.

One thread, CPU seconds, medians of interleaved runs; batches of 64 images of 3×32×32.

- A fit step of a candidate seen before, to the optimiser, against forward, loss, backward and SGD
  of the built eager module in the default layout; DARTS-like networks of 16 channels.
- Message passing of GHN-2 (one round, virtual edges up to 50, 32 values) level by level against
  node by node, with the same weights and the same results.
- All parameters of a ResNet-50, from the module to the module.
- Peak memory of a prediction for a network of 1,000 nodes, in a process of its own.

    python benchmarks/ghn_speed.py [--pairs 9] [--repeats 5] [--only "ResNet-50"]
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common import Row, resident, write
from overhead import DATA, Bench, cpu, spread
from plain_resnet import resnet50
from torch import Tensor, nn

import hypernas
from hypernas import hypernets
from hypernas.candidate import Candidates
from hypernas.hypernets.ghn2 import GHN2
from hypernas.hypernets.operators import OperatorGraph, distances, operators
from hypernas.spaces import Space, find

HERE = Path(__file__).parent
HYPERNETS = ("ghn", "ghn2", "ghn3:t")
NETWORKS = {
    "darts 16/5": ("darts", {"width": 16, "cells": 5}),
    "darts 16/8": ("darts", {"width": 16, "cells": 8}),
    "deepnets-like 32/8": ("deepnets", {"width": 32, "cells": 8}),
}
FIT_PEERS = {"darts 16/5": "GHN-2 1.56, GHN-3-T 1.32", "darts 16/8": "GHN-2 1.53, GHN-3-T 1.30"}
RESNET_PEERS = {32: "GHN-2 0.27, GHN-3-T 0.30", 224: "GHN-2 0.41, GHN-3-T 0.70"}
RESNET_GOALS = {32: 0.15, 224: 0.25}
CLASSES = {32: 10, 224: 1000}
MEMORY = "peak memory, ghn3:t, 1,000 nodes"


def main() -> None:
    """Measure every row, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9, help="interleaved pairs of fit steps")
    parser.add_argument("--repeats", type=int, default=5, help="runs of the other rows")
    parser.add_argument(
        "--only", default="", help="rows whose name holds this; prints, not written"
    )
    parser.add_argument("--memory", action="store_true", help="print the MB of one prediction")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.memory:
        print(predicted_memory())
        return
    rows = [make() for what, make in _rows(given.pairs, given.repeats) if given.only in what]
    write(Path(__file__), rows, suffix="part" if given.only else "")


def _rows(pairs: int, repeats: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Yield each row's name, and what measures it."""
    for network in ("darts 16/5", "darts 16/8"):
        for hypernet in HYPERNETS:
            what = f"fit step / plain step, {hypernet}, {network}"
            yield what, lambda w=what, h=hypernet, n=network: fit_row(w, h, n, pairs)
    for network in NETWORKS:
        what = f"level-batched / node by node, forward and backward, {network}"
        yield what, lambda w=what, n=network: level_row(w, n, repeats)
    for side in RESNET_GOALS:
        for hypernet in HYPERNETS:
            what = f"all parameters of ResNet-50, {hypernet}, {side} px"
            yield what, lambda w=what, h=hypernet, s=side: resnet_row(w, h, s, repeats)
    yield MEMORY, memory_row


def fit_row(what: str, hypernet: str, network: str, pairs: int) -> Row:
    """Compare steps of a hypernetwork with steps of the network alone."""
    function, options = NETWORKS[network]
    bench = Bench(f"{HERE / 'darts_like.py'}:{function}", options, hypernet, surveyed=40)
    ratios = bench.fit_ratios(seen=True, pairs=pairs)
    note = f"middle half {spread(ratios)}"
    return Row(
        what=what, value=statistics.median(ratios), goal=1.15, peer=FIT_PEERS[network], note=note
    )


# -- message passing ---------------------------------------------------------------------------


def level_row(what: str, network: str, repeats: int) -> Row:
    """Compare two ways to do GHN-2's message passing, on one architecture at a time."""
    ratios, told = [], ""
    torch.manual_seed(0)
    hypernet = GHN2()
    for number in range(repeats):
        candidate = candidates(network).draw(random.Random(number))
        graph = operators(candidate, most=1, flat=True)
        plan = hypernet.structure(graph, torch.device("cpu"))
        states = torch.randn(len(graph), 32)
        single = NodeByNode(hypernet, graph)
        ways = (lambda s: hypernet.propagation(s, plan), single)  # noqa: B023
        (one, first), (two, second) = (_passed(way, hypernet, states) for way in ways)
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, second, strict=True))
        ratios.append(two / one)
        told += f", {len(graph)} nodes {1000 * one:.0f} ms" if not told else ""
    return Row(
        what=what,
        value=statistics.median(ratios),
        unit="times",
        goal=3.0,
        better="more",
        note=f"middle half {spread(ratios)}{told} level-batched",
    )


def _passed(
    way: Callable[[Tensor], Tensor], hypernet: GHN2, states: Tensor
) -> tuple[float, list[Tensor]]:
    """Return the CPU seconds of the fastest of three, and states and gradients."""
    wanted = list(hypernet.propagation.parameters())
    found: list[Tensor] = []

    def run() -> None:
        out = way(states)
        found[:] = [out, *torch.autograd.grad(out.square().mean(), wanted)]

    return min(cpu(run) for _ in range(3)), found


class NodeByNode:
    """GHN-2's message passing as its authors' code has it: one node after the other.

    Args:
        hypernet: whose networks are used.
        graph: one candidate's operators.
    """

    def __init__(self, hypernet: GHN2, graph: OperatorGraph) -> None:
        (self.network,) = hypernet.propagation.networks
        ways = distances(len(graph), graph.edges)
        reach = hypernet.passing.reach
        self.sweeps = []
        for ordered in (range(len(graph)), range(len(graph) - 1, -1, -1)):
            near = ways if ordered.step > 0 else ways.T
            visits = []
            for node in ordered:
                far = (near[node] > 0) & (near[node] <= reach)
                sources = torch.from_numpy((near[node] == 1).nonzero()[0])
                ancestors = torch.from_numpy(far.nonzero()[0])
                lengths = torch.from_numpy(near[node][far]).float()[:, None]
                visits.append((node, sources, ancestors, lengths))
            self.sweeps.append(visits)

    def __call__(self, states: Tensor) -> Tensor:
        """Return the states (N, D) after one round."""
        held = list(states[:, None])
        for backward, visits in enumerate(self.sweeps):
            for node, sources, ancestors, lengths in visits:
                if backward and not len(sources):
                    continue
                heard = states.new_zeros(1, states.shape[1])
                if len(sources):
                    near = torch.cat([held[i] for i in sources.tolist()])
                    far = torch.cat([held[i] for i in ancestors.tolist()])
                    heard = self.network.message(near).sum(0, keepdim=True)
                    heard = heard + (self.network.virtual(far) / lengths).sum(0, keepdim=True)
                held[node] = self.network.update.cell(heard, held[node])
        return torch.cat(held)


def candidates(network: str) -> Candidates:
    """Return the candidates of a space in ``darts_like.py``."""
    function, options = NETWORKS[network]
    return Candidates(find(f"{HERE / 'darts_like.py'}:{function}", options), DATA)


# -- whole networks ----------------------------------------------------------------------------


def resnet_row(what: str, hypernet: str, side: int, repeats: int) -> Row:
    """Time how all parameters of a new ResNet-50 are written, module in, module out."""
    made = hypernets.make(hypernet)
    seconds = []
    for _ in range(repeats + 1):
        module, told = resnet50(CLASSES[side], small=side < 64), []
        given = module, made, torch.zeros(1, 3, side, side)
        seconds.append(cpu(lambda g=given, t=told: t.append(hypernas.initialise(*g))))
        assert told[0].share == 1.0, told[0]
    filters = module.stages[-1][-1].third.weight.detach().flatten(1)
    assert len(filters.unique(dim=0)) == len(filters), "there are copies among the filters"
    distinct = f"{len(filters)} distinct filters of 2,048"
    return Row(
        what=what,
        value=statistics.median(seconds[1:]),
        unit="s",
        goal=RESNET_GOALS[side],
        peer=RESNET_PEERS[side],
        note=f"{min(seconds[1:]):.3f} to {max(seconds[1:]):.3f}; {distinct}",
    )


def memory_row() -> Row:
    """Measure a prediction in a process of its own."""
    command = [sys.executable, __file__, "--memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, nodes, values = map(float, done.stdout.split()[-3:])
    return Row(
        what=MEMORY,
        value=found,
        unit="MB",
        goal=500,
        note=f"above the imported process; {nodes:.0f} nodes, {values / 1e6:.1f}M values written",
    )


@torch.no_grad()
def predicted_memory() -> str:
    """Return by how many MB a prediction raises this process's peak, nodes, and values written."""
    candidate = Candidates(Space("long", _long, {}), DATA).of({})
    before = resident("VmRSS")
    (weights,) = hypernets.make("ghn3:t")([candidate])
    used = resident("VmHWM") - before
    nodes = len(operators(candidate, most=1, flat=True))
    return f"{used} {nodes} {sum(tensor.numel() for tensor in weights.values())}"


def _long(choose: object, data: object) -> nn.Module:
    """Return a residual network of 1,000 operators."""
    return Long(blocks=333)


class Long(nn.Module):
    """Residual blocks of two convolutions, one after the other."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 16, 3, padding=1, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1, bias=False),
                nn.BatchNorm2d(16),
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(16, DATA.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


if __name__ == "__main__":
    main()
