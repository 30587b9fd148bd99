"""What of a candidate the graph hypernetwork has never learned to write."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from hypernas.candidate import Candidate, Candidates
from hypernas.hypernets import make
from hypernas.hypernets.operators import EXTRAS, operators, side_by_side
from hypernas.spaces import find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)


def of(cells: int) -> Candidate:
    space = find("cell", {"width": 4, "cells": cells, "nodes": 2})
    return Candidates(space, DATA).draw(random.Random(0))


@pytest.mark.parametrize("stacking", ["own", "own-passed", "position"])
def test_cells_beyond_those_met_were_never_fitted(stacking: str) -> None:
    hypernet = make("ghn", {"stacking": stacking})
    few, many = of(2), of(4)
    assert len(hypernet.untrained(few)) == len(dict(few.module.named_parameters()))
    hypernet.prepare([few])
    assert hypernet.untrained(few) == []
    beyond = {
        p.name
        for node in many.graph.nodes
        if node.segment >= few.graph.segments
        for p in node.parameters
    }
    assert set(hypernet.untrained(many)) == beyond != set()
    hypernet.prepare([of(1)])
    kept = make("ghn", {"stacking": stacking})
    kept.load_state_dict(hypernet.state_dict())
    assert kept.untrained(few) == []
    assert kept.untrained(many) == hypernet.untrained(many)
    kept.prepare([many])
    assert kept.untrained(many) == []


@pytest.mark.parametrize("stacking", ["passed", "shared", "flat"])
def test_what_all_cells_share_is_fitted_by_any(stacking: str) -> None:
    hypernet = make("ghn", {"stacking": stacking})
    assert hypernet.untrained(of(4)) == []
    assert all(torch.is_floating_point(value) for value in hypernet.state_dict().values())


def test_operators_begin_far_apart() -> None:
    """Else all convolutions begin as one, and most of a fit goes by until they part."""
    alike = {f"edge{i}": "nor_conv_3x3" for i in range(6)}
    space = find("nas-bench-201", {"width": 8, "cells": 2, "stages": 2})
    candidates = Candidates(space, DATA)
    names = candidates.draw(random.Random(0)).choices
    candidate = candidates.of(dict(zip(names, alike.values(), strict=True)))
    for seed in range(3):
        with torch.no_grad():
            (weights,) = make("ghn", seed=seed)([candidate])
        kernels = torch.stack([w for w in weights.values() if w.shape == (8, 8, 3, 3)])
        common = kernels.mean(0)
        own = (kernels - common).square().mean().sqrt()
        assert len(kernels) == 12
        assert own > 0.1 * common.square().mean().sqrt()


def test_an_operator_tells_its_place() -> None:
    graph = operators(of(3))
    depth, segment = (graph.features[:, EXTRAS.index(n) - len(EXTRAS)] for n in EXTRAS[:2])
    assert set(segment) == set(np.linspace(0, 1, graph.segment.max() + 1, dtype=np.float32))
    assert depth.min() == 0
    assert depth.max() == 1
    assert all(depth[source] < depth[target] for source, target in graph.edges)


def test_cells_that_do_not_hear_each_other_pass_at_once() -> None:
    candidates = [of(3), of(1)]
    at_once = make("ghn", {"stacking": "shared"})
    in_turn = make("ghn", {"stacking": "shared"})
    in_turn.apart = False
    graph = side_by_side([operators(candidate) for candidate in candidates])
    assert len(in_turn.structure(graph, torch.device("cpu"))) > 3
    assert len(at_once.structure(graph, torch.device("cpu"))) == 1
    for one, other in zip(at_once(candidates), in_turn(candidates), strict=True):
        for name, weight in one.items():
            torch.testing.assert_close(weight, other[name], rtol=1e-4, atol=1e-5)
