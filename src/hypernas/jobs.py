"""The jobs of a run that processes share: score a block of candidates, train one network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from hypernas.candidate import Candidate, build_network
from hypernas.choices import identity
from hypernas.console import Voice
from hypernas.curves import Budgets
from hypernas.data import Batches
from hypernas.files import read_json, read_tensors, write_json, write_tensors
from hypernas.net2net import State, grown
from hypernas.proxies import PROXIES, Proxies, Timed
from hypernas.randomness import derived_seed
from hypernas.results import Struct, TrainedExit, Training
from hypernas.scale_free import at_own_scale
from hypernas.scoring import BLOCK, Score
from hypernas.searching import ScoreBlocks
from hypernas.training import Recipe, Trainer, finite, measure, measure_exits
from hypernas.workers import Pool
from hypernas.workplace import MEASURE_BATCH, Workplace

GOING_ON = 0.5
"""learning rate with which a trained network goes on, as a share of the recipe's"""

WARM_STEPS = 60
"""from generated weights"""
NOISE = 0.01
"""what a grown network's copied channels differ by, as a share of their weights' deviation"""

Progress = Callable[[int, int], None]


class ScoreBlock(Struct, frozen=True, tag="score"):
    """Score architectures that pass the hypernetwork together."""

    block: list[dict[str, Any]]
    padded: int = BLOCK
    """how many candidates the block is made up to"""

    def do(self, place: Workplace) -> list[Score]:
        """Return the score of each."""
        candidates = [place.candidates.of(choices) for choices in self.block]
        return place.score(candidates, block=self.padded)


def score_blocks(pool: Pool) -> ScoreBlocks:
    """Return what scores the blocks of a search in the processes of ``pool``."""

    def score(blocks: list[list[Candidate]], padded: int) -> Iterator[list[Score]]:
        todo = [ScoreBlock(block=[c.choices for c in b], padded=padded) for b in blocks]
        answers = pool.do([msgspec.to_builtins(job) for job in todo])
        return (msgspec.convert(answer, list[Score]) for answer in answers)

    return score


