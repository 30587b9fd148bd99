"""Architectures are drawn as by SMASH's public code, with the read budget integrated out."""

from __future__ import annotations

import math
import random
from collections import Counter
from functools import cache
from statistics import mean, median, pstdev

import pytest
from scipy.stats import chi2_contingency, chisquare

from hypernas.choices import Draw
from hypernas.spaces import find
from hypernas.spaces.banks.architecture import Block, Op, bank_span, drawn
from hypernas.spaces.banks.settings import STRUCTURES, Settings
from hypernas.spaces.memory_bank import settings_of
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 32, 32), outputs=10)
UNLIKELY = 1e-3
"""p-value below which two distributions are told to differ"""


def settings(**options: object) -> Settings:
    return settings_of(find("memory-bank", options).options, DATA)


@cache
def classic(ease: float = 1.0) -> list[list[Block]]:
    """Draw architectures as large as SMASH's, each op with one convolution."""
    made = settings(preset="classic", structures=["1"], ease=ease)
    return [drawn(Draw(random.Random(seed)), made) for seed in range(150)]


def all_ops(architectures: list[list[Block]]) -> list[tuple[Block, Op]]:
    return [(block, op) for blocks in architectures for block in blocks for op in block.ops]


# -- the table of SMASH's code, measured over 200 draws of it --------------------------------------


@pytest.mark.parametrize(
    ("ease", "blocks", "total"), [(1.0, (7, 11, 18), 35), (0.0, (5, 7, 12), 25)]
)
def test_numbers_of_ops(ease: float, blocks: tuple[int, ...], total: int) -> None:
    counts = [[len(block.ops) for block in blocks] for blocks in classic(ease)]
    assert [median(c) for c in zip(*counts, strict=True)] == pytest.approx(blocks, abs=1)
    assert median(map(sum, counts)) == pytest.approx(total, abs=2.5)


