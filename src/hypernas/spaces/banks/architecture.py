"""A memory-bank architecture: blocks of ops that read, transform and write banks, and its drawing.

The distributions are those of SMASH's public code where it is right. That code draws a read budget
for each block and stops when it is used up; here the budget is integrated out: whether an op is the
last, and how much it reads, are drawn with the probabilities that such a budget implies, so that a
budget is no part of the architecture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hypernas.choices import Chooser
from hypernas.spaces.banks.settings import (
    KEEPS,
    LEAST_BUDGET,
    SHRINKS,
    STRUCTURES,
    Settings,
    lengths,
)

GATED = 0.25
"""share of the ops that have a certain gate (SMASH)"""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One of an op's convolutions, or what stands in its place."""

    layer: str
    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class Op:
    """Reads banks, transforms them, and writes banks.

    Attributes:
        reads: numbers of the banks that are read, ascending.
        units: units of memory that these hold, ascending.
        width: units that its convolutions return (before a split gate halves them).
        middle: units between its 1×1 convolution and the others.
        writes: numbers of the banks that are written, ascending; piece j of the output goes to the
            j-th, pieces being repeated where there are more banks.
        convolutions: by slot.
    """

    reads: tuple[int, ...]
    units: tuple[int, ...]
    width: int
    middle: int
    writes: tuple[int, ...]
    structure: str
    convolutions: dict[int, Convolution]
    nonlinearity: str
    order: str
    norm: str
    gate: str
    write: str
    attention: str

    @property
    def outputs(self) -> int:
        """Units that it writes."""
        return self.width // 2 if self.gate == "split" else self.width


@dataclass(slots=True)
class Block:
    """A memory and the ops on it, in order.

    Attributes:
        inputs: units that hold the block's input.
        most: most units that the memory may have.
        bank: units of a bank.
        keep, shrink: how the next block starts.
    """

    inputs: int
    most: int
    bank: int
    ops: list[Op] = field(default_factory=list)
    opened: int = 0
    keep: float = 0.5
    shrink: str = "avg"

    @property
    def full(self) -> int:
        """Banks that the input fills; what is left over is one smaller bank."""
        return self.inputs // self.bank

    @property
    def banks(self) -> list[tuple[int, int]]:
        """First unit and number of units of each bank that holds something."""
        count = self.first_new + self.opened
        return [bank_span(self.inputs, self.bank, number) for number in range(count)]

    @property
    def targets(self) -> list[int]:
        """Numbers of the banks that may be written again: all but the smaller one."""
        small = {self.full} if self.inputs % self.bank else set()
        return [bank for bank in range(self.first_new + self.opened) if bank not in small]

    @property
    def empty(self) -> int:
        """Banks that may still be opened."""
        return (self.most - self.inputs) // self.bank - self.opened

    @property
    def units(self) -> int:
        """Units that hold something."""
        return self.inputs + self.opened * self.bank

    @property
    def first_new(self) -> int:
        """Number of the first bank that is no part of the input."""
        return self.full + (self.inputs % self.bank > 0)


def bank_span(inputs: int, size: int, number: int) -> tuple[int, int]:
    """Return the first unit and the number of units of a bank, by its number in its block.

    >>> [bank_span(8, 3, number) for number in range(4)]
    [(0, 3), (3, 3), (6, 2), (8, 3)]
    """
    full, left = divmod(inputs, size)
    if number < full:
        return number * size, size
    if left and number == full:
        return inputs - left, left
    return inputs + size * (number - full - (left > 0)), size


def drawn(choose: Chooser, settings: Settings) -> list[Block]:
    """Return the blocks that ``choose`` decides on."""
    blocks: list[Block] = []
    for number in range(settings.blocks):
        keeps = [block.keep for block in blocks]
        inputs, most = settings.inputs(number, keeps), settings.most(number, keeps)
        bank = choose(f"block{number}.bank", settings.bank_sizes(number, inputs))
        block = Block(inputs, most, bank)
        _draw_ops(choose, settings, block, f"block{number}", settings.slices(number, inputs))
        if settings.macro and number < settings.blocks - 1:
            block.keep = choose(f"block{number}.keep", KEEPS)
            block.shrink = choose(f"block{number}.shrink", SHRINKS)
        blocks.append(block)
    return blocks


