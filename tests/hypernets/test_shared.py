"""The shared table is sliced and grows, and a score never changes it."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from hypernas.candidate import Candidate, Candidates
from hypernas.hypernets import make
from hypernas.hypernets.shared import SharedWeights
from hypernas.spaces import Space, find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)


def sized(choose: Any, data: Signature) -> nn.Module:
    width, kernel = choose("width", [2, 4, 6]), choose("kernel", [1, 3])
    layers = [nn.Conv2d(3, width, kernel), nn.BatchNorm2d(width), nn.Conv2d(width, 4, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


MADE = Candidates(Space("sized", sized), DATA)


def of(width: int, kernel: int = 3) -> Candidate:
    return MADE.of({"width": width, "kernel": kernel})


def table(*candidates: Candidate) -> SharedWeights:
    made = make("shared")
    assert isinstance(made, SharedWeights)
    made.prepare(candidates)
    return made


def snapshot(shared: SharedWeights) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in shared.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_narrow_candidate_gets_the_first_channels_of_the_table() -> None:
    shared = table(of(6))
    for parameter in shared.parameters():
        nn.init.normal_(parameter)
    wide, narrow = shared([of(6), of(2)])
    assert torch.equal(narrow["0.weight"], wide["0.weight"][:2])
    assert torch.equal(narrow["0.bias"], wide["0.bias"][:2])
    assert torch.equal(narrow["1.weight"], wide["1.weight"][:2])
    assert torch.equal(narrow["2.weight"], wide["2.weight"][:, :2])
    assert torch.equal(narrow["5.weight"], wide["5.weight"])
    assert shared.prepare([of(2)]) == []


def test_gradients_of_a_slice_reach_its_part_only() -> None:
    shared = table(of(6))
    (narrow,) = shared([of(2)])
    narrow["0.weight"].sum().backward()
    (grad,) = [p.grad for p in shared.parameters() if p.grad is not None]
    assert grad[:2].eq(1).all()
    assert grad[2:].eq(0).all()


def test_growth_keeps_the_old_part_and_says_what_it_replaced() -> None:
    shared = table(of(2))
    for parameter in shared.parameters():
        nn.init.normal_(parameter)
    before = dict(shared.table.entries.items())
    (narrow,) = shared([of(2)])
    replaced = shared.prepare([of(6)])
    assert len(replaced) == 5  # convolution, its bias, scale, shift, next convolution
    for old, new in replaced:
        assert any(old is entry for entry in before.values())
        assert any(new is entry for entry in shared.parameters())
        assert isinstance(new, nn.Parameter)
        assert new.requires_grad
        assert old is not None
        assert torch.equal(new[tuple(slice(0, n) for n in old.shape)], old)
    (again,) = shared([of(2)])
    assert all(torch.equal(again[k], narrow[k]) for k in narrow)
    assert shared([of(6)])[0]["0.weight"].shape == (6, 3, 3, 3)


def test_growth_in_two_directions_covers_both() -> None:
    shared = table(of(4))
    shared.prepare([of(2), of(6), of(4)])
    assert all(not shared.prepare([of(width)]) for width in (2, 4, 6))


def test_kernels_of_their_own_are_not_sliced_from_each_other() -> None:
    shared = table(of(4, 1))
    assert "0.weight" in shared.untrained(of(4, 3))
    replaced = shared.prepare([of(4, 3)])
    assert {old for old, _ in replaced} == {None}
    small, large = shared([of(4, 1), of(4, 3)])
    assert not torch.equal(small["0.weight"][..., 0, 0], large["0.weight"][..., 0, 0])


def test_a_score_does_not_change_the_table() -> None:
    shared = table(of(2, 1))
    before = snapshot(shared)
    missing = shared.untrained(of(6, 3))
    assert missing == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight"]
    assert shared.untrained(of(2, 1)) == []
    first = shared([of(6, 3)])[0]
    shared([of(4, 3), of(6, 1)])
    second = shared([of(6, 3)])[0]
    assert same(snapshot(shared), before)
    assert shared.untrained(of(6, 3)) == missing
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_entry_does_not_depend_on_when_it_is_first_met() -> None:
    one, other = table(of(6, 1), of(6, 3)), table(of(6, 3), of(6, 1))
    assert same(snapshot(one), snapshot(other))


def test_a_table_is_loaded_into_an_empty_one() -> None:
    candidates = Candidates(find("cell", {"width": 4, "cells": 2}), DATA)
    drawn = [candidates.draw(random.Random(seed)) for seed in range(4)]
    full = table(*drawn)
    for parameter in full.parameters():
        nn.init.normal_(parameter)
    empty = table()
    assert len(list(empty.parameters())) == 0
    empty.load_state_dict(full.state_dict())
    assert same(snapshot(empty), snapshot(full))
    assert all(p.requires_grad for p in empty.parameters())
    for candidate in drawn:
        (first,), (second,) = full([candidate]), empty([candidate])
        assert all(torch.equal(first[k], second[k]) for k in first)


def test_first_values_are_those_of_a_fresh_layer() -> None:
    (weights,) = table(of(6))([of(6)])
    assert weights["1.weight"].eq(1).all()
    assert weights["1.bias"].eq(0).all()
    assert weights["0.bias"].eq(0).all()
    assert 0.5 < weights["0.weight"].std() / (2 / 27) ** 0.5 < 1.5
