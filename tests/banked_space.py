"""Memory-bank networks for tests: small ones, and ones in which everything is switched on."""

from __future__ import annotations

import random
from typing import Any

from torch import nn

from hypernas.candidate import build_network
from hypernas.choices import Architecture, Draw
from hypernas.spaces import find
from hypernas.spaces.banks.modules import MemoryBankNetwork
from hypernas.spaces.banks.settings import (
    ATTENTION,
    GATES,
    LAYERS,
    NONLINEARITIES,
    NORMS,
    ORDERS,
    STRUCTURES,
    WRITES,
)
from hypernas.tasks import Signature

LISTS: dict[str, tuple[str, ...]] = {
    "structures": tuple(STRUCTURES),
    "nonlinearities": NONLINEARITIES,
    "orders": ORDERS,
    "norms": NORMS,
    "gates": GATES,
    "writes": WRITES,
    "attention": ATTENTION,
    "layers": LAYERS,
}
EVERYTHING: dict[str, Any] = {**LISTS, "macro": True, "persistent": 1, "repeats": 2}
SMALL: dict[str, Any] = {"unit": 2, "groups": 2, "depth": 1, "blocks": 2}


def images(*shape: int) -> Signature:
    return Signature(input_shape=shape, outputs=5)


DATA = images(3, 8, 8)


def drawn(seed: int, data: Signature = DATA, **options: Any) -> tuple[nn.Module, Architecture]:
    """Return a network for training and its choices."""
    space, choose = find("memory-bank", options), Draw(random.Random(seed))
    space.build(choose, data)
    network = build_network(space, choose.choices, data, seed=seed)
    assert isinstance(network, MemoryBankNetwork)  # nothing was pruned
    return network, choose.choices