class _Budget:
    """What is known of a block's read budget: a weight for each number of slices it may be."""

    def __init__(self, settings: Settings, slices: float) -> None:
        self.most = int(settings.budget * slices)
        low, high = LEAST_BUDGET * slices, settings.eased_budget * slices
        self.sizes = np.arange(int(low), int(high) + 1)
        # u is uniform, and the budget floor(u · slices)
        inside = np.minimum(self.sizes + 1, high) - np.maximum(self.sizes, low)
        self.weights = np.maximum(inside, 1e-9)
        self.used = 0

    def shares(self, costs: Sequence[int]) -> np.ndarray:
        """Return the weight of each cost, by budget: uniform, then capped; (budgets, costs)."""
        fits = np.searchsorted(costs, self.sizes - self.used, side="right").clip(1)
        numbers = np.arange(len(costs))
        table = (numbers < fits[:, None] - 1).astype(float)
        table[np.arange(len(fits)), fits - 1] = len(costs) - fits + 1
        return table

    def spend(self, cost: int, given: np.ndarray) -> None:
        """Take note of what an op read; ``given`` is how likely that was under each budget."""
        self.weights = self.weights * given
        self.used += cost

    def going_on(self, least: int) -> tuple[float, float]:
        """Return the weights of stopping here and of another op, which costs ``least`` or more."""
        more = self.sizes - self.used >= least
        on, off = float(self.weights[more].sum()), float(self.weights[~more].sum())
        self.weights = self.weights * more if on > 0 else self.weights
        return (off, on) if off + on > 0 else (1.0, 0.0)


def _draw_ops(choose: Chooser, settings: Settings, block: Block, name: str, slices: float) -> None:
    budget = _Budget(settings, slices)
    step = settings.reads_step(block.bank)
    least = step * block.bank // settings.compression or 1
    budget.going_on(least)
    while True:
        where = f"{name}.op{len(block.ops)}"
        block.ops.append(_draw_op(choose, settings, block, where, budget))
        if budget.used + least > budget.most:
            return
        if not choose(f"{where}.more", (False, True), weights=budget.going_on(least)):
            return


