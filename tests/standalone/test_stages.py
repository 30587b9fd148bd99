"""Networks with exits as source: each exit runs by itself, as it does among all."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidates, build_network
from hypernas.errors import GraphError
from hypernas.results import AskedExit
from hypernas.spaces import find
from hypernas.standalone import source_of
from hypernas.tasks import Signature

from .rebuilding import run, warmed

SHAPE = (1, 9, 9)


def asked(*macs: tuple[int, int, int]) -> list[AskedExit]:
    return [
        AskedExit(number=n, macs=m, stop_macs=s, val_accuracy=0.5, test_accuracy=None)
        for n, m, s in macs
    ]


def written(module: nn.Module, exits: list[AskedExit]) -> tuple[str, nn.Module]:
    text = source_of(
        module, docstring="x", input_shape=SHAPE, classes=[], normalisation=None, exits=exits
    )
    network = run(text).build()
    network.load_state_dict(module.state_dict())
    return text, network.eval()


@pytest.mark.parametrize("seed", range(8))
def test_each_exit_runs_alone(seed: int) -> None:
    data = Signature(input_shape=SHAPE, outputs=3)
    space = find("anytime", {"width": 4, "nodes": [6, 4], "exits": 0.6})
    candidate = Candidates(space, data).draw(random.Random(seed))
    module = warmed(build_network(space, candidate.choices, data, seed=0), SHAPE)
    exits = asked(*((i, i + 1, i + 1) for i in range(len(candidate.exit_macs))))
    text, network = written(module, exits)
    assert max(map(len, text.splitlines())) <= 100
    assert not any(line != line.rstrip() for line in text.splitlines())
    x = torch.randn(3, *SHAPE)
    right = module(x)
    for given, expected in zip(network(x), right, strict=True):
        torch.testing.assert_close(given, expected)
    graph, seen = candidate.graph, set()
    for path, layer in network.named_modules():
        if not layer._modules:
            layer.register_forward_hook(lambda *_, path=path: seen.add(path))
    for number, expected in enumerate(right):
        seen.clear()
        torch.testing.assert_close(network.predict(x, budget=number + 1), expected)
        needed = {graph.nodes[i].path for i in graph.needed(graph.outputs[number])}
        assert seen == needed & {path for path, _ in network.named_modules()}
        (only,) = network.stages(x, {number})
        torch.testing.assert_close(only, expected)


class Shared(nn.Module):
    """Exits whose values are used again, and functions beside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.more = nn.Conv2d(4, 4, 3)
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.body(x)
        y = torch.relu(self.more(x))
        first = self.first(x.mean((2, 3)))
        second = self.second(y.mean((2, 3)).view(x.shape[0], -1))
        return first, second + first, 2 * second


def test_exits_that_others_use() -> None:
    torch.manual_seed(0)
    module = warmed(Shared(), SHAPE)
    text, network = written(module, asked((0, 10, 10), (1, 30, 30)))
    assert text.count("yield") == 3
    x = torch.randn(4, *SHAPE)
    right = module(x)
    for given, expected in zip(network(x), right, strict=True):
        torch.testing.assert_close(given, expected)
    for number in range(3):
        torch.testing.assert_close(next(network.stages(x, {number})), right[number])


def test_predict_of_the_file() -> None:
    torch.manual_seed(1)
    module = warmed(Shared(), SHAPE)
    _, network = written(module, asked((0, 10, 10), (1, 30, 32)))
    x = torch.randn(6, *SHAPE)
    first, second, _ = module(x)
    torch.testing.assert_close(network.predict(x, budget=29), first)
    torch.testing.assert_close(network.predict(x), second)
    torch.testing.assert_close(network.predict(x, threshold=0.0), first)
    torch.testing.assert_close(network.predict(x, threshold=1.0), second)
    torch.testing.assert_close(network.predict(x, threshold=1.0, budget=31), first)
    threshold = first.softmax(1).amax(1).median().item()
    sure = first.softmax(1).amax(1, keepdim=True) >= threshold
    torch.testing.assert_close(
        network.predict(x, threshold=threshold), torch.where(sure, first, second)
    )
    with pytest.raises(ValueError, match="a budget of 9 pays for no exit; give 10 or more"):
        network.predict(x, budget=9)
    for wrong in (5, -1, float("nan")):
        with pytest.raises(ValueError, match=f"threshold of {wrong} is no probability; give 0 to"):
            network.predict(x, threshold=wrong)


class Twice(nn.Module):
    """Gives one value twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc(x)
        return x, x


def test_a_value_given_twice_is_refused() -> None:
    with pytest.raises(GraphError, match="gives one value twice"):
        written(Twice(), asked((0, 1, 1)))
