"""Sizes and distances that were never fitted have codes that were."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hypernas.candidate import Candidate, Candidates
from hypernas.errors import ConfigError
from hypernas.hypernets import make
from hypernas.hypernets.embedding import OCTAVES, Embedding, Waves
from hypernas.hypernets.operators import FEATURES
from hypernas.spaces import find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)
CODES = ("embed.sizes", "degrees", "depths", "related", "unrelated")


def of(**options: Any) -> Candidate:
    return Candidates(find("cell", {"nodes": 3} | options), DATA).draw(random.Random(0))


def test_near_sizes_have_near_codes() -> None:
    torch.manual_seed(0)
    embedding = Embedding(64)
    channels = torch.tensor([8.0, 16.0, 24.0, 32.0, 128.0, 8192.0])
    sizes = torch.stack([channels, *torch.ones(3, 6)], dim=1)
    codes = embedding(torch.zeros(6, FEATURES), sizes).detach() - embedding.features.bias
    quarter = codes[:, :16]
    likeness = F.cosine_similarity(quarter[2:3], quarter, dim=1)
    assert likeness[[1, 3]].min() > 0.5 > likeness[[0, 4, 5]].max()
    assert torch.allclose(codes[:, 16:], codes[:1, 16:]), "the other sizes are the same"
    assert torch.pdist(quarter).min() > 0.5, "each size has a code of its own"


def test_no_weight_has_no_code() -> None:
    embedding = Embedding(8)
    none, one = embedding(torch.zeros(2, FEATURES), torch.tensor([[0.0] * 4, [1.0] * 4]))
    assert torch.equal(none, embedding.features.bias)
    assert not torch.allclose(one, none, atol=0.1)


def test_a_number_between_two_has_a_code_between_theirs() -> None:
    torch.manual_seed(0)
    waves = Waves(64, OCTAVES)
    for met in torch.arange(9.0):  # 1 to 256 channels
        low, middle, high = waves(met + torch.tensor([0.0, 0.5, 1.0])).detach()
        off = (middle - (low + high) / 2).norm()
        assert off < 0.3 * (high - low).norm() < 0.3 * 2 * low.norm()


@pytest.mark.parametrize("name", ["ghn2", "ghn3"])
def test_larger_networks_are_read_by_what_small_ones_have_fitted(name: str) -> None:
    hypernet = make(name)

    def used(candidate: Candidate) -> dict[str, torch.Tensor]:
        hypernet.zero_grad()
        torch.stack([w.square().sum() for w in hypernet([candidate])[0].values()]).sum().backward()
        return {n: p.grad != 0 for n, p in hypernet.named_parameters() if n.startswith(CODES)}

    small, large = used(of(width=4, cells=2)), used(of(width=14, cells=6))
    assert small
    for name_of, entries in large.items():
        assert not (entries & ~small[name_of]).any(), name_of


@pytest.mark.parametrize(
    ("name", "option", "of_state"),
    [("ghn3", "cutoff", False), ("ghn2", "width", False), ("ghn2", "state", True)],
)
def test_a_refusal_speaks_of_state_where_that_is_wrong(
    name: str, option: str, of_state: bool
) -> None:
    with pytest.raises(ConfigError, match=f"{name} got {option}=0; expected 1 or more") as refused:
        make(name, {option: 0})
    assert ("multiple of 4 for state" in str(refused.value)) == of_state