class Train(Struct, frozen=True, tag="train"):
    """Train one network with one seed, and measure it once on the test split."""

    choices: dict[str, Any]
    seed: int
    epochs: int
    goes_on_from: str = ""
    """folder of the weights with which it starts; empty for a new network"""
    stage: int = 0
    """how often it has gone on"""
    grown: bool = False
    """whether those weights are of a smaller network, which this one computes at first"""
    by_epoch: bool = False
    """whether it is measured on the validation split after each epoch"""

    @property
    def folder(self) -> str:
        """Where in the run folder its weights lie."""
        if self.goes_on_from and not self.grown:
            return f"{self.goes_on_from}-more-{self.epochs}"
        own = f"networks/{identity(self.choices)}/seed-{self.seed}-epochs-{self.epochs}"
        return f"{own}-from-{Path(self.goes_on_from).name}" if self.grown else own

    def recipe(self, place: Workplace) -> Recipe:
        """Return how it is trained; a network that was trained before learns at a lower rate."""
        recipe = place.recipe(self.epochs, rate=GOING_ON if self.goes_on_from else 1.0)
        return msgspec.structs.replace(recipe, start="grown") if self.grown else recipe

    def known(self, place: Workplace) -> Training | None:
        """Return the result, if the training is done."""
        path = place.folder / self.folder / "result.json"
        return read_json(path, Training) if path.exists() else None

    def do(self, place: Workplace, progress: Progress = lambda done, total: None) -> Training:
        """Train from the last checkpoint; return what is known already if it is done."""
        known = self.known(place)
        if known is not None:
            return known
        folder, trainer = place.folder / self.folder, self.trainer(place)
        module, recipe = trainer.module, trainer.recipe
        trained = trainer.run(place.validation_batches, progress)
        test = place.batches(place.splits.test, MEASURE_BATCH)
        tested = measure(module, test, place.task, precision=recipe.precision)
        result = Training(
            seed=self.seed,
            epochs=trained.epochs,
            val_accuracy=trained.accuracy,
            val_loss=trained.loss,
            test_accuracy=tested.accuracy,
            test_deviation=tested.deviation,
            seconds=trained.seconds,
            by_epoch=trained.by_epoch,
            loss_by_epoch=trained.loss_by_epoch,
        )
        if place.budgets is not None:
            result = self._over_budgets(place, place.budgets, module, test, result)
        write_tensors(folder / "weights.safetensors", module.state_dict())
        write_json(folder / "result.json", result)
        trainer.checkpoint.unlink(missing_ok=True)
        return result

    def trainer(self, place: Workplace) -> Trainer:
        """Return what trains the network, with the weights that it starts with."""
        recipe = self.recipe(place)
        return Trainer(
            self.first(place, recipe),
            place.train_batches,
            place.task,
            recipe,
            place.folder / self.folder,
            seed=derived_seed(place.config.seed, "training", self.seed, self.stage),
            by_epoch=self.by_epoch,
        )

    def _over_budgets(
        self, place: Workplace, budgets: Budgets, module: nn.Module, test: Batches, result: Training
    ) -> Training:
        """Return a result with the curve of its exits, and with means over the budgets.

        Which exit answers within a budget is decided on the validation split.
        """
        macs = [0, *place.candidates.of(self.choices).exit_macs]
        precision = place.config.precision
        val = measure_exits(module, place.validation_batches, place.task, precision=precision)
        tested = measure_exits(module, test, place.task, precision=precision)
        val_losses = map(finite, val.losses.mean(1).tolist())
        every = zip(macs, val.measures, val_losses, tested.measures, strict=True)
        curve = [
            TrainedExit(macs=cost, val_accuracy=right, val_loss=loss, test_accuracy=on_test)
            for cost, right, loss, on_test in every
        ]
        shares = budgets.shares(macs, val.measures)
        means = {
            name: sum(share * getattr(e, name) for share, e in zip(shares, curve, strict=True))
            for name in ("val_accuracy", "val_loss", "test_accuracy")
        }
        return msgspec.structs.replace(result, curve=curve, **means)

    def first(self, place: Workplace, recipe: Recipe) -> nn.Module:
        """Return the network with the weights that it starts with."""
        seed = derived_seed(place.config.seed, "training", self.seed)
        module = build_network(place.space, self.choices, place.signature, seed=seed)
        if self.grown:
            small = read_weights(place, self.goes_on_from)
            graph = place.candidates.of(self.choices).graph
            module.load_state_dict(grown(small, module, graph, noise=NOISE, seed=seed))
        elif self.goes_on_from:
            load_weights(module, place, self.goes_on_from)
        elif recipe.start == "generated":
            candidate, own = place.candidates.of(self.choices), module.state_dict()
            weights = place.hypernet([candidate])[0]
            plain = {name: tensor.detach().cpu() for name, tensor in weights.items()}
            module.load_state_dict(own | at_own_scale(plain, own, candidate.graph))
        return module


class Part(Struct, frozen=True):
    """How far a training came that may go on."""

    epochs: int
    accuracy: float
    """on the validation split"""
    loss: float
    seconds: float = 0.0
    """CPU seconds, of a training that was not done before"""
    again: bool = False
    """whether the whole training was done already, but was not measured on the way"""


class TrainPart(Struct, frozen=True, tag="part"):
    """Train a network through the first epochs of a longer training; one that is done stays so."""

    choices: dict[str, Any]
    epochs: int
    """of the whole training"""
    until: int
    """epoch that is to be reached"""

    def do(self, place: Workplace) -> Part:
        """Return how far it came; a training that is known is not done again."""
        whole = Train(choices=self.choices, seed=0, epochs=self.epochs, by_epoch=True)
        if self.until == self.epochs:
            done = whole.do(place)
            return Part(epochs=self.epochs, accuracy=done.val_accuracy, loss=done.val_loss)
        known = whole.known(place)
        if known is not None and known.by_epoch:
            accuracies, losses = known.by_epoch, known.loss_by_epoch
            at = self.until - 1
            return Part(epochs=self.until, accuracy=accuracies[at], loss=losses[at])
        trainer = whole.trainer(place)
        reached = trainer.run_to(self.until, place.validation_batches)
        return Part(
            epochs=self.until,
            accuracy=reached.accuracy,
            loss=reached.loss,
            seconds=trainer.seconds,
            again=known is not None,
        )


