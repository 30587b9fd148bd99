"""ResNet, DenseNet and FractalNet as architectures of the memory-bank space.

Sources: ResNet (arXiv 1512.03385), DenseNet (1608.06993) and FractalNet (1605.07648), as patterns
of reads and writes (SMASH, 1708.05344, section 3.1). Only the pattern is named here: kernels,
nonlinearities and all that does not make it are the first of what the space's options list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypernas.choices import Architecture, Decision, Replay, Value
from hypernas.errors import SpaceError
from hypernas.spaces.banks.architecture import drawn
from hypernas.spaces.banks.settings import Settings
from hypernas.spaces.memory_bank import settings_of
from hypernas.spaces.space import find
from hypernas.tasks import Signature


@dataclass(frozen=True)
class Step:
    """What an op reads and writes.

    Attributes:
        reads: numbers of the banks that are read.
        writes: number of the one bank that is written.
        opens: whether that bank is new.
    """

    reads: Sequence[int]
    writes: int
    opens: bool


def resnet(options: Mapping[str, Any], data: Signature, ops: int = 2) -> Architecture:
    """Return the choices of a residual network: each op reads the whole memory and adds to it.

    The memory is one bank, so option ``cap`` must be the widest block's input or more.

    Args:
        options: of the space ``memory-bank``.
        data: what the network is for.
        ops: residual blocks in each block.

    Raises:
        SpaceError: the options do not allow it; names the choice, and what is allowed.
    """
    settings = _settings(options, data, join="add")
    banks = [settings.inputs(block) for block in range(settings.blocks)]
    if max(banks) > settings.cap:
        raise SpaceError(
            f"option cap={settings.cap}: this network's memory is one bank, of up to "
            f"{max(banks)} units; give --set cap={max(banks)}"
        )
    steps = [[Step([0], 0, opens=False)] * ops for _ in banks]
    return _filled(settings, banks, steps, join="add")


def densenet(
    options: Mapping[str, Any], data: Signature, ops: int = 2, growth: int | None = None
) -> Architecture:
    """Return the choices of a dense network: each op reads all banks and opens a new one.

    Args:
        options: of the space ``memory-bank``.
        data: what the network is for.
        ops: in each block.
        growth: units that each op adds; None takes the space's ``compression``, the fewest of which
            any number may be read.

    Raises:
        SpaceError: the options do not allow it; names the choice, and what is allowed.
    """
    settings = _settings(options, data)
    bank = settings.compression if growth is None else growth
    steps = []
    for block in range(settings.blocks):
        first = _input_banks(settings, block, bank)
        steps.append([Step(range(first + op), first + op, opens=True) for op in range(ops)])
    return _filled(settings, [bank] * settings.blocks, steps)


def fractalnet(
    options: Mapping[str, Any], data: Signature, columns: int = 2, bank: int | None = None
) -> Architecture:
    """Return the choices of a fractal network: f(c + 1) = mean of an op and f(c) after f(c).

    Each block is one f(columns) of 2^columns - 1 ops, applied to its input. What comes together at
    one place, of however many columns, is one mean, as in the paper.

    Args:
        options: of the space ``memory-bank``; ``writes`` must list ``mean``.
        data: what the network is for.
        columns: depth of the expansion, 1 for a single op.
        bank: units of the banks between ops; None takes the largest of which there is room for all.

    Raises:
        SpaceError: the options do not allow it; names the choice, and what is allowed.
    """
    if columns < 1:
        raise SpaceError(f"a fractal of {columns} columns: expected 1 or more; give columns=2")
    settings = _settings(options, data, join="mean")
    banks, steps = [], []
    for block in range(settings.blocks):
        inputs = settings.inputs(block)
        room = (settings.most(block) - inputs) // 2 ** (columns - 1)
        sizes = [s for s in settings.bank_sizes(block, inputs) if s % settings.compression == 0]
        banks.append(bank or max((s for s in sizes if s <= room), default=min(sizes, default=1)))
        first = _input_banks(settings, block, banks[-1])
        steps.append(list(_fractal(range(first), columns, first, first)))
    return _filled(settings, banks, steps, join="mean")


def _fractal(reads: Sequence[int], columns: int, target: int, banks: int) -> Iterator[Step]:
    """Yield the ops of f(columns) from the banks ``reads`` to the bank ``target``.

    Args:
        reads: where the input is.
        columns: of the expansion.
        target: where the output is to be; a new bank where it equals ``banks``.
        banks: how many there are.
    """
    yield Step(reads, target, opens=target == banks)
    if columns > 1:
        middle = max(banks, target + 1)
        yield from _fractal(reads, columns - 1, middle, middle)
        opened = 2 ** (columns - 2)  # by the first of the two, its output included
        yield from _fractal([middle], columns - 1, target, middle + opened)


def _settings(options: Mapping[str, Any], data: Signature, join: str | None = None) -> Settings:
    settings = settings_of(find("memory-bank", options).options, data)
    if join and join not in settings.writes:
        raise SpaceError(
            f"option writes={','.join(settings.writes)}: this network needs {join}; "
            f"give --set writes={','.join([*settings.writes, join])}"
        )
    return settings


def _filled(
    settings: Settings,
    banks: Sequence[int],
    steps: Sequence[Sequence[Step]],
    join: str | None = None,
) -> Architecture:
    """Return the choices of the architecture with these bank sizes and ops, block by block."""
    wanted: Architecture = {}
    for number, (bank, ops) in enumerate(zip(banks, steps, strict=True)):
        name = f"block{number}"
        _require_room(settings, number, bank, ops)
        wanted |= {f"{name}.bank": bank, f"{name}.keep": 0.5}
        for count, step in enumerate(ops, 1):
            op = f"{name}.op{count - 1}"
            wanted |= {f"{op}.reads": list(step.reads), f"{op}.width": bank}
            wanted |= {f"{op}.opens": int(step.opens), f"{op}.more": count < len(ops)}
            wanted[f"{op}.writes"] = [] if step.opens else [step.writes]
            if join:
                wanted[f"{op}.write"] = join
    chooser = _Filled(wanted)
    drawn(chooser, settings)
    return chooser.choices


class _Filled(Replay):
    """Answers as given, and what is not given by the first option."""

    def decide(self, decision: Decision) -> Value:
        if decision.name in self.given:
            return super().decide(decision)
        return decision.options[0]


def _require_room(settings: Settings, block: int, bank: int, ops: Sequence[Step]) -> None:
    """Refuse ops that a block has no memory or no read budget for."""
    inputs = settings.inputs(block)
    if bank not in (sizes := settings.bank_sizes(block, inputs)):
        raise SpaceError(
            f"block {block} starts with {inputs} units and cannot have banks of {bank}; "
            f"give one of {', '.join(map(str, sizes))}, or another --set cap"
        )
    if not ops:
        raise SpaceError("a block of no ops: expected 1 or more; give ops=1")
    room, opened = (settings.most(block) - inputs) // bank, sum(step.opens for step in ops)
    if opened > room:
        raise SpaceError(
            f"block {block} has room for {room} new banks of {bank} units, not for {opened}; "
            "give fewer ops or smaller banks, or more memory by --set width"
        )
    most = int(settings.budget * settings.slices(block, inputs))
    read = sum(math.ceil(len(step.reads) * bank / settings.compression) for step in ops)
    if read > most:
        raise SpaceError(
            f"block {block} has a read budget of {most} slices, and these {len(ops)} ops read "
            f"{read}; give fewer ops, or more budget by --set depth"
        )


def _input_banks(settings: Settings, block: int, bank: int) -> int:
    """Return how many banks a block's input makes."""
    return -(-settings.inputs(block) // max(bank, 1))
