"""The configuration of a run, and the counts that it becomes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from tyro.conf import Positional

from hypernas.errors import ConfigError
from hypernas.flags import (
    FitSpaceOptions,
    HypernetOptions,
    SamplerOptions,
    Size,
    SizeRange,
    SpaceOptions,
)
from hypernas.results import Limits, Struct

ScoreBy = Literal[
    "hypernet",
    "training",
    "params",
    "macs",
    "synflow",
    "naswot",
    "jacob-cov",
    "grad-norm",
    "snip",
]


Pruner = Literal["none", "halving", "hyperband"]


class Config(Struct, frozen=True):
    """Everything that decides a run's result; written to ``config.json``.

    None leaves a number to the tool: it follows from ``minutes``, or is the default.
    """

    data: Positional[str]
    """name of a data set, a folder of images, or a file: .npz, .csv, .jsonl"""
    space: str = "cell"
    """search space: NAME, or FILE.py:FUNCTION"""
    options: SpaceOptions = {}
    """options of the space, such as width=16"""
    fit_options: FitSpaceOptions = {}
    """options of the space that differ while the hypernetwork is trained, such as nodes=7"""
    hypernet: str = "ghn"
    """hypernetwork: ghn, ghn2, ghn3 (ghn3:s is larger), smash, or shared: plain weight sharing"""
    hypernet_options: HypernetOptions = {}
    """options of the hypernetwork, such as rounds=5"""
    max_params: Size | None = None
    """most parameters a network may have"""
    max_macs: Size | None = None
    """most multiply-accumulates for one example"""
    budgets: SizeRange | None = None
    """range of budgets, in MACs, over which networks with early exits are scored; by default from
    the cheapest to the dearest exit of the survey"""
    budget_scale: Literal["linear", "log"] = "linear"
    """budgets are equally likely by their MACs, or by the logarithm of these"""
    minutes: float = 30.0
    """wall-clock time of the whole run, in minutes; counts that are given stand, the others follow
    from what is left of it"""
    steps: int | None = None
    """optimiser steps of the hypernetwork; by default what the minutes allow"""
    fit_epochs: float | None = None
    """passes of the hypernetwork over the fit split, in place of --steps"""
    trials: int | None = None
    """candidates to score; by default what the minutes allow, or for smash what its options say"""
    finalists: int | None = None
    """best candidates to train for real, beside as many random ones and the biggest that fits; the
    ladder trains more candidates, and the best so many get all seeds; by default 5, or fewer where
    the minutes allow no more"""
    sample: int = 8
    """random networks to train for real, where more than the finalists; by them a run says how far
    its scores are to be believed, by fewer than 8 it cannot"""
    seeds: int | None = None
    """trainings of each of these networks; by default 3, or fewer as for --finalists"""
    epochs: int | None = None
    """epochs of each training; by default what the minutes allow"""
    best_epochs: int | None = None
    """epochs for which the winner goes on; by default what the minutes allow"""
    score_by: ScoreBy = "hypernet"
    """what ranks candidates: the loss with weights of the hypernetwork; training, each for real; or
    a value of the untrained network, params, macs, synflow, naswot, jacob-cov, grad-norm or snip"""
    score_epochs: int | None = None
    """epochs of each candidate with --score-by training; by default --epochs, or 5, or 9 with a
    --pruner"""
    pruner: Pruner = "none"
    """with --score-by training, which candidates are not trained to the end: none, or those that
    successive halving (halving) or hyperband stops"""
    strategy: Literal["ladder", "top"] | None = None
    """who becomes a finalist: who climbs a ladder of longer and longer trainings, which stops when
    nothing better is likely, or the top by score; by default the ladder, or with --score-by
    training the top"""
    sampler: str = "random"
    """how candidates are proposed: random, perturb, evolution, reinforce, smash, arch-gradient,
    tpe, nsga2 or nsga3"""
    sampler_options: SamplerOptions = {}
    """options of the sampler, such as population=16 of evolution, or markov=100 of smash"""
    draw: Literal["balanced", "uniform", "operations"] = "balanced"
    """candidates while fitting: each number of operations with weights equally often (balanced);
    each option of a choice equally often (operations); or as the space draws (uniform)"""
    fit_sampler: Literal["random", "tpe", "hyperband"] = "random"
    """what else decides on them: nothing; the losses so far, from which tpe proposes every other
    one; or hyperband, which fits many for a step or a few and the better ones for more"""
    fit_recipe: Literal["default", "classic"] = "default"
    """how the hypernetwork is trained: AdamW with warm-up and clipping, or Adam as in SMASH"""
    teacher: str | None = None
    """run folder on the same data, or exported best/, whose network candidates are to be like while
    fitting"""
    distil: float | None = None
    """share of the fit's loss that is the distance from the teacher, 0 to 1; by default 0.5"""
    distil_temperature: float = 4.0
    """by which logits are divided for that distance; above 1 the classes not chosen count more"""
    batch: int | None = None
    """examples in a step of the hypernetwork; by default 128, classic 50"""
    meta_batch: int = 1
    """candidates in a step of the hypernetwork; their gradients are averaged"""
    rate: float | None = None
    """highest learning rate of the hypernetwork; by default 0.002, classic 0.001"""
    anneal: float | None = None
    """share of the fit over which candidates go from the space's easiest to all of it, for spaces
    with the option ease; by default 0, classic 0.5"""
    score_images: int = 1000
    """validation examples on which candidates are scored"""
    statistics: Literal["batch", "reestimated"] = "batch"
    """what normalises a candidate's scoring batches: the batch, or statistics re-estimated for the
    candidate over images of the fit split"""
    statistics_images: int = 1000
    """fit examples over which they are re-estimated"""
    train_batch: int = 128
    """examples in a step of a real training"""
    train_rate: float = 0.1
    """highest learning rate of real training (SGD)"""
    start: Literal["scratch", "generated"] = "scratch"
    """first weights of real training: the network's own, or the hypernetwork's, of which those
    before norms are brought to the scale of the network's own"""
    flip: bool | None = None
    """mirror training images at random; by default yes for photographs, no for digits"""
    crop: int | None = None
    """pixels by which training images are shifted at random; by default an eighth of the side"""
    cutout: int = 0
    """side of a square that is blanked in training images, pixels"""
    examples: int | None = None
    """use no more than so many training examples"""
    image_size: int | None = None
    """side to which images are brought, pixels"""
    skip_bad: bool = False
    """leave damaged images out instead of stopping"""
    tokens: Literal["words", "bytes"] = "words"
    """what texts are cut into"""
    text_length: int | None = None
    """words, or bytes, of a text that are read; by default what nine of ten texts have, at most 128
    words or 512 bytes"""
    device: str = "cpu"
    """cpu, cuda, cuda:1, …"""
    precision: Literal["fp32", "bf16"] = "fp32"
    """number format of the networks while fitting, scoring and training"""
    workers: int | None = None
    """processes that score and train, one thread each; by default one a core, or 1 on a GPU"""
    survey: int = 2000
    """architectures drawn first, to know the space: their sizes and what meets the limits"""
    threads: int | None = None
    """processor threads of the steps that one process does alone (fitting, going on with the
    winner); by default one, or all cores where that is faster"""
    seed: int = 0
    """every random draw follows from it"""

    @property
    def limits(self) -> Limits:
        """The bounds that candidates must meet."""
        return Limits(max_params=self.max_params, max_macs=self.max_macs)

    def given(self, batches_per_epoch: int) -> dict[str, int]:
        """Return the counts that the user has given, also through the sampler's options."""
        from hypernas.samplers import make  # late: it imports torch

        asked_for = make(self.sampler, self.sampler_options).trials
        found = {} if asked_for is None else {"trials": asked_for}
        found |= {name: getattr(self, name) for name in COUNTS if getattr(self, name) is not None}
        if not self.fits:
            found["steps"] = 0
        if self.fit_epochs is not None:
            found["steps"] = max(1, round(self.fit_epochs * batches_per_epoch))
        return found

    @property
    def fits(self) -> bool:
        """Whether there is a hypernetwork to train."""
        return self.score_by == "hypernet"

    @property
    def least_seeds(self) -> int:
        """Trainings of a random network at least: the first may be its score, and tell no more."""
        return 2 if self.score_by == "training" else 1

    @property
    def climbs(self) -> bool:
        """Whether finalists are those that climb the ladder."""
        return self.score_by != "training" and self.strategy != "top"

    @property
    def processes(self) -> int:
        """Number of processes that score and train."""
        return self.workers or (1 if self.device.startswith("cuda") else min(cores(), 16))


