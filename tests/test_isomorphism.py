"""Graphs with one digest are one network; networks that differ have different ones."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate, Candidates
from hypernas.isomorphism import network_digest
from hypernas.reading import graph_of
from hypernas.spaces import find
from hypernas.spaces.nas_bench_201 import EDGES, OPERATIONS
from hypernas.tasks import Signature

CELLS = list(itertools.product(OPERATIONS, repeat=len(EDGES)))


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    space = find("nas-bench-201", {"width": 2, "cells": 1, "stages": 1})
    return Candidates(space, Signature(input_shape=(1, 4, 4), outputs=2))


def with_one_weight_a_kind(candidate: Candidate, x: Tensor) -> Tensor:
    """Run a candidate whose operations of one kind all have the same weights."""
    weights = {}
    for name, parameter in candidate.module.named_parameters():
        generator = torch.Generator().manual_seed(parameter.numel())
        first = torch.randn(parameter.shape, generator=generator, dtype=torch.double)
        weights[name] = first + (1 if name.endswith("bias") else 0)
    return candidate(weights, x)


def test_one_digest_is_one_function(candidates: Candidates) -> None:
    x = torch.randn(3, 1, 4, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    found: dict[bytes, list[Tensor]] = defaultdict(list)
    sizes: dict[bytes, set[tuple[int, int]]] = defaultdict(set)
    for cell in random.Random(0).sample(CELLS, 300):
        choices = {f"edge{a}-{b}": name for (a, b), name in zip(EDGES, cell, strict=True)}
        candidate = candidates.of(choices)
        digest = network_digest(candidate.graph)
        found[digest].append(with_one_weight_a_kind(candidate, x))
        sizes[digest].add((candidate.params, candidate.macs))
    assert all(len(of_one) == 1 for of_one in sizes.values())
    twice = [outputs for outputs in found.values() if len(outputs) > 1]
    assert len(twice) > 15
    for outputs in twice:
        for output in outputs[1:]:
            torch.testing.assert_close(output, outputs[0])
    assert len(found) > 200


def cell(candidates: Candidates, **edges: str) -> bytes:
    choices = {f"edge{a}-{b}": edges.get(f"e{a}{b}", "none") for a, b in EDGES}
    return network_digest(candidates.of(choices).graph)


CONV, POOL, SKIP = "nor_conv_3x3", "avg_pool_3x3", "skip_connect"
SAME = {
    "other nodes": ({"e01": CONV, "e13": POOL}, {"e02": CONV, "e23": POOL}),
    "an identity between": ({"e01": CONV, "e13": SKIP}, {"e03": CONV}),
    "another order of terms": (
        {"e01": CONV, "e13": POOL, "e03": CONV},
        {"e02": CONV, "e23": POOL, "e03": CONV},
    ),
    "a value computed twice": (
        {"e01": POOL, "e13": CONV, "e03": POOL},
        {"e01": POOL, "e13": SKIP, "e02": POOL, "e23": CONV},
    ),
}
OTHER = {
    "one convolution or two": (
        {"e01": CONV, "e12": SKIP, "e13": SKIP, "e23": SKIP},
        {"e01": CONV, "e02": CONV, "e13": SKIP, "e23": SKIP},
    ),
    "once or twice": ({"e03": CONV}, {"e01": CONV, "e12": SKIP, "e13": SKIP, "e23": SKIP}),
    "order of a chain": ({"e01": CONV, "e13": POOL}, {"e01": POOL, "e13": CONV}),
}


@pytest.mark.parametrize("name", SAME)
def test_same_cells(name: str, candidates: Candidates) -> None:
    one, other = SAME[name]
    assert cell(candidates, **one) == cell(candidates, **other)


@pytest.mark.parametrize("name", OTHER)
def test_other_cells(name: str, candidates: Candidates) -> None:
    one, other = OTHER[name]
    assert cell(candidates, **one) != cell(candidates, **other)


def conv(**options: int) -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, padding=options.get("dilation", 1), **options)


class Exits(nn.Module):
    """Two outputs, in one order or the other."""

    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        self.one, self.two, self.turned = nn.Linear(2, 2), nn.Linear(2, 2), turned

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        deep = self.two(torch.relu(self.one(x)))
        return (deep, self.one(x)) if self.turned else (self.one(x), deep)


def digest(module: nn.Module, *shape: int) -> bytes:
    return network_digest(graph_of(module, torch.zeros(1, *shape)))


def test_what_tells_networks_apart() -> None:
    modules = [conv(), conv(dilation=2), conv(groups=2), nn.Sequential(conv(), conv())]
    modules += [nn.Sequential(conv(), nn.ReLU()), nn.Sequential(conv(), nn.Tanh())]
    modules += [nn.Sequential(conv(), nn.ELU()), nn.Sequential(conv(), nn.MaxPool2d(3, 1, 1))]
    modules += [nn.Sequential(conv(), nn.AvgPool2d(3, 1, 1)), conv(bias=False)]
    digests = [digest(module, 2, 6, 6) for module in modules]
    assert len(set(digests)) == len(modules)
    assert digest(Exits(turned=False), 2) != digest(Exits(turned=True), 2)


def test_names_are_not_looked_at() -> None:
    plain = nn.Sequential(conv(), nn.ReLU(), conv())
    named = nn.ModuleDict({"first": conv(), "last": conv()})

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = named

        def forward(self, x: Tensor) -> Tensor:
            return self.layers["last"](nn.Identity()(torch.relu(self.layers["first"](x))))

    assert digest(plain, 2, 6, 6) == digest(Named(), 2, 6, 6)
