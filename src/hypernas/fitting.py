"""Trains a hypernetwork: at each step a fresh candidate, its generated weights, and one batch.

Source: Graph HyperNetworks (arXiv 1810.05749), 3.4; a meta-batch as in GHN-2 (arXiv 2110.13100).
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from hypernas.data import Batches
from hypernas.distilling import Teacher
from hypernas.draws import Draws, Told
from hypernas.errors import ConfigError
from hypernas.files import read_tensors, write_tensors, write_text
from hypernas.hypernets import Hypernet
from hypernas.largest import Largest
from hypernas.precision import autocast
from hypernas.randomness import derived_seed
from hypernas.results import Struct
from hypernas.scoring import Scorer
from hypernas.tasks import Outputs, Task

RECORDS = 200
"""about how many lines the log of a fit has"""
CHECKS = 10
"""about how often the validation score is measured during a fit"""
CHECKPOINT_SECONDS = 15.0
KEPT = 4
"""states of the hypernetwork that are kept beside the last: by how much scores moved since then
tells how sure they are (:mod:`hypernas.uncertainty`)"""


class FitRecipe(Struct, frozen=True):
    """An optimiser for hypernetworks and what goes with it; the rate falls by a cosine to 0."""

    rate: float
    """highest learning rate"""
    batch: int
    """examples in a step"""
    optimiser: Literal["AdamW", "Adam"]
    """weight decay of its own, or as part of the gradient (L2)"""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-4
    """of free parameters, which candidates use as they are"""
    generator_decay: float = 1e-4
    """of the parameters that generate weights"""
    warm_up: float = 0.0
    """share of the steps over which the learning rate rises"""
    clip: float = math.inf
    """largest norm of the gradient"""
    anneal: float = 0.0
    """share of the steps over which draws go from the space's easiest to all of it"""
    orthogonal: bool = False
    """free convolution weights start orthogonal"""


RECIPES = {
    "default": FitRecipe(rate=2e-3, batch=128, optimiser="AdamW", warm_up=0.05, clip=5.0),
    # that of SMASH (arXiv 1708.05344), as in its authors' code
    "classic": FitRecipe(
        rate=1e-3,
        batch=50,
        optimiser="Adam",
        betas=(0.5, 0.999),
        eps=1e-4,
        generator_decay=0.0,
        anneal=0.5,
        orthogonal=True,
    ),
}


class FitOptions(Struct, frozen=True):
    """How a hypernetwork is trained, and for how long."""

    steps: int
    recipe: FitRecipe = RECIPES["default"]
    meta_batch: int = 1
    precision: str = "fp32"
    seed: int = 0


