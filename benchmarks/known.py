"""A table of ground truth as benchmarks use it: accuracies, sizes, and what a training costs here.

A table may come from another machine, perhaps from a GPU, whose seconds are of no use beside those
of this one. So some of its networks are trained for a few steps here, and what a step costs is a
line in MACs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from hypernas.candidate import build_network
from hypernas.choices import Architecture, identity
from hypernas.errors import RunError
from hypernas.files import read_json, write_json
from hypernas.ground_truth import place_of, read
from hypernas.training import Trainer
from hypernas.workplace import Workplace

TRUTH = Path(__file__).parent / "truth"
TIMED, STEPS = 8, 6
"""networks that are trained to know the cost of training, and their steps; the first is left out"""

Floats = NDArray[np.float64]


def digest_of(architectures: Sequence[Architecture]) -> str:
    """Return a name for architectures in their order."""
    return identity({"architectures": [identity(choices) for choices in architectures]})


class Known:
    """A table of ground truth.

    Args:
        name: of the file in ``truth/``, without its ending.
        work: folder for what is worked out from it.

    Attributes:
        truths: its networks that were trained.
        place: with its data and space.
    """

    def __init__(self, name: str, work: Path) -> None:
        table = read(TRUTH / f"{name}.jsonl.gz")
        self.name = name
        self.truths = [truth for truth in table.networks if truth.accuracy(0) is not None]
        self.recipe = table.setting.recipe
        # what is worked out for other data or another recipe lies elsewhere
        setting = identity({"setting": msgspec.to_builtins(table.setting)})
        self.place: Workplace = place_of(table.setting, work / f"{name}-{setting}")

    @property
    def choices(self) -> list[Architecture]:
        """The architectures, N."""
        return [truth.choices for truth in self.truths]

    @property
    def digest(self) -> str:
        """Name of what is worked out for these architectures, in this order."""
        return digest_of(self.choices)

    @cached_property
    def by_seed(self) -> Floats:
        """Accuracy on the test split by each seed, (N, seeds); NaN where there is none."""
        most = max(trial.seed for truth in self.truths for trial in truth.trials) + 1
        rows = [[truth.accuracy(seed) for seed in range(most)] for truth in self.truths]
        return np.array(rows, dtype=float)

    @property
    def seeds(self) -> int:
        """How many trainings of a network, the first ones, are the truth: all have as many."""
        return int((~np.isnan(self.by_seed)).cumprod(1).sum(1).min())

    @property
    def accuracy(self) -> Floats:
        """On the test split, mean over :attr:`seeds`, (N,): the truth."""
        return self.by_seed[:, : self.seeds].mean(1)

    @property
    def twice(self) -> NDArray[np.bool_]:
        """Which networks were trained by the first two seeds, (N,)."""
        return (~np.isnan(self.by_seed[:, :2])).sum(1) == 2

    @property
    def of_two(self) -> Floats:
        """Accuracy on the test split, mean over the first two seeds, (N,); NaN of a single one."""
        return np.where(self.twice, self.by_seed[:, :2].mean(1), np.nan)

    def require_twice(self) -> None:
        """Refuse a table of which a network was trained once: the luckiest would seem the best.

        Raises:
            RunError: says how many are lacking.
        """
        lacking = int((~self.twice).sum())
        if lacking:
            raise RunError(
                f"{lacking} networks of {self.name} were trained once; train all of them twice, "
                f"with --seeds 2 --repeated {len(self.truths)}"
            )

    @cached_property
    def validation(self) -> Floats:
        """Accuracy on the validation split by each seed, (N, seeds); NaN where there is none."""
        found = np.full(self.by_seed.shape, np.nan)
        for row, truth in zip(found, self.truths, strict=True):
            for trial in truth.trials:
                row[trial.seed] = trial.val_accuracy
        return found

    @cached_property
    def by_epoch(self) -> Floats:
        """Accuracy on the validation split after each epoch of the first seed, (N, epochs)."""
        return np.array([truth.trials[0].by_epoch for truth in self.truths])

    @cached_property
    def params(self) -> Floats:
        """(N,)."""
        return np.array([truth.params for truth in self.truths], dtype=float)

    @cached_property
    def macs(self) -> Floats:
        """(N,)."""
        return np.array([truth.macs for truth in self.truths], dtype=float)

    @property
    def biggest(self) -> int:
        """Which network has the most parameters; a run trains it whatever ranks."""
        return int(self.params.argmax())

    @cached_property
    def seconds(self) -> Floats:
        """CPU seconds of a whole training on this machine, (N,)."""
        path = self.place.folder / "seconds-of-a-step.json"
        if not path.exists():
            write_json(path, self._timed())
        sizes, steps = np.array(read_json(path)).T
        slope, start = np.polyfit(sizes, steps, 1)
        each = np.maximum(start + slope * self.macs, min(steps))
        return each * self.recipe.epochs * self.place.train_batches.batches_per_epoch

    def _timed(self) -> list[tuple[float, float]]:
        """Return MACs, and the CPU seconds of a training step, of networks of all sizes."""
        order = np.argsort(self.macs)
        found = []
        for number in order[np.linspace(0, len(order) - 1, TIMED).astype(int)]:
            place = self.place
            module = build_network(place.space, self.choices[number], place.signature, seed=0)
            recipe = place.recipe(self.recipe.epochs)
            trainer = Trainer(module, place.train_batches, place.task, recipe, place.folder, seed=0)
            optimiser, costs = trainer.optimiser(), []
            for _ in range(STEPS):
                began = time.process_time()
                trainer.advance(optimiser)
                costs.append(time.process_time() - began)
            found.append((float(self.macs[number]), float(np.median(costs[1:]))))
        return found


def luck(by_seed: Floats) -> float:
    """Return the standard deviation of what seeds of a network reach, from (N, seeds)."""
    seeds = (~np.isnan(by_seed)).sum(1)
    return float(np.sqrt((np.nanvar(by_seed, 1) * seeds).sum() / max((seeds - 1).sum(), 1)))


def published(known: Known, path: Path) -> Known:
    """Return a table of ``nas-bench-macro`` with the published accuracies of its networks.

    Args:
        known: the table, which keeps sizes and what was trained for it.
        path: the published table of all 6,561, three seeds each.
    """
    accuracies = json.loads(path.read_text())
    found = copy(known)
    found.name = "nas-bench-macro-published"
    layers = [f"layer{number}" for number in range(8)]
    keys = ["".join(choices[layer] for layer in layers) for choices in known.choices]
    found.by_seed = np.array([accuracies[key]["test_acc"] for key in keys]) / 100
    found.seconds = np.full(len(keys), np.nan)  # full-size trainings elsewhere
    return found
