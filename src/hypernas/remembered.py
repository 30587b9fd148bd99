"""What a run folder remembers of its data and its space, to know them again."""

from __future__ import annotations

from typing import Any

from hypernas.data import Augmentation, Normalisation
from hypernas.results import Struct


class DataRecord(Struct, frozen=True):
    """What a run folder remembers of its data; written to ``data.json``."""

    name: str
    fingerprint: str
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    fit: int
    validation: int
    test: int
    skipped: int
    normalisation: Normalisation
    augmentation: Augmentation
    views: int = 1


class SpaceRecord(Struct, frozen=True):
    """What a run folder remembers of its space; written to ``space.json``."""

    name: str
    function: str
    digest: str
    options: dict[str, Any]
    fit_options: dict[str, Any] = {}
    """options that differ while the hypernetwork is trained"""
