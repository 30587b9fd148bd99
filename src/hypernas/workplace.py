"""What a run works with: its data, its space, its candidates, its hypernetwork.

Everything here follows from the run folder's configuration and is made when it is first needed, in
the main process and in each worker alike.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor

from hypernas import hypernets, samplers, tasks
from hypernas.candidate import Candidate, Candidates
from hypernas.config import Config, Plan
from hypernas.curves import Budgets
from hypernas.data import Batches, Dataset, Examples, Splits, load, split
from hypernas.distilling import teacher_of
from hypernas.errors import ConfigError, RunError
from hypernas.files import read_json, read_tensors
from hypernas.fit_samplers import draws_of
from hypernas.fitting import RECIPES, Fit, FitOptions, FitRecipe
from hypernas.hypernets import Hypernet
from hypernas.hypernets.table import Table
from hypernas.normalising import fixed_images
from hypernas.randomness import rng
from hypernas.remembered import DataRecord, SpaceRecord, record_of
from hypernas.samplers import Sampler
from hypernas.scoring import BLOCK, Scorer
from hypernas.spaces import Space, find
from hypernas.survey import Survey, biggest, survey
from hypernas.tasks import Signature, Task
from hypernas.training import Recipe

if TYPE_CHECKING:
    from hypernas.signals import Signal

SCORE_BATCH = 250
"""validation examples that are normalised together when scoring"""
MEASURE_BATCH = 500
SCORE_EPOCHS = 5
"""of a candidate that is ranked by training, where nothing else is asked for"""
RACE_EPOCHS = 9
"""the same where most are stopped before: three times three"""


class Workplace:
    """The parts of a run, each made on first use.

    Args:
        folder: the run folder.
        config: as in its ``config.json``.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config

    @cached_property
    def dataset(self) -> Dataset:
        """The data set.

        Raises:
            DataError: it cannot be loaded.
            RunError: it is not the one that the run was made with.
        """
        config = self.config
        made = (self.folder / "config.json").exists()
        found = load(
            config.data,
            image_size=config.image_size,
            skip_bad=config.skip_bad,
            # workers read what one of them has decoded; before the folder is made there is no place
            cache=self.folder / "cache" if made else None,
        )
        if (self.folder / "data.json").exists() and self.data.fingerprint != found.fingerprint:
            raise RunError(
                f"{self.folder} was made with other data than {config.data} holds now; "
                "bring the old data back, or start a new run with another --out"
            )
        return found

    @cached_property
    def splits(self) -> Splits:
        """Disjoint examples to fit on, to choose by, and to test with."""
        return split(self.dataset, seed=self.config.seed, max_examples=self.config.examples)

    @cached_property
    def data(self) -> DataRecord:
        """What the folder remembers of the data."""
        return read_json(self.folder / "data.json", DataRecord)

    def record_data(self) -> DataRecord:
        """Load the data and say what there is to remember of it."""
        return record_of(self.dataset, self.splits, self.config)

    @property
    def signature(self) -> Signature:
        """Shape of an example and number of classes."""
        return self.data.signature

    @property
    def task(self) -> Task:
        """How outputs are judged: as the labels of the data ask for."""
        return tasks.of(self.data.task)

    @cached_property
    def space(self) -> Space:
        """The search space.

        Raises:
            ConfigError: the user sets its ease.
            RunError: it is not the one that the run was made with.
        """
        if not (self.folder / "space.json").exists():
            found = find(self.config.space, self.config.options)
            given = self.config.fit_options | self.config.options
            if "ease" in given:
                raise ConfigError(
                    f"--set ease={given['ease']}: ease rises while fitting and is 1 "
                    "elsewhere; leave it out, and give --anneal 0.5 for half of the steps"
                )
            return found
        kept = read_json(self.folder / "space.json", SpaceRecord)
        found = find(self._source(kept), kept.options)
        if found.digest != kept.digest:
            raise RunError(
                f"{self.folder} was made with another version of space {kept.name} ({found.file}); "
                "bring the old one back, or start a new run with another --out"
            )
        return found

    def _source(self, kept: SpaceRecord) -> str:
        """Return where the space is found: where it was, or the folder's own copy of the file."""
        if ".py:" in kept.name and not Path(kept.name.rsplit(":", 1)[0]).exists():
            return f"{self.folder / 'space.py'}:{kept.function}"
        return kept.name

    def record_space(self) -> SpaceRecord:
        """Say what there is to remember of the space."""
        space = self.space
        return SpaceRecord(
            name=space.name,
            function=getattr(space.function, "__name__", "space"),
            digest=space.digest,
            options=space.options,
            fit_options=self.config.fit_options,
        )

    @cached_property
    def candidates(self) -> Candidates:
        """Makes candidates of the space for this data."""
        return Candidates(self.space, self.signature, device=self.config.device)

    @cached_property
    def fit_candidates(self) -> Candidates:
        """Makes the candidates that the hypernetwork learns from (--fit-set)."""
        options = self.config.fit_options
        if not options:
            return self.candidates
        other = self.space.with_options("--fit-set", **options)
        return Candidates(other, self.signature, device=self.config.device)

    @cached_property
    def survey(self) -> Survey:
        """Random architectures of the space and their sizes."""
        return read_json(self.folder / "survey.json", Survey)

    @cached_property
    def fit_survey(self) -> Survey:
        """The same of the space that the hypernetwork learns from."""
        if not self.config.fit_options:
            return self.survey
        return read_json(self.folder / "fit-survey.json", Survey)

    def look(self, draws: int, **options: Any) -> None:
        """Survey the space, and the one of the fit where that differs; options as for `survey`."""
        self.survey = survey(self.candidates, seed=self.config.seed, draws=draws, **options)
        if self.config.fit_options:
            self.fit_survey = survey(
                self.fit_candidates, seed=self.config.seed, draws=draws, **options
            )

    @property
    def budgets(self) -> Budgets | None:
        """The budgets over which networks are judged; None judges by the last exit alone.

        Raises:
            ConfigError: a scale is given, and there is nothing to which it could apply.
        """
        config = self.config
        span = config.budgets
        surveyed = "survey" in vars(self) or (self.folder / "survey.json").exists()
        if span is None and surveyed:  # a branch has no survey, and its run's budgets
            span = self.survey.exit_range
        if span is not None:
            return Budgets(low=span[0], high=span[1], scale=config.budget_scale)
        if config.budget_scale != "linear":
            raise ConfigError(
                f"--budget-scale {config.budget_scale}: networks of space {config.space} have one "
                "exit; leave it out, or give --budgets, within which one answers or does not"
            )
        return None

    @cached_property
    def biggest(self) -> Candidate:
        """The biggest network that fits, as far as it is found; that takes a while."""
        return biggest(self.candidates, self.survey, self.config.limits, seed=self.config.seed)

    @cached_property
    def plan(self) -> Plan:
        """The counts of the run."""
        return read_json(self.folder / "plan.json", Plan)

    def batches(self, examples: Examples, size: int, *, augment: bool = False) -> Batches:
        """Return batches of a split on the device; channels-last on a CPU, where that is fastest.

        On a GPU torch computes wrong gradients of padded average pools in that layout
        (github.com/pytorch/pytorch/issues/188344), so that networks learn less than they could.
        """
        images, device = len(self.data.input_shape) == 3, torch.device(self.config.device)
        return Batches(
            examples=examples,
            batch_size=size,
            encoding=self.data.encoding,
            augmentation=self.data.augmentation if augment else None,
            device=self.config.device,
            channels_last=images and device.type == "cpu",
        )

    @cached_property
    def fit_recipe(self) -> FitRecipe:
        """How the hypernetwork is trained: a named recipe, and what the user gave in its place.

        Raises:
            ConfigError: annealing is asked for where the space has no ease.
        """
        config = self.config
        own = {name: getattr(config, name) for name in ("rate", "batch", "anneal")}
        given = {name: value for name, value in own.items() if value is not None}
        recipe = msgspec.structs.replace(RECIPES[config.fit_recipe], **given)
        if not recipe.anneal or "ease" in self.space.options:
            return recipe
        if config.anneal:
            raise ConfigError(
                f"--anneal {config.anneal:g}: space {self.space.name!r} has no option ease to "
                "begin small with; leave --anneal out"
            )
        return msgspec.structs.replace(recipe, anneal=0.0)

    @cached_property
    def fit_batches(self) -> Batches:
        """Augmented batches that the hypernetwork is trained on."""
        return self.batches(self.splits.fit, self.fit_recipe.batch, augment=True)

    @cached_property
    def train_batches(self) -> Batches:
        """Augmented batches that networks are trained on."""
        return self.batches(self.splits.fit, self.config.train_batch, augment=True)

    @cached_property
    def validation_batches(self) -> Batches:
        """Batches of the validation split, to measure trained networks."""
        return self.batches(self.splits.validation, MEASURE_BATCH)

    def new_hypernet(self) -> Hypernet:
        """Return an untrained hypernetwork on the device."""
        config = self.config
        made = hypernets.make(
            config.hypernet,
            config.hypernet_options,
            example=self.candidates.draw(rng(config.seed, "example")),
            seed=config.seed,
        )
        for part in made.modules():
            if isinstance(part, Table):
                part.orthogonal = self.fit_recipe.orthogonal
        return made.to(config.device)

    @cached_property
    def hypernet(self) -> Hypernet:
        """The trained hypernetwork.

        Raises:
            RunError: there is none yet, or none at all.
        """
        self.require_fit()
        path = self.folder / "hypernet.safetensors"
        if not path.exists():
            raise RunError(f"{self.folder} has no trained hypernetwork; run `hypernas fit` on it")
        return self.hypernet_of(path)

    def hypernet_of(self, path: Path) -> Hypernet:
        """Return a hypernetwork with the weights in a file."""
        made = self.new_hypernet()
        made.load_state_dict(read_tensors(path)[0])
        return made.to(self.config.device).eval()

    def require_fit(self) -> None:
        """Refuse a run that has no hypernetwork, and will have none.

        Raises:
            RunError: says what it has.
        """
        if not self.config.fits:
            raise RunError(
                f"{self.folder} ranks candidates by {self.config.score_by}, without a "
                "hypernetwork; make a run with --score-by hypernet"
            )

    @cached_property
    def sampler(self) -> Sampler:
        """Proposes the candidates of the search."""
        return samplers.make(self.config.sampler, self.config.sampler_options)

    def scorer(self, hypernet: Hypernet, images: int | None = None) -> Scorer:
        """Return the scoring protocol of this run for a hypernetwork, perhaps on more images."""
        return Scorer(
            hypernet,
            self.batches(self.splits.validation, SCORE_BATCH),
            self.task,
            images=images or self.config.score_images,
            seed=self.config.seed,
            precision=self.config.precision,
            budgets=self.budgets,
            statistics=self.statistics,
        )

    @cached_property
    def statistics(self) -> list[Tensor]:
        """Images by which candidates are normalised in scoring, where that is not the batch."""
        asked = self.config.statistics == "reestimated"
        return fixed_images(self.fit_batches, self.config, SCORE_BATCH) if asked else []

    @cached_property
    def generated(self) -> Scorer:
        """The scoring protocol with the trained hypernetwork."""
        return self.scorer(self.hypernet)

    @cached_property
    def generated_on_all(self) -> Scorer:
        """The same on all validation images."""
        return self.scorer(self.hypernet, self.data.validation)

    @cached_property
    def score(self) -> Signal:
        """What ranks candidates: generated weights, real training, or a zero-cost score."""
        from hypernas.signals import ByProxy, ByTraining  # late: a training is a job of a place

        config = self.config
        if config.fits:
            return self.generated
        if config.score_by == "training":
            return ByTraining(self, self.score_epochs)
        return ByProxy(self, config.score_by)

    @property
    def block(self) -> int:
        """How many candidates one process ranks at a time."""
        return BLOCK if self.config.fits else 1

    @property
    def score_epochs(self) -> int:
        """Epochs of each candidate that is ranked by training."""
        usual = SCORE_EPOCHS if self.config.pruner == "none" else RACE_EPOCHS
        return self.config.score_epochs or self.config.epochs or usual

    def fit(self, hypernet: Hypernet, steps: int) -> Fit:
        """Return the training of a hypernetwork over ``steps``."""
        config, draws = self.config, draws_of(self, steps)
        options = FitOptions(
            steps=steps,
            recipe=self.fit_recipe,
            meta_batch=config.meta_batch,
            precision=config.precision,
            seed=config.seed,
        )
        return Fit(hypernet, draws, self.fit_batches, self.task, options, teacher_of(self))

    def recipe(self, epochs: int, *, rate: float = 1.0) -> Recipe:
        """Return how networks are trained, at ``rate`` times the run's learning rate."""
        config = self.config
        return Recipe(
            epochs=epochs,
            batch=config.train_batch,
            rate=config.train_rate * rate,
            augmentation=self.data.augmentation,
            start=config.start,
            precision=config.precision,
        )

    def threads(self, count: int) -> None:
        """Set how many threads torch uses in this process."""
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
