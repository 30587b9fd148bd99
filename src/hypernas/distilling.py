"""Distillation: while fitting, candidates learn from a trained teacher as well as from labels.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (arXiv 1503.02531).
The teacher is the exported network of another run on the same data. What it says of a batch is
computed once, for all candidates of the step; where the fit shows every example as it is, once for
the whole fit.
"""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor, nn

from hypernas.data import Batches, Normalisation
from hypernas.errors import ConfigError, RunError
from hypernas.files import read_json
from hypernas.precision import autocast
from hypernas.tasks import Outputs, Task, final

if TYPE_CHECKING:
    from hypernas.workplace import Workplace

WEIGHT = 0.5
"""of the teacher's part in the loss, unless said otherwise"""
FILES = ("architecture.json", "model.py", "model.safetensors")
"""of an export, what makes a teacher"""
MOST_KEPT = 50_000_000
"""outputs, in values, that are kept for the whole fit"""


class Teacher:
    """A trained network, and how much of the loss is to be like it.

    Args:
        module: gives (B, ...) outputs for inputs of the fit, as ``rescale`` makes them its own.
        batches: of the fit split, as the fit draws them.
        weight: share of the loss that is the distance from the teacher, 0 to 1.
        temperature: by which logits are divided on both sides.
        rescale: factor and summand (C, 1, …) by which normalised images of the fit become such as
            the teacher was trained on; None leaves inputs as they are.
        precision: ``fp32`` or ``bf16``.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Batches,
        *,
        weight: float,
        temperature: float,
        rescale: tuple[Tensor, Tensor] | None = None,
        precision: str = "fp32",
    ) -> None:
        self.module = module.eval()
        self.batches = batches
        self.weight = weight
        self.temperature = temperature
        self.rescale = rescale
        self.precision = precision

    def says(self, inputs: Tensor, seed: int, purpose: str, step: int) -> Tensor:
        """Return the teacher's last exit for a batch that ``batches.random`` drew, (B, ...)."""
        if self._kept is not None:
            return self._kept.index_select(0, self.batches.shown(seed, purpose, step))
        return self._outputs(inputs)

    def loss(self, task: Task, outputs: Outputs, targets: Tensor, said: Tensor) -> Tensor:
        """Return the loss against the labels, mixed with the distance from the teacher."""
        own = task.loss(outputs, targets)
        return torch.lerp(
            own, task.distil(outputs, said, temperature=self.temperature), self.weight
        )

    @cached_property
    def _kept(self) -> Tensor | None:
        """What the teacher says of every example, (n, ...), where examples do not change."""
        if not self.batches.unchanged:
            return None
        parts, values = [], 0
        for inputs, _ in self.batches.in_order():
            parts.append(self._outputs(inputs))
            values += parts[-1].numel()
            if values > MOST_KEPT:
                return None
        return torch.cat(parts)

    @torch.no_grad()
    def _outputs(self, inputs: Tensor) -> Tensor:
        if self.rescale is not None:
            factor, summand = self.rescale
            inputs = inputs * factor + summand
        with autocast(inputs.device, self.precision):
            return final(self.module(inputs)).float()


def teacher_of(place: Workplace) -> Teacher | None:
    """Return the teacher of a run's fit, or None where it has none.

    Raises:
        ConfigError: there is no trained network, or it is of other data.
    """
    config = place.config
    if config.teacher is None:
        return None
    from hypernas.exporting import read_export  # needs half a second, and few runs need it

    folder = _folder(place)
    about = read_json(folder / FILES[0])
    _require_same(place, about)
    module = read_export(folder).to(config.device)
    teacher = Teacher(
        module,
        place.fit_batches,
        weight=WEIGHT if config.distil is None else config.distil,
        temperature=config.distil_temperature,
        rescale=_rescale(place, about),
        precision=config.precision,
    )
    example = place.signature.example_input().to(config.device)
    said = teacher._outputs(example)
    place.task.distil(said, said, temperature=teacher.temperature)  # refuses what cannot be
    return teacher


def _folder(place: Workplace) -> Path:
    """Return the folder of the teacher: the run's own copy, or what the user gave."""
    kept = place.folder / "teacher"
    if kept.is_dir():
        return kept
    given = Path(place.config.teacher or "")
    folder = given / "best" if (given / "best").is_dir() else given
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"--teacher {given}: no {missing[0]} there; give a finished run folder, or its best/"
        )
    return folder


def copy_teacher(place: Workplace, folder: Path) -> None:
    """Copy the teacher into a run folder, so that the run does not depend on another one."""
    if place.config.teacher is not None:
        (folder / "teacher").mkdir()
        for name in FILES:
            shutil.copyfile(_folder(place) / name, folder / "teacher" / name)


def _require_same(place: Workplace, about: dict[str, Any]) -> None:
    """Refuse a teacher of other data."""
    data = place.data
    ours = {
        "fingerprint": data.fingerprint,
        "data": data.name,
        "input_shape": list(data.input_shape),
        "classes": list(data.classes),
    }
    ours |= {kind: msgspec.to_builtins(getattr(data, kind)) for kind in ("vocabulary", "columns")}
    for name, value in ours.items():
        # what an older export does not say is not held against it
        theirs = about.get(name, value if name == "fingerprint" else None)
        if theirs != value:
            raise ConfigError(
                f"--teacher {place.config.teacher}: it was trained with {name} {_short(theirs)}, "
                f"this run has {_short(value)}; give a network trained on these data"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rescale(place: Workplace, about: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Return how our images become the teacher's, which may have been normalised otherwise."""
    ours = place.data.normalisation
    if ours is None:
        return None
    try:
        theirs = msgspec.convert(about["normalisation"], Normalisation)
    except (KeyError, msgspec.ValidationError) as error:
        raise RunError(
            f"--teacher {place.config.teacher}: its architecture.json has no normalisation; "
            "export the network again"
        ) from error
    if theirs == ours:
        return None
    ones = [1] * (len(place.data.input_shape) - 1)
    mean, std, their_mean, their_std = (
        torch.tensor(values, device=place.config.device).view(-1, *ones)
        for values in (ours.mean, ours.std, theirs.mean, theirs.std)
    )
    return std / their_std, (mean - their_mean) / their_std
