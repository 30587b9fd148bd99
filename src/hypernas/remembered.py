"""What a run folder remembers: its data and its space, to know them again, and its ladder."""

from __future__ import annotations

from typing import Any

from hypernas.config import Config
from hypernas.data import (
    Augmentation,
    Columns,
    Dataset,
    Encoding,
    Normalisation,
    Splits,
    Vocabulary,
)
from hypernas.errors import ConfigError
from hypernas.results import Struct
from hypernas.tasks import Signature

MIRRORED = ("fashion-mnist", "modelnet10", "modelnet40")
"""data sets without colours whose examples may be mirrored"""


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


class Believed(Struct, frozen=True):
    """What is believed of a network."""

    choices: dict[str, Any]
    params: int
    macs: int
    score: float
    rungs: int
    """on how many rungs it stands"""
    accuracy: float
    """expected on validation, mean over seeds"""
    deviation: float
    """how far it may be off"""


class LadderRecord(Struct, frozen=True):
    """What a ladder knows; written to ``ladder.json``."""

    ended: bool
    certainty: float
    """probability that no network of the ladder is half a point or more above the best trained"""
    candidates: list[Believed]
    """those of which most is expected, best first"""
    seconds: float = 0.0
    """CPU seconds of zero-cost scores, of the rungs below the top, and of trainings given up"""


def record_of(dataset: Dataset, splits: Splits, config: Config) -> DataRecord:
    """Say what there is to remember of a data set."""
    encoding = dataset.encoding(splits.fit, unit=config.tokens, length=config.text_length)
    return DataRecord(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        input_shape=encoding.shape(splits.fit),
        classes=dataset.classes,
        fit=len(splits.fit),
        validation=len(splits.validation),
        test=len(splits.test),
        skipped=len(dataset.skipped),
        augmentation=_augmentation(dataset, config),
        views=splits.fit.views,
        task=splits.fit.task,
        normalisation=encoding if isinstance(encoding, Normalisation) else None,
        vocabulary=encoding if isinstance(encoding, Vocabulary) else None,
        columns=encoding if isinstance(encoding, Columns) else None,
    )


def _augmentation(dataset: Dataset, config: Config) -> Augmentation:
    """Return what was asked for, else what suits the data.

    Photographs may be mirrored; grey images are often digits or letters, which may not, but the
    clothes of Fashion-MNIST and the objects of ModelNet may.
    """
    shape = dataset.train.shape
    if dataset.train.kind != "images":
        for name in ("flip", "crop", "cutout"):
            if getattr(config, name):
                raise ConfigError(f"--{name} is for images; leave it out for {config.data}")
        return Augmentation()
    mirrored = shape[0] == 3 or dataset.name in MIRRORED
    return Augmentation(
        flip=mirrored if config.flip is None else config.flip,
        crop=min(shape[1:]) // 8 if config.crop is None else config.crop,
        cutout=config.cutout,
    )