@dataclass
class Fit:
    """A hypernetwork under training.

    Attributes:
        hypernet: what is trained.
        draws: the candidate of each step; told its loss.
        batches: the images of each step, of the fit split.
        task: judges outputs.
        options: counts and rates.
        teacher: a trained network that candidates are to be like.
        seconds: CPU seconds of the steps so far, and of checks; those before a checkpoint as well.
        largest: sizes of the candidates so far.
    """

    hypernet: Hypernet
    draws: Draws
    batches: Batches
    task: Task
    options: FitOptions
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        recipe = self.options.recipe
        decays = (recipe.generator_decay, recipe.weight_decay)
        self.optimiser = getattr(torch.optim, recipe.optimiser)(
            [{"params": [], "weight_decay": decay} for decay in decays],
            lr=recipe.rate,
            betas=recipe.betas,
            eps=recipe.eps,
        )
        self._group()
        self.largest = Largest()
        self.step = 0
        self.skipped = 0
        self.seconds = 0.0

    def advance(self) -> float:
        """Do one step; return its loss, or NaN where the step was left out.

        Raises:
            ConfigError: more than one step in fifty had no finite loss.
        """
        candidates = [self.draws(self.step, i) for i in range(self.options.meta_batch)]
        drawn = self.options.seed, "fit", self.step
        images, targets = self.batches.random(*drawn)
        said = None if self.teacher is None else self.teacher.says(images, *drawn)
        torch.manual_seed(derived_seed(self.options.seed, "dropout", self.step))
        self._adopt(self.hypernet.prepare(candidates))
        losses = []
        for candidate, weights in zip(candidates, self.hypernet(candidates), strict=True):
            candidate.module.train()
            with autocast(images.device, self.options.precision):
                outputs = candidate(weights, images)
            losses.append(self._loss(outputs, targets, said))
        each = torch.stack(losses)
        loss = each.mean()
        self._update(loss)
        self.draws.tell(self.step, candidates, each.tolist())
        self.largest = self.largest.among(candidates)
        self.step += 1
        return loss.item()

    def _loss(self, outputs: Outputs, targets: Tensor, said: Tensor | None) -> Tensor:
        if self.teacher is None or said is None:
            return self.task.loss(outputs, targets)
        return self.teacher.loss(self.task, outputs, targets, said)

    def _update(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        recipe = self.options.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate * schedule(self.step, self.options.steps, recipe.warm_up)
        norm = nn.utils.clip_grad_norm_(self.hypernet.parameters(), recipe.clip)
        if torch.isfinite(loss) and torch.isfinite(norm):
            self.optimiser.step()
            return
        self.skipped += 1
        if self.skipped > max(10, self.options.steps // 50):
            raise ConfigError(
                f"{self.skipped} of {self.step + 1} steps had no finite loss; "
                "give a smaller --rate or --precision fp32"
            )

    def _group(self) -> None:
        """Give the optimiser all parameters: first the generator's, then the free ones."""
        generator = set(self.hypernet.generator_parameters())
        for group, generates in zip(self.optimiser.param_groups, (True, False), strict=True):
            group["params"] = [
                p for p in self.hypernet.parameters() if (p in generator) is generates
            ]

    def _adopt(self, grown: list[tuple[nn.Parameter | None, nn.Parameter]]) -> None:
        """Give the optimiser the parameters that the hypernetwork has made."""
        for old, new in grown:
            state = self.optimiser.state.pop(old, None) if old is not None else None
            if state:
                self.optimiser.state[new] = {k: _enlarged(v, new) for k, v in state.items()}
        if grown:
            self._group()

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        names: dict[Tensor, str] = {p: name for name, p in self.hypernet.named_parameters()}
        state = self.hypernet.state_dict()
        tensors = {f"hypernet/{k}": v for k, v in state.items()}
        for parameter, memory in self.optimiser.state.items():
            tensors |= {f"optimiser/{key}/{names[parameter]}": v for key, v in memory.items()}
        # the file does not keep the order, on which the last bits of the gradient's norm depend
        order = list(state)
        counted = {"step": self.step, "skipped": self.skipped, "seconds": self.seconds}
        drawn = {"told": self.draws.told, "largest": self.largest}
        write_tensors(path, tensors, counted | {"order": order} | drawn)

    def load(self, path: Path) -> None:
        """Go on from what :meth:`save` wrote."""
        tensors, metadata = read_tensors(path)
        self.hypernet.load_state_dict({k: tensors[f"hypernet/{k}"] for k in metadata["order"]})
        named = dict(self.hypernet.named_parameters())
        self._group()
        self.optimiser.state.clear()
        for key, value in tensors.items():
            if key.startswith("optimiser/"):
                _, what, name = key.split("/", 2)
                moved = value if what == "step" else value.to(named[name].device)
                self.optimiser.state[named[name]][what] = moved
        self.step, self.skipped = metadata["step"], metadata["skipped"]
        self.seconds = metadata["seconds"]
        self.draws.told = msgspec.convert(metadata.get("told", []), list[Told])
        self.largest = msgspec.convert(metadata.get("largest", {}), Largest)


def _enlarged(state: Tensor, parameter: Tensor) -> Tensor:
    """Fill the optimiser's memory of a parameter that grew with zeros for the new part."""
    if state.ndim == 0:
        return state
    larger = torch.zeros_like(parameter, requires_grad=False)
    larger[tuple(slice(0, n) for n in state.shape)] = state
    return larger


def schedule(step: int, steps: int, warm_up: float) -> float:
    """Return the learning rate's factor: a linear rise, then half a cosine to 0.

    Args:
        step: from 0.
        steps: in all.
        warm_up: share of them over which the rate rises; 0 begins at its highest.

    >>> schedule(0, 1000, 0.05) < schedule(49, 1000, 0.05) == 1.0 > schedule(999, 1000, 0.05)
    True
    """
    warm = max(1, int(warm_up * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / max(steps - warm, 1)))


@contextmanager
def _uncollected() -> Generator[None]:
    """Spare the garbage collector what is there already.

    A step makes so many objects that it is looked through often: a tenth of the time (docs/log.md).
    """
    gc.collect(1)  # what a warm-up has just left; a full collection takes longer than a small fit
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_uncollected()
def fit(
    work: Fit,
    folder: Path,
    scorer: Scorer,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> None:
    """Train to the end, from the last checkpoint in ``folder`` where there is one.

    Writes ``checkpoint.safetensors`` (resumable), ``log.jsonl`` (loss, validation score) and the
    earlier states that are kept.
    """
    checkpoint, log = folder / "checkpoint.safetensors", folder / "log.jsonl"
    if checkpoint.exists():
        work.load(checkpoint)
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = [line for line in _lines(log) if line["step"] <= work.step]
    write_text(log, "".join(json.dumps(line) + "\n" for line in kept))
    board = _tensorboard(folder)
    # Architectures beside those of the steps, the same at every check.
    watched = [work.draws(-1 - i) for i in range(4)]
    total, saved, losses = work.options.steps, time.monotonic(), []
    keep = _kept(folder, total)
    every = max(1, total // RECORDS)
    check = every * max(1, RECORDS // CHECKS)
    while work.step < total:
        began = time.process_time()
        losses.append(work.advance())
        progress(work.step, total, f"loss {losses[-1]:.3f}")
        if work.step in keep:  # before a checkpoint from which it would not be met again
            write_tensors(keep[work.step], work.hypernet.state_dict())
        if work.step % every == 0 or work.step == total:
            finite = [loss for loss in losses if math.isfinite(loss)]
            line: dict[str, Any] = {"step": work.step, "loss": _mean(finite) if finite else None}
            if work.step % check == 0 or work.step == total:
                line["validation_score"] = _mean(s.score for s in scorer(watched))
            _record(log, board, line)
            losses = []
        work.seconds += time.process_time() - began
        if work.step == total or (
            work.step % every == 0 and time.monotonic() - saved > CHECKPOINT_SECONDS
        ):
            work.save(checkpoint)
            saved = time.monotonic()
    if board is not None:
        board.close()


def kept_states(folder: Path, steps: int) -> list[Path]:
    """Return the files of the earlier states of a finished fit of so many steps, first to last.

    No files where one is missing: the fit began before such states were kept.
    """
    paths = list(_kept(folder, steps).values())
    return paths if all(path.exists() for path in paths) else []


def _kept(folder: Path, steps: int) -> dict[int, Path]:
    """Return where the state after a step is kept: evenly over the last half, without the end.

    >>> list(_kept(Path("fit"), 600))
    [300, 375, 450, 525]
    """
    kept = dict.fromkeys(steps - steps * part // (2 * KEPT) for part in range(KEPT, 0, -1))
    return {step: folder / f"step-{step}.safetensors" for step in kept if 0 < step < steps}


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def _lines(log: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a log; a torn last one is left out."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def _record(log: Path, board: Any, line: dict[str, Any]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    if board is not None:
        for name, value in line.items():
            if name != "step" and value is not None:
                board.add_scalar(f"fit/{name}", value, line["step"])


def _tensorboard(folder: Path) -> Any:
    """Return a TensorBoard writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
