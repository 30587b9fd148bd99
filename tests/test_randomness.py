"""Draws depend on the seed and the purpose, and on nothing else."""

from __future__ import annotations

import random

import numpy as np
import torch

from hypernas.randomness import derived_seed, numpy_rng, rng, torch_generator


def test_equal_purposes_draw_equal_numbers_whatever_was_drawn_before() -> None:
    def draws() -> tuple[object, ...]:
        return (
            rng(1, "a", 2).random(),
            numpy_rng(1, "a", 2).random(),
            torch.rand(1, generator=torch_generator(1, "a", 2)).item(),
        )

    first = draws()
    random.random(), np.random.default_rng().random(), torch.rand(3)
    assert draws() == first


def test_a_seed_is_the_same_in_every_version() -> None:
    assert derived_seed(0, "draw", 1) == 9210630851206611937
    assert derived_seed(0) == 4761921975702974394


def test_other_seeds_and_purposes_draw_other_numbers() -> None:
    purposes = [(seed, name, step) for seed in range(9) for name in "ab" for step in range(99)]
    seeds = {derived_seed(*purpose) for purpose in purposes}
    assert len(seeds) == len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_generators_are_left_alone() -> None:
    before = random.getstate(), torch.get_rng_state()
    rng(0), numpy_rng(0), torch_generator(0)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
