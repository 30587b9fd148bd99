"""GHN-3's pairs, and its layers against attention written out."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from hypernas.candidate import Candidates
from hypernas.hypernets.ghn3 import GHN3, Layer, pair_codes
from hypernas.hypernets.operators import distances, operators, side_by_side
from hypernas.spaces import find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)
CELL = Candidates(find("cell", {"width": 4, "cells": 2, "nodes": 3}), DATA)


def test_every_way_two_operators_can_lie_has_its_own_number() -> None:
    # 0 → 1 → 2 → 3 → 4, and 5 apart
    edges = np.array([[i, i + 1] for i in range(4)])
    codes = pair_codes(distances(6, edges), cutoff=2)
    assert codes[3].tolist() == [4, 3, 2, 0, 5, 1]  # two away, then longer than the cutoff
    assert codes[0].tolist() == [0, 5, 6, 7, 7, 1]
    assert set(codes.ravel().tolist()) == set(range(2 * 3 + 2))
    assert (codes[5, :5] == 1).all()


def test_degrees_and_depths_are_those_of_the_graph() -> None:
    candidates = [CELL.draw(random.Random(seed)) for seed in (0, 1)]
    graph = side_by_side([operators(c, most=1, flat=True) for c in candidates])
    pairs = GHN3().structure(graph, torch.device("cpu"))
    assert [len(codes) for codes in pairs.codes] == np.bincount(graph.owner).tolist()
    assert {codes.dtype for codes in pairs.codes} == {torch.int32}, "half of what int64 takes"
    for v in range(len(graph)):
        degrees = [int((graph.edges[:, end] == v).sum()) for end in (1, 0)]
        assert pairs.degrees[v].tolist() == degrees
        length, front = 1, {v}  # walk back until the input is met
        while not any(graph.features[u, 0] for u in front):
            front = {int(s) for s, t in graph.edges if t in front}
            length += 1
        assert int(pairs.depths[v]) == length


def attention(layer: Layer, states: Tensor, bias: Tensor) -> Tensor:
    """Attend head by head and row by row (arXiv 2106.05234, eq. 6), before norms and the MLP."""
    size = states.shape[1]
    asked = layer.attention(layer.before(states))
    width = size // layer.heads
    heard = torch.zeros_like(states)
    for head in range(layer.heads):
        own = slice(head * width, (head + 1) * width)
        query, key, value = (asked[:, k * size : (k + 1) * size][:, own] for k in range(3))
        for row in range(len(states)):
            logits = key @ query[row] / width**0.5 + bias[head, row]
            heard[row, own] = logits.softmax(0) @ value
    after = states + layer.joined(heard)
    return after + layer.mlp(layer.between(after))


@pytest.mark.parametrize("counts", [[7], [3, 5]])
def test_a_layer_attends_within_each_candidate(counts: list[int]) -> None:
    torch.manual_seed(0)
    layer = Layer(8, 2)
    states = torch.randn(sum(counts), 8)
    biases = [torch.randn(1, 2, n, n) for n in counts]
    found = layer(states, biases)
    for own, bias, result in zip(states.split(counts), biases, found.split(counts), strict=True):
        assert torch.allclose(result, attention(layer, own, bias[0]), atol=1e-5)


def test_distance_reaches_the_weights() -> None:
    (candidate,) = [CELL.draw(random.Random(0))]
    hypernet = GHN3()
    before = hypernet([candidate])[0]["stem.0.weight"].detach()
    with torch.no_grad():
        for codes in hypernet.related.parameters():
            codes += 3 * torch.randn_like(codes)
    assert not torch.allclose(hypernet([candidate])[0]["stem.0.weight"], before, atol=1e-3)
