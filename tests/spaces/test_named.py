"""Named architectures compute what blocks written by hand compute, with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.candidate import build_network
from hypernas.choices import Architecture, Replay
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.spaces.banks.named import densenet, fractalnet, resnet
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 14, 14), outputs=5)
OPTIONS = {"unit": 2, "groups": 1, "width": 4, "cap": 14, "depth": 6, "writes": ["add", "mean"]}

Plain = Callable[["State", str, Tensor], Tensor]
"""a block by hand: weights, where they lie, and the input"""


class State:
    """A network's tensors by name, and the batch norms that use them."""

    def __init__(self, network: nn.Module, training: bool) -> None:
        self.tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.training = training

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = self.tensors[f"{name}.running_mean"], self.tensors[f"{name}.running_var"]
        scale, shift = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.batch_norm(x, mean, var, scale, shift, self.training)

    def op(self, name: str, x: Tensor) -> Tensor:
        """Norm, ReLU, 1×1 convolution, norm, ReLU, 3×3 convolution."""
        x = F.conv2d(F.relu(self.norm(f"{name}.mix.0", x)), self.tensors[f"{name}.mix.2.weight"])
        x = F.relu(self.norm(f"{name}.mix.3", x))
        return F.conv2d(x, self.tensors[f"{name}.paths.0.0.conv.weight"], padding=1)

    def network(self, x: Tensor, block: Plain, stride: int, blocks: int = 3) -> Tensor:
        x = F.conv2d(x, self.tensors["stem.weight"], stride=stride, padding=1)
        for number in range(blocks):
            x = block(self, f"blocks.{number}", x)
            if number < blocks - 1:
                name = f"transitions.{number}.mix"
                x = F.relu(self.norm(f"{name}.0", x))
                x = F.conv2d(x, self.tensors[f"{name}.2.weight"])
                x = F.avg_pool2d(x, 2, ceil_mode=True)
        x = F.relu(self.norm("head.0", x)).mean((2, 3))
        return F.linear(x, self.tensors["head.4.weight"], self.tensors["head.4.bias"])


def residual(state: State, name: str, x: Tensor) -> Tensor:
    for number in range(3):
        x = x + state.op(f"{name}.ops.{number}", x)
    return x


def dense(state: State, name: str, x: Tensor) -> Tensor:
    for number in range(4):
        x = torch.cat([x, state.op(f"{name}.ops.{number}", x)], dim=1)
    return x


def fractal(columns: int) -> Plain:
    def block(state: State, name: str, x: Tensor) -> Tensor:
        numbers = iter(range(100))
        made: list[Tensor] = []
        made.insert(0, _fractal(state, name, x, columns, numbers, made))
        return torch.cat([x, *made], dim=1)

    return block


def _fractal(
    state: State, name: str, x: Tensor, columns: int, numbers: Iterator[int], made: list[Tensor]
) -> Tensor:
    """Return f(columns) of x; banks between its ops are noted in the order they are opened."""
    ends = []
    while True:
        ends.append(state.op(f"{name}.ops.{next(numbers)}", x))
        if columns == 1:
            return torch.stack(ends).mean(0)
        columns -= 1
        place = len(made)
        x = _fractal(state, name, x, columns, numbers, made)
        made.insert(place, x)


NETWORKS: dict[str, tuple[Callable[..., Architecture], dict[str, Any], Plain]] = {
    "resnet": (resnet, {"ops": 3}, residual),
    "densenet": (densenet, {"ops": 4}, dense),
    "fractalnet 1": (fractalnet, {"columns": 1}, fractal(1)),
    "fractalnet 2": (fractalnet, {"columns": 2}, fractal(2)),
    "fractalnet 3": (fractalnet, {"columns": 3}, fractal(3)),
}


def network_of(choices: Architecture) -> nn.Module:
    """Return the network with norms that were fitted to something."""
    network = build_network(find("memory-bank", OPTIONS), choices, DATA, seed=0)
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            nn.init.uniform_(tensor, 0.5, 1.5)
    return network


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_one_written_by_hand(name: str, training: bool) -> None:
    make, numbers, block = NETWORKS[name]
    network = network_of(make(OPTIONS, DATA, **numbers)).train(training)
    state, x = State(network, training), torch.randn(4, *DATA.input_shape)
    assert network.stem.stride == (1, 1)
    assert torch.allclose(network(x), state.network(x, block, stride=1), atol=1e-5)
    for key, tensor in network.state_dict().items():  # running statistics too
        if "num_batches" not in key:
            assert torch.allclose(tensor, state.tensors[key], atol=1e-5), key


