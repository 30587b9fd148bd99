"""Networks of a space are like its networks; other families are not."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from families import OWN
from torch import nn

from hypernas.candidate import Candidates
from hypernas.errors import ConfigError
from hypernas.likeness import NAMES, SLACK, Likeness, figures
from hypernas.reading import graph_of
from hypernas.spaces import find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 16, 16), outputs=10)


@pytest.fixture(scope="module")
def made() -> Candidates:
    return Candidates(find("cell", {"width": 4, "cells": 2}), DATA)


@pytest.fixture(scope="module")
def like(made: Candidates) -> Likeness:
    return Likeness([made.draw(random.Random(n)).graph for n in range(60)])


def test_figures_of_a_small_graph() -> None:
    module = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ReLU(), nn.Dropout(), nn.AvgPool2d(5, 1, 2),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    found = dict(zip(NAMES, figures(graph_of(module, torch.zeros(1, 4, 4, 4))), strict=True))
    expected = {f"{kind} operations": 0.2 for kind in ("conv", "relu", "avg pool", "reshape")}
    expected |= {"linear operations": 0.2, "kernels of 3": 0.5, "kernels of 5": 0.5}
    expected |= {"grouped convolutions": 0.5, "operations with weights": np.log2(3)}
    expected |= {"depth": np.log2(3), "widest result": np.log2(65)}
    expected |= {"parameters": np.log2(1 + 76 + 195), "MACs": np.log2(1 + 4 * 16 * 18 + 192)}
    assert {name: value for name, value in found.items() if value} == pytest.approx(expected)


def test_a_training_graph_is_no_distance_away_and_has_one_nearest_other(like: Likeness) -> None:
    graph = graph_of(nn.Sequential(nn.Linear(4, 2)), torch.zeros(1, 4))
    other = graph_of(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), torch.zeros(1, 4))
    pair = Likeness([graph, other])
    assert pair.distance(graph) == 0
    assert pair.usual == pytest.approx(pair.between(graph, other))
    assert pair.between(graph, other) == pair.between(other, graph) > 0
    assert like.limit == SLACK * like.usual > 0


def test_graphs_that_are_all_the_same_allow_what_hardly_differs() -> None:
    def mlp(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))

    same, near, far = (graph_of(mlp(width), torch.zeros(1, 4)) for width in (64, 72, 640))
    like = Likeness([same] * 3)
    assert like.usual == 0
    assert like.limit == SLACK
    assert like.distance(same) < like.distance(near) < like.limit < like.distance(far)


@pytest.mark.parametrize("count", [0, 1])
def test_one_graph_says_nothing(count: int) -> None:
    graph = graph_of(nn.Linear(4, 2), torch.zeros(1, 4))
    with pytest.raises(ConfigError, match=rf"^{count} training graph .* larger --survey"):
        Likeness([graph] * count)


def test_other_draws_of_the_space_are_like_it(made: Candidates, like: Likeness) -> None:
    draws = [like.distance(made.draw(random.Random(1000 + n)).graph) for n in range(40)]
    assert np.mean(np.array(draws) > like.limit) <= 0.05
    assert np.median(draws) < like.usual


@pytest.mark.parametrize("family", ["VGG", "DenseNet", "ConvNeXt", "ViT", "MLP", "U-Net"])
def test_other_families_are_not(family: str, like: Likeness) -> None:
    make, example = OWN[family]
    graph = graph_of(make(), example)
    assert like.distance(graph) > like.limit
    assert len(like.strangest(graph)) == 2


def test_what_is_strangest_is_said_in_words(like: Likeness) -> None:
    make, example = OWN["MLP"]
    first, *_ = like.strangest(graph_of(make(), example))
    assert first.startswith("50% linear operations (there ")
    wide = nn.Sequential(nn.Conv2d(3, 9999, 3), nn.ReLU())
    (size,) = [
        text for text in like.strangest(graph_of(wide, torch.zeros(1, 3, 16, 16)), len(NAMES))
        if "widest" in text
    ]  # fmt: skip
    assert size.startswith("9,999 widest result (there ")