class Plan(Struct, frozen=True):
    """The counts of a run, fixed before its first real step; written to ``plan.json``."""

    steps: int
    trials: int
    finalists: int
    seeds: int
    epochs: int
    best_epochs: int
    sample: int = 0
    """random networks that are trained, where they are more than the finalists"""
    climbers: int = 0
    """most candidates that the ladder trains to the end; 0 for the usual number"""
    at_once: int = 2
    """how many of them are trained beside each other"""
    threads: int = 1
    """of the steps that one process does alone"""
    seconds: dict[str, float] = {}
    """what each part is expected to take on the wall clock; empty where all counts are given"""
    forced: str = ""
    """what the time made smaller than asked for or usual, in words"""


LEAST = Plan(steps=100, trials=16, finalists=1, seeds=1, epochs=1, best_epochs=1)
COUNTS = ("steps", "trials", "finalists", "seeds", "epochs", "best_epochs")


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("max_params max_macs minutes fit_epochs", lambda n: n > 0, "more than 0"),
    ("trials finalists seeds epochs score_epochs survey examples", lambda n: n > 0, "more than 0"),
    ("meta_batch rate train_rate distil_temperature", lambda n: n > 0, "more than 0"),
    ("image_size text_length workers threads", lambda n: n > 0, "more than 0"),
    ("steps best_epochs crop cutout sample", lambda n: n >= 0, "0 or more"),
    ("anneal distil", lambda n: 0 <= n <= 1, "0 to 1"),
    ("minutes", lambda n: n <= 60 * 24 * 365, "less than a year"),
    ("batch train_batch", lambda n: n >= 2, "2 or more (networks normalise by batch)"),
    ("score_images statistics_images", lambda n: n >= 2, "2 or more"),
)
"""options, what holds of their numbers, and that in words"""