@pytest.mark.parametrize("name", NETWORKS)
def test_a_block_is_the_one_written_by_hand(name: str) -> None:
    make, numbers, block = NETWORKS[name]
    network = network_of(make(OPTIONS, DATA, **numbers)).eval()
    x = torch.randn(2, 8 * 2, 6, 6)
    right = block(State(network, False), "blocks.0", x)
    assert torch.allclose(network.blocks[0](x), right, atol=1e-5)
    assert not torch.allclose(network.blocks[0](x), network.blocks[0](x + 1), atol=1e-2)


def test_a_fractal_of_two_columns_is_the_mean_of_a_short_and_a_long_path() -> None:
    network = network_of(fractalnet(OPTIONS, DATA, columns=2)).eval()
    state, x = State(network, False), torch.randn(2, 8 * 2, 6, 6)
    short, first = state.op("blocks.0.ops.0", x), state.op("blocks.0.ops.1", x)
    joined = (short + state.op("blocks.0.ops.2", first)) / 2
    assert torch.allclose(network.blocks[0](x), torch.cat([x, joined, first], 1), atol=1e-5)


@pytest.mark.parametrize("preset", ["tiny", "small", "medium", "classic"])
def test_each_preset_holds_them(preset: str) -> None:
    options = {"preset": preset, "writes": "add mean".split(), "cap": 14, "macro": True}
    space = find("memory-bank", options)
    for choices in (resnet(options, DATA), densenet(options, DATA), fractalnet(options, DATA)):
        plans = space.build(Replay(choices), DATA).encoding.blocks
        assert [plan.keep for plan in plans] == [0.5] * 3
        assert all(plan.ops for plan in plans)


def test_what_the_space_lists_first_is_what_ops_are() -> None:
    options = OPTIONS | {
        "structures": ["2", "1"], "layers": ["separable", "conv"], "nonlinearities": ["gelu"],
    }  # fmt: skip
    network = find("memory-bank", options).build(Replay(resnet(options, DATA)), DATA)
    (op, *_) = network.encoding.blocks[0].ops
    assert (op.structure, op.convolutions[0].layer, op.nonlinearity) == ("2", "separable", "gelu")


REFUSED: dict[str, tuple[Callable[..., Architecture], dict[str, Any], dict[str, Any], str]] = {
    "budget": (resnet, {"ops": 8}, {"ops": 7}, "read budget of 28 slices, and these 8 ops read 32"),
    "memory": (densenet, {"ops": 9}, {"ops": 4}, "room for 8 new banks of 2 units, not for 9"),
    "banks": (densenet, {"growth": 5}, {"growth": 4}, "cannot have banks of 5; give one of"),
    "halves of slices": (densenet, {"growth": 3}, {"growth": 2}, "'block0.op0.reads' is"),
    "no op": (resnet, {"ops": 0}, {"ops": 1}, "give ops=1"),
    "no column": (fractalnet, {"columns": 0}, {"columns": 2}, "give columns=2"),
    "columns": (fractalnet, {"columns": 5}, {"columns": 3}, "block 0 has"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_space_does_not_hold_is_refused(why: str) -> None:
    make, bad, good, said = REFUSED[why]
    with pytest.raises(SpaceError, match=said) as error:
        make(OPTIONS, DATA, **bad)
    assert "\n" not in str(error.value)
    make(OPTIONS, DATA, **good)


def test_an_option_that_is_missing_is_named() -> None:
    with pytest.raises(SpaceError, match="give --set writes=add,mean"):
        fractalnet(OPTIONS | {"writes": ["add"]}, DATA)
    with pytest.raises(SpaceError, match="give --set cap=14"):
        resnet(OPTIONS | {"cap": 8}, DATA)
    with pytest.raises(SpaceError, match="has no option 'widht'"):
        resnet({"widht": 3}, DATA)
