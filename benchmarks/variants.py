"""Experiments: ways to fit a hypernetwork, and to score by it, that are no options of the package.

What a way is worth is measured on tables of ground truth; :func:`measured` gives the values that
it gives to their networks. Several ways are read off one fit, which is fitted once and kept:

- ``plain``: the score of the fit as it is, beside which the others stand;
- ``averaged``: by an exponential average of the hypernetwork's weights;
- ``mean weights``: by the mean of its weights at the last checkpoints;
- ``mean score``: the mean of the scores by the weights at each of these;
- ``accuracy``: the score accuracy in place of the score;
- ``ensemble``: the mean of the scores by all fits; ``pairs``: by each fit and the next one;
- ``4 short fits``: the mean of the scores by four fits of a quarter of the steps each;
- ``re-estimated``: with statistics of normalisation re-estimated for each network;
- ``refitted head``: with the last layer fitted to the data (:mod:`refitted`);
- ``60 steps``: after as many steps of training from the generated weights.

Others have a fit of their own, at other options of the package (:data:`CHANGES`) or steps
(:data:`LENGTHS`), or of another hypernetwork:

- ``operations only``: nodes tell kinds and kernels, but no shapes;
- ``no places``: nodes do not tell where they are;
- ``modulated``: see :mod:`modulated`;
- ``distilled``: candidates learn from a trained network too, once :func:`teach` was told of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np
import torch
from correlation import kept_scores
from known import digest_of
from refitted import refitted
from torch import Tensor

from hypernas.choices import Architecture, identity
from hypernas.errors import ConfigError
from hypernas.files import read_json, read_tensors, write_json, write_tensors
from hypernas.fitting import Fit, fit
from hypernas.hypernets.ghn import GHN
from hypernas.hypernets.graph_hypernet import Tables
from hypernas.hypernets.hypernet import BUILT_IN
from hypernas.hypernets.operators import EXTRAS, FEATURES
from hypernas.jobs import Warm
from hypernas.proxies import Timed
from hypernas.workplace import Workplace

DECAY = 0.998
"""of the exponential average: about the last 500 steps"""
CHECKPOINTS, SHARE = 5, 20
"""how many of the last checkpoints are kept, which are a SHARE-th of the steps apart"""
OWN = {
    "operations only": "variants:OperationsOnly",
    "no places": "variants:NoPlaces",
    "modulated": "modulated:Modulated",
}
"""hypernetworks with a fit of their own, by the names under which they are made"""
BUILT_IN.update(OWN)
CHANGES: dict[str, dict[str, Any]] = {
    "uniform draws": {"draw": "uniform"},
    "draws by operation": {"draw": "operations"},
    "draws by TPE": {"fit_sampler": "tpe"},
    "draws by Hyperband": {"fit_sampler": "hyperband"},
    "4 candidates a step": {"meta_batch": 4},
    "stacking shared": {"hypernet_options": {"stacking": "shared"}},
    "1 cell": {"fit_options": {"cells": 1}},
    "wider": {"hypernet_options": {"state": 64, "hidden": 128, "rounds": 3}},
    **{name: {"hypernet": name} for name in OWN},
}
"""options of the fit, in place of those of the run"""
LENGTHS = {"4 candidates a step": 0.25, "4 times the steps": 4.0}
"""steps of the fit, as a share of the others'"""
SAME_FIT = (
    "plain",
    "averaged",
    "mean weights",
    "mean score",
    "accuracy",
    "re-estimated",
    "refitted head",
    "60 steps",
)
SHORT, SHORT_FITS = "4 short fits", 4


def names() -> list[str]:
    """Return the ways that can be measured now."""
    return [*SAME_FIT, "ensemble", "pairs", SHORT, *CHANGES, "4 times the steps"]


def teach(run: Path) -> None:
    """Let fits of ``distilled`` learn from the best network of a run on the same data."""
    CHANGES["distilled"] = {"teacher": str(run.resolve())}


def kept_as(name: str) -> str:
    """Return by what name the figures of a way are kept, which tells its teacher, if it has one."""
    changes = CHANGES.get(name, {})
    return f"{name}-{identity(changes)}" if "teacher" in changes else name


@dataclass(frozen=True)
class Measured:
    """What networks are worth by one of the ways.

    Attributes:
        values: of each fit and network, (fits, networks), the more the better.
        fit: CPU seconds of fitting behind a row of them.
        score: CPU seconds of each value.
    """

    values: list[list[float]]
    fit: float
    score: float


