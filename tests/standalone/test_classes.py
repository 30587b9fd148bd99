"""Alike containers share a class, and only what is alive is in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .rebuilding import Cells, Given, Transformer, rebuilt


def test_a_chain_is_one_sequential() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    text, _ = rebuilt(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 2)))
    assert "nn.Conv2d(3, 8, 3)" in text
    assert "nn.Linear(8, 2)" in text


def test_equal_cells_share_a_class_and_dead_parts_are_dropped() -> None:
    module = Cells()
    text, network = rebuilt(module)
    assert text.count("class Cell") == 1
    assert text.count("class ConvBN") == 1
    names = set(network.state_dict())
    assert "cells.0.edges.edge0-1.conv.weight" in names
    gone = {name for name in module.state_dict() if ".dead." in name or name.startswith("unused")}
    assert names == set(module.state_dict()) - gone


def test_attention_parameters_buffers_and_two_exits() -> None:
    text, network = rebuilt(Transformer())
    assert "gains" not in network.state_dict()
    assert 'torch.tensor([0.5, float("inf")])' in text
    assert text.count("class Attention") == 2  # the number of heads is inside a view


def test_shared_activation_does_not_flatten_the_blocks() -> None:
    act = nn.ReLU()
    blocks = [Given(lambda m, x: m.act(m.conv(x)), conv=nn.Conv2d(3, 3, 1), act=act) for _ in "ab"]
    text, _ = rebuilt(Given(lambda m, x: m.two(m.one(x)) + x, one=blocks[0], two=blocks[1]))
    assert "self.act(self.conv(x))" in text


def test_shared_weights_keep_one_name() -> None:
    shared = nn.Conv2d(3, 3, 1)
    blocks = [Given(lambda m, x: m.conv(x).relu(), conv=shared) for _ in "ab"]
    _, network = rebuilt(Given(lambda m, x: m.two(m.one(x)), one=blocks[0], two=blocks[1]))
    assert set(network.state_dict()) == {"one.conv.weight", "one.conv.bias"}


class Joined(nn.Module):
    def __init__(self, one: nn.Module, two: nn.Module, width: int) -> None:
        super().__init__()
        self.one, self.two = one, two
        self.last = nn.Conv2d(3, width, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.last(self.one(first) + self.two(second))


def test_unlike_members_become_arguments_of_one_class() -> None:
    def both(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m.get_submodule("a")(x, x)
        return m.get_submodule("b")(x[:, :3], x[:, 1:4])

    first = Joined(nn.Conv2d(3, 3, 1), nn.ReLU(), 4)
    second = Joined(nn.Sequential(nn.Tanh(), nn.Conv2d(3, 3, 1)), nn.ReLU(), 5)
    text, _ = rebuilt(Given(both, a=first, b=second))
    assert text.count("class Joined") == 1
    assert "def __init__(self, out_channels, one):" in text
    assert "self.a = Joined(out_channels=4, one=nn.Conv2d(3, 3, 1))" in text
    assert "self.a(x, x)" in text


def test_the_same_value_twice_where_the_container_is_called_twice() -> None:
    inner = Joined(nn.ReLU(), nn.Conv2d(3, 3, 1), 3)
    rebuilt(Given(lambda m, x: m.inner(x, x) + m.inner(x, x), inner=inner))


def test_a_buffer_is_registered_with_its_shape() -> None:
    scale = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    text, _ = rebuilt(Given(lambda m, x: x * m.scale, scale=scale))
    assert 'self.register_buffer("scale", torch.zeros((3, 1, 1)))' in text
