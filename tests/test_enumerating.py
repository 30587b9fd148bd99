"""Every architecture of a space is met once, and a space that is too large is refused."""

from __future__ import annotations

import time

import pytest
import small_space
from small_space import SIGNATURE

from hypernas.candidate import Candidates
from hypernas.choices import canonical
from hypernas.enumerating import every_architecture
from hypernas.errors import SpaceError
from hypernas.randomness import rng
from hypernas.spaces import Space, find


def test_a_flat_space_is_the_product_of_its_options() -> None:
    six = Candidates(Space("six", small_space.six), SIGNATURE)
    found = list(every_architecture(six, most=6, seed=0))
    assert found == [{"width": w, "bias": b} for w in (2, 3, 4) for b in (False, True)]


def test_conditional_choices_and_subsets_are_met_once() -> None:
    candidates = Candidates(small_space.space(deepest=2), SIGNATURE)
    every = list(every_architecture(candidates, most=1000, seed=0))
    texts = {canonical(choices) for choices in every}
    assert len(texts) == len(every)
    # by width: conv with 2 or 3 kernels, pool, none; 0 to 2 layers; 3 subsets of heads
    assert len(every) == sum(3 * (1 + n + n * n) for n in (4, 5))
    for number in range(60):
        assert canonical(candidates.draw(rng(0, "test", number)).choices) in texts
    assert candidates.of(every[-1]).choices == every[-1]


def test_too_many_are_refused() -> None:
    candidates = Candidates(small_space.space(deepest=2), SIGNATURE)
    with pytest.raises(SpaceError, match=r"more than 100 architectures.*--random 300.*--all"):
        list(every_architecture(candidates, most=100, seed=0))
    start = time.process_time()
    large = Candidates(find("cell", {"nodes": 8}), SIGNATURE)
    with pytest.raises(SpaceError, match=r"about \d.*architectures.*20,000 at most"):
        next(every_architecture(large, most=20_000, seed=0))
    assert time.process_time() - start < 5  # it is not counted