class Rescore(Struct, frozen=True, tag="rescore"):
    """Score a network with its generated weights on all validation images."""

    choices: dict[str, Any]

    def do(self, place: Workplace) -> Timed:
        """Return the score; it is worked out once."""
        candidate = place.candidates.of(self.choices)
        path = place.folder / f"networks/{identity(self.choices)}/rescore.json"
        return _once(path, lambda: place.generated_on_all([candidate], block=1)[0].score)


class Warm(Struct, frozen=True, tag="warm"):
    """Train a network for some steps as from ``--start generated``, and score it."""

    choices: dict[str, Any]

    def do(self, place: Workplace) -> Timed:
        """Return the score that it has then; it is worked out once."""
        path = place.folder / f"networks/{identity(self.choices)}/warm.json"
        return _once(path, lambda: self._score(place))

    def _score(self, place: Workplace) -> float:
        recipe = place.recipe(1, rate=GOING_ON)
        recipe = msgspec.structs.replace(recipe, start="generated")
        module = Train(choices=self.choices, seed=0, epochs=1).first(place, recipe)
        seed = derived_seed(place.config.seed, "warm")
        trainer = Trainer(module, place.train_batches, place.task, recipe, place.folder, seed=seed)
        trainer.train(WARM_STEPS)
        weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
        return place.generated.judge(place.candidates.of(self.choices), weights).score


def _once(path: Path, work: Callable[[], float]) -> Timed:
    """Return a value and what it cost, from the file where it is kept."""
    if not path.exists():
        began = time.process_time()
        value = work()
        write_json(path, Timed(value=value, seconds=time.process_time() - began))
    return read_json(path, Timed)


class ZeroCost(Struct, frozen=True, tag="zero-cost"):
    """Compute the zero-cost scores of a network."""

    choices: dict[str, Any]

    def do(self, place: Workplace) -> dict[str, Timed]:
        """Return them by name, without those that cannot be; each is worked out once."""
        path = place.folder / f"networks/{identity(self.choices)}/proxies.json"
        known = read_json(path, dict[str, Timed | None]) if path.exists() else {}
        if lacking := [name for name in PROXIES if name not in known]:
            compute = Proxies(place, seed=place.config.seed)
            known |= compute.timed(place.candidates.of(self.choices), lacking)
            write_json(path, known)
        return {name: value for name in PROXIES if (value := known[name]) is not None}


def load_weights(module: nn.Module, place: Workplace, folder: str) -> None:
    """Load what a training in ``folder`` of the run ended with."""
    module.load_state_dict(read_weights(place, folder))


def read_weights(place: Workplace, folder: str) -> State:
    """Return what a training in ``folder`` of the run ended with."""
    return read_tensors(place.folder / folder / "weights.safetensors")[0]


Job = ScoreBlock | Train | TrainPart | Rescore | Warm | ZeroCost


def do(place: Workplace, job: dict[str, Any]) -> Any:
    """Do a job that came as JSON; return its answer as plain values."""
    found = msgspec.convert(job, Job)
    return msgspec.to_builtins(found.do(place))


def done(pool: Pool, voice: Voice, title: str, todo: Sequence[Job]) -> list[Any]:
    """Do jobs in the processes of a pool, and return their answers in order."""
    found = []
    with voice.bar(title) as update:
        for answer in pool.do([msgspec.to_builtins(job) for job in todo]):
            found.append(answer)
            update(len(found), len(todo), "networks")
    return found