def measured(
    places: Sequence[Workplace],
    architectures: Sequence[Architecture],
    name: str,
    *,
    steps: int,
    folder: Path,
) -> Measured:
    """Return what ``architectures`` are worth by one of :func:`names`.

    Args:
        places: one for each fit, with data and survey, and seeds of their own.
        architectures: of the space of the places.
        name: which way.
        steps: of each fit.
        folder: where fits and scores are kept, those of these places alone; a call that was killed
            goes on.

    Raises:
        ConfigError: there is no such way.
    """
    if name not in names():
        raise ConfigError(f"no way {name!r} to fit or score; known are {', '.join(names())}")
    if name in ("ensemble", "pairs"):
        plain = measured(places, architectures, "plain", steps=steps, folder=folder)
        return _together(plain, len(places) if name == "ensemble" else 2)
    if name == SHORT:
        return _short(places, architectures, steps, folder)
    rows = [_by_one_fit(place, architectures, name, steps, folder) for place in places]
    return Measured(
        [row.values[0] for row in rows],
        float(np.mean([row.fit for row in rows])),
        float(np.mean([row.score for row in rows])),
    )


def _together(plain: Measured, size: int) -> Measured:
    """Return the means over ``size`` fits in a row, from each of them on; one row if that is all.

    Rows share fits, so their spread is not that of independent ensembles.
    """
    values, count = np.array(plain.values), len(plain.values)
    starts = range(1 if size == count else count)
    means = [values[(start + np.arange(size)) % count].mean(0).tolist() for start in starts]
    return Measured(means, size * plain.fit, size * plain.score)