def _draw_op(choose: Chooser, settings: Settings, block: Block, name: str, budget: _Budget) -> Op:
    bank, banks = block.bank, block.banks
    counts = range(settings.reads_step(bank), len(banks) + 1, settings.reads_step(bank))
    cost = {c: math.ceil(c * bank / settings.compression) for c in counts}
    legal = [c for c in counts if budget.used + cost[c] <= budget.most] or list(counts[:1])
    table = budget.shares([cost[c] for c in legal])
    weights = budget.weights @ table
    sizes = dict(zip(legal, weights if weights.sum() > 0 else table.sum(0), strict=True))
    reads = choose.subset(f"{name}.reads", range(len(banks)), sizes=sizes)
    budget.spend(cost[len(reads)], table[:, legal.index(len(reads))])
    units = tuple(u for i in reads for u in range(banks[i][0], banks[i][0] + banks[i][1]))
    width = _draw_width(choose, settings, block, name, len(reads))
    gate = _draw_gate(choose, settings, name, width, bank)
    pieces = (width // 2 if gate == "split" else width) // bank
    writes = _draw_writes(choose, block, name, pieces)
    structure, convolutions = _draw_convolutions(choose, settings, name)
    return Op(
        reads=tuple(reads),
        units=units,
        width=width,
        middle=settings.middle(len(units), width),
        writes=writes,
        structure=structure,
        convolutions=convolutions,
        nonlinearity=_one(choose, f"{name}.nonlinearity", settings.nonlinearities),
        order=_one(choose, f"{name}.order", settings.orders),
        norm=_one(choose, f"{name}.norm", settings.norms),
        gate=gate,
        write=_one(choose, f"{name}.write", settings.writes),
        attention=_one(choose, f"{name}.attention", settings.attention),
    )


def _one(choose: Chooser, name: str, options: Sequence[str]) -> str:
    """Choose where there is a choice."""
    return choose(name, options) if len(options) > 1 else options[0]


def _draw_width(choose: Chooser, settings: Settings, block: Block, name: str, reads: int) -> int:
    """Choose the units that an op returns: nearly always as many as it reads, up to the cap."""
    bank = block.bank
    most = min(settings.cap, (len(block.targets) + block.empty) * bank)
    widths = range(bank, most + 1, bank)
    weights = [1 / (0.01 + 10 * abs(width - reads * bank)) for width in widths]
    return choose(f"{name}.width", widths, weights=weights)


def _draw_gate(choose: Chooser, settings: Settings, name: str, width: int, bank: int) -> str:
    """Choose how paths are joined; a split halves the width, which must leave whole banks."""
    fit = [g for g in settings.gates if g != "split" or (width % 2 == 0 and width // 2 % bank == 0)]
    gates = fit or ["none"]
    plain = max(1 - GATED * sum(gate != "none" for gate in gates), GATED)
    weights = [plain if gate == "none" else GATED for gate in gates]
    return choose(f"{name}.gate", gates, weights=weights) if len(gates) > 1 else gates[0]


def _draw_writes(choose: Chooser, block: Block, name: str, pieces: int) -> tuple[int, ...]:
    """Choose the banks that are written.

    SMASH draws m targets, P(m) ∝ exp(-m), uniformly among the banks that hold something and the
    first ``pieces`` empty ones, and then takes the empty ones hit to be the first ones. Here the
    number of empty ones is drawn first, by the probability that this implies.
    """
    old, empty = len(block.targets), min(pieces, block.empty)
    most = min(max(len(block.banks) // 2, pieces), old + empty)
    numbers = range(pieces, most + 1)

    def weight(opened: int, m: int) -> float:
        ways = math.comb(empty, opened) * math.comb(old, m - opened) if m >= opened else 0
        return math.exp(pieces - m) * ways / math.comb(old + empty, m)

    by_opened = {o: sum(weight(o, m) for m in numbers) for o in range(empty + 1)}
    likely = {o: w for o, w in by_opened.items() if w > 0}
    opened = next(iter(likely))
    if len(likely) > 1:
        opened = choose(f"{name}.opens", likely, weights=list(likely.values()))
    sizes = {m - opened: w for m in numbers if (w := weight(opened, m)) > 0}
    chosen = []
    if max(sizes) > 0:
        chosen = choose.subset(f"{name}.writes", block.targets, sizes=sizes)
    first = block.first_new + block.opened
    block.opened += opened
    return (*chosen, *range(first, first + opened))


def _draw_convolutions(
    choose: Chooser, settings: Settings, name: str
) -> tuple[str, dict[int, Convolution]]:
    structures = settings.structures
    weights = None
    if set(structures) <= STRUCTURES.keys():
        weights = [STRUCTURES[structure] for structure in structures]
    structure = structures[0]
    if len(structures) > 1:
        structure = choose(f"{name}.structure", structures, weights=weights)
    found = {}
    for path, length in enumerate(lengths(structure)):
        for position in range(length):
            slot = path * settings.longest + position
            found[slot] = _draw_convolution(choose, settings, f"{name}.conv{slot}")
    return structure, found


def _draw_convolution(choose: Chooser, settings: Settings, name: str) -> Convolution:
    layer = _one(choose, f"{name}.layer", settings.layers)
    axes = range(1 if settings.square else settings.axes)
    kernels = settings.kernels
    eased = [float(kernel <= settings.eased_kernel) for kernel in kernels]
    shape, spread = [], []
    for axis in axes:
        end = "" if settings.square else str(axis)
        kernel = kernels[0]
        if len(kernels) > 1:
            kernel = choose(f"{name}.kernel{end}", kernels, weights=eased)
        options = settings.dilations(kernel) if layer != "gabor" else (1,)
        dilation = 1
        if len(options) > 1 and "pool" not in layer:
            dilation = choose(f"{name}.dilation{end}", options)
        shape.append(kernel)
        spread.append(dilation)
    groups = 1
    if len(settings.groupings) > 1 and layer == "conv":
        groups = choose(f"{name}.groups", settings.groupings)
    times = settings.axes if settings.square else 1
    return Convolution(layer, tuple(shape * times), tuple(spread * times), groups)
