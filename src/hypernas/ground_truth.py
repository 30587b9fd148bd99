"""Ground truth: random networks of a search space trained for real, kept in one file.

A table is text, JSON lines, perhaps compressed: ``NAME.jsonl`` or ``NAME.jsonl.gz``. The first line
is what decides it (:class:`Setting`), each other line is one network with all its trainings
(:class:`Truth`), in the order in which they were drawn. It is written as a whole after each
training, so it can be read and copied at any time. What is under way lies beside it in
``NAME.work/``, a run folder without a search, until the table is complete.

No two networks of a table are the same (:mod:`hypernas.isomorphism`), and the outputs of each
depend on its inputs.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from hypernas import data
from hypernas.asked import GroundTruth
from hypernas.branches import require_counts, require_same, train_each, write_branch
from hypernas.candidate import Candidate, build_network
from hypernas.choices import Architecture, canonical
from hypernas.config import Config, check, in_full
from hypernas.console import Voice
from hypernas.errors import ConfigError, RunError
from hypernas.files import replacing
from hypernas.jobs import Train
from hypernas.lock import owned
from hypernas.randomness import rng
from hypernas.ranking import tau
from hypernas.results import Struct, Training
from hypernas.searching import distinct
from hypernas.training import Recipe
from hypernas.versions import installed
from hypernas.workplace import Workplace

DRAWS_PER_NETWORK = 200
"""random architectures that are drawn at most, for each that a table is to hold"""


class Setting(Struct, frozen=True):
    """What decides a table."""

    data: str
    """name of a data set, or a path"""
    fingerprint: str
    """of the data"""
    image_size: int | None
    examples: int | None
    """most training examples, of which a part is the validation split"""
    space: str
    options: dict[str, Any]
    """of the space, all of them"""
    recipe: Recipe
    seed: int
    """of the splits, of the draws, and with their own seeds of the trainings"""


class Trial(Struct, frozen=True):
    """One training of a network of a table; see :class:`hypernas.results.Training`."""

    seed: int
    val_accuracy: float
    test_accuracy: float
    seconds: float
    """CPU seconds"""
    val_loss: float | None = None
    by_epoch: list[float] = []
    """validation accuracy after each epoch"""
    versions: dict[str, str] = {}
    """of Python and the libraries"""
    device: str = "cpu"
    """on which it was trained"""


class Truth(Struct, frozen=True):
    """One network of a table."""

    choices: dict[str, Any]
    params: int
    macs: int
    trials: list[Trial]
    """by seed"""

    def accuracy(self, seed: int) -> float | None:
        """Return the accuracy on the test split that a seed reached; None: it was not tried."""
        return next((trial.test_accuracy for trial in self.trials if trial.seed == seed), None)


class Table(Struct, frozen=True):
    """What is known of the networks of a space."""

    setting: Setting
    networks: list[Truth]

    def with_training(self, choices: Architecture, training: Training, device: str) -> Table:
        """Return the table with one more training of one of its networks, on some device."""
        assert training.test_accuracy is not None
        trial = Trial(
            seed=training.seed,
            val_accuracy=training.val_accuracy,
            test_accuracy=training.test_accuracy,
            seconds=training.seconds,
            val_loss=training.val_loss,
            by_epoch=training.by_epoch,
            versions=installed(),
            device=device,
        )
        networks = [
            msgspec.structs.replace(
                truth, trials=sorted([*truth.trials, trial], key=lambda one: one.seed)
            )
            if truth.choices == choices
            else truth
            for truth in self.networks
        ]
        return Table(setting=self.setting, networks=networks)


def read(path: Path) -> Table:
    """Read a table.

    Raises:
        RunError: it is not there, or is no table.
    """
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
        setting = msgspec.json.decode(lines[0], type=Setting)
        networks = [msgspec.json.decode(line, type=Truth) for line in lines[1:]]
    except (OSError, EOFError, zlib.error, IndexError, msgspec.MsgspecError) as error:
        raise RunError(f"cannot read {path} as a table of ground truth: {error}") from error
    return Table(setting=setting, networks=networks)


def write(path: Path, table: Table) -> None:
    """Write a table as a whole."""
    encoded = [msgspec.json.encode(part) for part in (table.setting, *table.networks)]
    raw = b"".join(line + b"\n" for line in encoded)
    with replacing(path) as temporary:
        # without the time, so that equal tables are equal files
        temporary.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


def place_of(setting: Setting, folder: Path, **changes: Any) -> Workplace:
    """Return a workplace with the data and the space of a table; nothing is written yet.

    Args:
        setting: of the table.
        folder: of the workplace.
        changes: of the configuration: what the table does not decide.

    Raises:
        RunError: the data are other than those that the table was made with.
    """
    recipe = setting.recipe
    own: dict[str, Any] = {
        "data": data.in_full(setting.data),
        "image_size": setting.image_size,
        "examples": setting.examples,
        "space": setting.space,
        # which nobody may set: it is 1 but while fitting
        "options": {name: value for name, value in setting.options.items() if name != "ease"},
        "train_batch": recipe.batch,
        "train_rate": recipe.rate,
        "precision": recipe.precision,
        "seed": setting.seed,
    }
    if recipe.augmentation is not None:
        own |= msgspec.structs.asdict(recipe.augmentation)
    place = Workplace(folder, Config(**(own | changes)))
    place.data = place.record_data()
    if place.data.fingerprint != setting.fingerprint:
        raise RunError(
            f"{setting.data} holds other data than the table was made with; bring the old data back"
        )
    return place


def make(path: Path, asked: GroundTruth, voice: Voice) -> Table:
    """Train what a table lacks, and return it; a table that was stopped goes on.

    Raises:
        HypernasError: an option cannot work, or the table was made with other settings.
    """
    _check(path, asked)
    place = Workplace(path.with_name(f"{_stem(path)}.work"), _config(asked))
    require_same(place)
    setting = _setting(asked, place)
    known = _known(path, setting)
    place.space.require(place.signature)
    with voice.bar("draw") as update:
        drawn = architectures(place, asked.architectures, update)
    table = Table(setting=setting, networks=_merged(known, drawn))
    if todo := _lacking(table, asked):
        write_branch(place)
        with owned(place.folder):
            for job, training in train_each(place, todo, voice):
                table = table.with_training(job.choices, training, place.config.device)
                write(path, table)
            shutil.rmtree(place.folder)
    _show(table, place.task.short, voice)
    return table


def _check(path: Path, asked: GroundTruth) -> None:
    require_counts(
        architectures=asked.architectures,
        epochs=asked.epochs,
        seeds=asked.seeds,
        repeated=asked.repeated,
    )
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"--table {path}: expected a name that ends in .jsonl or .jsonl.gz")
    if not path.parent.is_dir():
        raise ConfigError(
            f"--table {path}: there is no folder {path.parent}; make it, or give another"
        )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _config(asked: GroundTruth) -> Config:
    """Return the configuration of a run on the same data, in the same space."""
    # there the epochs and the seeds are a matter of the plan
    names = set(Config.__struct_fields__) & set(asked.__struct_fields__) - {"epochs", "seeds"}
    config = in_full(Config(**{name: getattr(asked, name) for name in names}))
    check(config)
    return config


def _setting(asked: GroundTruth, place: Workplace) -> Setting:
    place.data = place.record_data()
    setting = Setting(
        data=asked.data,
        fingerprint=place.data.fingerprint,
        image_size=asked.image_size,
        examples=asked.examples,
        space=asked.space,
        options=place.space.options,
        recipe=place.recipe(asked.epochs),
        seed=asked.seed,
    )
    # as it is read from a file, where tuples are lists
    return msgspec.json.decode(msgspec.json.encode(setting), type=Setting)


def _known(path: Path, setting: Setting) -> list[Truth]:
    """Return what a table holds already.

    Raises:
        RunError: it was made with other settings.
    """
    if not path.exists():
        return []
    table = read(path)
    before, after = _flat(table.setting), _flat(setting)
    for name, value in after.items():
        if before[name] != value:
            raise RunError(
                f"{path} was made with {name.replace('_', '-')} {before[name]} instead of {value}; "
                "give the same options to go on, or another --table"
            )
    return table.networks


def _flat(setting: Setting) -> dict[str, Any]:
    """Return what decides a table by name, its recipe in parts."""
    found = msgspec.structs.asdict(setting)
    return found | msgspec.structs.asdict(found.pop("recipe"))


def architectures(
    place: Workplace, count: int, progress: Any = lambda done, total, text: None
) -> list[Candidate]:
    """Return the first ``count`` different architectures that the space draws.

    Raises:
        ConfigError: it does not draw as many.
    """

    def stream() -> Iterator[Candidate]:
        for number in range(DRAWS_PER_NETWORK * count):
            candidate = place.candidates.draw(rng(place.config.seed, "truth", number))
            if sees_inputs(place, candidate):
                progress(number + 1, None, "architectures drawn")
                yield candidate

    found = distinct(stream(), count)
    if len(found) < count:
        raise ConfigError(
            f"--architectures {count}: {place.space} drew {len(found)} different networks in "
            f"{DRAWS_PER_NETWORK * count} draws; give at most {len(found)}"
        )
    return found


def sees_inputs(place: Workplace, candidate: Candidate) -> bool:
    """Say whether the outputs of a network depend on its inputs."""
    module = build_network(place.space, candidate.choices, place.signature, seed=0).eval()
    first, second = place.validation_batches.fixed(torch.tensor([0, 1]))[0].cpu()
    with torch.no_grad():
        return not torch.equal(module(first[None]), module(second[None]))


def _merged(known: Sequence[Truth], drawn: Sequence[Candidate]) -> list[Truth]:
    """Return a line for each drawn architecture, and after them those trained besides."""
    old = {canonical(truth.choices): truth for truth in known}
    lines = []
    for candidate in drawn:
        new = Truth(
            choices=candidate.choices, params=candidate.params, macs=candidate.macs, trials=[]
        )
        lines.append(old.pop(canonical(candidate.choices), new))
    return [*lines, *(truth for truth in old.values() if truth.trials)]


def _lacking(table: Table, asked: GroundTruth) -> list[Train]:
    """Return the trainings that a table lacks, the first ones of all networks first."""
    first = table.networks[: asked.architectures]
    jobs = []
    for seed in range(asked.seeds):
        some = first if seed == 0 else first[: asked.repeated]
        jobs += [
            Train(choices=truth.choices, seed=seed, epochs=asked.epochs, by_epoch=True)
            for truth in some
            if truth.accuracy(seed) is None
        ]
    return jobs


def _show(table: Table, measure: str, voice: Voice) -> None:
    """Print what a table says of its space, and how far its seeds agree."""
    first = np.array([truth.accuracy(0) for truth in table.networks], dtype=float)
    low, middle, high = np.quantile(first, [0, 0.5, 1])
    hours = sum(trial.seconds for truth in table.networks for trial in truth.trials) / 3600
    voice.say(
        f"{len(first)} networks, {hours:.2g} CPU-hours; {measure} on test {low:.1%} to {high:.1%}, "
        f"median {middle:.1%}"
    )
    for name in ("params", "macs"):
        sizes = [getattr(truth, name) for truth in table.networks]
        voice.say(f"Kendall's tau of {name} and {measure}: {tau(sizes, first)}")
    twice = [(first[n], t.accuracy(1)) for n, t in enumerate(table.networks) if len(t.trials) > 1]
    if len(twice) > 2:
        one, other = np.array(twice, dtype=float).T
        voice.say(f"Kendall's tau of two seeds, {len(twice)} networks: {tau(one, other)}")