def test_what_ops_read_and_write() -> None:
    ops = all_ops(classic())
    channels = [8 * len(op.units) for _, op in ops]
    assert median(channels) == pytest.approx(96, abs=8)
    assert (min(channels), max(channels)) == (16, 256)
    opens = [any(bank >= block.first_new for bank in _new(block, op)) for block, op in ops]
    assert mean(opens) == pytest.approx(0.33, abs=0.04)
    old = [len(op.writes) > len(_new(block, op)) for block, op in ops]
    assert mean(old) == pytest.approx(0.90, abs=0.04)
    cycles = [len(op.writes) > op.outputs // block.bank for block, op in ops]
    assert mean(cycles) == pytest.approx(0.19, abs=0.03)


def _new(block: Block, op: Op) -> list[int]:
    """Return which banks an op opens."""
    before = [bank for other in block.ops[: _place(block, op)] for bank in other.writes]
    return [bank for bank in op.writes if bank >= block.first_new and bank not in before]


def _place(block: Block, op: Op) -> int:
    return next(number for number, other in enumerate(block.ops) if other is op)


def test_an_op_returns_as_many_units_as_it_reads() -> None:
    ops = [(len(op.reads) * block.bank, block.bank, op.width) for block, op in all_ops(classic())]
    fit = [read == width for read, _, width in ops if read <= 8]
    assert len(fit) > 1000
    assert mean(fit) > 0.98
    wide = Counter(width for read, bank, width in ops if read == 16 and bank == 1)
    weights = [1 / (0.01 + 10 * (16 - width)) for width in range(1, 9)]  # the cap is 8
    expected = [weight / sum(weights) * wide.total() for weight in weights]
    assert wide.total() > 40
    assert chisquare([wide[width] for width in range(1, 9)], expected).pvalue > UNLIKELY


def test_bank_sizes_are_uniform() -> None:
    made = settings(preset="classic", structures=["1"], depth=1)
    drawn_sizes = [[b.bank for b in drawn(Draw(random.Random(s)), made)] for s in range(600)]
    for sizes, expected in zip(
        zip(*drawn_sizes, strict=True),
        ([1, 2, 3, 4, 6, 8], [1, 2, 3, 4, 5, 6, 8], [1, 2, 3, 4, 5, 6, 7, 8]),
        strict=True,
    ):
        counts = Counter(sizes)
        assert sorted(counts) == expected
        assert chisquare(list(counts.values())).pvalue > UNLIKELY


def test_structures_are_drawn_by_their_weights() -> None:
    made = settings(preset="small")
    ops = all_ops([drawn(Draw(random.Random(seed)), made) for seed in range(100)])
    counts = Counter(op.structure for _, op in ops)
    expected = [weight * counts.total() for weight in STRUCTURES.values()]
    assert chisquare([counts[name] for name in STRUCTURES], expected).pvalue > UNLIKELY


def test_more_writes_are_less_likely_by_a_factor_of_e() -> None:
    counts: Counter[int] = Counter()
    for block, op in all_ops(classic()):
        pieces = op.outputs // block.bank
        if len(_banks_before(block, op)) // 2 >= pieces + 2:  # three numbers of writes at least
            counts[len(op.writes) - pieces] += 1
    assert counts.total() > 800
    assert counts[1] / counts[0] == pytest.approx(1 / math.e, abs=0.07)
    assert counts[2] / counts[1] == pytest.approx(1 / math.e, abs=0.12)


def _banks_before(block: Block, op: Op) -> set[int]:
    written = {bank for other in block.ops[: _place(block, op)] for bank in other.writes}
    return written | set(range(block.first_new))


def test_a_small_ease_draws_small_kernels() -> None:
    for ease, largest in ((0.0, 3), (0.5, 5), (1.0, 7)):
        made = settings(preset="classic", structures=["1"], depth=2, ease=ease)
        ops = all_ops([drawn(Draw(random.Random(seed)), made) for seed in range(20)])
        kernels = Counter(k for _, op in ops for k in op.convolutions[0].kernel)
        assert sorted(kernels) == list(range(3, largest + 1, 2))
        assert len(kernels) == 1 or chisquare(list(kernels.values())).pvalue > UNLIKELY


# -- rules ----------------------------------------------------------------------------------------


def test_what_is_left_over_is_one_smaller_bank() -> None:
    assert [bank_span(10, 4, number) for number in range(4)] == [(0, 4), (4, 4), (8, 2), (10, 4)]
    left = []
    for block in (block for blocks in classic() for block in blocks):
        spans = block.banks
        assert [start for start, _ in spans] == [
            sum(n for _, n in spans[:i]) for i in range(len(spans))
        ]
        sizes = [size for _, size in spans[: block.first_new]]
        assert sum(sizes) == block.inputs
        left.append(sizes[-1] < block.bank)
        if left[-1]:
            small = block.first_new - 1
            assert all(small not in op.writes for op in block.ops)
            assert small not in block.targets
    assert mean(left) == pytest.approx(0.42, abs=0.06)  # SMASH's code drops these channels


def test_an_op_reads_what_was_written_and_the_budget_holds() -> None:
    made = settings(preset="classic", structures=["1"])
    for blocks in classic():
        for number, block in enumerate(blocks):
            assert block.units <= block.most
            written = set(range(block.first_new))
            spent = 0
            for op in block.ops:
                assert set(op.reads) <= written
                assert len(op.reads) * block.bank % made.compression == 0
                spent += len(op.reads) * block.bank // made.compression
                written |= set(op.writes)
                assert written == set(range(len(written)))  # new banks are the next ones
                assert op.width <= made.cap
                assert op.outputs // block.bank <= len(op.writes)
                assert op.middle <= min(len(op.units), 2 * made.cap)
            assert spent <= int(made.slices(number, block.inputs))


# -- the budget -----------------------------------------------------------------------------------


def budget_first(made: Settings, rng: random.Random) -> list[list[tuple[int, int, int, int]]]:
    """Draw as SMASH's code does: first a budget for each block, then ops until it is used up.

    Returns:
        For each block (units of a bank, banks read, banks written, banks opened) of each op.
    """
    blocks = []
    for number in range(made.blocks):
        inputs = made.inputs(number)
        bank = rng.choice(made.bank_sizes(number, inputs))
        step = made.compression if bank % made.compression else 1
        least = step * bank // made.compression
        budget = 0
        while budget < least:  # a block has one op at least
            budget = int(rng.uniform(0.3, 1) * made.slices(number, inputs))
        full, small = divmod(inputs, bank)
        room, opened = (made.most(number) - inputs) // bank, 0
        ops = []
        while budget >= least:
            banks = full + (small > 0) + opened
            reads = rng.choice(range(step, banks + 1, step))
            while reads * bank // made.compression > budget:
                reads -= step
            budget -= reads * bank // made.compression
            widths = [w for w in range(bank, made.cap + 1, bank) if w // bank <= full + room]
            near = [1 / (0.01 + 10 * abs(width - reads * bank)) for width in widths]
            pieces = rng.choices(widths, near)[0] // bank
            old, new = full + opened, min(pieces, room - opened)
            numbers = range(pieces, min(max(banks // 2, pieces), old + new) + 1)
            m = rng.choices(numbers, [math.exp(-n) for n in numbers])[0]
            opens = sum(target >= old for target in rng.sample(range(old + new), m))
            opened += opens
            ops.append((bank, reads, m, opens))
        blocks.append(ops)
    return blocks


def integrated(made: Settings, rng: random.Random) -> list[list[tuple[int, int, int, int]]]:
    """Draw with the space's own distributions; return as :func:`budget_first`."""
    return [
        [(block.bank, len(op.reads), len(op.writes), len(_new(block, op))) for op in block.ops]
        for block in drawn(Draw(rng), made)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "small"},
        {"depth": 6, "width": 3, "compression": 3, "cap": 6, "blocks": 2},
    ],
)
def test_the_budget_is_integrated_out(options: dict[str, object]) -> None:
    made = settings(structures=["1"], kernel=3, dilation=1, groups=1, square=True, **options)
    ours = [integrated(made, random.Random(seed)) for seed in range(300)]
    theirs = [budget_first(made, random.Random(seed)) for seed in range(2000)]
    for number in range(made.blocks):
        counts = [Counter(len(blocks[number]) for blocks in each) for each in (ours, theirs)]
        assert alike(*counts) > UNLIKELY
    for what in (1, 2, 3):
        for place in (0, -1):  # the first op of the last block, and the last one
            counts = [
                Counter((b[-1][place][0], b[-1][place][what]) for b in each)
                for each in (ours, theirs)
            ]
            assert alike(*counts) > UNLIKELY
        means = [[mean(op[what] for op in blocks[-1]) for blocks in e] for e in (ours, theirs)]
        spread = math.hypot(*(pstdev(m) / math.sqrt(len(m)) for m in means))
        assert abs(mean(means[0]) - mean(means[1])) < 3.5 * spread


def alike(first: Counter, second: Counter) -> float:
    """Return the p-value of a chi-square test, what is rare taken together."""
    common = [key for key in first | second if first[key] + second[key] >= 40]
    table = [[count[key] for key in common] for count in (first, second)]
    for row, count in zip(table, (first, second), strict=True):
        row.append(count.total() - sum(row) + 1)
    return float(chi2_contingency(table).pvalue)
