"""What each option makes of a memory-bank network, computed by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from banked_space import DATA, SMALL, drawn
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.candidate import build_network
from hypernas.spaces import find
from hypernas.spaces.banks.gabor import Fixed, gabor_filters
from hypernas.spaces.banks.modules import Attention, VolumeAverage, gated, shrinking, written
from hypernas.spaces.banks.settings import NORMS, ORDERS


def two(seed: int = 0, channels: int = 6) -> tuple[Tensor, ...]:
    torch.manual_seed(seed)
    return torch.randn(2, channels, 4, 4), torch.randn(2, channels, 4, 4)


def test_gates() -> None:
    a, b = two()
    assert torch.equal(gated("none", [a, b]), a + b)
    assert torch.equal(gated("product", [a, b]), a.tanh() * b.sigmoid())
    assert torch.equal(gated("product", [a, b, a]), a.tanh() * (a + b).sigmoid())
    assert torch.equal(gated("product", [a]), a.tanh() * a.sigmoid())
    whole = a + b
    assert torch.equal(gated("split", [a, b]), whole[:, :3].tanh() * whole[:, 3:].sigmoid())


def test_writes() -> None:
    a, b = two()
    assert torch.equal(written("add", a, b, 3), a + b)
    first = written("mean", a, b, 1)
    torch.testing.assert_close(first, (a + b) / 2)
    torch.testing.assert_close(written("mean", first, 2 * b, 2), (a + b + 2 * b) / 3)
    torch.testing.assert_close(written("multiply", a, b, 1), a * 2 * b.sigmoid())
    torch.testing.assert_close(written("multiply", a, torch.zeros_like(b), 1), a)


def test_attention_weighs_whole_banks() -> None:
    x, _ = two()
    attention = Attention(6, [1, 3, 2], axes=2)
    nn.init.zeros_(attention.logits[2].weight)
    nn.init.constant_(attention.logits[2].bias, 0.0)
    torch.testing.assert_close(attention(x), x)  # alike banks are as they were
    attention.logits[2].bias.data = torch.tensor([0.0, 1.0, 2.0])
    weights = torch.tensor([0.0, 1.0, 2.0]).softmax(0) * 3
    each = weights.repeat_interleave(torch.tensor([1, 3, 2]))
    torch.testing.assert_close(attention(x), x * each.view(1, 6, 1, 1))


ORDER = {
    ("pre", "around"): ["act", "conv"],
    ("post", "around"): ["conv", "act"],
    ("late", "around"): ["act", "conv"],
    ("pre", "each"): ["norm", "act", "conv"],
    ("post", "each"): ["conv", "norm", "act"],
    ("late", "each"): ["act", "conv", "norm"],
}


@pytest.mark.parametrize(("order", "norm"), ORDER)
def test_orders_and_norms(order: str, norm: str) -> None:
    network, _ = drawn(0, orders=[order], norms=[norm], nonlinearities=["gelu"], **SMALL)
    for layer in network.blocks[0].ops[0].paths[0]:
        assert list(dict(layer.named_children())) == ORDER[order, norm]
        assert isinstance(layer.act, nn.GELU)


def test_an_op_by_hand() -> None:
    """A gated op of two paths with attention on both sides, computed step by step."""
    options = {"gates": ["product"], "attention": ["both"], "structures": ["2+1"], "depth": 3}
    network, _ = drawn(4, **SMALL | options)
    network.eval()
    number, op = next(
        (i, op) for i, (_, op) in enumerate(network.encoding.ops)
        if len(op.reads) > 1 and network.blocks[0].ops[i].pieces > 1
    )  # fmt: skip
    module = network.blocks[0].ops[number]
    x = torch.randn(2, len(op.units) * 2, 6, 6)
    y = module.mix[3](module.mix[2](module.mix[1](module.mix[0](module.reading(x)))))
    for_tanh = module.paths[0][1](module.paths[0][0](y))
    joined = module.writing(for_tanh.tanh() * module.paths[1][0](y).sigmoid())
    torch.testing.assert_close(torch.cat(list(module(x)), 1), joined)
    assert all(piece.shape[1] == network.encoding.blocks[0].bank * 2 for piece in module(x))


def test_ops_read_and_write_the_banks_they_name() -> None:
    for seed in range(8):
        network, _ = drawn(seed, writes=["add", "mean", "multiply"], unit=1, groups=1)
        network.eval()
        block, plan = network.blocks[1], network.encoding.blocks[1]
        x = torch.randn(2, plan.inputs, 6, 6)
        banks = list(x.split([size for _, size in plan.banks[: plan.first_new]], dim=1))
        written_by = [[bank] for bank in banks]
        for op, module in zip(plan.ops, block.ops, strict=True):
            pieces = module(torch.cat([banks[i] for i in op.reads], dim=1))
            for place, target in enumerate(op.writes):
                piece = pieces[place % len(pieces)]
                if target == len(banks):
                    banks.append(piece)
                    written_by.append([])
                else:
                    count = len(written_by[target])
                    banks[target] = written(op.write, banks[target], piece, count)
                written_by[target].append(piece)
        torch.testing.assert_close(block(x), torch.cat(banks, dim=1))


def test_persistent_units_pass_unchanged() -> None:
    network, _ = drawn(0, persistent=2, **SMALL)
    transition = network.transitions[0].eval()
    x = torch.randn(2, transition.kept + transition.rest, 7, 7)
    assert transition.kept == 4
    kept = F.avg_pool2d(x[:, :4], 2, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(transition(x)[:, :4], kept)
    assert not torch.allclose(transition(x)[:, 4:], transition(x + 1)[:, 4:])
    torch.testing.assert_close(transition(x)[:, 4:], transition.shrink(transition.mix(x[:, 4:])))


def test_macro_decides_how_blocks_begin() -> None:
    met = set()
    for seed in range(12):
        network, choices = drawn(seed, macro=True, **SMALL)
        first, second = network.encoding.blocks
        assert second.inputs == max(int(first.most * choices["block0.keep"] / 2) * 2, 2)
        assert "block1.keep" not in choices
        met.add((choices["block0.shrink"], type(network.transitions[0].shrink)))
    assert met == {("avg", nn.AvgPool2d), ("max", nn.MaxPool2d), ("conv", nn.Conv2d)}


@pytest.mark.parametrize(("how", "axes"), [*itertools.product(["avg", "max", "conv"], [1, 2, 3])])
def test_shrinking_halves_and_rounds_up(how: str, axes: int) -> None:
    for side in range(1, 8):
        made = shrinking(how, 3, axes)(torch.randn(2, 3, *[side] * axes))
        assert made.shape == (2, 3, *[-(-side // 2)] * axes)


def test_averages_of_volumes_are_those_of_torch() -> None:
    x = torch.randn(2, 3, 9, 8, 7)
    right = nn.AvgPool3d((3, 5, 7), 1, (1, 2, 3), count_include_pad=False)(x)
    torch.testing.assert_close(VolumeAverage((3, 5, 7), stride=1)(x), right)
    right = nn.AvgPool3d(2, ceil_mode=True, count_include_pad=False)(x)
    torch.testing.assert_close(VolumeAverage((2, 2, 2), stride=2)(x), right)
    small = torch.randn(2, 3, 2, 1, 3)  # torch's own refuses it
    whole = small.mean((2, 3, 4), keepdim=True).expand_as(small)
    torch.testing.assert_close(VolumeAverage((7, 7, 7), stride=1)(small), whole)


def test_gabor_filters_are_no_parameters() -> None:
    network, _ = drawn(0, layers=["gabor"], **SMALL)
    fixed = [layer for layer in network.modules() if isinstance(layer, Fixed)]
    assert fixed
    for layer in fixed:
        assert not list(layer.parameters())
        assert [name for name, _ in layer.named_buffers()] == ["filters"]


@pytest.mark.parametrize(("kernel", "count"), [((7, 5), 24), ((7, 7, 7), 24), ((7,), 6)])
def test_gabor_filters_differ(kernel: tuple[int, ...], count: int) -> None:
    filters = gabor_filters(count, kernel)
    assert filters.shape == (count, 1, *kernel)
    distances = torch.cdist(filters.flatten(1), filters.flatten(1)) + 9 * torch.eye(count)
    assert distances.min() > 0.05
    more = gabor_filters(2 * count, kernel)
    torch.testing.assert_close(more, torch.cat([filters, filters]))


@pytest.mark.parametrize("kernel", [(3, 3), (3, 7), (5, 5, 3), (3,), (5,)])
def test_each_gabor_filter_sees_something(kernel: tuple[int, ...]) -> None:
    filters = gabor_filters(48, kernel).flatten(1)
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(48))
    even_or_odd = torch.minimum(*((filters + s * filters.flip(1)).norm(dim=1) for s in (1, -1)))
    assert even_or_odd.max() < 1e-4  # not the rounding errors of a wave that is 0 everywhere


def test_repeated_ops_have_weights_of_their_own() -> None:
    once, choices = drawn(3, **SMALL)
    space = find("memory-bank", {**SMALL, "repeats": 3})
    thrice = build_network(space, choices, DATA, seed=0)
    for one, three in zip(once.blocks, thrice.blocks, strict=True):
        assert len(three.ops) == 3 * len(one.ops)
    names = [name for name, _ in thrice.named_parameters() if ".ops." in name]
    assert len(names) == 3 * sum(".ops." in name for name, _ in once.named_parameters())


def test_idle_repeats_change_nothing() -> None:
    for seed in range(6):
        options = {**SMALL, "writes": ["add", "multiply"], "orders": ORDERS, "norms": NORMS}
        once, choices = drawn(seed, **options)
        space = find("memory-bank", {**options, "repeats": 2})
        twice = build_network(space, choices, DATA, seed=0).eval()
        state, idle = once.state_dict(), dict(twice.named_parameters())
        twice.load_state_dict(state, strict=False)
        for name in twice.idle:
            nn.init.zeros_(idle[name])
        x = torch.randn(4, *DATA.input_shape)
        torch.testing.assert_close(twice(x), once.eval()(x))