def _short(
    places: Sequence[Workplace], architectures: Sequence[Architecture], steps: int, folder: Path
) -> Measured:
    """Return a row for each place, of several short fits with seeds of their own."""
    # a folder of their own: they know the space by the survey of another seed than plain ones
    rows, own = [], folder / "short"
    for place in places:
        first = SHORT_FITS * place.config.seed
        several = [_changed(place, folder, {"seed": first + n}) for n in range(SHORT_FITS)]
        part = measured(several, architectures, "plain", steps=steps // SHORT_FITS, folder=own)
        rows.append(_together(part, SHORT_FITS))
    fits, scores = (float(np.mean([getattr(row, of) for row in rows])) for of in ("fit", "score"))
    return Measured([row.values[0] for row in rows], fits, scores)


def _by_one_fit(
    place: Workplace, architectures: Sequence[Architecture], name: str, steps: int, folder: Path
) -> Measured:
    """Fit a hypernetwork, if that is not done, and return a single row."""
    steps = round(steps * LENGTHS.get(name, 1))
    which = "plain" if name in (*SAME_FIT, *LENGTHS.keys() - CHANGES) else kept_as(name)
    changes = CHANGES.get(name, {})
    own = folder / f"{which}-{steps}-{place.config.seed}".replace(" ", "-")
    place = _changed(place, own, changes)
    hypernet = place.new_hypernet()
    work = Kept.of(place.fit(hypernet, steps), own)
    fit(work, own, place.scorer(hypernet))
    if name == "re-estimated":
        place = _changed(place, own, {"statistics": "reestimated"})
    config = place.config
    digest = digest_of(architectures)
    if name in ONE_BY_ONE:
        hypernet.load_state_dict(_weights(name, own, steps)[str(steps)])
        place.hypernet = hypernet.eval()
        told, value = ONE_BY_ONE[name]
        values, each = _each(place, architectures, value, own / f"{told}-{digest}.json")
        return Measured([values], work.seconds, each)
    rows, seconds = [], 0.0
    for label, weights in _weights(name, own, steps).items():
        hypernet.load_state_dict(weights)
        told = label if config.statistics == "batch" else f"{label}-{config.statistics}"
        path = own / f"scores-{told}-{config.score_images}-{digest}.json"
        scores, each = kept_scores(place, hypernet, architectures, path)
        rows.append([s.score_accuracy if name == "accuracy" else s.score for s in scores])
        seconds += each
    return Measured([np.mean(rows, axis=0).tolist()], work.seconds, seconds)


def _changed(place: Workplace, folder: Path, changes: dict[str, Any]) -> Workplace:
    """Return a place with the same data and other options; what it finds goes to ``folder``."""
    made = Workplace(folder, msgspec.structs.replace(place.config, **changes))
    made.splits, made.data = place.splits, place.data
    if changes.get("fit_options"):
        made.look(len(place.survey.drawn))
    else:
        made.survey = place.survey
    return made


def _warm(place: Workplace, choices: Architecture) -> Timed:
    return Warm(choices=choices).do(place)


def _refitted(place: Workplace, choices: Architecture) -> Timed:
    began, candidate = time.process_time(), place.candidates.of(choices)
    with torch.no_grad():
        (weights,) = place.hypernet([candidate])
    score = place.generated.judge(candidate, refitted(place, candidate, weights)).score
    return Timed(value=score, seconds=time.process_time() - began)


ONE_BY_ONE = {"60 steps": ("warm", _warm), "refitted head": ("refitted", _refitted)}
"""scores that are no scorer's: the name of their files, and what gives one"""


def _each(
    place: Workplace,
    architectures: Sequence[Architecture],
    value: Callable[[Workplace, Architecture], Timed],
    path: Path,
) -> tuple[list[float], float]:
    """Return what each architecture is worth, and the CPU seconds of each."""
    found = read_json(path, list[tuple[float, float]]) if path.exists() else []
    for choices in architectures[len(found) :]:
        one = value(place, choices)
        found.append((one.value, one.seconds))
        write_json(path, found)
    scores, seconds = zip(*found, strict=True)
    return list(scores), fmean(seconds)


def _weights(name: str, folder: Path, steps: int) -> dict[str, dict[str, Tensor]]:
    """Return the weights of the hypernetwork by which a way scores, each under a label."""
    if name == "averaged":
        return {"averaged": read_tensors(_average(folder, steps))[0]}
    if name not in ("mean weights", "mean score"):
        return {str(steps): read_tensors(_checkpoint(folder, steps))[0]}
    kept = {str(step): read_tensors(_checkpoint(folder, step))[0] for step in kept_steps(steps)}
    if name == "mean score":
        return kept
    last = kept[str(steps)]
    means = {
        key: torch.stack([weights[key] for weights in kept.values()]).mean(0)
        for key, value in last.items()
        if value.is_floating_point() and all(_same_shape(w, key, value) for w in kept.values())
    }
    return {"mean-weights": last | means}


def _same_shape(weights: dict[str, Tensor], key: str, value: Tensor) -> bool:
    """Say whether a tensor was there; those of tables may be met late, and grow."""
    return key in weights and weights[key].shape == value.shape


class Kept(Fit):
    """A fit that keeps an average of its weights, and its weights at the last checkpoints.

    Attributes:
        folder: of the fit, where it keeps them.
        average: of the hypernetwork's tensors, by name.
    """

    folder: Path
    average: dict[str, Tensor]

    @classmethod
    def of(cls, work: Fit, folder: Path) -> Kept:
        """Return a fit that is like ``work``, which has not begun."""
        made = cls(**{field.name: getattr(work, field.name) for field in fields(work)})
        made.folder, made.average = folder, {}
        return made

    def advance(self) -> float:
        loss = super().advance()
        self._add(self.hypernet.state_dict())
        if self.step in kept_steps(self.options.steps):
            write_tensors(_checkpoint(self.folder, self.step), self.hypernet.state_dict())
        return loss

    def _add(self, weights: dict[str, Tensor]) -> None:
        """Bring the average up to date; at first it is the mean of few, so that it forgets."""
        share = 1 - min(DECAY, (self.step - 1) / (self.step + 8))
        for name, value in weights.items():
            if value.is_floating_point() and _same_shape(self.average, name, value):
                self.average[name].lerp_(value, share)
            else:
                self.average[name] = value.clone()

    def save(self, path: Path) -> None:
        own = _average(self.folder, self.step)
        write_tensors(own, self.average)  # before the checkpoint, which then never lacks it
        super().save(path)
        for other in set(self.folder.glob("average-*.safetensors")) - {own}:
            other.unlink()

    def load(self, path: Path) -> None:
        super().load(path)
        state = self.hypernet.state_dict()
        kept = read_tensors(_average(self.folder, self.step))[0]
        self.average = {name: value.to(state[name].device) for name, value in kept.items()}


def kept_steps(steps: int) -> list[int]:
    """Return the steps of the last checkpoints, in order.

    >>> kept_steps(100)
    [80, 85, 90, 95, 100]
    """
    apart = max(1, steps // SHARE)
    last = [steps - apart * back for back in reversed(range(CHECKPOINTS))]
    return [step for step in last if step > 0]


def _average(folder: Path, step: int) -> Path:
    return folder / f"average-{step}.safetensors"


def _checkpoint(folder: Path, step: int) -> Path:
    return folder / f"weights-{step}.safetensors"


class OperationsOnly(GHN):
    """GHN whose nodes tell the kinds, kernels and number of their operations, and no shapes."""

    untold = ("strided", "log channels", "log size")
    """features that are left out"""

    def states(self, tables: Tables) -> Tensor:
        told = torch.ones(FEATURES, device=tables.features.device)
        for name in self.untold:
            told[FEATURES - len(EXTRAS) + EXTRAS.index(name)] = 0
        return super().states(replace(tables, features=tables.features * told))


class NoPlaces(OperationsOnly):
    """GHN whose nodes do not tell where they are."""

    untold = ("depth", "segment")
