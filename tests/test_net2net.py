"""A grown network gives the outputs of the one it grew from, and learns to differ."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from small_space import SIGNATURE, space
from torch import Tensor, nn

from hypernas.candidate import Candidates, build_network
from hypernas.choices import Architecture
from hypernas.errors import SpaceError
from hypernas.net2net import deepened, flattened, grown, widened
from hypernas.spaces import Space, find
from hypernas.tasks import Signature
from hypernas.tracing import read_graph

DIGITS = Signature(input_shape=(1, 8, 8), outputs=10)


def unsettled(module: nn.Module) -> nn.Module:
    """Give norms parameters and statistics that no fresh network has."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return module


def require_equal(small: nn.Module, large: nn.Module, shape: tuple[int, ...]) -> None:
    """Compare outputs with running statistics and with those of the batch."""
    torch.manual_seed(0)
    x = torch.randn(16, *shape)
    for training in (False, True):
        with torch.no_grad():
            expected, outputs = small.train(training)(x), large.train(training)(x)
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)


def require_grown(
    narrow: Space, wide: Space, before: Architecture, after: Architecture, data: Signature
) -> None:
    """Grow one architecture and compare."""
    small = unsettled(build_network(narrow, before, data, seed=1))
    large = build_network(wide, after, data, seed=2)
    graph = Candidates(wide, data).of(after).graph
    large.load_state_dict(grown(small.state_dict(), large, graph))
    require_equal(small, large, data.input_shape)


@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        ("cell", {"width": 4, "cells": 3, "nodes": 3}, {"width": 8}),
        ("nas-bench-201", {"width": 4, "cells": 1}, {"width": 12}),
        ("memory-bank", {"preset": "tiny"}, {"unit": 8}),
        ("memory-bank", {"preset": "tiny"}, {"repeats": 2}),
        ("memory-bank", {"preset": "tiny", "repeats": 2}, {"unit": 8, "repeats": 3}),
    ],
)
def test_built_in_spaces_grow(name: str, options: dict[str, Any], changes: dict[str, Any]) -> None:
    narrow, wide = find(name, options), find(name, options | changes)
    candidates = Candidates(narrow, DIGITS)
    for number in range(6):
        choices = candidates.draw(random.Random(number)).choices
        require_grown(narrow, wide, choices, choices, DIGITS)


def test_a_space_that_flattens_images_widens() -> None:
    candidates = Candidates(space(), SIGNATURE)
    drawn = [candidates.draw(random.Random(number)).choices for number in range(40)]
    narrow = [choices for choices in drawn if choices["width"] == 3]
    assert len(narrow) > 10
    for choices in narrow:
        require_grown(space(), space(), choices, choices | {"width": 6}, SIGNATURE)


def convolutions(width: int) -> nn.Sequential:
    """Return dense, grouped and depthwise convolutions of ``width`` channels."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, groups=2),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.GroupNorm(2, width),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 5),
    )


@pytest.mark.parametrize("times", [2, 3])
def test_groups_and_depthwise_widen(times: int) -> None:
    small, large = unsettled(convolutions(4)), convolutions(4 * times)
    graph = read_graph(large, (3, 6, 6))
    large.load_state_dict(grown(small.state_dict(), large, graph))
    require_equal(small, large, (3, 6, 6))
    assert flattened(graph) == {"10.weight": 4}


def test_copies_stand_beside_each_other_and_share_their_inputs() -> None:
    state = {"w": torch.tensor([[2.0, 4.0]]), "b": torch.tensor([3.0]), "n": torch.tensor(7)}
    found = widened(state, {"w": (2, 4), "b": (2,), "n": ()})
    assert found["w"].tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2
    assert found["b"].tolist() == [3.0, 3.0]
    assert found["n"] == 7


def test_equal_shapes_are_left_alone() -> None:
    state = {"w": torch.randn(3, 2), "b": torch.randn(3)}
    found = widened(state, {"w": (3, 2), "b": (3,)}, noise=1.0)
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_noise_is_small_seeded_and_breaks_the_symmetry() -> None:
    state, shapes = {"w": torch.randn(8, 8), "b": torch.randn(8)}, {"w": (16, 16), "b": (16,)}
    plain = widened(state, shapes)
    first, again = (widened(state, shapes, noise=0.01, seed=1) for _ in range(2))
    other = widened(state, shapes, noise=0.01, seed=2)
    assert torch.equal(first["w"], again["w"])
    assert not torch.equal(first["w"], other["w"])
    assert torch.equal(first["b"], plain["b"])
    assert torch.equal(plain["w"][0], plain["w"][1])
    assert not torch.equal(first["w"][0], first["w"][1])
    share = (first["w"] - plain["w"]).std() / plain["w"].std()
    assert share.item() == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize(("old", "new"), [((4, 3), (6, 3)), ((4, 2, 3), (4, 2, 5)), ((4,), (4, 1))])
def test_other_ratios_are_refused_by_name(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    with pytest.raises(SpaceError, match=r"'stem\.weight' is .* no whole multiple"):
        widened({"stem.weight": torch.zeros(old)}, {"stem.weight": new})


class Residual(nn.Module):
    """Residual blocks of which those after the first add nothing while ``idle`` is zero."""

    def __init__(self, blocks: int, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1, bias=False))
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, 3)
        self.idle = [f"blocks.{number}.2.weight" for number in range(1, blocks)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(("before", "after", "width"), [(1, 3, 4), (2, 3, 4), (1, 2, 8)])
def test_further_layers_add_nothing_at_first(before: int, after: int, width: int) -> None:
    small, large = unsettled(Residual(before)), Residual(after, width)
    state = grown(small.state_dict(), large, read_graph(large, (1, 6, 6)))
    large.load_state_dict(state)
    require_equal(small, large, (1, 6, 6))
    for number in range(after):  # what was trained is kept, what is new waits
        weights = state[f"blocks.{number}.2.weight"]
        assert bool(weights.any()) == (number < before)


def test_further_layers_learn() -> None:
    small, large = Residual(1), Residual(2)
    large.load_state_dict(deepened(small.state_dict(), large))
    large(torch.randn(4, 1, 6, 6)).square().sum().backward()
    gradient = large.get_parameter("blocks.1.2.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_what_cannot_grow_is_refused_in_a_line() -> None:
    small, large = Residual(1), Residual(2)
    with pytest.raises(SpaceError, match=r"no 'blocks\.1\.0\.weight'"):
        grown(large.state_dict(), small, read_graph(small, (1, 6, 6)))
    with pytest.raises(SpaceError, match=r"'stem\.weight' is \(4, 1, 3, 3\)"):
        deepened(small.state_dict(), Residual(2, width=8))
    large.idle = []
    with pytest.raises(SpaceError, match=r"module\.idle lists no parameters"):
        grown(small.state_dict(), large, read_graph(large, (1, 6, 6)))


def test_pruning_keeps_what_a_space_says_of_idle_layers() -> None:
    def dead_end(choose: Any, data: Signature) -> nn.Module:
        module = Residual(2)
        module.unused = nn.Linear(3, 3)
        return module

    module = build_network(Space("dead", dead_end), {}, DIGITS, seed=0)
    assert isinstance(module, torch.fx.GraphModule)
    assert module.idle == ["blocks.1.2.weight"]
