"""Weights before norms are found, and another scale of theirs changes nothing."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from hypernas import hypernets
from hypernas.candidate import Candidates, build_network
from hypernas.scale_free import at_own_scale, scale_free
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.tracing import read_graph

DATA = Signature((3, 16, 16), 10)


class Net(nn.Module):
    """One convolution of each case."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.pointwise = nn.Conv2d(4, 4, 1, bias=False)
        self.second = nn.GroupNorm(2, 4)
        self.biased = nn.Conv2d(4, 4, 1)
        self.third = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1, bias=False)
        self.fourth = nn.BatchNorm2d(4)
        self.tied = nn.Conv2d(4, 4, 1, bias=False)
        self.head = nn.Linear(4, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.free(x)))
        x = self.second(self.pointwise(self.depthwise(x)))
        x = self.third(self.biased(x))
        both = self.twice(x)
        x = self.fourth(both) + both
        x = self.fourth(self.tied(x)) + torch.relu(self.tied(x))
        return self.head(x.mean((2, 3)))


def test_those_before_norms_alone_are_free() -> None:
    graph = read_graph(Net(), (3, 16, 16))
    assert scale_free(graph) == {"free.weight", "depthwise.weight", "pointwise.weight"}


@pytest.mark.parametrize("space", ["cell", "nas-bench-201", "nas-bench-macro", "memory-bank"])
def test_what_a_network_computes_stays(space: str) -> None:
    places = Candidates(find(space, {}), DATA)
    candidate = places.draw(random.Random(0))
    (weights,) = hypernets.make("ghn", seed=0)([candidate])
    large = {name: 7 * w.detach() if w.ndim > 1 else w.detach() for name, w in weights.items()}
    network = build_network(places.space, candidate.choices, DATA, seed=0)
    own = network.state_dict()
    scaled = at_own_scale(large, own, candidate.graph)
    free = scale_free(candidate.graph)
    assert len(free) >= 3
    for name, tensor in scaled.items():
        if name in free:
            assert tensor.norm().item() == pytest.approx(own[name].norm().item(), rel=1e-4)
            assert torch.allclose(tensor / tensor.norm(), large[name] / large[name].norm())
        else:
            assert torch.equal(tensor, large[name])
    x = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for layer in network.train().modules():
        if hasattr(layer, "eps"):
            layer.eps = 1e-12  # which norms add to the variance, and smaller weights feel more
    first, second = (functional_call(network, own | each, (x,)) for each in (large, scaled))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)