def check(config: Config) -> None:
    """Refuse numbers that cannot work, and options that do not go together.

    Raises:
        ConfigError: names the option, its value and what is expected.
    """
    for names, holds, expected in RANGES:
        for name in names.split():
            value = getattr(config, name)
            if value is not None and not (math.isfinite(value) and holds(value)):
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; expected {expected}")
    if config.distil is not None and config.teacher is None:
        raise ConfigError(
            f"--distil {config.distil:g} needs a network to be like; give --teacher RUN"
        )
    if not config.fits:
        _require_unfitted(config)
    if config.strategy == "ladder" and not config.climbs:
        raise ConfigError(
            "--strategy ladder is there to train few candidates, and --score-by training trains "
            "all; leave one of them out"
        )
    if config.score_epochs is not None and config.score_by != "training":
        raise ConfigError(
            f"--score-epochs {config.score_epochs} is for --score-by training; give both, or none"
        )
    if config.pruner != "none" and config.score_by != "training":
        raise ConfigError(
            f"--pruner {config.pruner} stops trainings; give --score-by training as well, or none"
        )
    if config.budgets is not None:
        require_range(config.budgets)
    if config.steps is not None and config.fit_epochs is not None:
        raise ConfigError("--steps and --fit-epochs say the same; give one of them")
    _require_device(config.device)


NEEDING = (
    ("start", "generated"),
    ("sampler", "arch-gradient"),
    ("fit_sampler", "tpe"),
    ("fit_sampler", "hyperband"),
)
"""options and values of theirs that a hypernetwork is needed for"""


def _require_unfitted(config: Config) -> None:
    """Refuse what needs a hypernetwork where there is none.

    Raises:
        ConfigError: names the option.
    """
    for name in ("steps", "fit_epochs", "fit_options", "teacher"):
        if getattr(config, name):
            flag = {"fit_options": "fit-set"}.get(name, name.replace("_", "-"))
            raise ConfigError(
                f"--{flag} is for the hypernetwork, and --score-by {config.score_by} has none; "
                "leave it out"
            )
    for name, value in NEEDING:
        if getattr(config, name) == value:
            raise ConfigError(
                f"--{name.replace('_', '-')} {value} needs a hypernetwork, and --score-by "
                f"{config.score_by} has none; leave one of them out"
            )


def require_range(budgets: tuple[int, int]) -> None:
    """Refuse budgets that are no range.

    Raises:
        ConfigError: says what is expected.
    """
    low, high = budgets
    if not 0 < low < high:
        raise ConfigError(
            f"--budgets {low} {high}: expected the least, 1 or more, and then the most"
        )


def _require_device(name: str) -> None:
    import torch  # late, so that the command line can show its help without it

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name} is no device; give cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name} is no device; give cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: {torch.cuda.device_count()} CUDA devices are there; "
            "give another, or cpu"
        )


def in_full(config: Config) -> Config:
    """Return the configuration with the paths of data and space in full.

    A run folder can then be asked from any other folder.
    """
    from hypernas import data  # late: it imports torch

    space = config.space
    if ".py:" in space:
        file, function = space.rsplit(":", 1)
        space = f"{Path(file).resolve()}:{function}"
    teacher = None if config.teacher is None else str(Path(config.teacher).resolve())
    full = data.in_full(config.data)
    return msgspec.structs.replace(config, data=full, space=space, teacher=teacher)


def difference(old: Config, new: Config) -> str | None:
    """Return the first option in which two configurations differ, in words, or None.

    The number of processes is no difference: scores and trainings do not depend on it. How many
    candidates a ladder trains at once does, but a run that has begun keeps that.
    """
    for name in Config.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if name != "workers" and before != after:
            return f"{name.replace('_', '-')} {before} instead of {after}"
    return None
