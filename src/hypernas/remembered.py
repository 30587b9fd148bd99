"""What a run folder remembers of its data and its space, to know them again."""

from __future__ import annotations

from typing import Any

from hypernas.data import Augmentation, Columns, Encoding, Normalisation, Vocabulary
from hypernas.results import Struct
from hypernas.tasks import Signature


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
    augmentation: Augmentation
    normalisation: Normalisation | None = None
    """how images are encoded"""
    vocabulary: Vocabulary | None = None
    """how texts are encoded"""
    columns: Columns | None = None
    """how tables are encoded"""
    views: int = 1
    task: str = "classification"

    @property
    def encoding(self) -> Encoding:
        """How the inputs are encoded."""
        found = self.normalisation or self.vocabulary or self.columns
        assert found is not None
        return found

    @property
    def signature(self) -> Signature:
        """What a space is told."""
        return Signature(
            input_shape=self.input_shape,
            outputs=len(self.classes),
            vocabulary=self.encoding.vocabulary,
            task=self.task,
        )


class SpaceRecord(Struct, frozen=True):
    """What a run folder remembers of its space; written to ``space.json``."""

    name: str
    function: str
    digest: str
    options: dict[str, Any]
    fit_options: dict[str, Any] = {}
    """options that differ while the hypernetwork is trained"""
