"""What of a candidate the graph hypernetwork has never learned to write."""

from __future__ import annotations

import random

import pytest
import torch

from hypernas.candidate import Candidate, Candidates
from hypernas.hypernets import make
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
